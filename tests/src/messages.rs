//! Queues that collect what others send: events that match a rule, and messages of a topic. By hand, for the reason that
//! `MiniStack::logs` has.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::ministack::{MiniStack, REGION};

/// A queue of the local AWS.
#[derive(Debug)]
pub struct Queue<'a> {
    aws: &'a MiniStack,
    url: String,
    arn: String,
}

impl MiniStack {
    /// Creates a queue.
    pub async fn create_queue(&self, name: &str) -> Result<Queue<'_>> {
        let created = self.call("sqs", "AmazonSQS.CreateQueue", &json!({"QueueName": name})).await?;
        let url = created["QueueUrl"].as_str().context("a queue without a URL")?.to_owned();
        let asked = json!({"QueueUrl": url, "AttributeNames": ["QueueArn"]});
        let attributes = self.call("sqs", "AmazonSQS.GetQueueAttributes", &asked).await?;
        let arn = attributes["Attributes"]["QueueArn"].as_str().context("a queue without an ARN")?;
        Ok(Queue { aws: self, url, arn: arn.to_owned() })
    }

    /// Creates a topic whose messages come to this queue. Returns its ARN.
    pub async fn create_topic(&self, name: &str, queue: &Queue<'_>) -> Result<String> {
        let created = self.ask_sns(&format!("Action=CreateTopic&Name={name}")).await?;
        let (_, rest) = created.split_once("<TopicArn>").context("a topic without an ARN")?;
        let arn = rest.split_once('<').context("a topic without an ARN")?.0.to_owned();
        let Queue { arn: endpoint, .. } = queue;
        self.ask_sns(&format!("Action=Subscribe&TopicArn={arn}&Protocol=sqs&Endpoint={endpoint}")).await?;
        Ok(arn)
    }

    async fn ask_sns(&self, body: &str) -> Result<String> {
        let headers = format!(
            "Content-Type: application/x-www-form-urlencoded\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/sns/aws4_request\r\n"
        );
        self.request("POST", "/", &headers, &format!("{body}&Version=2010-03-31")).await
    }

    async fn call(&self, service: &str, target: &str, body: &Value) -> Result<Value> {
        let headers = format!(
            "X-Amz-Target: {target}\r\nContent-Type: application/x-amz-json-1.1\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/{service}/aws4_request\r\n"
        );
        let answer = self.request("POST", "/", &headers, &body.to_string()).await?;
        Ok(if answer.is_empty() { Value::Null } else { serde_json::from_str(&answer)? })
    }
}

impl Queue<'_> {
    /// Its ARN.
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// Lets all events come here that match a pattern of EventBridge.
    pub async fn collect_events(&self, rule: &str, pattern: &Value) -> Result<()> {
        let put = json!({"Name": rule, "EventPattern": pattern.to_string()});
        self.aws.call("events", "AWSEvents.PutRule", &put).await?;
        let put = json!({"Rule": rule, "Targets": [{"Id": "queue", "Arn": self.arn}]});
        self.aws.call("events", "AWSEvents.PutTargets", &put).await?;
        Ok(())
    }

    /// Puts a message there.
    pub async fn send(&self, body: &Value) -> Result<()> {
        let send = json!({"QueueUrl": self.url, "MessageBody": body.to_string()});
        self.aws.call("sqs", "AmazonSQS.SendMessage", &send).await.map(drop)
    }

    /// Takes the messages that are there now.
    pub async fn take(&self) -> Result<Vec<Value>> {
        let mut messages = Vec::new();
        loop {
            let receive = json!({"QueueUrl": self.url, "MaxNumberOfMessages": 10, "VisibilityTimeout": 600});
            let received = self.aws.call("sqs", "AmazonSQS.ReceiveMessage", &receive).await?;
            let Some(received) = received["Messages"].as_array().filter(|received| !received.is_empty())
            else {
                return Ok(messages);
            };
            for message in received {
                messages.push(serde_json::from_str(message["Body"].as_str().unwrap_or_default())?);
            }
        }
    }

    /// Takes messages until there are this many.
    pub async fn take_many(&self, count: usize, patience: Duration) -> Result<Vec<Value>> {
        let deadline = Instant::now() + patience;
        let mut messages = Vec::new();
        loop {
            messages.extend(self.take().await?);
            if messages.len() >= count {
                return Ok(messages);
            }
            if Instant::now() > deadline {
                bail!("{} of {count} messages came: {messages:?}", messages.len());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

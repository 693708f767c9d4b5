//! A stack that looks like the bridge's to the operator's commands: the same outputs, and a state machine without functions
//! whose executions do what their input says.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_sfn::types::ExecutionStatus;
use bridge::{FailureKey, FailureState, VersionMark};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::ministack::{MiniStack, REGION};
use crate::tools::workspace;

/// What an execution does once it is redriven; before that, it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Afterwards {
    /// It succeeds.
    Succeeds,
    /// It fails again.
    Fails,
    /// The partner refuses the login.
    IsRefused,
    /// It does not end.
    Runs,
}

/// One of the state machines, by what an execution does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// It delivers an object.
    Delivery,
    /// It collects a file.
    Collection,
    /// It looks at the directory.
    Look,
}

/// A deployed stack.
#[derive(Debug)]
pub struct SmallStack<'a> {
    /// The AWS that it is deployed to.
    pub aws: &'a MiniStack,
    /// Its name.
    pub name: String,
}

/// Parameters without which there are no valid settings.
const PARAMETERS: [(&str, &str); 4] = [
    ("MaxConnections", "3"),
    ("SftpHost", "sftp.example.com"),
    ("SftpSecretId", "partner"),
    ("SftpTrustedHostKeys", "SHA256:UCUiLr7Pjs9wFFJMDByLgc3NrtdU344OgUM45wZPcIQ"),
];

impl<'a> SmallStack<'a> {
    /// Deploys it.
    pub async fn deploy(aws: &'a MiniStack, name: &str) -> Result<Self> {
        Self::deploy_with(aws, name, &[]).await
    }

    /// Deploys it with these parameters of the bridge's template.
    pub async fn deploy_with(aws: &'a MiniStack, name: &str, more: &[(&str, &str)]) -> Result<Self> {
        let stack = Self { aws, name: name.to_owned() };
        let given: BTreeMap<&str, &str> = PARAMETERS.iter().chain(more).copied().collect();
        let template = stack.template(&given)?.to_string();
        let body = utf8_percent_encode(&template, NON_ALPHANUMERIC).to_string();
        let parameters = given.iter().enumerate().map(|(index, (name, value))| {
            let (member, value) =
                (format!("&Parameters.member.{}", index + 1), utf8_percent_encode(value, NON_ALPHANUMERIC));
            format!("{member}.ParameterKey={name}{member}.ParameterValue={value}")
        });
        let parameters: String = parameters.collect();
        stack
            .cloudformation(&format!("CreateStack&StackName={name}&TemplateBody={body}{parameters}"))
            .await?;
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let described = stack.cloudformation(&format!("DescribeStacks&StackName={name}")).await?;
            if described.contains("CREATE_COMPLETE") {
                return Ok(stack);
            }
            if Instant::now() > deadline {
                bail!("the stack {name} is not created: {described}");
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn cloudformation(&self, action: &str) -> Result<String> {
        let headers = format!(
            "Content-Type: application/x-www-form-urlencoded\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/cloudformation/aws4_request\r\n"
        );
        self.aws.request("POST", "/", &headers, &format!("Version=2010-05-15&Action={action}")).await
    }

    fn template(&self, given: &BTreeMap<&str, &str>) -> Result<Value> {
        let parameters = given.keys().map(|name| ((*name).to_owned(), json!({"Type": "String"})));
        let bucket = |name: &str| json!({"Type": "AWS::S3::Bucket", "Properties": {"BucketName": name}});
        let machine = |name: &str, definition: &str| {
            json!({"Type": "AWS::StepFunctions::StateMachine", "Properties": {
                "StateMachineName": name,
                "RoleArn": "arn:aws:iam::000000000000:role/none",
                "DefinitionString": definition,
            }})
        };
        let output = |value: Value| json!({ "Value": value });
        Ok(json!({
            "Parameters": parameters.collect::<serde_json::Map<_, _>>(),
            "Resources": {
                "UnstartedQueue": {
                    "Type": "AWS::SQS::Queue", "Properties": {"QueueName": self.unstarted_queue()},
                },
                "Bucket": bucket(&self.bucket()),
                "RecordBucket": bucket(&self.record_bucket()),
                "Machine": machine(&self.name, &definition(Flow::Delivery).to_string()),
                "CollectMachine": machine(
                    &format!("{}-collect", self.name), &definition(Flow::Collection).to_string(),
                ),
                "WatchMachine": machine(&format!("{}-watch", self.name), &definition(Flow::Look).to_string()),
                "BackfillMachine": machine(&format!("{}-backfill", self.name), &self.backfill(given)?),
            },
            "Outputs": {
                "Version": output(json!(bridge::VERSION)),
                "BucketName": output(json!({"Ref": "Bucket"})),
                "RecordBucketName": output(json!({"Ref": "RecordBucket"})),
                "StateMachineArn": output(json!({"Ref": "Machine"})),
                "BackfillStateMachineArn": output(json!({"Ref": "BackfillMachine"})),
                "CollectStateMachineArn": output(json!({"Ref": "CollectMachine"})),
                "WatchStateMachineArn": output(json!({"Ref": "WatchMachine"})),
                "UnstartedQueueUrl": output(json!({"Ref": "UnstartedQueue"})),
            },
        }))
    }

    /// The real definition, as the template of the bridge fills it in.
    fn backfill(&self, given: &BTreeMap<&str, &str>) -> Result<String> {
        let definition = std::fs::read_to_string(workspace().join("statemachine/backfill.asl.json"))?;
        let values = [
            ("MaxConcurrency", given["MaxConnections"]),
            ("RecordBucketName", &self.record_bucket()),
            ("BridgeStateMachineArn", &self.state_machine()),
        ];
        let filled_in =
            |text: String, (name, value): &(&str, &str)| text.replace(&format!("${{{name}}}"), value);
        Ok(values.iter().fold(definition, filled_in))
    }

    /// The bucket whose objects are delivered.
    pub fn bucket(&self) -> String {
        format!("{}-objects", self.name)
    }

    /// The bucket of records.
    pub fn record_bucket(&self) -> String {
        format!("{}-records", self.name)
    }

    /// The queue of events that were not delivered.
    pub fn unstarted_queue(&self) -> String {
        format!("{}-unstarted", self.name)
    }

    /// The state machine of the deliveries.
    pub fn state_machine(&self) -> String {
        format!("arn:aws:states:{REGION}:000000000000:stateMachine:{}", self.name)
    }

    /// The state machine of this flow.
    pub fn machine(&self, flow: Flow) -> String {
        match flow {
            Flow::Delivery => self.state_machine(),
            Flow::Collection => format!("{}-collect", self.state_machine()),
            Flow::Look => format!("{}-watch", self.state_machine()),
        }
    }

    /// Starts an execution of this flow.
    pub async fn start_in(&self, flow: Flow, name: &str, input: &Value) -> Result<String> {
        let start = self.aws.sfn().start_execution().state_machine_arn(self.machine(flow));
        Ok(start.name(name).input(input.to_string()).send().await?.execution_arn)
    }

    /// Starts an execution of this flow, and waits until it has failed.
    pub async fn fail_in(&self, flow: Flow, name: &str, input: &Value) -> Result<String> {
        let arn = self.start_in(flow, name, input).await?;
        self.wait_until_ended(&arn).await?;
        Ok(arn)
    }

    async fn wait_until_ended(&self, arn: &str) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.status(arn).await? == ExecutionStatus::Running {
            if Instant::now() > deadline {
                bail!("{arn} still runs");
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Starts an execution of this name for this object, which fails, and writes its failure record. Returns its ARN.
    pub async fn fail(&self, name: &str, object_key: &str, error: &str, then: Afterwards) -> Result<String> {
        let arn = self.start(name, &self.input(object_key, "fail", then)).await?;
        self.wait_until_ended(&arn).await?;
        self.record_failure(name, object_key, error).await?;
        Ok(arn)
    }

    /// Writes the failure record of an execution.
    pub async fn record_failure(&self, name: &str, object_key: &str, error: &str) -> Result<()> {
        let arn = format!("{}:{name}", self.state_machine().replace(":stateMachine:", ":execution:"));
        let record = json!({
            "error": error, "cause": format!("{object_key}: it failed"), "execution": arn,
            "object": format!("s3://{}/{object_key}", self.bucket()), "version_id": "v",
            "what_to_do": "redrive", "attempts": [
                {"at": "2026-11-27T09:00:00Z", "state": "Transfer", "error": error, "message": "it failed"},
            ],
        });
        self.record(&key(name, object_key, error).to_string(), &record).await
    }

    /// Writes a record.
    pub async fn record(&self, key: &str, record: &Value) -> Result<()> {
        let put = self.aws.s3().put_object().bucket(self.record_bucket()).key(key);
        put.body(ByteStream::from(record.to_string().into_bytes())).send().await?;
        Ok(())
    }

    /// Moves a record from open to settled, as a delivery does.
    pub async fn settle(&self, name: &str, object_key: &str, error: &str) -> Result<()> {
        let open = key(name, object_key, error);
        let s3 = self.aws.s3();
        let record = s3.get_object().bucket(self.record_bucket()).key(open.to_string()).send().await?;
        let record = record.body.collect().await?.into_bytes();
        let settled = open.clone().in_state(FailureState::Settled).to_string();
        self.record(&settled, &serde_json::from_slice(&record)?).await?;
        s3.delete_object().bucket(self.record_bucket()).key(open.to_string()).send().await?;
        Ok(())
    }

    /// The input of an execution that at first does `first`.
    pub fn input(&self, object_key: &str, first: &str, then: Afterwards) -> Value {
        let object = json!({"key": object_key, "version-id": "v"});
        json!({
            "detail": {"bucket": {"name": self.bucket()}, "object": object},
            "first": first,
            "then": match then {
                Afterwards::Succeeds => "succeed",
                Afterwards::Fails => "fail",
                Afterwards::IsRefused => "refused",
                Afterwards::Runs => "run",
            },
        })
    }

    /// The ARN of the execution with this name.
    pub fn arn(&self, name: &str) -> String {
        format!("{}:{name}", self.state_machine().replace(":stateMachine:", ":execution:"))
    }

    /// Starts an execution.
    pub async fn start(&self, name: &str, input: &Value) -> Result<String> {
        self.start_in(Flow::Delivery, name, input).await
    }

    /// The status of an execution, as the local AWS knows it.
    pub async fn status(&self, arn: &str) -> Result<ExecutionStatus> {
        Ok(self.aws.sfn().describe_execution().execution_arn(arn).send().await?.status)
    }

    /// Names of all executions of the state machine.
    pub async fn executions(&self) -> Result<Vec<String>> {
        let list = self.aws.sfn().list_executions().state_machine_arn(self.state_machine());
        let items = list.into_paginator().items().send().collect::<Result<Vec<_>, _>>().await;
        let mut names: Vec<String> =
            items.context("listing executions")?.into_iter().map(|it| it.name).collect();
        names.sort();
        Ok(names)
    }

    /// Keys in the record bucket.
    pub async fn record_keys(&self) -> Result<Vec<String>> {
        let list = self.aws.s3().list_objects_v2().bucket(self.record_bucket()).send().await?;
        Ok(list.contents().iter().filter_map(|object| object.key().map(str::to_owned)).collect())
    }
}

fn key(execution: &str, object_key: &str, error: &str) -> FailureKey {
    let version = VersionMark::new(Some("v"), None, None);
    let cause = format!("{object_key}: it failed");
    FailureKey::open(object_key, version, "2026-11-27T09:15:00Z", error, &cause).of_execution(execution, 0)
}

/// It fails at a state that can be redriven, not at a Fail state.
fn definition(flow: Flow) -> Value {
    let redriven = "$max([0, $states.context.Execution.RedriveCount]) > 0";
    let now = format!(
        "({redriven} ? $states.context.Execution.Input.then : $states.context.Execution.Input.first)"
    );
    let input = "$states.context.Execution.Input";
    let (name, output) = match flow {
        Flow::Delivery => (format!("{input}.detail.object.key"), "'outcome': 'delivered'".to_owned()),
        Flow::Collection => {
            (format!("{input}.file.path"), format!("'outcome': 'collected', 'file': {input}.file"))
        }
        Flow::Look => ("'look'".to_owned(), "'seen': 0".to_owned()),
    };
    json!({
        "QueryLanguage": "JSONata",
        "StartAt": "Transfer",
        "States": {
            "Transfer": {
                "Type": "Pass", "Next": "Which",
                "Output": format!(
                    "{{% {now} = 'fail' ? $error('refused') : {{'now': {now}, {output}}} %}}"
                ),
            },
            "Which": {
                "Type": "Choice", "Default": "Delivered",
                "Choices": [
                    {"Condition": "{% $states.input.now = 'run' %}", "Next": "Wait"},
                    {"Condition": "{% $states.input.now = 'refused' %}", "Next": "Refused"},
                    {"Condition": "{% $states.input.now = 'retry' %}", "Next": "Retry"},
                    {"Condition": format!("{{% $contains({name}, 'slow/') %}}"), "Next": "Slow"},
                ],
            },
            // Without the function, each attempt fails.
            "Retry": {
                "Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Next": "Delivered",
                "Arguments": {"FunctionName": "none", "Payload": {}},
                "Retry": [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 10_000_000, "MaxAttempts": 3}],
            },
            "Wait": {"Type": "Wait", "Seconds": 10_000_000, "Next": "Delivered"},
            "Refused": {"Type": "Fail", "Error": "AuthenticationRejected", "Cause": "refused"},
            "Slow": {"Type": "Wait", "Seconds": 20, "Next": "Delivered"},
            "Delivered": {"Type": "Succeed"},
        },
    })
}

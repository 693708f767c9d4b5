//! Events that EventBridge or Lambda gave up: the stack's queue has them.

use aws_sdk_sqs::types::QueueAttributeName;

use super::problem::Problem;

/// The stack's queue of such events.
pub(crate) struct UndeliveredEvents {
    client: aws_sdk_sqs::Client,
    queue_url: String,
}

impl UndeliveredEvents {
    pub(crate) fn new(client: aws_sdk_sqs::Client, queue_url: &str) -> Self {
        Self { client, queue_url: queue_url.to_owned() }
    }

    /// How many there are, those included that somebody reads just now.
    pub(crate) async fn count(&self) -> Result<u64, Problem> {
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let get = self.client.get_queue_attributes().queue_url(&self.queue_url);
        let got = get.set_attribute_names(Some(names.to_vec())).send().await;
        let got = got.map_err(|error| {
            let doing = format!("counting the events in {}", self.queue_url);
            Problem::of_call(&doing, "sqs:GetQueueAttributes", &error)
        })?;
        let attributes = got.attributes.unwrap_or_default();
        let count = |name| attributes.get(name).and_then(|count| count.parse::<u64>().ok());
        names.iter().map(count).sum::<Option<u64>>().ok_or_else(|| {
            Problem::Failed(format!("SQS does not say how many events are in {}", self.queue_url))
        })
    }
}

//! Steps `RecordFailure` and `RaiseOriginal`. The first writes one record for each failed execution and each redrive of it.
//! The second raises the original error, so that the execution fails at a Task and can be redriven. On a redrive it
//! returns instead, and the execution continues at FetchKey. There are two states because retriers and catchers match
//! names: in one state they could not tell a failure of this function from the failure that it raises.

mod attempts;
mod record;

use aws::lambda::Failed;
use aws::metrics::{Line, Meter, Metric};
use aws_sdk_s3::primitives::ByteStream;
use bridge::{FailureKey, RecordFailureInput, RecordSettings};
use serde::Serialize;
use serde_json::json;

pub use attempts::Attempt;
pub use record::Record;

/// What the handler works with.
pub struct Deps {
    /// The settings. If they are wrong, the original error is raised nevertheless.
    pub settings: bridge::Result<RecordSettings>,
    /// Writes the record.
    pub s3: aws_sdk_s3::Client,
    /// Reads the attempts; `None` if there is no execution to read them from.
    pub step_functions: Option<aws_sdk_sfn::Client>,
    /// Counts the failures of a stack.
    pub meter: Meter,
}

/// Output of `record-failure`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// Output of `RecordFailure`.
    Record(Recorded),
    /// Output of `RaiseOriginal` on a redrive; always true.
    Resumed(bool),
}

/// Whether the record was written. If not, the failure is raised nevertheless.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Recorded {
    /// `s3://…` of the record.
    Location(String),
    /// Why it was not written.
    Error(String),
}

/// Records the failure, or raises it again.
///
/// # Errors
/// The original error, with its own name and message, if `input.raise` is set.
pub async fn handle(deps: &Deps, input: RecordFailureInput) -> Result<Output, Failed> {
    let original = attempts::original(&input.failure);
    if !input.raise {
        return Ok(Output::Record(record(deps, &input, &original).await));
    }
    if input.execution.redrive_count > input.failure.redrive_count {
        tracing::info!("redriven: starting again at FetchKey");
        return Ok(Output::Resumed(true));
    }
    Err(original)
}

async fn record(deps: &Deps, input: &RecordFailureInput, original: &Failed) -> Recorded {
    deps.meter.write(counted(input, original));
    match write_record(deps, input, original).await {
        Ok(location) => {
            tracing::info!(location, "the failure is recorded");
            Recorded::Location(location)
        }
        Err(problem) => {
            tracing::error!(problem, "the failure could not be recorded");
            Recorded::Error(problem)
        }
    }
}

/// The failure as a metric: one for each error, and one for the stack, which an alarm can watch.
fn counted(input: &RecordFailureInput, original: &Failed) -> Line {
    let machine = input.execution.state_machine_id.rsplit(':').next().unwrap_or_default();
    let event = |pointer: &str| input.event.pointer(pointer).cloned().unwrap_or_default();
    let span = json!({
        "execution": input.execution.id,
        "bucket": event("/detail/bucket/name"),
        "object_key": event("/detail/object/key"),
    });
    Line::default()
        .with("message", "failure")
        .with("span", span)
        .with("state", input.failure.state.as_str())
        .with("cause", original.message.as_str())
        .with("StateMachine", machine)
        .with("Error", original.error.as_str())
        .counting(&[(Metric::Failures, 1.0)], &[&["StateMachine", "Error"], &["Stack"]])
}

/// Returns the record's location. A retry overwrites the same record.
async fn write_record(deps: &Deps, input: &RecordFailureInput, original: &Failed) -> Result<String, String> {
    let settings = deps.settings.as_ref().map_err(ToString::to_string)?;
    let attempts = match &deps.step_functions {
        Some(client) => attempts::of(client, &input.execution.id).await,
        None => Ok(Vec::new()),
    };
    let record = Record::new(settings, input, original, attempts, aws::now());
    let key = record.key();
    let key = earlier(deps, &settings.bucket, &key).await.unwrap_or(key).to_string();
    let body = serde_json::to_vec_pretty(&record).map_err(|error| error.to_string())?;
    let put = deps.s3.put_object().bucket(&settings.bucket).key(&key).content_type("application/json");
    match put.body(ByteStream::from(body)).send().await {
        Ok(_) => Ok(format!("s3://{}/{key}", settings.bucket)),
        Err(error) => Err(format!("writing s3://{}/{key}: {}", settings.bucket, aws::in_words(&error))),
    }
}

/// The key under which an earlier call has recorded this failure.
async fn earlier(deps: &Deps, bucket: &str, key: &FailureKey) -> Option<FailureKey> {
    let prefix = key.folder();
    let list = deps.s3.list_objects_v2().bucket(bucket).prefix(prefix).send().await.ok()?;
    let mut known = list.contents().iter().filter_map(|object| FailureKey::parse(object.key()?));
    known.find(|known| (&known.execution, known.redrive_count) == (&key.execution, key.redrive_count))
}

#[cfg(test)]
mod tests {
    use bridge::Failure;

    use super::*;
    use crate::attempts::original;

    fn failure(cause: &str) -> Failure {
        Failure {
            state: "Transfer".into(),
            error: "RemoteFull".into(),
            cause: cause.into(),
            redrive_count: 0,
        }
    }

    #[test]
    fn the_outputs_are_what_the_state_machine_reads() {
        let location = Output::Record(Recorded::Location("s3://f/k".into()));
        assert_eq!(
            serde_json::to_value(location).unwrap(),
            serde_json::json!({"record": {"location": "s3://f/k"}})
        );
        assert_eq!(
            serde_json::to_value(Output::Resumed(true)).unwrap(),
            serde_json::json!({"resumed": true})
        );
    }

    #[test]
    fn story_233_a_failure_is_counted_for_its_error_and_for_its_stack() {
        let event = json!({"detail": {"bucket": {"name": "b"}, "object": {"key": "k"}}});
        let execution = bridge::Execution { state_machine_id: "arn:aws:m".into(), ..Default::default() };
        let failure = failure(r#"{"errorMessage":"disk full"}"#);
        let original = original(&failure);
        let input = RecordFailureInput { execution, event, document: json!({}), failure, raise: false };
        let line = counted(&input, &original).document(std::time::UNIX_EPOCH);
        let metrics = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(metrics["Dimensions"], json!([["StateMachine", "Error"], ["Stack"]]));
        assert_eq!((&line["StateMachine"], &line["Error"]), (&json!("m"), &json!("RemoteFull")));
        assert_eq!((&line["cause"], &line["span"]["object_key"]), (&json!("disk full"), &json!("k")));
    }

    #[test]
    fn the_cause_is_raised_as_it_was() {
        let cause = r#"{"errorType":"RemoteFull","errorMessage":"disk full: \"x\"","stackTrace":[]}"#;
        assert_eq!(original(&failure(cause)).message, "disk full: \"x\"");
        assert_eq!(original(&failure("plain words")).message, "plain words");
        assert_eq!(original(&failure("")).message, "");
        assert_eq!(original(&failure("[1]")), Failed { error: "RemoteFull".into(), message: "[1]".into() });
    }
}

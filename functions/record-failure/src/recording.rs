//! Writes records. An execution has at most one open record, from either caller.

use aws::lambda::Failed;
use aws::metrics::{Line, Metric};
use aws::records::{FAILED_AGAIN, RecordBucket, Settlement};
use bridge::{FailureKey, FailureState, RecordFailureInput};
use serde_json::json;

use crate::deps::Deps;
use crate::history::{self, History};
use crate::notice;
use crate::record::Record;
use crate::subject::{Kind, Subject};

/// Writes the record that the state `RecordFailure` asks for. Returns its location.
pub(crate) async fn of_state(
    deps: &Deps,
    input: &RecordFailureInput,
    original: &Failed,
) -> Result<String, String> {
    let bucket = deps.bucket()?;
    let attempts = match &deps.step_functions {
        Some(client) => history::of(client, &input.execution.id).await.map(|history| history.attempts),
        None => Ok(Vec::new()),
    };
    let record = Record::new(deps.settings()?, input, original, attempts, aws::now());
    if let Some(known) = of_earlier_look(&bucket, &record).await? {
        return Ok(bucket.location(&known));
    }
    let key = record.key();
    bucket.put(&key, &record).await?;
    let location = bucket.location(&key);
    // Looked for after writing: a call after a status change does the same, so one of the two sees the other.
    match others(&bucket, &record, &key).await {
        Ok(others) => {
            for same in &others.same {
                leave(bucket.remove(same).await);
            }
            settle_older(&bucket, &others.older, &record).await;
            if others.same.is_empty() {
                notice::publish(deps, &record, &location).await;
            }
        }
        Err(problem) => tracing::warn!(problem, "earlier records of this execution may still be open"),
    }
    Ok(location)
}

/// Writes the record after a status change, unless the state machine does the same now. `None` if it does.
pub(crate) async fn of_status_change(
    deps: &Deps,
    input: &RecordFailureInput,
    history: Result<History, String>,
) -> Result<Option<String>, String> {
    let bucket = deps.bucket()?;
    let original = history::original(&input.failure);
    let attempts = history.map(|history| history.attempts);
    let record = Record::new(deps.settings()?, input, &original, attempts, aws::now());
    if of_earlier_look(&bucket, &record).await?.is_some() {
        return Ok(None);
    }
    let key = record.key();
    bucket.put(&key, &record).await?;
    let others = others(&bucket, &record, &key).await?;
    settle_older(&bucket, &others.older, &record).await;
    if !others.is_earlier_than(&key) {
        let location = bucket.location(&key);
        count(deps, input, &original);
        notice::publish(deps, &record, &location).await;
        return Ok(Some(location));
    }
    bucket.remove(&key).await?;
    Ok(None)
}

/// If the record is that of a look: the open record of the same error, whichever look has failed first. Looks come every few
/// minutes, and one record is enough.
async fn of_earlier_look(bucket: &RecordBucket, record: &Record) -> Result<Option<FailureKey>, String> {
    if record.subject().kind != Kind::Look {
        return Ok(None);
    }
    let open = records_of(bucket, record.subject(), FailureState::Open).await?;
    let error = record.key().error;
    Ok(open.into_iter().find(|key| key.error == error))
}

/// The records of the same object, file or directory.
pub(crate) async fn records_of(
    bucket: &RecordBucket,
    subject: &Subject,
    state: FailureState,
) -> Result<Vec<FailureKey>, String> {
    match subject.kind {
        Kind::Delivery | Kind::Collection => bucket.failures(state, &subject.name).await,
        Kind::Look => bucket.failures_of_looks(state, &subject.name).await,
    }
}

/// Other open records of the execution of a record.
pub(crate) struct Others {
    /// Of the same run: written by an earlier call, or by the other caller.
    same: Vec<FailureKey>,
    /// Of a run before the last redrive.
    older: Vec<FailureKey>,
}

impl Others {
    /// Whether another record of the same run comes before this one: the state's, or an earlier one. EventBridge may send
    /// one event twice at the same time. If both calls removed their records, none would be left.
    fn is_earlier_than(&self, key: &FailureKey) -> bool {
        self.same.iter().any(|other| other.error != key.error || other.to_string() < key.to_string())
    }
}

async fn others(bucket: &RecordBucket, record: &Record, key: &FailureKey) -> Result<Others, String> {
    let mut open = records_of(bucket, record.subject(), FailureState::Open).await?;
    open.retain(|other| other.is_by(&record.execution_name) && other != key);
    let (older, rest) =
        open.into_iter().partition::<Vec<_>, _>(|other| other.redrive_count < record.redrive_count);
    let same = rest.into_iter().filter(|other| other.redrive_count == record.redrive_count).collect();
    Ok(Others { same, older })
}

async fn settle_older(bucket: &RecordBucket, older: &[FailureKey], record: &Record) {
    for older in older {
        let settlement = Settlement { execution: &record.execution, outcome: FAILED_AGAIN };
        leave(bucket.settle(older, settlement).await);
    }
}

/// The failure is recorded. That an older record is still open is no reason to fail.
fn leave(outcome: Result<(), String>) {
    if let Err(problem) = outcome {
        tracing::warn!(problem, "an earlier record of this execution is still open");
    }
}

/// Counts a failure.
pub(crate) fn count(deps: &Deps, input: &RecordFailureInput, original: &Failed) {
    deps.meter.write(counted(input, original));
}

/// The failure as a metric: one for each error, and one for the stack, which an alarm can watch.
fn counted(input: &RecordFailureInput, original: &Failed) -> Line {
    let machine = input.execution.state_machine_id.rsplit(':').next().unwrap_or_default();
    let event = |pointer: &str| input.event.pointer(pointer).cloned().unwrap_or_default();
    let mut span = json!({
        "execution": input.execution.id,
        "bucket": event("/detail/bucket/name"),
        "object_key": event("/detail/object/key"),
    });
    if let Some(file) = input.event.pointer("/file/path") {
        span["file"] = file.clone();
    }
    Line::default()
        .with("message", "failure")
        .with("span", span)
        .with("state", input.failure.state.as_str())
        .with("cause", original.message.as_str())
        .with("StateMachine", machine)
        .with("Error", original.error.as_str())
        .counting(&[(Metric::Failures, 1.0)], &[&["StateMachine", "Error"], &["Stack"]])
}

#[cfg(test)]
mod tests {
    use bridge::{Execution, Failure};

    use super::*;
    use crate::history::original;

    #[test]
    fn of_two_events_about_one_end_one_leaves_its_record() {
        let key = |at| {
            let version = bridge::VersionMark::new(Some("v"), None, None);
            FailureKey::open("k", version, at, "ExecutionAborted", "c").of_execution("e", 0)
        };
        let (first, second) = (key("2026-11-27T09:15:00Z"), key("2026-11-27T09:15:01Z"));
        let seeing = |other: &FailureKey| Others { same: vec![other.clone()], older: Vec::new() };
        assert!(seeing(&first).is_earlier_than(&second) && !seeing(&second).is_earlier_than(&first));
    }

    #[test]
    fn story_233_a_failure_is_counted_for_its_error_and_for_its_stack() {
        let event = json!({"detail": {"bucket": {"name": "b"}, "object": {"key": "k"}}});
        let execution = Execution { state_machine_id: "arn:aws:m".into(), ..Default::default() };
        let failure = Failure {
            state: "Transfer".into(),
            error: "RemoteFull".into(),
            cause: r#"{"errorMessage":"disk full"}"#.into(),
            redrive_count: 0,
        };
        let original = original(&failure);
        let input = RecordFailureInput { execution, event, document: json!({}), failure, raise: false };
        let line = counted(&input, &original).document(std::time::UNIX_EPOCH);
        let metrics = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(metrics["Dimensions"], json!([["StateMachine", "Error"], ["Stack"]]));
        assert_eq!((&line["StateMachine"], &line["Error"]), (&json!("m"), &json!("RemoteFull")));
        assert_eq!((&line["cause"], &line["span"]["object_key"]), (&json!("disk full"), &json!("k")));
    }
}

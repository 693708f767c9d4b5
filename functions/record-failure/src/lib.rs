//! Steps `RecordFailure` and `RaiseOriginal`. The first writes one record for each failed execution and each redrive of it;
//! of looks at the directory that is collected, one for all that fail in the same way.
//! The second raises the original error, so that the execution fails at a Task and can be redriven. On a redrive it
//! returns instead, and the execution continues at FetchKey. There are two states because retriers and catchers match
//! names: in one state they could not tell a failure of this function from the failure that it raises.
//!
//! EventBridge calls as well, after each execution that has ended without success. If the state machine could not record
//! the failure, because it was stopped or timed out, this call does.

mod deps;
mod history;
mod notice;
mod output;
mod record;
mod recording;
mod status_change;
mod subject;

use aws::lambda::Failed;
use bridge::{RecordFailureCall, RecordFailureInput};

pub use deps::Deps;
pub use history::Attempt;
pub use output::{Output, Recorded};
pub use record::Record;

/// Does what the caller asks for.
///
/// # Errors
/// Those of [`handle`]; and `NotRecorded` after a status change, so that Lambda calls again.
pub async fn answer(deps: &Deps, call: RecordFailureCall) -> Result<Output, Failed> {
    match call {
        RecordFailureCall::State(input) => handle(deps, *input).await,
        RecordFailureCall::StatusChange(change) => status_change::handle(deps, &change)
            .await
            .map_err(|message| Failed { error: "NotRecorded".into(), message }),
    }
}

/// Records the failure, or raises it again.
///
/// # Errors
/// The original error, with its own name and message, if `input.raise` is set.
pub async fn handle(deps: &Deps, input: RecordFailureInput) -> Result<Output, Failed> {
    let original = history::original(&input.failure);
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
    recording::count(deps, input, original);
    match recording::of_state(deps, input, original).await {
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

#[cfg(test)]
mod tests {
    use bridge::Failure;

    use super::*;
    use crate::history::original;

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
    fn the_cause_is_raised_as_it_was() {
        let cause = r#"{"errorType":"RemoteFull","errorMessage":"disk full: \"x\"","stackTrace":[]}"#;
        assert_eq!(original(&failure(cause)).message, "disk full: \"x\"");
        assert_eq!(original(&failure("plain words")).message, "plain words");
        assert_eq!(original(&failure("")).message, "");
        assert_eq!(original(&failure("[1]")), Failed { error: "RemoteFull".into(), message: "[1]".into() });
    }
}

//! The failed attempts in the history of an execution.

use aws_sdk_sfn::primitives::DateTime;
use aws_sdk_sfn::types::HistoryEvent;
use serde_json::Value;

/// An attempt that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedAttempt {
    /// The state.
    pub state: String,
    /// When it failed.
    pub at: DateTime,
    /// The error's name.
    pub error: String,
    /// What happened.
    pub message: String,
}

/// The failed attempts. `events` are in order of time.
pub fn failed_attempts(events: &[HistoryEvent]) -> Vec<FailedAttempt> {
    // The machine runs one state at a time, so a failure belongs to the state that was entered last.
    let mut state = String::new();
    let mut attempts = Vec::new();
    for event in events {
        if let Some(entered) = event.state_entered_event_details() {
            state = entered.name().to_owned();
        }
        if let Some((error, cause)) = failure(event) {
            let (state, at) = (state.clone(), *event.timestamp());
            attempts.push(FailedAttempt { state, at, error: error.to_owned(), message: message(cause) });
        }
    }
    attempts
}

/// The error and the cause of an event that ends an attempt.
pub fn failure(event: &HistoryEvent) -> Option<(&str, &str)> {
    let (error, cause) = if let Some(failed) = event.task_failed_event_details() {
        (failed.error(), failed.cause())
    } else if let Some(timed_out) = event.task_timed_out_event_details() {
        (timed_out.error(), timed_out.cause())
    } else if let Some(failed) = event.task_submit_failed_event_details() {
        (failed.error(), failed.cause())
    } else if let Some(failed) = event.task_start_failed_event_details() {
        (failed.error(), failed.cause())
    } else {
        let failed = event.evaluation_failed_event_details()?;
        (failed.error(), failed.cause())
    };
    Some((error.unwrap_or_default(), cause.unwrap_or_default()))
}

/// The message as it was raised. For an error of a function, the cause is JSON around the message; raising that JSON again
/// would wrap it once more.
pub fn message(cause: &str) -> String {
    let json = serde_json::from_str::<Value>(cause).ok();
    let message = json.and_then(|cause| cause.get("errorMessage")?.as_str().map(str::to_owned));
    message.unwrap_or_else(|| cause.to_owned())
}

//! What the execution's history tells: the failed attempts, and how far the delivery had come.

use aws::history::{self, FailedAttempt, failed_attempts};
use aws::lambda::Failed;
use aws_sdk_sfn::primitives::DateTimeFormat;
use aws_sdk_sfn::types::HistoryEvent;
use bridge::Failure;
use serde::Serialize;
use serde_json::Value;

/// What the history tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct History {
    /// The last failed attempts.
    pub(crate) attempts: Vec<Attempt>,
    /// The state that was entered last.
    pub(crate) state: String,
    /// The document that it was entered with, if that holds a checkpoint.
    pub(crate) document: Option<Value>,
}

/// One failed attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// The state.
    pub state: String,
    /// When it failed, RFC 3339.
    pub at: String,
    /// The error's name.
    pub error: String,
    /// What happened.
    pub message: String,
}

/// Maximum number of events that are read, from the end of the history: one page. A delivery in many calls has more.
const EVENTS_MAX: i32 = 1_000;
/// Maximum number of attempts in the record: the last ones.
const ATTEMPTS_MAX: usize = 50;

pub(crate) async fn of(client: &aws_sdk_sfn::Client, execution_arn: &str) -> Result<History, String> {
    let request = client.get_execution_history().execution_arn(execution_arn);
    let request = request.reverse_order(true).max_results(EVENTS_MAX).include_execution_data(true);
    let history = request.send().await.map_err(|error| aws::in_words(&error))?;
    let mut events = history.events;
    events.reverse();
    let mut attempts = failed_attempts(&events);
    attempts.drain(..attempts.len().saturating_sub(ATTEMPTS_MAX));
    let attempts = attempts.into_iter().map(Attempt::from).collect();
    let (state, document) = last_entered(&events);
    Ok(History { attempts, state, document })
}

/// Every state is entered with the document. The first one is entered with the event instead.
fn last_entered(events: &[HistoryEvent]) -> (String, Option<Value>) {
    let Some(entered) = events.iter().rev().find_map(HistoryEvent::state_entered_event_details) else {
        return (String::new(), None);
    };
    let document = entered.input().and_then(|input| serde_json::from_str::<Value>(input).ok());
    (entered.name().to_owned(), document.filter(|document| document.get("checkpoint").is_some()))
}

impl From<FailedAttempt> for Attempt {
    fn from(attempt: FailedAttempt) -> Self {
        let FailedAttempt { state, at, error, message } = attempt;
        Self { state, at: at.fmt(DateTimeFormat::DateTime).unwrap_or_default(), error, message }
    }
}

/// The error as it was raised first.
pub(crate) fn original(failure: &Failure) -> Failed {
    Failed { error: failure.error.clone(), message: history::message(&failure.cause) }
}

#[cfg(test)]
mod tests {
    use aws_sdk_sfn::primitives::DateTime;
    use aws_sdk_sfn::types::{HistoryEventType, StateEnteredEventDetails, TaskFailedEventDetails};

    use super::*;

    fn event(id: i64) -> aws_sdk_sfn::types::builders::HistoryEventBuilder {
        HistoryEvent::builder().id(id).timestamp(DateTime::from_secs(id))
    }

    fn entered_with(id: i64, name: &str, input: &str) -> HistoryEvent {
        let details = StateEnteredEventDetails::builder().name(name).input(input).build().unwrap();
        let event = event(id).r#type(HistoryEventType::TaskStateEntered);
        event.state_entered_event_details(details).build().unwrap()
    }

    #[test]
    fn story_184_a_stopped_execution_had_come_as_far_as_its_last_state_says() {
        let fetching = entered_with(1, "FetchKey", r#"{"detail": {}}"#);
        let sending = entered_with(2, "Transfer", r#"{"checkpoint": {"sent": 5}}"#);
        assert_eq!(last_entered(&[]), (String::new(), None));
        assert_eq!(last_entered(std::slice::from_ref(&fetching)), ("FetchKey".into(), None));
        let document = serde_json::json!({"checkpoint": {"sent": 5}});
        assert_eq!(last_entered(&[fetching, sending]), ("Transfer".into(), Some(document)));
    }

    #[test]
    fn a_failure_belongs_to_the_state_entered_last() {
        let entered = |id: i64, name: &str| entered_with(id, name, "{}");
        let task_failed = |id: i64, error: &str, cause: &str| {
            let details = TaskFailedEventDetails::builder();
            let details =
                details.resource_type("lambda").resource("invoke").error(error).cause(cause).build().unwrap();
            event(id).r#type(HistoryEventType::TaskFailed).task_failed_event_details(details).build().unwrap()
        };
        let events = [
            entered(1, "FetchKey"),
            entered(2, "Transfer"),
            task_failed(3, "ConnectFailed", r#"{"errorMessage":"refused"}"#),
            task_failed(4, "States.Timeout", "late"),
        ];
        let attempt = |second: u32, error: &str, message: &str| Attempt {
            state: "Transfer".into(),
            at: format!("1970-01-01T00:00:0{second}Z"),
            error: error.into(),
            message: message.into(),
        };
        let attempts: Vec<Attempt> = failed_attempts(&events).into_iter().map(Attempt::from).collect();
        assert_eq!(attempts, [attempt(3, "ConnectFailed", "refused"), attempt(4, "States.Timeout", "late")]);
    }
}

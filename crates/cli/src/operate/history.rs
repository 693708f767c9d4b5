//! What an execution is doing, as its history tells.

use aws::history::{FailedAttempt, failed_attempts, failure};
use aws_sdk_sfn::types::HistoryEvent;
use bridge::ErrorName;

/// What an execution is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    /// A function works for it.
    Working,
    /// The partner could not be reached, or the connection was lost. Times are in seconds since 1970.
    WaitsForPartner { since: i64, last: i64 },
    /// All connections to the partner were in use.
    WaitsForConnection { since: i64 },
    /// Another error, which a retry may cure.
    Retries { error: String, since: i64 },
}

/// The error of Lambda that means: all connections to the partner are in use.
const THROTTLED: &str = "Lambda.TooManyRequestsException";

/// A call that lasts longer than this, in seconds, has reached the partner.
const KNOCKING_MAX: i64 = 120;

/// What an execution is doing at `now`, in seconds since 1970. `events` are the last ones of its history, in order of time.
pub(crate) fn doing(events: &[HistoryEvent], now: i64) -> Doing {
    let entered = events.iter().rposition(|event| event.state_entered_event_details().is_some());
    let attempts = failed_attempts(&events[entered.unwrap_or_default()..]);
    let Some(last) = attempts.last() else { return Doing::Working };
    let is_trying = events.last().is_some_and(|event| failure(event).is_none());
    if is_trying && now - last.at.secs() > KNOCKING_MAX && trying_since(events) + KNOCKING_MAX < now {
        return Doing::Working;
    }
    // Being throttled says nothing about the partner.
    let is_away = |attempt: &FailedAttempt| is_connection_failure(&attempt.error);
    let since = |is_same: &dyn Fn(&FailedAttempt) -> bool| {
        let streak = attempts.iter().rev().take_while(|attempt| is_same(attempt));
        streak.last().map_or(last.at, |attempt| attempt.at).secs()
    };
    if is_away(last) {
        let since = since(&|attempt| is_away(attempt) || attempt.error == THROTTLED);
        Doing::WaitsForPartner { since, last: last.at.secs() }
    } else if last.error == THROTTLED {
        Doing::WaitsForConnection { since: since(&|attempt| attempt.error == THROTTLED) }
    } else {
        let error = last.error.clone();
        Doing::Retries { since: since(&|attempt| attempt.error == error), error }
    }
}

/// When the present attempt began.
fn trying_since(events: &[HistoryEvent]) -> i64 {
    let last_failure = events.iter().rposition(|event| failure(event).is_some());
    let begun = last_failure.and_then(|index| events.get(index + 1));
    begun.map_or(i64::MAX / 2, |event| event.timestamp().secs())
}

fn is_connection_failure(error: &str) -> bool {
    ErrorName::parse(error).is_some_and(ErrorName::is_connection_failure)
}

#[cfg(test)]
pub(crate) mod tests {
    use aws::history::message;
    use aws_sdk_sfn::primitives::DateTime;
    use aws_sdk_sfn::types::builders::HistoryEventBuilder;
    use aws_sdk_sfn::types::{HistoryEventType, StateEnteredEventDetails, TaskFailedEventDetails};

    use super::*;

    fn event(at: i64, kind: HistoryEventType) -> HistoryEventBuilder {
        HistoryEvent::builder().id(at).timestamp(DateTime::from_secs(at)).r#type(kind)
    }

    pub(crate) fn entered(at: i64, name: &str) -> HistoryEvent {
        let details = StateEnteredEventDetails::builder().name(name).build().unwrap();
        event(at, HistoryEventType::TaskStateEntered).state_entered_event_details(details).build().unwrap()
    }

    fn scheduled(at: i64) -> HistoryEvent {
        event(at, HistoryEventType::TaskScheduled).build().unwrap()
    }

    pub(crate) fn failed(at: i64, error: &str, message: &str) -> HistoryEvent {
        let cause = serde_json::json!({"errorMessage": message, "errorType": error}).to_string();
        let details = TaskFailedEventDetails::builder().resource_type("lambda").resource("invoke");
        let details = details.error(error).cause(cause).build().unwrap();
        event(at, HistoryEventType::TaskFailed).task_failed_event_details(details).build().unwrap()
    }

    #[test]
    fn attempts_belong_to_the_state_entered_last() {
        let events = [entered(1, "FetchKey"), entered(2, "Transfer"), failed(3, "ConnectFailed", "refused")];
        let attempt = FailedAttempt {
            state: "Transfer".into(),
            at: DateTime::from_secs(3),
            error: "ConnectFailed".into(),
            message: "refused".into(),
        };
        assert_eq!(failed_attempts(&events), [attempt]);
        assert_eq!(message("plain"), "plain");
    }

    #[test]
    fn story_217_what_a_delivery_waits_for_is_told_by_its_last_failure() {
        let begin = [entered(0, "Transfer"), scheduled(0)];
        let with = |more: &[HistoryEvent]| [&begin[..], more].concat();
        assert_eq!(doing(&with(&[]), 9_999), Doing::Working);
        let away = with(&[failed(10, "ConnectFailed", ""), failed(40, "ConnectionLost", "")]);
        assert_eq!(doing(&away, 41), Doing::WaitsForPartner { since: 10, last: 40 });
        let between = with(&[
            failed(10, "ConnectFailed", ""),
            failed(20, THROTTLED, ""),
            failed(30, "ConnectFailed", ""),
        ]);
        assert_eq!(doing(&between, 41), Doing::WaitsForPartner { since: 10, last: 30 });
        let full =
            with(&[failed(10, "RemoteFailure", ""), failed(20, THROTTLED, ""), failed(30, THROTTLED, "")]);
        assert_eq!(doing(&full, 41), Doing::WaitsForConnection { since: 20 });
        let other = with(&[failed(20, THROTTLED, ""), failed(30, "RemoteFailure", "")]);
        assert_eq!(doing(&other, 41), Doing::Retries { error: "RemoteFailure".into(), since: 30 });
        let earlier = with(&[failed(10, "ConnectFailed", ""), entered(20, "VerifyRemote")]);
        assert_eq!(doing(&earlier, 41), Doing::Working, "another state was reached since");
    }

    #[test]
    fn a_call_that_lasts_has_reached_the_partner() {
        let events = [entered(0, "Transfer"), failed(10, "ConnectFailed", ""), scheduled(1_000)];
        assert_eq!(doing(&events, 1_010), Doing::WaitsForPartner { since: 10, last: 10 });
        assert_eq!(doing(&events, 1_200), Doing::Working);
    }
}

//! Whether one delivery got further than the login that was refused before.

use std::time::Duration;

use aws_sdk_sfn::types::{ExecutionStatus, HistoryEvent, HistoryEventType};
use bridge::collect::CollectOutcome;
use bridge::{ErrorName, Outcome};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::super::operator::Operator;
use super::super::problem::Problem;

/// How long it is waited for. A call may take 15 minutes until it says that it got further.
const PATIENCE: Duration = Duration::from_secs(20 * 60);
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(15);
/// Number of its last events that are read.
const EVENTS: i32 = 200;

/// What is known of the delivery that was tried first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The partner let it in.
    GotFurther,
    /// It ended without asking the partner: a newer upload had replaced it, for example.
    NoLogin,
    /// It failed again, with this error.
    FailedAgain(String),
    /// It was not told in time: it may wait for the partner.
    Unclear,
}

/// Waits until this execution has got further, or has failed again.
pub(super) async fn wait(operator: &Operator, arn: &str) -> Result<Verdict, Problem> {
    let deadline = Instant::now() + PATIENCE;
    let mut pause = PAUSE;
    loop {
        if let Some(verdict) = look(operator, arn).await? {
            return Ok(verdict);
        }
        if Instant::now() > deadline {
            return Ok(Verdict::Unclear);
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

async fn look(operator: &Operator, arn: &str) -> Result<Option<Verdict>, Problem> {
    let Some(execution) = operator.executions.describe(arn).await? else { return Ok(None) };
    match execution.status {
        ExecutionStatus::Succeeded => Ok(Some(after_success(execution.output.as_deref()))),
        ExecutionStatus::Running | ExecutionStatus::PendingRedrive => {
            let events = operator.executions.last_events(arn, EVENTS).await?;
            Ok(worked_at_the_partner(&events).then_some(Verdict::GotFurther))
        }
        _ => Ok(Some(after_failure(execution.error.as_deref().unwrap_or(execution.status.as_str())))),
    }
}

/// How an execution ended, as its receipt says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Delivery(Outcome),
    Collection(CollectOutcome),
}

impl Ended {
    /// The word in receipts.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Delivery(outcome) => outcome.as_str(),
            Self::Collection(outcome) => outcome.as_str(),
        }
    }
}

/// The receipt says whether a file was delivered. Other outcomes need no login. A collection, and a look, which leaves no
/// receipt, begin with one.
fn after_success(output: Option<&str>) -> Verdict {
    match outcome_of(output) {
        Some(Ended::Collection(_)) => Verdict::GotFurther,
        Some(Ended::Delivery(Outcome::Delivered)) => Verdict::GotFurther,
        Some(Ended::Delivery(_)) => Verdict::NoLogin,
        None if is_look(output) => Verdict::GotFurther,
        None => Verdict::NoLogin,
    }
}

/// How an execution ended, as its output says: the receipt. `None` for a look.
pub(super) fn outcome_of(output: Option<&str>) -> Option<Ended> {
    let output: Value = serde_json::from_str(output?).ok()?;
    // The local AWS of the tests leaves the receipt in the document.
    let receipt = output.get("receipt").unwrap_or(&output);
    let outcome = receipt.get("outcome")?.as_str()?;
    match receipt.get("file") {
        Some(_) => CollectOutcome::parse(outcome).map(Ended::Collection),
        None => Outcome::parse(outcome).map(Ended::Delivery),
    }
}

/// Whether this is what a look returns that has seen the directory.
fn is_look(output: Option<&str>) -> bool {
    let output: Option<Value> = output.and_then(|output| serde_json::from_str(output).ok());
    output.is_some_and(|output| {
        let listing = output.get("listing").unwrap_or(&output);
        listing.get("seen").is_some() && listing.get("reason").is_none()
    })
}

/// Another error than one of the way to the partner's files means that the login worked.
fn after_failure(error: &str) -> Verdict {
    let is_beyond_login = ErrorName::parse(error).is_some_and(|name| {
        matches!(
            name,
            ErrorName::ObjectReadInterrupted
                | ErrorName::RemoteFailure
                | ErrorName::RemotePathRejected
                | ErrorName::RemoteMismatch
                | ErrorName::RemoteFull
                | ErrorName::RemoteUnreadable
                | ErrorName::ObjectWriteInterrupted
                | ErrorName::ObjectWriteRefused
                | ErrorName::ObjectMismatch
        )
    });
    if is_beyond_login { Verdict::GotFurther } else { Verdict::FailedAgain(error.to_owned()) }
}

/// The states whose functions connect to the partner.
const AT_THE_PARTNER: [&str; 5] = ["Transfer", "VerifyRemote", "ListRemote", "Collect", "SettleRemote"];

/// Whether a call of one of these states succeeded since the last redrive. `events`: the newest first.
fn worked_at_the_partner(events: &[HistoryEvent]) -> bool {
    let since = events.iter().take_while(|event| event.r#type != HistoryEventType::ExecutionRedriven);
    let mut succeeded = false;
    for event in since {
        if event.r#type == HistoryEventType::TaskSucceeded {
            succeeded = true;
        } else if let Some(entered) = event.state_entered_event_details() {
            if succeeded && AT_THE_PARTNER.contains(&entered.name()) {
                return true;
            }
            succeeded = false;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use aws_sdk_sfn::primitives::DateTime;
    use aws_sdk_sfn::types::StateEnteredEventDetails;

    use super::*;

    fn event(kind: HistoryEventType) -> HistoryEvent {
        HistoryEvent::builder().id(1).timestamp(DateTime::from_secs(1)).r#type(kind).build().unwrap()
    }

    fn entered(state: &str) -> HistoryEvent {
        let details = StateEnteredEventDetails::builder().name(state).build().unwrap();
        let entered = HistoryEvent::builder().id(1).timestamp(DateTime::from_secs(1));
        let entered = entered.r#type(HistoryEventType::TaskStateEntered);
        entered.state_entered_event_details(details).build().unwrap()
    }

    #[test]
    fn only_a_delivered_file_proves_the_login() {
        assert_eq!(after_success(Some(r#"{"outcome":"delivered"}"#)), Verdict::GotFurther);
        assert_eq!(after_success(Some(r#"{"receipt":{"outcome":"delivered"}}"#)), Verdict::GotFurther);
        for output in [Some(r#"{"outcome":"superseded"}"#), Some("{}"), Some("x"), None] {
            assert_eq!(after_success(output), Verdict::NoLogin, "{output:?}");
        }
    }

    #[test]
    fn only_a_call_that_succeeded_since_the_redrive_counts() {
        use HistoryEventType::{ExecutionRedriven, TaskFailed, TaskSucceeded};
        let worked = |mut events: Vec<HistoryEvent>| {
            events.reverse();
            worked_at_the_partner(&events)
        };
        let (ok, failed, redriven) =
            (|| event(TaskSucceeded), || event(TaskFailed), || event(ExecutionRedriven));
        assert!(worked(vec![redriven(), entered("FetchKey"), ok(), entered("Transfer"), failed(), ok()]));
        assert!(!worked(vec![redriven(), entered("FetchKey"), ok(), entered("Transfer"), failed()]));
        assert!(!worked(vec![entered("Transfer"), ok(), entered("VerifyRemote"), failed(), redriven()]));
        assert!(!worked(vec![entered("RaiseOriginal"), ok(), entered("FetchKey")]));
        assert!(worked(vec![entered("RaiseOriginal"), ok(), entered("VerifyRemote"), ok()]));
    }

    #[test]
    fn a_failure_beyond_the_login_is_further() {
        assert_eq!(after_failure("RemoteFull"), Verdict::GotFurther);
        for error in ["AuthenticationRejected", "ConnectFailed", "InvalidConfig", "Lambda.Unknown", "ABORTED"]
        {
            assert_eq!(after_failure(error), Verdict::FailedAgain(error.into()));
        }
    }
}

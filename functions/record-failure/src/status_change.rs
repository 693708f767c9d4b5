//! Executions that have ended without a record: aborted, timed out, or failed in a way that no catcher sees.

use aws_sdk_sfn::operation::describe_execution::DescribeExecutionOutput;
use aws_sdk_sfn::primitives::{DateTime, DateTimeFormat};
use aws_sdk_sfn::types::ExecutionStatus;
use bridge::{
    EXECUTION_ABORTED, EXECUTION_TIMED_OUT, Execution, Failure, FailureState, RecordFailureInput,
    StatusChange,
};
use serde_json::{Value, json};

use crate::deps::Deps;
use crate::history::{self, History};
use crate::output::{Output, Recorded};
use crate::recording;
use crate::subject::Subject;

/// Records the failure, unless that has happened.
///
/// # Errors
/// Why it could not be recorded.
pub(crate) async fn handle(deps: &Deps, change: &StatusChange) -> Result<Output, String> {
    let client = deps.step_functions.as_ref().ok_or("there is no client for Step Functions")?;
    // The state machine records most failures itself. S3 is asked first, because Step Functions answers few calls in a
    // second, and thousands of executions may end together.
    if change.input.is_some() && is_recorded(deps, change, &event(change, None)).await? {
        return Ok(nothing("the failure is recorded"));
    }
    let now = now(client, change).await?;
    if now.as_ref().is_some_and(|now| is_outdated(change, now)) {
        return Ok(nothing("the execution was redriven"));
    }
    let event = event(change, now.as_ref());
    if change.input.is_none() && is_recorded(deps, change, &event).await? {
        return Ok(nothing("the failure is recorded"));
    }
    let history = history::of(client, &change.execution_arn).await;
    let input = input(change, now.as_ref(), event, history.as_ref().ok());
    Ok(match recording::of_status_change(deps, &input, history).await? {
        Some(location) => {
            tracing::info!(location, "the failure is recorded");
            Output::Record(Recorded::Location(location))
        }
        None => nothing("the state machine has recorded the failure meanwhile"),
    })
}

/// The execution as it is now. `None` if Step Functions does not say, but the event says enough: Lambda repeats a call only
/// twice, and one record too many is better than none.
async fn now(
    client: &aws_sdk_sfn::Client,
    change: &StatusChange,
) -> Result<Option<DescribeExecutionOutput>, String> {
    let now = client.describe_execution().execution_arn(&change.execution_arn).send().await;
    match now.map_err(|error| format!("reading {}: {}", change.execution_arn, aws::in_words(&error))) {
        Ok(now) => Ok(Some(now)),
        Err(problem) if change.input.is_some() => {
            tracing::warn!(problem, "recording what the event says");
            Ok(None)
        }
        Err(problem) => Err(problem),
    }
}

fn nothing(why: &'static str) -> Output {
    tracing::info!(why, "nothing to record");
    Output::Nothing(why)
}

/// Events may come late.
fn is_outdated(change: &StatusChange, now: &DescribeExecutionOutput) -> bool {
    let redrives = u32::try_from(now.redrive_count.unwrap_or_default()).unwrap_or_default();
    redrives > change.redrive_count || now.status == ExecutionStatus::Succeeded
}

/// The execution's input. The event leaves a long one out.
fn event(change: &StatusChange, now: Option<&DescribeExecutionOutput>) -> Value {
    let text = change.input.as_deref().or(now.and_then(|now| now.input())).unwrap_or_default();
    serde_json::from_str(text).unwrap_or_default()
}

/// Whether there is a record of this run of the execution, or of a later one.
async fn is_recorded(deps: &Deps, change: &StatusChange, event: &Value) -> Result<bool, String> {
    let execution = Execution { state_machine_id: change.state_machine_arn.clone(), ..Execution::default() };
    let subject = Subject::new(deps.settings()?, &execution, event, &json!({}));
    let bucket = deps.bucket()?;
    for state in [FailureState::Open, FailureState::Settled] {
        let failures = recording::records_of(&bucket, &subject, state).await?;
        let is_it = |failure: &bridge::FailureKey| {
            failure.is_by(&change.name) && failure.redrive_count >= change.redrive_count
        };
        if failures.iter().any(is_it) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What the state machine would have passed on.
fn input(
    change: &StatusChange,
    now: Option<&DescribeExecutionOutput>,
    event: Value,
    history: Option<&History>,
) -> RecordFailureInput {
    let start = now.map(|now| now.start_date).or(change.start_date.map(DateTime::from_millis));
    let start_time = start.and_then(|start| start.fmt(DateTimeFormat::DateTime).ok());
    let document = history.and_then(|history| history.document.clone());
    RecordFailureInput {
        execution: Execution {
            id: change.execution_arn.clone(),
            name: change.name.clone(),
            start_time: start_time.unwrap_or_default(),
            state_machine_id: change.state_machine_arn.clone(),
            redrive_count: change.redrive_count,
            ..Execution::default()
        },
        event,
        document: document.unwrap_or_else(|| json!({})),
        failure: failure(change, now, history),
        raise: false,
    }
}

fn failure(
    change: &StatusChange,
    now: Option<&DescribeExecutionOutput>,
    history: Option<&History>,
) -> Failure {
    let error = change.error.as_deref().or(now.and_then(|now| now.error())).unwrap_or_default();
    let cause = change.cause.as_deref().or(now.and_then(|now| now.cause())).unwrap_or_default();
    let said: Vec<&str> = [error, cause].into_iter().filter(|text| !text.is_empty()).collect();
    let with_words = |words: &str| [&[words], said.as_slice()].concat().join(": ");
    let (error, cause) = match change.status.as_str() {
        "ABORTED" => (EXECUTION_ABORTED, with_words("somebody stopped the execution")),
        "TIMED_OUT" => (EXECUTION_TIMED_OUT, with_words("the execution took longer than it may")),
        _ => (error, cause.to_owned()),
    };
    Failure {
        state: history.map(|history| history.state.clone()).unwrap_or_default(),
        error: error.to_owned(),
        cause,
        redrive_count: change.redrive_count,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(status: ExecutionStatus, redrives: i32) -> DescribeExecutionOutput {
        DescribeExecutionOutput::builder()
            .execution_arn("arn:e")
            .state_machine_arn("arn:m")
            .start_date(aws_sdk_sfn::primitives::DateTime::from_secs(0))
            .status(status)
            .redrive_count(redrives)
            .input(r#"{"long": true}"#)
            .error("MyError")
            .build()
            .unwrap()
    }

    fn change(status: &str) -> StatusChange {
        StatusChange {
            execution_arn: "arn:e".into(),
            state_machine_arn: "arn:m".into(),
            name: "e".into(),
            status: status.into(),
            start_date: Some(1_000),
            input: None,
            error: None,
            cause: None,
            redrive_count: 1,
        }
    }

    #[test]
    fn story_186_an_event_that_comes_late_is_outdated() {
        assert!(!is_outdated(&change("ABORTED"), &now(ExecutionStatus::Aborted, 1)));
        assert!(is_outdated(&change("ABORTED"), &now(ExecutionStatus::Running, 2)));
        assert!(is_outdated(&change("FAILED"), &now(ExecutionStatus::Succeeded, 1)));
    }

    #[test]
    fn what_the_event_leaves_out_is_asked_for() {
        let (change, now) = (change("ABORTED"), now(ExecutionStatus::Aborted, 1));
        let input = input(&change, Some(&now), event(&change, Some(&now)), None);
        assert_eq!((&input.event, &input.document), (&json!({"long": true}), &json!({})));
        assert_eq!(input.execution.start_time, "1970-01-01T00:00:00Z");
        let Failure { error, cause, redrive_count, .. } = input.failure;
        assert_eq!((error.as_str(), redrive_count), ("ExecutionAborted", 1));
        assert_eq!(cause, "somebody stopped the execution: MyError");
    }

    #[test]
    fn a_failure_keeps_its_own_name() {
        let change = StatusChange {
            error: Some("States.Runtime".into()),
            cause: Some("a bug".into()),
            ..change("FAILED")
        };
        let failure = failure(&change, Some(&now(ExecutionStatus::Failed, 1)), None);
        assert_eq!((failure.error.as_str(), failure.cause.as_str()), ("States.Runtime", "a bug"));
    }

    #[test]
    fn the_event_is_enough_if_step_functions_is_busy() {
        let change = StatusChange { input: Some(r#"{"a": 1}"#.into()), ..change("ABORTED") };
        let input = input(&change, None, event(&change, None), None);
        assert_eq!(
            (&input.event, input.execution.start_time.as_str()),
            (&json!({"a": 1}), "1970-01-01T00:00:01Z")
        );
        assert_eq!((input.failure.error.as_str(), input.execution.redrive_count), ("ExecutionAborted", 1));
    }
}

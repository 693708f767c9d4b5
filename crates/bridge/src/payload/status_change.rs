//! What calls `record-failure`: a state, or Step Functions' event about an execution that has ended.

use serde::Deserialize;
use serde_json::Value;

use super::execution::null_is_default;
use super::wire::RecordFailureInput;
use crate::decode::decode;
use crate::error::Result;

/// Error name of a record whose execution was stopped by somebody.
pub const EXECUTION_ABORTED: &str = "ExecutionAborted";

/// Error name of a record whose execution took too long.
pub const EXECUTION_TIMED_OUT: &str = "ExecutionTimedOut";

/// A call of `record-failure`.
#[derive(Clone, Debug, PartialEq)]
pub enum RecordFailureCall {
    /// From the state `RecordFailure` or `RaiseOriginal`.
    State(Box<RecordFailureInput>),
    /// From EventBridge.
    StatusChange(Box<StatusChange>),
}

/// The event `Step Functions Execution Status Change` of an execution that has ended without success. Source: "Step
/// Functions events in EventBridge" in the Step Functions developer guide.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusChange {
    /// The execution's ARN.
    pub execution_arn: String,
    /// The state machine's ARN.
    pub state_machine_arn: String,
    /// The execution's name.
    pub name: String,
    /// `FAILED`, `TIMED_OUT` or `ABORTED`.
    pub status: String,
    /// The execution's input, as JSON. Absent if it is too long for the event.
    #[serde(default)]
    pub input: Option<String>,
    /// The error's name, if it failed.
    #[serde(default)]
    pub error: Option<String>,
    /// The cause, if it failed.
    #[serde(default)]
    pub cause: Option<String>,
    /// How often it was redriven.
    #[serde(default, deserialize_with = "null_is_default")]
    pub redrive_count: u32,
}

impl RecordFailureCall {
    /// Reads the payload.
    ///
    /// # Errors
    /// `InvalidInput` naming the field.
    pub fn decode(mut payload: Value) -> Result<Self> {
        if payload["source"] == "aws.states" {
            return decode(payload["detail"].take()).map(|change| Self::StatusChange(Box::new(change)));
        }
        decode(payload).map(|input| Self::State(Box::new(input)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn story_184_an_event_is_told_from_a_state() {
        let detail = json!({
            "executionArn": "arn:e", "stateMachineArn": "arn:m", "name": "e", "status": "ABORTED", "input": "{}",
            "inputDetails": {"included": true}, "output": null, "error": null, "redriveCount": null
        });
        let event = json!({
            "source": "aws.states", "detail-type": "Step Functions Execution Status Change", "detail": detail
        });
        let RecordFailureCall::StatusChange(change) = RecordFailureCall::decode(event).unwrap() else {
            panic!("it is an event")
        };
        assert_eq!((change.status.as_str(), change.redrive_count, change.error), ("ABORTED", 0, None));
        let state = json!({"failure": {"error": "RemoteFull"}, "raise": true});
        assert!(matches!(RecordFailureCall::decode(state).unwrap(), RecordFailureCall::State(_)));
        let error = RecordFailureCall::decode(json!("garbage")).unwrap_err();
        assert!(error.message().contains("the input"), "{error}");
    }
}

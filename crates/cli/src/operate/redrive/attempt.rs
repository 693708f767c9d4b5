//! One failed delivery: redriven, or started anew.

use aws::records::Settlement;
use aws_sdk_sfn::operation::describe_execution::DescribeExecutionOutput;
use aws_sdk_sfn::types::{ExecutionRedriveStatus, ExecutionStatus};
use bridge::FailureKey;
use serde_json::{Value, json};

use super::super::executions::{Redrive, Start};
use super::super::names::{Origin, execution_name};
use super::super::operator::Operator;
use super::super::problem::Problem;
use super::probe::outcome_of;
use crate::location::Location;

/// What was done with a failed delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Redriven {
        arn: String,
    },
    /// A new execution with the same input. It may have been started by an earlier run of this command.
    Started {
        arn: String,
        why: String,
    },
    /// It runs already.
    Running {
        arn: String,
    },
    /// It succeeded meanwhile. Its record is settled now, if the delivery itself could not do it.
    Succeeded,
    /// Nothing, and why.
    NotDone {
        why: String,
    },
}

/// Redrives the failed execution; if that is not possible, starts one with the same input.
pub(super) async fn of(operator: &Operator, failure: &FailureKey) -> Result<Outcome, Problem> {
    let executions = &operator.executions;
    let arn = executions.arn_of(&failure.execution);
    match executions.redrive(&arn).await? {
        Redrive::Started => Ok(Outcome::Redriven { arn }),
        Redrive::NotRedrivable(why) => match executions.describe(&arn).await? {
            Some(execution) => not_redrivable(operator, failure, execution, why).await,
            None => unknown(operator, failure).await,
        },
        Redrive::Unknown => unknown(operator, failure).await,
    }
}

async fn not_redrivable(
    operator: &Operator,
    failure: &FailureKey,
    execution: DescribeExecutionOutput,
    why: String,
) -> Result<Outcome, Problem> {
    match execution.status {
        _ if is_running(&execution) => Ok(Outcome::Running { arn: execution.execution_arn }),
        ExecutionStatus::Succeeded => Ok(succeeded(operator, failure, &execution).await),
        // Step Functions contradicts itself: somebody else redrives it just now, for example.
        _ if execution.redrive_status == Some(ExecutionRedriveStatus::Redrivable) => {
            Ok(Outcome::NotDone { why: format!("{why}; run the command again") })
        }
        _ => {
            let why = execution.redrive_status_reason.unwrap_or(why);
            let input = execution.input.filter(|input| !input.is_empty());
            let Some(input) = input else { return from_record(operator, failure, &why).await };
            start(operator, failure, &input, why).await
        }
    }
}

/// An open record of what was delivered would stay for ever: nothing can be redriven any more.
async fn succeeded(
    operator: &Operator,
    failure: &FailureKey,
    execution: &DescribeExecutionOutput,
) -> Outcome {
    let Some(outcome) = outcome_of(execution.output()) else { return Outcome::Succeeded };
    let settlement = Settlement { execution: &execution.execution_arn, outcome: outcome.as_str() };
    match operator.record_bucket().settle(failure, settlement).await {
        Ok(()) => Outcome::Succeeded,
        Err(problem) => Outcome::NotDone {
            why: format!(
                "it succeeded meanwhile, and its record cannot be settled: {problem}; \
                 this needs s3:PutObject and s3:DeleteObject on the record bucket"
            ),
        },
    }
}

/// Step Functions forgets executions after 90 days, and the command line's own deliveries were none.
async fn unknown(operator: &Operator, failure: &FailureKey) -> Result<Outcome, Problem> {
    from_record(operator, failure, "Step Functions does not know the execution any more").await
}

/// Starts an execution with the least input that names the upload.
async fn from_record(operator: &Operator, failure: &FailureKey, why: &str) -> Result<Outcome, Problem> {
    let Some(record) = operator.records.get(&failure.to_string()).await? else {
        return Ok(Outcome::NotDone {
            why: "its record is gone: it was settled meanwhile, or it expired".into(),
        });
    };
    match input(&record) {
        Some(input) => start(operator, failure, &input.to_string(), why.to_owned()).await,
        None => Ok(Outcome::NotDone { why: format!("{why}, and its record names no object") }),
    }
}

fn input(record: &Value) -> Option<Value> {
    let Location { bucket, object_key } = Location::parse(record.get("object")?.as_str()?).ok()?;
    let mut object = json!({ "key": object_key });
    if let Some(version_id) = record.get("version_id").and_then(Value::as_str) {
        object["version-id"] = version_id.into();
    }
    Some(json!({"detail": {"bucket": {"name": bucket}, "object": object}}))
}

async fn start(
    operator: &Operator,
    failure: &FailureKey,
    input: &str,
    why: String,
) -> Result<Outcome, Problem> {
    let count = failure.redrive_count.to_string();
    let parts =
        [operator.stack.bucket(), &failure.object, failure.version.as_str(), &failure.execution, &count];
    let name = execution_name(Origin::Rerun, &parts);
    match operator.executions.start(&name, input).await? {
        Start::Started(arn) => Ok(Outcome::Started { arn, why }),
        Start::Existed(arn) => match operator.executions.describe(&arn).await? {
            Some(rerun) if is_running(&rerun) => Ok(Outcome::Running { arn }),
            Some(rerun) if rerun.status == ExecutionStatus::Succeeded => {
                Ok(succeeded(operator, failure, &rerun).await)
            }
            // Its own failure is open, and redriven in its place.
            _ => Ok(Outcome::NotDone { why: format!("{why}; it was started anew before, as {name}") }),
        },
    }
}

fn is_running(execution: &DescribeExecutionOutput) -> bool {
    matches!(execution.status, ExecutionStatus::Running | ExecutionStatus::PendingRedrive)
}

#[cfg(test)]
mod tests {
    use bridge::ObjectCreated;

    use super::*;

    #[test]
    fn a_record_is_enough_to_deliver_the_same_version() {
        let record = json!({"object": "s3://b/in/a b.txt", "version_id": "v1"});
        let event = ObjectCreated::from_event(input(&record).unwrap()).unwrap();
        assert_eq!((event.bucket.as_str(), event.object_key.as_str()), ("b", "in/a b.txt"));
        assert_eq!(event.version_id.as_deref(), Some("v1"));
        assert_eq!(input(&json!({"object": null})), None);
    }
}

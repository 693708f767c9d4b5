//! One failed delivery: redriven, or started anew.

use aws::records::Settlement;
use aws_sdk_sfn::operation::describe_execution::DescribeExecutionOutput;
use aws_sdk_sfn::types::{ExecutionRedriveStatus, ExecutionStatus};
use bridge::collect::RemoteFile;
use bridge::{CollectSettings, FailureKey, Settings};
use delivery::CollectMachine;
use serde_json::{Value, json};

use super::super::direction::Direction;
use super::super::executions::{Executions, Redrive, Start};
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
    match operator.executions_of(Direction::of(failure)) {
        Ok(executions) => Attempt { operator, executions, failure }.run().await,
        Err(why) => Ok(Outcome::NotDone { why }),
    }
}

/// One failure, and the executions among which its own is.
struct Attempt<'a> {
    operator: &'a Operator,
    executions: &'a Executions,
    failure: &'a FailureKey,
}

impl Attempt<'_> {
    async fn run(&self) -> Result<Outcome, Problem> {
        let arn = self.executions.arn_of(&self.failure.execution);
        match self.executions.redrive(&arn).await? {
            Redrive::Started => Ok(Outcome::Redriven { arn }),
            Redrive::NotRedrivable(why) => match self.executions.describe(&arn).await? {
                Some(execution) => self.not_redrivable(execution, why).await,
                None => self.unknown().await,
            },
            Redrive::Unknown => self.unknown().await,
        }
    }

    async fn not_redrivable(
        &self,
        execution: DescribeExecutionOutput,
        why: String,
    ) -> Result<Outcome, Problem> {
        match execution.status {
            _ if is_running(&execution) => Ok(Outcome::Running { arn: execution.execution_arn }),
            ExecutionStatus::Succeeded => Ok(self.succeeded(&execution).await),
            // Step Functions contradicts itself: somebody else redrives it just now, for example.
            _ if execution.redrive_status == Some(ExecutionRedriveStatus::Redrivable) => {
                Ok(Outcome::NotDone { why: format!("{why}; run the command again") })
            }
            _ => {
                let why = execution.redrive_status_reason.unwrap_or(why);
                let input = execution.input.filter(|input| !input.is_empty());
                let Some(input) = input else { return self.start_from_record(&why).await };
                self.start(&input, why).await
            }
        }
    }

    /// An open record of what was delivered would stay for ever: nothing can be redriven any more.
    async fn succeeded(&self, execution: &DescribeExecutionOutput) -> Outcome {
        let Some(outcome) = outcome_of(execution.output()) else { return Outcome::Succeeded };
        let settlement = Settlement { execution: &execution.execution_arn, outcome: outcome.as_str() };
        match self.operator.record_bucket().settle(self.failure, settlement).await {
            Ok(()) => Outcome::Succeeded,
            Err(problem) => Outcome::NotDone {
                why: format!(
                    "it succeeded meanwhile, and its record cannot be settled: {problem}; \
                     this needs s3:PutObject and s3:DeleteObject on the record bucket"
                ),
            },
        }
    }

    /// Step Functions forgets executions after 90 days, and the command line's own runs were none.
    async fn unknown(&self) -> Result<Outcome, Problem> {
        self.start_from_record("Step Functions does not know the execution any more").await
    }

    /// Starts an execution with the least input that names the upload, or the file.
    async fn start_from_record(&self, why: &str) -> Result<Outcome, Problem> {
        let Some(record) = self.operator.records.get(&self.failure.to_string()).await? else {
            return Ok(Outcome::NotDone {
                why: "its record is gone: it was settled meanwhile, or it expired".into(),
            });
        };
        match self.input(&record)? {
            Some(input) => self.start(&input.to_string(), why.to_owned()).await,
            None => Ok(Outcome::NotDone { why: format!("{why}, and its record names no object") }),
        }
    }

    fn input(&self, record: &Value) -> Result<Option<Value>, Problem> {
        let object = record.get("object").and_then(Value::as_str);
        Ok(match Direction::of(self.failure) {
            Direction::Delivery => input(record),
            Direction::Look => Some(json!({"look": true})),
            Direction::Collection => {
                let settings = self.operator.stack.settings();
                let (server, collect) = (Settings::parse(&settings)?, CollectSettings::parse(&settings)?);
                object.and_then(|url| {
                    file(url, self.failure.version.as_str(), &server.host, &collect.directory)
                })
            }
        })
    }

    async fn start(&self, input: &str, why: String) -> Result<Outcome, Problem> {
        let Self { operator, executions, failure } = self;
        let count = failure.redrive_count.to_string();
        let parts =
            [operator.stack.bucket(), &failure.object, failure.version.as_str(), &failure.execution, &count];
        let name = execution_name(Origin::Rerun, &parts);
        match executions.start(&name, input).await? {
            Start::Started(arn) => Ok(Outcome::Started { arn, why }),
            Start::Existed(arn) => match executions.describe(&arn).await? {
                Some(rerun) if is_running(&rerun) => Ok(Outcome::Running { arn }),
                Some(rerun) if rerun.status == ExecutionStatus::Succeeded => Ok(self.succeeded(&rerun).await),
                // Its own failure is open, and redriven in its place.
                _ => Ok(Outcome::NotDone { why: format!("{why}; it was started anew before, as {name}") }),
            },
        }
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

/// The input of the collection of a file, by its name and its mark: size and time. `None` if it is not below the directory
/// that the stack collects now.
fn file(url: &str, mark: &str, host: &str, directory: &str) -> Option<Value> {
    let directory = RemoteFile {
        host: host.to_owned(),
        directory: directory.to_owned(),
        path: String::new(),
        size: 0,
        modified: None,
    };
    let path = url.strip_prefix(&directory.url())?;
    let (size, modified) = mark.split_once('-')?;
    let modified = modified.parse().ok();
    let file = RemoteFile { path: path.to_owned(), size: size.parse().ok()?, modified, ..directory };
    Some(CollectMachine::input(&file))
}

fn is_running(execution: &DescribeExecutionOutput) -> bool {
    matches!(execution.status, ExecutionStatus::Running | ExecutionStatus::PendingRedrive)
}

#[cfg(test)]
mod tests {
    use bridge::{ObjectCreated, Started};

    use super::*;

    #[test]
    fn a_record_is_enough_to_deliver_the_same_version() {
        let record = json!({"object": "s3://b/in/a b.txt", "version_id": "v1"});
        let event = ObjectCreated::from_event(input(&record).unwrap()).unwrap();
        assert_eq!((event.bucket.as_str(), event.object_key.as_str()), ("b", "in/a b.txt"));
        assert_eq!(event.version_id.as_deref(), Some("v1"));
        assert_eq!(input(&json!({"object": null})), None);
    }

    #[test]
    fn a_record_is_enough_to_collect_the_same_file() {
        let input = |url, mark| file(url, mark, "h", "/out");
        let started = |url, mark| Started::of(input(url, mark).unwrap()).unwrap();
        let Started::File(file) = started("sftp://h//out/a/b c.csv", "5-7") else { panic!() };
        assert_eq!((file.path.as_str(), file.size, file.modified), ("a/b c.csv", 5, Some(7)));
        assert_eq!((file.url().as_str(), file.directory.as_str()), ("sftp://h//out/a/b c.csv", "/out"));
        let Started::File(file) = started("sftp://h//out/a", "5-unknown") else { panic!() };
        assert_eq!(file.modified, None);
        assert_eq!(input("sftp://h//in/a", "5-7"), None, "the stack collects elsewhere now");
        assert_eq!(input("sftp://h//out/a", "look"), None);
    }
}

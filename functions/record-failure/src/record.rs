//! The record: what failed, why, what to do, and the command that reruns it.

use aws::lambda::Failed;
use bridge::{Execution, FailureKey, Place, RecordFailureInput, RecordSettings, SCHEMA_VERSION, VERSION};
use serde::Serialize;

use crate::history::Attempt;
use crate::subject::{Kind, Subject};

/// One failed execution, or one redrive of it. Written for a person; programs may read the fields.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Record {
    /// Version of the JSON: `docs/records.md`.
    pub schema_version: &'static str,
    /// The release of the bridge that wrote it.
    pub bridge_version: &'static str,
    /// The error's name: a heading of the runbook.
    pub error: String,
    /// What happened.
    pub cause: String,
    /// The state that failed.
    pub state: String,
    /// What to do next, in a sentence.
    pub what_to_do: String,
    /// Where the runbook says more.
    pub runbook: String,
    /// The command that finishes the job once the cause is gone, within 14 days.
    pub redrive_command: String,
    /// The execution in the Step Functions console, with its Redrive button; absent if it was run by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub console: Option<String>,
    /// `s3://…` of what was to be delivered, if the event says. `sftp://…` of what was to be collected, or looked at.
    pub object: Option<String>,
    /// Its version, if the event says or it was pinned.
    pub version_id: Option<String>,
    /// Bytes, as far as known.
    pub size: Option<u64>,
    /// Bytes that the partner's server has acknowledged, or that S3 has; a redrive resumes there.
    pub acknowledged: u64,
    /// The destination: host and path, or the directory if the path is not known yet. Bucket and key of what was to be
    /// collected.
    pub destination: String,
    /// The execution's ARN.
    pub execution: String,
    /// How often the execution had been redriven.
    pub redrive_count: u32,
    /// When the execution started, RFC 3339.
    pub started_at: String,
    /// When this was written, RFC 3339.
    pub recorded_at: String,
    /// The last failed attempts; see `attempts_problem` if this is empty.
    pub attempts: Vec<Attempt>,
    /// Why the attempts could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts_problem: Option<String>,
    /// The execution's name.
    pub execution_name: String,
    #[serde(skip)]
    subject: Subject,
}

impl Record {
    pub(crate) fn new(
        settings: &RecordSettings,
        input: &RecordFailureInput,
        original: &Failed,
        attempts: Result<Vec<Attempt>, String>,
        recorded_at: String,
    ) -> Self {
        let execution = &input.execution;
        let subject = Subject::new(settings, execution, &input.event, &input.document);
        let (attempts, attempts_problem) = match attempts {
            Ok(attempts) => (attempts, None),
            Err(problem) => (Vec::new(), Some(problem)),
        };
        Self {
            schema_version: SCHEMA_VERSION,
            bridge_version: VERSION,
            error: original.error.clone(),
            cause: original.message.clone(),
            state: input.failure.state.clone(),
            what_to_do: what_to_do(&original.error, &execution.id, subject.kind),
            runbook: bridge::runbook_section(&original.error),
            redrive_command: rerun(execution, &subject),
            console: console(&execution.id),
            object: subject.location.clone(),
            version_id: subject.version_id.clone(),
            size: subject.size,
            acknowledged: subject.acknowledged,
            destination: subject.destination.clone(),
            execution: execution.id.clone(),
            redrive_count: execution.redrive_count,
            started_at: execution.start_time.clone(),
            recorded_at,
            attempts,
            attempts_problem,
            execution_name: execution.name.clone(),
            subject,
        }
    }

    /// What it is about.
    pub(crate) fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Where it is written.
    pub(crate) fn key(&self) -> FailureKey {
        let Self { subject, recorded_at, error, cause, .. } = self;
        FailureKey::open(&subject.name, subject.version.clone(), recorded_at, error, cause)
            .of_execution(&self.execution_name, self.redrive_count)
    }
}

/// What to do, in a sentence or two.
fn what_to_do(error: &str, execution: &str, kind: Kind) -> String {
    let hint = bridge::what_to_do(error, place(execution));
    match kind {
        Kind::Delivery | Kind::Collection => hint.to_owned(),
        Kind::Look => {
            format!(
                "{hint} The next look tries again by itself, and settles this record if it comes to its end."
            )
        }
    }
}

/// The region of an execution. `None` on the command line, which has no ARN.
fn region(execution: &str) -> Option<&str> {
    execution.strip_prefix("arn:")?.split(':').nth(2)
}

/// The command that finishes the job. A look is not redriven: another one does the same.
fn rerun(execution: &Execution, subject: &Subject) -> String {
    let argument = subject.argument.replace('\'', r"'\''");
    match (region(&execution.id), subject.kind) {
        (Some(region), Kind::Delivery | Kind::Collection) => {
            let arn = &execution.id;
            format!("aws stepfunctions redrive-execution --region {region} --execution-arn {arn}")
        }
        (Some(region), Kind::Look) => format!(
            "aws stepfunctions start-execution --region {region} --state-machine-arn {} --input '{{\"look\": true}}'",
            execution.state_machine_id
        ),
        (None, Kind::Delivery) => format!("s3-sftp-bridge deliver '{argument}'"),
        (None, Kind::Collection) => format!("s3-sftp-bridge collect '{argument}'"),
        (None, Kind::Look) => "s3-sftp-bridge collect".to_owned(),
    }
}

/// The console's page of the execution.
fn console(execution: &str) -> Option<String> {
    let region = region(execution)?;
    let page = format!(
        "https://{region}.console.aws.amazon.com/states/home?region={region}#/v2/executions/details/{execution}"
    );
    Some(page)
}

/// Who reads the record.
fn place(execution: &str) -> Place {
    if execution.starts_with("arn:") { Place::Stack } else { Place::CommandLine }
}

#[cfg(test)]
mod tests {
    use bridge::{Execution, Failure};
    use serde_json::json;

    use super::*;

    fn record(event: serde_json::Value, document: serde_json::Value) -> Record {
        let settings = RecordSettings {
            bucket: "failures".into(),
            remote_host: Some("sftp.example.com".into()),
            location: Some("in".into()),
            ..RecordSettings::default()
        };
        let input = RecordFailureInput {
            execution: Execution {
                id: "arn:aws:states:eu-west-1:1:execution:bridge:e1".into(),
                name: "e1".into(),
                start_time: "2026-11-23T20:00:00Z".into(),
                redrive_count: 2,
                ..Execution::default()
            },
            event,
            document,
            failure: Failure {
                state: "Transfer".into(),
                error: String::new(),
                cause: String::new(),
                redrive_count: 2,
            },
            raise: false,
        };
        let original = Failed { error: "RemoteFull".into(), message: "disk full".into() };
        Record::new(&settings, &input, &original, Err("denied".into()), "2026-11-24T00:00:00Z".into())
    }

    #[test]
    fn it_says_what_failed_and_how_to_rerun_it() {
        let event = json!({"detail": {"bucket": {"name": "b"}, "object": {"key": "a b.txt", "size": 5}}});
        let record = record(event, json!({}));
        assert_eq!(record.object.as_deref(), Some("s3://b/a b.txt"));
        assert_eq!(record.destination, "sftp://sftp.example.com/in");
        assert!(
            record.redrive_command.ends_with(
                "--region eu-west-1 --execution-arn arn:aws:states:eu-west-1:1:execution:bridge:e1"
            )
        );
        let key = record.key().to_string();
        assert!(key.starts_with("failures/open/a b.txt/unknown/20261124T000000Z,RemoteFull,"), "{key}");
        assert!(key.ends_with(",e1,2.json"), "{key}");
        assert_eq!((record.runbook.as_str(), record.size), ("docs/errors.md#remotefull", Some(5)));
        assert_eq!(record.attempts_problem.as_deref(), Some("denied"));
    }

    #[test]
    fn what_was_run_by_hand_is_rerun_by_hand() {
        let by_hand = Execution { id: "s3-sftp-bridge deliver".into(), ..Execution::default() };
        let settings = RecordSettings::default();
        let command = |event| rerun(&by_hand, &Subject::new(&settings, &by_hand, &event, &json!({})));
        let event = json!({"detail": {"bucket": {"name": "b"}, "object": {"key": "it's"}}});
        assert_eq!(command(event), r"s3-sftp-bridge deliver 's3://b/it'\''s'");
        let file = json!({"host": "h", "directory": "out", "path": "it's", "size": 1});
        assert_eq!(command(json!({ "file": file })), r"s3-sftp-bridge collect 'it'\''s'");
        assert_eq!(
            (command(json!({"look": true})).as_str(), console(&by_hand.id)),
            ("s3-sftp-bridge collect", None)
        );
    }

    #[test]
    fn an_event_that_is_garbage_is_recorded_too() {
        let record = record(json!("garbage"), json!(null));
        assert_eq!((record.object, record.acknowledged), (None, 0));
    }

    #[test]
    fn what_was_run_by_hand_is_told_what_to_do_by_hand() {
        let what_to_do = bridge::what_to_do("RemoteFull", place("deliver-2026-11-27"));
        assert!(what_to_do.contains("run the command again"), "{what_to_do}");
    }
}

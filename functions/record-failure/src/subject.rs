//! What a failed execution was about: the delivery of an object, the collection of a file, or a look at the directory.

use bridge::collect::{CollectCheckpoint, CollectPhase, RemoteFile, url};
use bridge::{
    Checkpoint, Execution, ObjectCreated, ObjectSummary, RecordSettings, Started, VersionMark, decode,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// How the template names the state machine of looks: its name ends so.
const WATCH: &str = "-watch";

/// Which of the three it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    #[default]
    Delivery,
    Collection,
    Look,
}

/// What is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) kind: Kind,
    /// What stands in the record's key: the object's key, or `sftp://HOST/PATH`. Empty if the event named no object.
    pub(crate) name: String,
    /// `s3://…` or `sftp://…`, if it is known.
    pub(crate) location: Option<String>,
    pub(crate) version: VersionMark,
    pub(crate) version_id: Option<String>,
    pub(crate) size: Option<u64>,
    /// Bytes that need not travel again.
    pub(crate) acknowledged: u64,
    /// `sftp://…` or `s3://…`: where it was to go.
    pub(crate) destination: String,
    /// What the command line takes.
    pub(crate) argument: String,
}

impl Subject {
    /// Reads the input of the execution, and the document at its failure.
    pub(crate) fn new(
        settings: &RecordSettings,
        execution: &Execution,
        event: &Value,
        document: &Value,
    ) -> Self {
        match Started::of(event.clone()) {
            Ok(Started::Object(object)) => Self::of_delivery(settings, Some(&object), document),
            Ok(Started::File(file)) => Self::of_collection(settings, &file, document),
            Ok(Started::Look) => Self::of_look(settings),
            // A person may start a look with any input.
            Err(_) if execution.state_machine_id.ends_with(WATCH) => Self::of_look(settings),
            Err(_) => Self::of_delivery(settings, None, document),
        }
    }

    fn of_delivery(settings: &RecordSettings, event: Option<&ObjectCreated>, document: &Value) -> Self {
        let checkpoint: Option<Checkpoint> = checkpoint(document);
        let pinned = checkpoint.as_ref().map(|checkpoint| &checkpoint.object);
        let location = event.map(|event| format!("s3://{}/{}", event.bucket, event.object_key));
        let path = checkpoint.as_ref().map(|checkpoint| checkpoint.route.path());
        let path = path.filter(|path| !path.is_empty()).or(settings.location.as_deref()).unwrap_or_default();
        Self {
            kind: Kind::Delivery,
            name: event.map(|event| event.object_key.clone()).unwrap_or_default(),
            version: match (pinned, event) {
                (Some(object), _) => VersionMark::from(&ObjectSummary::from(object)),
                (None, Some(event)) => event.into(),
                (None, None) => VersionMark::new(None, None, None),
            },
            version_id: pinned
                .and_then(|object| object.version_id.clone())
                .or_else(|| event?.version_id.clone()),
            size: pinned.map(|object| object.size).or_else(|| event?.size),
            acknowledged: checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.sent.offset),
            destination: url(host(settings), path),
            argument: location.clone().unwrap_or_default(),
            location,
        }
    }

    fn of_collection(settings: &RecordSettings, file: &RemoteFile, document: &Value) -> Self {
        let checkpoint: Option<CollectCheckpoint> = checkpoint(document);
        let destination = checkpoint.as_ref().map(|checkpoint| &checkpoint.destination);
        let destination =
            destination.map(|destination| format!("s3://{}/{}", destination.bucket, destination.object_key));
        Self {
            kind: Kind::Collection,
            name: file.url(),
            location: Some(file.url()),
            version: file.into(),
            version_id: None,
            size: Some(file.size),
            acknowledged: checkpoint.map_or(0, |checkpoint| match checkpoint.phase {
                CollectPhase::Reading { offset, .. } => offset,
                CollectPhase::Stored(_) | CollectPhase::Verified(_) => file.size,
            }),
            destination: destination.unwrap_or_else(|| bucket(settings)),
            argument: file.path.clone(),
        }
    }

    fn of_look(settings: &RecordSettings) -> Self {
        let name = url(host(settings), settings.collect_directory.as_deref().unwrap_or_default());
        Self {
            kind: Kind::Look,
            location: Some(name.clone()),
            name,
            version: VersionMark::look(),
            version_id: None,
            size: None,
            acknowledged: 0,
            destination: bucket(settings),
            argument: String::new(),
        }
    }
}

fn checkpoint<T: DeserializeOwned>(document: &Value) -> Option<T> {
    document.get("checkpoint").cloned().and_then(|checkpoint| decode(checkpoint).ok())
}

fn host(settings: &RecordSettings) -> &str {
    settings.remote_host.as_deref().unwrap_or_default()
}

fn bucket(settings: &RecordSettings) -> String {
    format!("s3://{}/", settings.collect_bucket.as_deref().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn subject(machine: &str, event: Value, document: Value) -> Subject {
        let settings = RecordSettings {
            bucket: "failures".into(),
            remote_host: Some("sftp.example.com".into()),
            collect_bucket: Some("inbox".into()),
            collect_directory: Some("out".into()),
            ..RecordSettings::default()
        };
        let execution = Execution { state_machine_id: machine.into(), ..Execution::default() };
        Subject::new(&settings, &execution, &event, &document)
    }

    #[test]
    fn a_collection_is_called_by_its_file() {
        let file = json!({"host": "h", "directory": "out", "path": "a b.csv", "size": 10, "modified": 7});
        let new = subject("arn:acme-collect", json!({ "file": file }), json!({}));
        assert_eq!((new.kind, new.name.as_str()), (Kind::Collection, "sftp://h/out/a b.csv"));
        assert_eq!((new.version.as_str(), new.size, new.acknowledged), ("10-7", Some(10), 0));
        assert_eq!((new.destination.as_str(), new.argument.as_str()), ("s3://inbox/", "a b.csv"));

        let checksum = json!({"algorithm": "CRC64NVME", "value": "AAAAAAAAAAA="});
        let reading = json!({"name": "reading", "offset": 5, "checksum": checksum});
        let stored = json!({"name": "stored", "etag": "e", "checksum": checksum});
        for (phase, acknowledged) in [(reading, 5), (stored, 10)] {
            let checkpoint = json!({
                "phase": phase, "file": file, "destination": {"bucket": "inbox", "object_key": "in/a b.csv"},
                "report": {"started_at": ""},
            });
            let document = json!({ "checkpoint": checkpoint });
            let later = subject("arn:acme-collect", json!({ "file": file }), document);
            assert_eq!(later.destination, "s3://inbox/in/a b.csv", "{checkpoint}");
            assert_eq!(later.acknowledged, acknowledged);
        }
    }

    #[test]
    fn a_look_is_called_by_its_directory_whatever_it_was_started_with() {
        for event in [json!({"look": true}), json!({}), json!("garbage")] {
            let look = subject("arn:aws:states:eu-west-1:1:stateMachine:acme-watch", event, json!({}));
            assert_eq!((look.kind, look.name.as_str()), (Kind::Look, "sftp://sftp.example.com/out"));
            assert!(look.version.is_look());
        }
        let other = subject("arn:acme", json!({}), json!({}));
        assert_eq!((other.kind, other.name.as_str(), other.location), (Kind::Delivery, "", None));
    }
}

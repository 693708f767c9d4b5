//! One message for each new record, to the subscribers of the topic.

use std::time::Duration;

use bridge::printable;

use crate::deps::Deps;
use crate::record::Record;
use crate::subject::{Kind, Subject};

/// Maximum time for it.
const LIMIT: Duration = Duration::from_secs(10);

/// SNS takes subjects of less than 100 ASCII characters.
const SUBJECT_MAX: usize = 99;

/// Maximum length of the cause in the message, in characters. A message may have 256 KiB, a text message far less.
const CAUSE_MAX: usize = 2_000;

/// A message about a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) subject: String,
    pub(crate) message: String,
}

impl Notice {
    /// About this record, which lies at `location`.
    pub(crate) fn new(record: &Record, location: &str) -> Self {
        let subject = record.subject();
        let object = record.object.as_deref().unwrap_or("an event that names no object");
        let size = record.size.map(|size| format!(" ({size} bytes)")).unwrap_or_default();
        let cause: String = record.cause.chars().take(CAUSE_MAX).collect();
        let lines = [
            what_failed(subject.kind).to_owned(),
            String::new(),
            format!("What:       {}{size}", printable(object)),
            format!("Where to:   {}", printable(&record.destination)),
            format!("Why:        {}: {}", record.error, printable(&cause)),
            format!("Since:      {}", record.started_at),
            format!("What to do: {}", record.what_to_do),
            format!("Runbook:    {}", record.runbook),
            format!("Command:    {}", record.redrive_command),
            format!("Record:     {}", printable(location)),
        ];
        Self { subject: subject_of(subject, &record.error), message: lines.join("\n") + "\n" }
    }
}

/// Tells the subscribers of the topic of a new record. The record counts, so a notice that cannot be sent is only logged.
pub(crate) async fn publish(deps: &Deps, record: &Record, location: &str) {
    let topic = deps.settings().ok().and_then(|settings| settings.notice_topic.as_ref());
    let Some((client, topic)) = deps.sns.as_ref().zip(topic) else { return };
    let Notice { subject, message } = Notice::new(record, location);
    let publish = client.publish().topic_arn(topic).subject(subject).message(message).send();
    match tokio::time::timeout(LIMIT, publish).await {
        Ok(Ok(_)) => tracing::info!(topic, "the notice is sent"),
        Ok(Err(error)) => {
            tracing::error!(topic, problem = aws::in_words(&error), "the notice could not be sent");
        }
        Err(_) => tracing::error!(topic, "the notice could not be sent: SNS did not answer in time"),
    }
}

fn what_failed(kind: Kind) -> &'static str {
    match kind {
        Kind::Delivery => "A file was not delivered.",
        Kind::Collection => "A file was not collected. It is still on the partner's server.",
        Kind::Look => {
            "The directory on the partner's server could not be looked at, so no new file is collected."
        }
    }
}

/// What failed, the error, and as much of the name as has room: its end.
fn subject_of(subject: &Subject, error: &str) -> String {
    let head = match subject.kind {
        Kind::Delivery => "Not delivered",
        Kind::Collection => "Not collected",
        Kind::Look => "No look",
    };
    let is_plain = |c: &char| c.is_ascii_graphic() || *c == ' ';
    let plain = |text: &str| -> String { text.chars().map(|c| if is_plain(&c) { c } else { '?' }).collect() };
    let head: String = format!("{head}: {}", plain(error)).chars().take(SUBJECT_MAX).collect();
    let (key, room) = (plain(&subject.name), SUBJECT_MAX - head.len());
    if key.is_empty() || room < 10 {
        head
    } else if key.len() + 2 <= room {
        format!("{head}: {key}")
    } else {
        format!("{head}: ...{}", &key[key.len() + 5 - room..])
    }
}

#[cfg(test)]
mod tests {
    use bridge::{Execution, RecordSettings};
    use serde_json::{Value, json};

    use super::*;

    fn subject(error: &str, object_key: &str) -> String {
        let detail = json!({"bucket": {"name": "b"}, "object": {"key": object_key}});
        let event = json!({ "detail": detail });
        subject_of(&of(&event), error)
    }

    fn of(event: &Value) -> Subject {
        Subject::new(&RecordSettings::default(), &Execution::default(), event, &json!({}))
    }

    #[test]
    fn a_subject_says_which_direction_it_is() {
        let file = json!({"host": "h", "directory": "out", "path": "a.csv", "size": 1});
        let collection = of(&json!({ "file": file }));
        assert_eq!(
            subject_of(&collection, "RemoteUnreadable"),
            "Not collected: RemoteUnreadable: sftp://h/out/a.csv"
        );
        assert_eq!(subject_of(&of(&json!({"look": true})), "X"), "No look: X: sftp:///");
    }

    #[test]
    fn story_188_a_subject_is_what_sns_takes() {
        assert_eq!(subject("RemoteFull", "in/a.txt"), "Not delivered: RemoteFull: in/a.txt");
        assert_eq!(subject("RemoteFull", ""), "Not delivered: RemoteFull");
        assert_eq!(subject("X", "r\u{e4}ksm\u{f6}rg\u{e5}s\n"), "Not delivered: X: r?ksm?rg?s?");
        for length in 60..200 {
            let key = format!("{}.csv", "a".repeat(length));
            let subject = subject("ConnectFailed", &key);
            assert!(subject.len() <= SUBJECT_MAX && subject.ends_with(".csv"), "{subject}");
        }
        let long = subject(&"E".repeat(200), "k");
        assert_eq!(long.len(), SUBJECT_MAX);
    }
}

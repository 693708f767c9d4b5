//! `failures show`: one failure in full.

use bridge::{FailureKey, FailureState};
use clap::Args;
use serde_json::{Value, json};

use super::super::arguments::StackArguments;
use super::super::direction::Direction;
use super::super::operator::Operator;
use super::super::problem::{Answer, Problem};
use super::super::records::Records;
use super::super::table::{Align, Table};
use crate::location::Location;
use crate::output::{self, Layout, Span, Style};

/// Show one failure in full, with its attempts
///
/// Exit status:
///   0  shown
///   1  no such failure, or AWS refused
///   2  wrong usage, no such stack, no credentials
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(super) struct ShowArguments {
    /// Execution name or ARN, record key, s3://BUCKET/KEY or sftp://HOST/PATH
    #[arg(value_name = "ID|KEY")]
    failure: String,
    #[command(flatten)]
    stack: StackArguments,
}

/// What the operator asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    Record(Box<FailureKey>),
    Object(String),
    Execution(String),
}

impl Asked {
    fn parse(text: &str, record_bucket: &str) -> Result<Self, Problem> {
        // The name of a file that is collected stands in records as it is.
        if let Some(file) = Direction::file(text) {
            return Ok(Self::Object(file));
        }
        let location = text.starts_with("s3://").then(|| Location::parse(text)).transpose();
        let location = location.map_err(|why| Problem::Usage(format!("{text}: {why}")))?;
        let key = match location {
            Some(Location { bucket, object_key }) if bucket == record_bucket => object_key,
            Some(Location { object_key, .. }) => return Ok(Self::Object(object_key)),
            None => text.to_owned(),
        };
        if let Some(key) = FailureKey::parse(&key) {
            return Ok(Self::Record(Box::new(key)));
        }
        if key.starts_with("failures/") {
            return Err(Problem::Usage(format!("{key:?} is not the key of a failure record")));
        }
        let name = key.rsplit(':').next().unwrap_or_default();
        Ok(Self::Execution(name.to_owned()))
    }

    fn prefix(&self) -> &str {
        match self {
            Self::Record(key) => &key.object,
            Self::Object(object_key) => object_key,
            Self::Execution(_) => "",
        }
    }

    /// A record that has been settled since lies under another key: the rest of it is the same.
    fn is(&self, known: &FailureKey) -> bool {
        match self {
            Self::Record(key) => {
                (&key.execution, key.redrive_count) == (&known.execution, known.redrive_count)
            }
            Self::Object(object_key) => {
                FailureKey::prefix(known.state, object_key) == FailureKey::prefix(known.state, &known.object)
            }
            Self::Execution(name) => *name == known.execution,
        }
    }
}

pub(super) async fn run(arguments: &ShowArguments) -> Result<Answer, Problem> {
    let operator = Operator::of(&arguments.stack).await?;
    let records = &operator.records;
    let asked = Asked::parse(&arguments.failure, records.bucket())?;
    let mut found = find(records, &asked).await?;
    found.sort_by(|one, other| one.recorded_at.cmp(&other.recorded_at));
    let record = match found.pop() {
        Some(newest) => records.get(&newest.to_string()).await?.map(|record| (newest, record)),
        None => None,
    };
    let Some((key, record)) = record else {
        let words =
            format!("there is no failure record of {:?} in s3://{}", arguments.failure, records.bucket());
        return Err(Problem::Failed(words));
    };
    if arguments.stack.json {
        let earlier: Vec<String> = found.iter().map(ToString::to_string).collect();
        let state = words(key.state);
        let shown = json!({"key": key.to_string(), "state": state, "earlier": earlier, "record": record});
        output::say_json(&shown, Layout::Pretty);
    } else {
        output::say_styled(&lines(&key, &record, &found));
    }
    Ok(Answer::Fine)
}

async fn find(records: &Records, asked: &Asked) -> Result<Vec<FailureKey>, Problem> {
    let mut found = Vec::new();
    for state in [FailureState::Open, FailureState::Settled] {
        let mut keys = records.failures(state, asked.prefix());
        while let Some(page) = keys.page().await? {
            found.extend(page.into_iter().filter(|known| asked.is(known)));
        }
    }
    Ok(found)
}

fn words(state: FailureState) -> &'static str {
    match state {
        FailureState::Open => "open",
        FailureState::Settled => "settled",
    }
}

/// The fields that are shown, in this order.
const FIELDS: [(&str, &str); 15] = [
    ("error", "error"),
    ("cause", "cause"),
    ("what to do", "what_to_do"),
    ("runbook", "runbook"),
    ("object", "object"),
    ("version", "version_id"),
    ("size", "size"),
    ("acknowledged", "acknowledged"),
    ("destination", "destination"),
    ("state", "state"),
    ("execution", "execution"),
    ("redriven", "redrive_count"),
    ("started", "started_at"),
    ("recorded", "recorded_at"),
    ("redrive", "redrive_command"),
];

fn lines(key: &FailureKey, record: &Value, earlier: &[FailureKey]) -> Vec<Vec<Span>> {
    let mut table = Table::new(&[("failure", Align::Left), (words(key.state), Align::Left)]);
    for (title, field) in FIELDS {
        match record.get(field) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => table.row([title.into(), text.as_str().into()]),
            Some(value) => table.row([title.into(), value.to_string().into()]),
        }
    }
    let mut lines = table.lines();
    let attempts = record.get("attempts").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if !attempts.is_empty() {
        lines.push(Vec::new());
        lines.extend(attempts_table(attempts).lines());
    }
    if !earlier.is_empty() {
        lines.push(Vec::new());
        lines.push(vec![Span::new(Style::Title, "earlier records")]);
        lines.extend(earlier.iter().map(|key| vec![format!("  {key}").into()]));
    }
    lines
}

fn attempts_table(attempts: &[Value]) -> Table {
    let columns = ["attempt at", "state", "error", "message"].map(|title| (title, Align::Left));
    let mut table = Table::new(&columns);
    for attempt in attempts {
        let text = |field: &str| attempt.get(field).and_then(Value::as_str).unwrap_or_default();
        table.row(["at", "state", "error", "message"].map(|field| text(field).into()));
    }
    table
}

#[cfg(test)]
mod tests {
    use bridge::VersionMark;

    use super::*;

    #[test]
    fn a_failure_is_named_in_several_ways() {
        let version = VersionMark::new(Some("v"), None, None);
        let key = FailureKey::open("in/a.txt", version, "2026-11-27T09:15:00Z", "RemoteFull", "c");
        let key = key.of_execution("e1", 0);
        let asked = |text: &str| Asked::parse(text, "records").unwrap();
        let settled = key.clone().in_state(FailureState::Settled);
        for text in [
            key.to_string(),
            format!("s3://records/{key}"),
            "s3://source/in/a.txt".into(),
            "e1".into(),
            "arn:aws:states:eu-west-1:1:execution:bridge:e1".into(),
        ] {
            assert!(asked(&text).is(&key) && asked(&text).is(&settled), "{text}");
        }
        assert!(!asked("s3://source/in/a").is(&key));
        let file = "sftp://h/out/a b.csv";
        let collected = FailureKey::open(file, VersionMark::parse("5-7"), "2026-11-27T09:15:00Z", "", "");
        assert!(asked(file).is(&collected) && !asked("sftp://h/out/a").is(&collected));
        assert!(!asked("e2").is(&key));
        assert!(Asked::parse("failures/open/x", "records").is_err());
    }
}

//! How a snapshot looks.

use indicatif::{DecimalBytes, HumanCount};
use serde_json::{Value, json};

use super::health::Health;
use super::snapshot::{Delivered, Running, Snapshot};
use crate::moments::rfc3339;
use crate::operate::history::Doing;
use crate::operate::table::{Align, Table};
use crate::output::{Span, Style};

pub(super) fn lines(snapshot: &Snapshot, health: &Health) -> Vec<Vec<Span>> {
    let first =
        vec![Span::new(health.state.style(), health.state.name()), format!(": {}", health.words).into()];
    let mut lines = vec![first, Vec::new()];
    lines.extend(overview(snapshot).lines());
    if let Some(difference) = difference_of_versions(snapshot.version.as_deref()) {
        lines.push(Vec::new());
        lines.push(vec![Span::new(Style::Warning, difference)]);
    }
    if !snapshot.failures.by_error.is_empty() {
        lines.push(Vec::new());
        let mut table = Table::new(&[("open failures", Align::Left), ("", Align::Right)]);
        for (error, count) in &snapshot.failures.by_error {
            table.row([Span::new(Style::Bad, error.as_str()), HumanCount(*count).to_string().into()]);
        }
        lines.extend(table.lines());
    }
    if !snapshot.oldest.is_empty() {
        lines.push(Vec::new());
        lines.extend(oldest(snapshot).lines());
    }
    lines
}

fn overview(snapshot: &Snapshot) -> Table {
    let mut table = Table::new(&[("", Align::Left), ("", Align::Left)]);
    let moment = |moment: Option<i64>| moment.map_or("-".to_owned(), rfc3339);
    for (name, value) in [
        ("under way", HumanCount(snapshot.running).to_string()),
        ("delivered, last hour", delivered(snapshot.hour)),
        ("delivered, last day", delivered(snapshot.day)),
        ("last delivery", moment(snapshot.last_delivery)),
        ("open failures", HumanCount(snapshot.failures.count()).to_string()),
        ("oldest undelivered", moment(snapshot.oldest_undelivered())),
        ("undelivered events", HumanCount(snapshot.undelivered_events).to_string()),
        ("version of the stack", snapshot.version.as_deref().unwrap_or("-").to_owned()),
    ] {
        table.row([name.into(), Span::from(value)]);
    }
    table
}

/// What to do if stack and command line are of different releases.
fn difference_of_versions(stack: Option<&str>) -> Option<String> {
    let ours = bridge::VERSION;
    match stack {
        Some(version) if version == ours => None,
        Some(version) => Some(format!(
            "The stack is version {version}, this command line is version {ours}. Use the command line of the stack's \
             package, or update the stack."
        )),
        None => Some(format!(
            "The stack does not say its version, so it is older than 0.1.0. This command line is version {ours}. Update \
             the stack."
        )),
    }
}

fn delivered(delivered: Delivered) -> String {
    let Delivered { files, bytes, others } = delivered;
    format!("{} files, {}; {} without a file", HumanCount(files), DecimalBytes(bytes), HumanCount(others))
}

fn oldest(snapshot: &Snapshot) -> Table {
    let columns = [("oldest under way", Align::Left), ("started", Align::Left), ("", Align::Left)];
    let mut table = Table::new(&columns);
    for running in &snapshot.oldest {
        let style = match running.doing {
            Doing::Working => Style::Good,
            Doing::WaitsForConnection { .. } => Style::Plain,
            Doing::WaitsForPartner { .. } | Doing::Retries { .. } => Style::Warning,
        };
        let started = rfc3339(running.started);
        table.row([
            running.object_key.as_str().into(),
            started.into(),
            Span::new(style, words(&running.doing)),
        ]);
    }
    table
}

fn words(doing: &Doing) -> String {
    match doing {
        Doing::Working => "a function is at work".into(),
        Doing::WaitsForPartner { since, .. } => format!("waits for the partner since {}", rfc3339(*since)),
        Doing::WaitsForConnection { since } => {
            format!("waits for a free connection since {}", rfc3339(*since))
        }
        Doing::Retries { error, since } => format!("tries again after {error}, since {}", rfc3339(*since)),
    }
}

pub(super) fn json(snapshot: &Snapshot, health: &Health) -> Value {
    let moment = |moment: Option<i64>| moment.map(rfc3339);
    let delivered = |delivered: Delivered| {
        let Delivered { files, bytes, others } = delivered;
        json!({"files": files, "bytes": bytes, "without_file": others})
    };
    json!({
        "health": health.state.name(),
        "in_words": health.words,
        "at": rfc3339(snapshot.now),
        "running": snapshot.running,
        "oldest_running": snapshot.oldest.iter().map(running).collect::<Vec<_>>(),
        "delivered": { "last_hour": delivered(snapshot.hour), "last_day": delivered(snapshot.day) },
        "last_delivery": moment(snapshot.last_delivery),
        "open_failures": {
            "count": snapshot.failures.count(),
            "by_error": snapshot.failures.by_error,
            "oldest": moment(snapshot.failures.oldest),
            "newest": moment(snapshot.failures.newest),
        },
        "oldest_undelivered": moment(snapshot.oldest_undelivered()),
        "undelivered_events": snapshot.undelivered_events,
        "version": { "stack": snapshot.version, "command_line": bridge::VERSION },
    })
}

fn running(running: &Running) -> Value {
    let Running { name, object_key, started, doing } = running;
    let (doing, since, error) = match doing {
        Doing::Working => ("working", None, None),
        Doing::WaitsForPartner { since, .. } => ("waits_for_partner", Some(*since), None),
        Doing::WaitsForConnection { since } => ("waits_for_connection", Some(*since), None),
        Doing::Retries { error, since } => ("retries", Some(*since), Some(error)),
    };
    json!({
        "execution": name, "object_key": object_key, "started": rfc3339(*started), "doing": doing,
        "since": since.map(rfc3339), "error": error,
    })
}

#[cfg(test)]
mod tests {
    use super::super::health::health;
    use super::*;

    #[test]
    fn status_says_when_stack_and_command_line_are_of_different_releases() {
        let said = |stack: Option<&str>| {
            let snapshot = Snapshot { version: stack.map(str::to_owned), ..Snapshot::default() };
            let lines = lines(&snapshot, &health(&snapshot)).into_iter().flatten();
            lines.map(|span| span.text).collect::<Vec<_>>().join(" ")
        };
        assert!(!said(Some(bridge::VERSION)).contains("this command line is version"));
        let other = said(Some("0.0.9"));
        assert!(other.contains("The stack is version 0.0.9"), "{other}");
        assert!(other.contains(&format!("this command line is version {}", bridge::VERSION)), "{other}");
        let unknown = said(None);
        assert!(unknown.contains("does not say its version"), "{unknown}");
    }

    #[test]
    fn programs_get_what_people_get() {
        let snapshot = Snapshot {
            now: 1_795_770_120,
            running: 2,
            oldest: vec![Running {
                name: "e1".into(),
                object_key: "in/k".into(),
                started: 1_795_770_000,
                doing: Doing::Retries { error: "RemoteFailure".into(), since: 1_795_770_060 },
            }],
            ..Snapshot::default()
        };
        let health = health(&snapshot);
        let json = json(&snapshot, &health);
        assert_eq!(json["oldest_undelivered"], "2026-11-27T09:00:00Z");
        let lines = lines(&snapshot, &health);
        let text = |line: &Vec<Span>| line.iter().map(|span| span.text.as_str()).collect::<String>();
        let text: Vec<String> = lines.iter().map(text).collect();
        assert!(text[0].starts_with("ok: 2 deliveries"), "{text:?}");
        let last = text.last().unwrap();
        assert!(last.contains("in/k") && last.contains("after RemoteFailure"), "{last}");
    }
}

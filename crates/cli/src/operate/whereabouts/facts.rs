//! All that is known of one object.

use aws::history::FailedAttempt;
use aws_sdk_sfn::operation::describe_execution::DescribeExecutionOutput;
use aws_sdk_sfn::types::ExecutionStatus;
use bridge::{FailureKey, FailureState, ReceiptKey, unix_seconds};
use serde_json::{Value, json};

use super::entry::{Entry, Event};
use super::verdict::{Told, Verdict, verdict};
use crate::moments::rfc3339;
use crate::operate::holdings::{
    Content, Currency, OpenFailures, ReceiptsBuilder, Rule, Upload, Version, judge,
};

/// All that is known of one object.
#[derive(Default)]
pub(super) struct Facts {
    /// The newest first.
    pub(super) versions: Vec<Version>,
    pub(super) receipts: Vec<(ReceiptKey, Value)>,
    pub(super) failures: Vec<(FailureKey, Value)>,
    pub(super) executions: Vec<ExecutionFacts>,
    /// The running execution of the newest upload, if it was looked for and found.
    pub(super) running: Option<String>,
    /// Records and executions that were not read, because there are too many.
    pub(super) unread: usize,
}

/// What Step Functions knows of an execution.
pub(super) struct ExecutionFacts {
    pub(super) described: DescribeExecutionOutput,
    pub(super) attempts: Vec<FailedAttempt>,
}

impl Facts {
    /// The newest upload, and whether the key still has it.
    pub(super) fn newest(&self) -> Option<(&Upload, Currency)> {
        self.versions.iter().find_map(|version| match &version.content {
            Content::Upload(upload) => Some((upload, version.currency)),
            Content::Deleted { .. } => None,
        })
    }

    /// Whether the records explain the newest upload, so that no running execution needs to be looked for.
    pub(super) fn is_explained(&self, rule: &Rule) -> bool {
        self.newest().is_some_and(|(upload, _)| self.judge(upload, rule).is_some())
    }

    fn judge(&self, upload: &Upload, rule: &Rule) -> Option<crate::operate::holdings::Holding> {
        let (mut receipts, mut failures) = (ReceiptsBuilder::default(), OpenFailures::default());
        self.receipts.iter().for_each(|(key, _)| receipts.add(key));
        let open = self.failures.iter().filter(|(key, _)| key.state == FailureState::Open);
        open.for_each(|(key, _)| failures.add(key));
        judge(upload, &receipts.build(), &mut failures, rule)
    }

    /// The answer.
    pub(super) fn verdict(&self, rule: &Rule) -> Verdict {
        let told = self.newest().map(|(upload, currency)| Told {
            upload,
            currency,
            holding: self.judge(upload, rule),
            running: self.running.as_deref(),
        });
        let mut receipts: Vec<(&ReceiptKey, &Value)> =
            self.receipts.iter().map(|(key, receipt)| (key, receipt)).collect();
        receipts.sort_by_key(|(_, receipt)| std::cmp::Reverse(time(receipt, "finished_at")));
        let open = self.failures.iter().filter(|(key, _)| key.state == FailureState::Open);
        verdict(told.as_ref(), &receipts, open.map(|(key, record)| (key, record)).next_back())
    }

    /// In order of time.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let mut entries: Vec<Entry> = self.versions.iter().map(version).collect();
        entries.extend(self.receipts.iter().map(|(key, record)| receipt(key, record)));
        entries.extend(self.failures.iter().flat_map(|(key, record)| failure(key, record)));
        entries.extend(self.executions.iter().flat_map(execution));
        entries.sort_by_key(|entry| (entry.at, entry.event));
        entries
    }

    pub(super) fn left_out(&self) -> Vec<String> {
        match self.unread {
            0 => Vec::new(),
            unread => vec![format!("{unread} older records and executions of this object are left out")],
        }
    }
}

/// A moment in a record, in seconds since 1970.
fn time(record: &Value, field: &str) -> i64 {
    record[field].as_str().and_then(unix_seconds).unwrap_or_default()
}

fn version(version: &Version) -> Entry {
    let is_current = version.currency == Currency::Current;
    match &version.content {
        Content::Upload(upload) => {
            let mark = upload.mark();
            let now = if is_current { ", current" } else { "" };
            let text = format!("{} bytes, version {}{now}", upload.size, mark.as_str());
            let details = json!({"size": upload.size, "version": mark.as_str(), "is_current": is_current});
            Entry::new(upload.last_modified, Event::Uploaded, text, details)
        }
        Content::Deleted { at, .. } => {
            Entry::new(*at, Event::Deleted, "a delete marker hides the versions before it", json!({}))
        }
    }
}

fn receipt(key: &ReceiptKey, record: &Value) -> Entry {
    let field = |name: &str| record[name].as_str();
    let words = [
        Some(key.outcome.as_str().to_owned()),
        field("reason").map(str::to_owned),
        field("remote_path").map(|path| format!("to {path}")),
        field("proof").map(|proof| format!("proof: {proof}")),
        Some(format!("version {}", key.version.as_str())),
    ];
    let text = words.into_iter().flatten().collect::<Vec<_>>().join(", ");
    Entry::new(time(record, "finished_at"), Event::Receipt, text, record.clone())
}

/// A failure, and what settled it.
fn failure(key: &FailureKey, record: &Value) -> Vec<Entry> {
    let cause = record["cause"].as_str().unwrap_or_default();
    let open = if key.state == FailureState::Open { " (open)" } else { "" };
    let text = format!("{}{open}: {cause}", key.error);
    let at = unix_seconds(&key.recorded_at).unwrap_or_default();
    let mut entries = vec![Entry::new(at, Event::Failure, text, record.clone())];
    if record["settled_at"].is_string() {
        let by = record["settled_by"].as_str().unwrap_or_default();
        let outcome = record["settled_outcome"].as_str().unwrap_or_default();
        let text = format!("the failure of {}: {outcome}, by {}", key.recorded_at, name(by));
        let details = json!({"settled_by": by, "settled_outcome": outcome});
        entries.push(Entry::new(time(record, "settled_at"), Event::Settled, text, details));
    }
    entries
}

fn execution(facts: &ExecutionFacts) -> Vec<Entry> {
    let ExecutionFacts { described, attempts } = facts;
    let arn = described.execution_arn();
    let started = Entry::new(
        described.start_date().secs(),
        Event::Started,
        format!("execution {}", name(arn)),
        json!({"execution": arn}),
    );
    let ended = described.stop_date().filter(|_| *described.status() != ExecutionStatus::Running);
    let ended = ended.map(|stop| {
        let status = described.status().as_str();
        let text = format!("execution {}: {status}", name(arn));
        Entry::new(stop.secs(), Event::Ended, text, json!({"execution": arn, "status": status}))
    });
    let attempts = streaks(attempts).into_iter().map(|streak| attempt(arn, streak));
    [started].into_iter().chain(attempts).chain(ended).collect()
}

/// Attempts of one state that failed with the same error, one after the other.
fn streaks(attempts: &[FailedAttempt]) -> Vec<&[FailedAttempt]> {
    attempts.chunk_by(|one, next| (&one.state, &one.error) == (&next.state, &next.error)).collect()
}

fn attempt(arn: &str, streak: &[FailedAttempt]) -> Entry {
    let (first, last) = (&streak[0], &streak[streak.len() - 1]);
    let times = match streak.len() {
        1 => String::new(),
        count => format!(", {count} times until {}", rfc3339(last.at.secs())),
    };
    let text = format!("{} failed: {}{times}: {}", first.state, first.error, last.message);
    let details = json!({
        "execution": arn, "state": first.state, "error": first.error, "message": last.message,
        "count": streak.len(), "until": rfc3339(last.at.secs()),
    });
    Entry::new(first.at.secs(), Event::Attempt, text, details)
}

/// The last part of an execution's ARN.
fn name(arn: &str) -> &str {
    arn.rsplit(':').next().unwrap_or(arn)
}

#[cfg(test)]
mod tests {
    use bridge::{Outcome, VersionMark};

    use super::*;
    use crate::operate::holdings::tests::upload;

    fn attempts(errors: &[(&str, i64)]) -> Vec<FailedAttempt> {
        let attempt = |(error, at): &(&str, i64)| FailedAttempt {
            state: "Transfer".into(),
            at: aws_sdk_sfn::primitives::DateTime::from_secs(*at),
            error: (*error).into(),
            message: format!("at {at}"),
        };
        errors.iter().map(attempt).collect()
    }

    #[test]
    fn story_215_the_history_is_told_in_order_of_time() {
        let upload = upload("k", "v");
        let described = DescribeExecutionOutput::builder().execution_arn("arn:x:e1");
        let described = described
            .state_machine_arn("arn:m")
            .status(ExecutionStatus::Succeeded)
            .start_date(aws_sdk_sfn::primitives::DateTime::from_secs(upload.last_modified + 1))
            .stop_date(aws_sdk_sfn::primitives::DateTime::from_secs(upload.last_modified + 90));
        let failed = [("ConnectFailed", 5), ("ConnectFailed", 20), ("RemoteFailure", 40)]
            .map(|(error, after)| (error, upload.last_modified + after));
        let finished = json!({"finished_at": rfc3339(upload.last_modified + 89), "proof": "size"});
        let key = ReceiptKey { object: "k".into(), version: upload.mark(), outcome: Outcome::Delivered };
        let facts = Facts {
            versions: vec![Version { content: Content::Upload(upload), currency: Currency::Current }],
            receipts: vec![(key, finished)],
            executions: vec![ExecutionFacts {
                described: described.build().unwrap(),
                attempts: attempts(&failed),
            }],
            ..Facts::default()
        };
        let entries = facts.entries();
        let events: Vec<&str> = entries.iter().map(|entry| entry.event.name()).collect();
        assert_eq!(events, ["uploaded", "started", "attempt", "attempt", "receipt", "ended"]);
        assert!(entries[2].text.contains("2 times until"), "{}", entries[2].text);
        assert!(entries[4].text.contains("proof: size"), "{}", entries[4].text);
    }

    #[test]
    fn a_settled_failure_is_two_lines() {
        let key = FailureKey::open("k", VersionMark::parse("v"), "2026-11-27T09:02:00Z", "RemoteFull", "c");
        let record = json!({
            "cause": "disk full", "settled_at": "2026-11-27T10:00:00Z", "settled_by": "arn:x:e2",
            "settled_outcome": "delivered",
        });
        let lines = failure(&key.clone().in_state(FailureState::Settled), &record);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].text, "RemoteFull: disk full");
        assert!(lines[1].text.ends_with("delivered, by e2"), "{}", lines[1].text);
        assert_eq!(failure(&key, &json!({"cause": "disk full"}))[0].text, "RemoteFull (open): disk full");
    }
}

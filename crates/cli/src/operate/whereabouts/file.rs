//! `where sftp://HOST/PATH`: what became of a file that is collected.

use std::collections::BTreeSet;

use aws_sdk_sfn::types::ExecutionStatus;
use bridge::collect::{CollectOutcome, RemoteFile};
use bridge::{CollectReceiptKey, FailureKey, FailureState, Started, object_part};
use serde_json::Value;

use super::entry::{Entry, Event};
use super::facts::{self, ExecutionFacts};
use super::gather::{self, EXECUTIONS_MAX, RECORDS_MAX};
use super::verdict::Verdict;
use crate::operate::executions::Executions;
use crate::operate::operator::Operator;
use crate::operate::problem::{Answer, Problem};
use crate::operate::records::Records;

/// All that is known of a file, of every size and time.
#[derive(Default)]
pub(super) struct FileFacts {
    receipts: Vec<(CollectReceiptKey, Value)>,
    failures: Vec<(FailureKey, Value)>,
    executions: Vec<ExecutionFacts>,
    /// ARN of an execution that collects it now.
    running: Option<String>,
    /// Records and executions that were not read, because there are too many.
    unread: usize,
}

/// Reads all that is known of the file of this name.
pub(super) async fn facts(operator: &Operator, url: &str) -> Result<FileFacts, Problem> {
    let executions = operator
        .collections
        .as_ref()
        .ok_or_else(|| Problem::Usage(format!("the stack {:?} collects nothing", operator.stack.name())))?;
    let mut facts = FileFacts::default();
    facts.read_receipts(&operator.records, url).await?;
    let (failures, unread) = gather::failures(&operator.records, url).await?;
    (facts.failures, facts.unread) = (failures, facts.unread + unread);
    facts.running = running(executions, url).await?;
    let arns = facts.arns();
    facts.unread += arns.len().saturating_sub(EXECUTIONS_MAX);
    for arn in arns.iter().rev().take(EXECUTIONS_MAX) {
        facts.executions.extend(gather::execution(executions, arn).await?);
    }
    Ok(facts)
}

/// An execution that collects this file now. Its name begins with that of the file, unless a person or `redrive` chose it.
async fn running(executions: &Executions, url: &str) -> Result<Option<String>, Problem> {
    let named = name_of(url).execution_name();
    let beginning = named.rsplit_once('-').map_or(named.as_str(), |(beginning, _)| beginning);
    let mut pages = executions.list(Some(ExecutionStatus::Running));
    while let Some(page) = pages.page().await? {
        for execution in page {
            let is_likely = execution.name.starts_with(beginning) || execution.name.starts_with("rerun-");
            if !is_likely {
                continue;
            }
            let described = executions.describe(&execution.execution_arn).await?;
            let input = described.and_then(|described| serde_json::from_str(described.input()?).ok());
            if let Some(Ok(Started::File(file))) = input.map(Started::of)
                && file.url() == url
            {
                return Ok(Some(execution.execution_arn));
            }
        }
    }
    Ok(None)
}

/// A file with this name, of no size.
fn name_of(url: &str) -> RemoteFile {
    let (host, directory, path) = (String::new(), String::new(), url.to_owned());
    RemoteFile { host, directory, path, size: 0, modified: None }
}

impl FileFacts {
    async fn read_receipts(&mut self, records: &Records, url: &str) -> Result<(), Problem> {
        let (mut keys, name) = (Vec::new(), object_part(url));
        let mut pages = records.collections_of_file(url);
        while let Some(page) = pages.page().await? {
            keys.extend(page.into_iter().filter(|key| key.file == name));
        }
        self.unread += keys.len().saturating_sub(RECORDS_MAX);
        for key in keys.into_iter().take(RECORDS_MAX) {
            if let Some(record) = records.get(&key.to_string()).await? {
                self.receipts.push((key, record));
            }
        }
        self.receipts.sort_by_key(|(_, receipt)| facts::time(receipt, "finished_at"));
        Ok(())
    }

    /// The executions that the records name, and the running one.
    fn arns(&self) -> Vec<String> {
        let named = |record: &Value, field: &str| record[field].as_str().map(str::to_owned);
        let receipts = self.receipts.iter().filter_map(|(_, record)| named(record, "execution_id"));
        let failures = self.failures.iter().filter_map(|(_, record)| named(record, "execution"));
        let mut seen = BTreeSet::new();
        // What `s3-sftp-bridge collect` has collected has no ARN.
        let arns = receipts.chain(failures).chain(self.running.clone());
        arns.filter(|arn| arn.starts_with("arn:") && seen.insert(arn.clone())).collect()
    }

    /// The answer.
    pub(super) fn verdict(&self) -> Verdict {
        let open = self.failures.iter().rev().find(|(key, _)| key.state == FailureState::Open);
        match (&self.running, open, self.receipts.last()) {
            (Some(arn), ..) => {
                let name = facts::name(arn);
                let words = format!("is being collected, or waits for the partner: execution {name}");
                Verdict::new("under_way", words, Answer::Owed)
            }
            (None, Some((key, record)), _) => {
                let cause = record["cause"].as_str().unwrap_or_default();
                let words = format!("was not collected: {} at {}: {cause}", key.error, key.recorded_at);
                Verdict::new("failed", words, Answer::Owed)
            }
            (None, None, Some((key, receipt))) => ended(key.outcome, receipt),
            (None, None, None) => {
                let words = "is in no record, and no running execution tells of it. A file of the last minutes may not \
                             have been seen yet, and old records expire: s3-sftp-bridge list says what the server has";
                Verdict::new("unknown", words, Answer::Owed)
            }
        }
    }

    /// In order of time.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let mut entries: Vec<Entry> =
            self.receipts.iter().map(|(key, record)| receipt(key, record)).collect();
        entries.extend(self.failures.iter().flat_map(|(key, record)| facts::failure(key, record)));
        entries.extend(self.executions.iter().flat_map(facts::execution));
        entries.sort_by_key(|entry| (entry.at, entry.event));
        entries
    }

    pub(super) fn unread(&self) -> usize {
        self.unread
    }
}

/// How the last collection of the name ended.
fn ended(outcome: CollectOutcome, receipt: &Value) -> Verdict {
    let at = receipt["finished_at"].as_str().unwrap_or("an unknown time");
    let reason = receipt["reason"].as_str().map(|reason| format!(": {reason}")).unwrap_or_default();
    match outcome {
        CollectOutcome::Collected | CollectOutcome::AlreadyCollected => {
            let afterwards = receipt["afterwards"].as_str().map(|words| format!("; {words}"));
            let to = object(receipt).map(|object| format!(" to {object}")).unwrap_or_default();
            let bytes = receipt["file"]["size"].as_u64().unwrap_or_default();
            let words = format!("at {at}{to} ({bytes} bytes{})", afterwards.unwrap_or_default());
            Verdict::new("collected", words, Answer::Fine)
        }
        CollectOutcome::Changed => {
            let words =
                format!("changed before it was read to its end, at {at}{reason}; the next look takes it");
            Verdict::new("changed", words, Answer::Owed)
        }
        CollectOutcome::Gone => {
            Verdict::new("gone", format!("was gone before it was read, at {at}{reason}"), Answer::Fine)
        }
        CollectOutcome::Skipped => {
            Verdict::new("passed_over", format!("was not collected, at {at}{reason}"), Answer::Fine)
        }
    }
}

/// `s3://BUCKET/KEY` of what the file became.
fn object(receipt: &Value) -> Option<String> {
    let object = &receipt["object"];
    Some(format!("s3://{}/{}", object["bucket"].as_str()?, object["object_key"].as_str()?))
}

fn receipt(key: &CollectReceiptKey, record: &Value) -> Entry {
    let field = |name: &str| record[name].as_str().map(str::to_owned);
    let words = [
        Some(key.outcome.as_str().to_owned()),
        field("reason"),
        object(record).map(|object| format!("to {object}")),
        field("afterwards"),
        Some(format!("size and time {}", key.version.as_str())),
    ];
    let text = words.into_iter().flatten().collect::<Vec<_>>().join(", ");
    Entry::new(facts::time(record, "finished_at"), Event::Receipt, text, record.clone())
}

#[cfg(test)]
mod tests {
    use bridge::VersionMark;
    use serde_json::json;

    use super::*;

    const URL: &str = "sftp://h/out/a.csv";

    fn facts(outcomes: &[(CollectOutcome, &str)]) -> FileFacts {
        let receipt = |(outcome, at): &(CollectOutcome, &str)| {
            let version = VersionMark::parse("5-7");
            let record = json!({
                "finished_at": at, "file": {"size": 5}, "object": {"bucket": "b", "object_key": "in/a.csv"},
                "afterwards": "deleted",
            });
            (CollectReceiptKey { file: URL.into(), version, outcome: *outcome }, record)
        };
        FileFacts { receipts: outcomes.iter().map(receipt).collect(), ..FileFacts::default() }
    }

    #[test]
    fn the_first_line_says_whether_when_and_where() {
        let collected = facts(&[
            (CollectOutcome::Changed, "2026-11-27T09:00:00Z"),
            (CollectOutcome::Collected, "2026-11-27T09:02:00Z"),
        ]);
        let words =
            "collected: sftp://h/out/a.csv at 2026-11-27T09:02:00Z to s3://b/in/a.csv (5 bytes; deleted)";
        assert_eq!(collected.verdict().in_words(&URL), words);
        assert_eq!(collected.verdict().answer(), Answer::Fine);
        let events: Vec<&str> = collected.entries().iter().map(|entry| entry.event.name()).collect();
        assert_eq!(events, ["receipt", "receipt"]);
    }

    #[test]
    fn what_is_under_way_or_failed_is_owed() {
        let key =
            FailureKey::open(URL, VersionMark::parse("6-8"), "2026-11-27T10:00:00Z", "RemoteUnreadable", "c");
        let collected = facts(&[(CollectOutcome::Collected, "2026-11-27T09:02:00Z")]);
        let mut failed = FileFacts { failures: vec![(key, json!({"cause": "no"}))], ..collected };
        let words =
            "failed: sftp://h/out/a.csv was not collected: RemoteUnreadable at 2026-11-27T10:00:00Z: no";
        assert_eq!(
            (failed.verdict().in_words(&URL).as_str(), failed.verdict().answer()),
            (words, Answer::Owed)
        );
        failed.running = Some("arn:aws:states:eu-west-1:1:execution:collect:a.csv-0f".into());
        assert!(failed.verdict().in_words(&URL).starts_with("under way: "), "{:?}", failed.verdict());
        assert_eq!((facts(&[]).verdict().name(), facts(&[]).verdict().answer()), ("unknown", Answer::Owed));
    }

    #[test]
    fn an_execution_is_found_by_the_beginning_of_its_name() {
        let directory = "out".to_owned();
        let file =
            RemoteFile { host: "h".into(), directory, path: "a.csv".into(), size: 5, modified: Some(7) };
        let beginning = |file: &RemoteFile| {
            let name = file.execution_name();
            name.rsplit_once('-').unwrap().0.to_owned()
        };
        assert_eq!(beginning(&name_of(&file.url())), beginning(&file));
    }
}

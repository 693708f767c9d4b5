//! Failures of the same kind.

use std::collections::BTreeMap;

use bridge::{FailureKey, FailureState, Place};
use serde::Serialize;
use serde_json::Value;

use super::super::operator::Operator;
use super::super::problem::Problem;

/// Maximum number of groups whose example is read, with one GET each.
const EXAMPLES_MAX: usize = 10;

/// Failures with the same error whose causes differ only in what differs from file to file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Group {
    pub(super) error: String,
    /// Hash of the cause; the same in the keys of the records.
    pub(super) cause_kind: String,
    pub(super) open: usize,
    pub(super) settled: usize,
    /// When the first of them was recorded.
    pub(super) oldest: String,
    pub(super) newest: String,
    /// The newest record. Absent if it was not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) example: Option<Example>,
    pub(super) what_to_do: &'static str,
    pub(super) runbook: String,
    pub(super) redrive_command: String,
    #[serde(skip)]
    newest_key: FailureKey,
}

/// One failure of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Example {
    /// `s3://…` of the record.
    pub(super) record: String,
    pub(super) object: Option<String>,
    pub(super) cause: Option<String>,
}

impl Group {
    fn new(failure: &FailureKey) -> Self {
        Self {
            error: failure.error.clone(),
            cause_kind: failure.cause.clone(),
            open: 0,
            settled: 0,
            oldest: failure.recorded_at.clone(),
            newest: failure.recorded_at.clone(),
            example: None,
            what_to_do: bridge::what_to_do(&failure.error, Place::Stack),
            runbook: bridge::runbook_section(&failure.error),
            redrive_command: String::new(),
            newest_key: failure.clone(),
        }
    }

    fn add(&mut self, failure: &FailureKey) {
        match failure.state {
            FailureState::Open => self.open += 1,
            FailureState::Settled => self.settled += 1,
        }
        if failure.recorded_at < self.oldest {
            self.oldest.clone_from(&failure.recorded_at);
        }
        // An open one is the better example.
        let rank = |failure: &FailureKey| (failure.state == FailureState::Open, failure.recorded_at.clone());
        if rank(failure) > rank(&self.newest_key) {
            self.newest_key = failure.clone();
        }
        if failure.recorded_at > self.newest {
            self.newest.clone_from(&failure.recorded_at);
        }
    }

    /// For people.
    pub(super) fn cause(&self) -> &str {
        let cause = self.example.as_ref().and_then(|example| example.cause.as_deref());
        cause.unwrap_or("(not read; see failures show)")
    }
}

/// The largest group first.
pub(super) fn of(failures: &[FailureKey]) -> Vec<Group> {
    let mut groups: BTreeMap<(&str, &str), Group> = BTreeMap::new();
    for failure in failures {
        let group = groups.entry((&failure.error, &failure.cause)).or_insert_with(|| Group::new(failure));
        group.add(failure);
    }
    let mut groups: Vec<Group> = groups.into_values().collect();
    groups.sort_by_key(|group| std::cmp::Reverse((group.open, group.settled)));
    groups
}

/// Adds an example to the first groups, and to each the command that redrives it.
pub(super) async fn explained(
    groups: Vec<Group>,
    operator: &Operator,
    redrive_command: &str,
) -> Result<Vec<Group>, Problem> {
    let mut explained = Vec::new();
    for (index, group) in groups.into_iter().enumerate() {
        let example = if index < EXAMPLES_MAX { example(operator, &group).await? } else { None };
        let redrive_command = format!("{redrive_command} --error {}", group.error);
        explained.push(Group { example, redrive_command, ..group });
    }
    Ok(explained)
}

async fn example(operator: &Operator, group: &Group) -> Result<Option<Example>, Problem> {
    let key = group.newest_key.to_string();
    let record = operator.records.get(&key).await?;
    Ok(record.map(|record| {
        let text = |field: &str| record.get(field).and_then(Value::as_str).map(str::to_owned);
        Example {
            record: format!("s3://{}/{key}", operator.records.bucket()),
            object: text("object"),
            cause: text("cause"),
        }
    }))
}

#[cfg(test)]
mod tests {
    use bridge::VersionMark;

    use super::*;

    #[test]
    fn failures_of_one_kind_are_one_group() {
        let failure = |key: &str, second: u32, error: &str, cause: &str| {
            let version = VersionMark::new(Some("v"), None, None);
            let at = format!("2026-11-27T09:00:{second:02}Z");
            FailureKey::open(key, version, &at, error, cause).of_execution("e", 0)
        };
        let refused = |key: &str, second| {
            failure(key, second, "ConnectFailed", &format!("{key}: TCP to 192.0.2.1:22: refused"))
        };
        let settled = refused("in/d.txt", 9).in_state(FailureState::Settled);
        let full = failure("in/e.txt", 1, "RemoteFull", "disk full");
        let groups =
            of(&[refused("in/a.txt", 5), refused("in/b.txt", 3), full, refused("in/c.txt", 4), settled]);
        let [first, second] = &groups[..] else { panic!("{groups:?}") };
        assert_eq!((first.error.as_str(), first.open, first.settled), ("ConnectFailed", 3, 1));
        assert_eq!(
            (first.oldest.as_str(), first.newest.as_str()),
            ("2026-11-27T09:00:03Z", "2026-11-27T09:00:09Z")
        );
        assert_eq!(first.newest_key.object, "in/a.txt", "the newest open one");
        assert_eq!((second.error.as_str(), second.open), ("RemoteFull", 1));
        assert!(second.what_to_do.contains("redrive"), "{second:?}");
    }
}

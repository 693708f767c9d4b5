//! Reads all that is known of one object.

use aws::history::failed_attempts;
use std::collections::BTreeSet;

use aws_sdk_sfn::types::ExecutionStatus;
use bridge::{FailureKey, FailureState, object_part};
use serde_json::Value;

use super::facts::{ExecutionFacts, Facts};
use crate::operate::executions::Executions;
use crate::operate::holdings::{Content, Rule, Unexplained, Version, Versions};
use crate::operate::operator::Operator;
use crate::operate::problem::Problem;
use crate::operate::records::Records;
use crate::operate::running;

/// Maximum number of versions, receipts and failures that are read, of each.
pub(super) const RECORDS_MAX: usize = 100;
/// Maximum number of executions that are looked up: the last ones.
pub(super) const EXECUTIONS_MAX: usize = 20;
/// Maximum number of events that are read of an execution, from the end of its history.
const EVENTS_MAX: i32 = 1_000;

pub(super) async fn facts(operator: &Operator, rule: &Rule, object_key: &str) -> Result<Facts, Problem> {
    let (versions, records) = tokio::try_join!(
        versions(operator, &rule.bucket, object_key),
        read_records(&operator.records, object_key)
    )?;
    let mut facts = Facts { versions, ..records };
    if !facts.is_explained(rule)
        && let Some((upload, _)) = facts.newest()
    {
        let mut unexplained = Unexplained::new(&rule.bucket, vec![upload.clone()]);
        running::look_for(&operator.executions, &mut unexplained).await?;
        facts.running = unexplained.into_uploads().find_map(|(_, execution)| execution);
    }
    let arns = arns(&facts);
    facts.unread += arns.len().saturating_sub(EXECUTIONS_MAX);
    for arn in arns.iter().rev().take(EXECUTIONS_MAX) {
        facts.executions.extend(execution(&operator.executions, arn).await?);
    }
    // A failed execution may have been redriven.
    facts.running = facts.running.take().or_else(|| redriven(&facts));
    Ok(facts)
}

/// The versions of exactly this key, the newest first.
async fn versions(operator: &Operator, bucket: &str, object_key: &str) -> Result<Vec<Version>, Problem> {
    let key_of = |version: &Version| match &version.content {
        Content::Upload(upload) => upload.object_key.clone(),
        Content::Deleted { object_key, .. } => object_key.clone(),
    };
    let mut pages = Versions::new(&operator.s3, bucket, object_key);
    let mut versions = Vec::new();
    while versions.len() < RECORDS_MAX
        && let Some(page) = pages.page().await?
    {
        // The key comes before longer keys that begin with it.
        let is_end = page.iter().any(|version| key_of(version) != object_key);
        versions.extend(page.into_iter().filter(|version| key_of(version) == object_key));
        if is_end {
            break;
        }
    }
    versions.truncate(RECORDS_MAX);
    Ok(versions)
}

async fn read_records(records: &Records, object_key: &str) -> Result<Facts, Problem> {
    let (mut facts, object) = (Facts::default(), object_part(object_key));
    let mut receipts = Vec::new();
    let mut pages = records.receipts_of_object(object_key);
    while let Some(page) = pages.page().await? {
        receipts.extend(page.into_iter().filter(|key| key.object == object));
    }
    facts.unread += receipts.len().saturating_sub(RECORDS_MAX);
    for key in receipts.into_iter().take(RECORDS_MAX) {
        if let Some(record) = records.get(&key.to_string()).await? {
            facts.receipts.push((key, record));
        }
    }
    let (failures, unread) = failures(records, object_key).await?;
    (facts.failures, facts.unread) = (failures, facts.unread + unread);
    Ok(facts)
}

/// The last failures of what is named so in records, and the number of those that were not read.
pub(super) async fn failures(
    records: &Records,
    name: &str,
) -> Result<(Vec<(FailureKey, Value)>, usize), Problem> {
    let (mut read, mut unread, object) = (Vec::new(), 0, object_part(name));
    for state in [FailureState::Settled, FailureState::Open] {
        let mut failures = Vec::new();
        let mut pages = records.failures_of_object(state, name);
        while let Some(page) = pages.page().await? {
            failures.extend(page.into_iter().filter(|key| key.object == object));
        }
        failures.sort_by(|one, other| one.recorded_at.cmp(&other.recorded_at));
        let left_out = failures.len().saturating_sub(RECORDS_MAX);
        unread += left_out;
        for key in failures.into_iter().skip(left_out) {
            if let Some(record) = records.get(&key.to_string()).await? {
                read.push((key, record));
            }
        }
    }
    Ok((read, unread))
}

/// The executions that the records name, and the running one.
fn arns(facts: &Facts) -> Vec<String> {
    let named = |record: &Value, field: &str| record[field].as_str().map(str::to_owned);
    let receipts = facts.receipts.iter().filter_map(|(_, record)| named(record, "execution_id"));
    let failures = facts.failures.iter().filter_map(|(_, record)| named(record, "execution"));
    let mut seen = BTreeSet::new();
    // What `s3-sftp-bridge deliver` has delivered has no ARN.
    let arns = receipts.chain(failures).chain(facts.running.clone()).filter(|arn| arn.starts_with("arn:"));
    arns.filter(|arn| seen.insert(arn.clone())).collect()
}

/// The execution of an open failure, if it runs again.
fn redriven(facts: &Facts) -> Option<String> {
    let is_open = |(key, _): &&(FailureKey, Value)| key.state == FailureState::Open;
    let failed: BTreeSet<&str> = facts
        .failures
        .iter()
        .filter(is_open)
        .filter_map(|(_, record)| record["execution"].as_str())
        .collect();
    let mut running = facts.executions.iter().map(|execution| &execution.described);
    let running =
        running.find(|it| *it.status() == ExecutionStatus::Running && failed.contains(it.execution_arn()));
    running.map(|execution| execution.execution_arn().to_owned())
}

pub(super) async fn execution(executions: &Executions, arn: &str) -> Result<Option<ExecutionFacts>, Problem> {
    let Some(described) = executions.describe(arn).await? else { return Ok(None) };
    let mut events = executions.last_events(arn, EVENTS_MAX).await?;
    events.reverse();
    Ok(Some(ExecutionFacts { described, attempts: failed_attempts(&events) }))
}

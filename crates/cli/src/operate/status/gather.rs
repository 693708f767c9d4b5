//! Reads what is known now.

use std::collections::VecDeque;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_sdk_sfn::types::{ExecutionListItem, ExecutionStatus};
use bridge::{FailureState, ObjectCreated};
use serde_json::Value;

use super::snapshot::{DAY, Failures, Running, Snapshot};
use crate::moments::rfc3339;
use crate::operate::executions::Executions;
use crate::operate::history::doing;
use crate::operate::operator::Operator;
use crate::operate::problem::Problem;
use crate::operate::records::Records;

/// Number of running executions that are looked at: the oldest.
const OLDEST_MAX: usize = 20;
/// Number of events that are read of the oldest execution, from the end of its history. It tells since when it waits.
const EVENTS_OF_OLDEST: i32 = 1_000;
/// The same for the others.
const EVENTS: i32 = 50;

pub(super) async fn snapshot(operator: &Operator) -> Result<Snapshot, Problem> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let now = i64::try_from(now).unwrap_or_default();
    let (delivered, failures, undelivered_events, (running, oldest)) = tokio::try_join!(
        delivered(&operator.records, now),
        failures(&operator.records),
        operator.undelivered.count(),
        running(&operator.executions, now)
    )?;
    let host = operator.stack.parameter("SftpHost").to_owned();
    let version = operator.stack.version().map(str::to_owned);
    Ok(Snapshot { host, version, running, oldest, failures, undelivered_events, ..delivered })
}

/// What was delivered in the last day.
async fn delivered(records: &Records, now: i64) -> Result<Snapshot, Problem> {
    let mut snapshot = Snapshot { now, ..Snapshot::default() };
    let (yesterday, today) = (rfc3339(now - DAY), rfc3339(now));
    let mut days = vec![records.receipts_from(&yesterday)];
    if yesterday[..10] != today[..10] {
        days.push(records.receipts_of_day(&today[..10]));
    }
    for mut pages in days {
        while let Some(page) = pages.page().await? {
            page.iter().for_each(|receipt| snapshot.add(receipt));
        }
    }
    Ok(snapshot)
}

async fn failures(records: &Records) -> Result<Failures, Problem> {
    let mut failures = Failures::default();
    let mut pages = records.failures(FailureState::Open, "");
    while let Some(page) = pages.page().await? {
        page.iter().for_each(|failure| failures.add(failure));
    }
    Ok(failures)
}

/// Counts the running executions, and looks at the oldest.
async fn running(executions: &Executions, now: i64) -> Result<(u64, Vec<Running>), Problem> {
    let mut count = 0;
    let mut oldest: VecDeque<ExecutionListItem> = VecDeque::new();
    let mut pages = executions.list(Some(ExecutionStatus::Running));
    while let Some(page) = pages.page().await? {
        count += page.len() as u64;
        // The newest come first.
        oldest.extend(page);
        oldest.drain(..oldest.len().saturating_sub(OLDEST_MAX));
    }
    let mut looked_at = Vec::new();
    for (index, item) in oldest.iter().rev().enumerate() {
        let events = if index == 0 { EVENTS_OF_OLDEST } else { EVENTS };
        looked_at.extend(look(executions, item, events, now).await?);
    }
    Ok((count, looked_at))
}

/// `None` if it has ended meanwhile.
async fn look(
    executions: &Executions,
    item: &ExecutionListItem,
    events: i32,
    now: i64,
) -> Result<Option<Running>, Problem> {
    let Some(described) = executions.describe(&item.execution_arn).await? else { return Ok(None) };
    if *described.status() != ExecutionStatus::Running {
        return Ok(None);
    }
    let mut events = executions.last_events(&item.execution_arn, events).await?;
    events.reverse();
    let event = described.input().and_then(|input| serde_json::from_str::<Value>(input).ok());
    let event = event.and_then(|event| ObjectCreated::from_event(event).ok());
    Ok(Some(Running {
        name: item.name.clone(),
        object_key: event.map(|event| event.object_key).unwrap_or_default(),
        started: item.start_date.secs(),
        doing: doing(&events, now),
    }))
}

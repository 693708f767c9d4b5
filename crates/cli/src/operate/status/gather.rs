//! Reads what is known now.

use std::collections::VecDeque;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_sdk_sfn::types::{ExecutionListItem, ExecutionStatus};
use bridge::{FailureState, Started};
use serde_json::Value;

use super::snapshot::{Collecting, DAY, Failures, Running, Snapshot};
use crate::moments::rfc3339;
use crate::operate::direction::Direction;
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
    let (receipts, failures, undelivered_events, (deliveries, mut oldest)) = tokio::try_join!(
        receipts(operator, now),
        failures(&operator.records),
        operator.undelivered.count(),
        running(&operator.executions, Direction::Delivery, now)
    )?;
    let mut collecting = receipts.collecting.clone();
    if let Some(collecting) = &mut collecting {
        for (executions, direction, count) in [
            (&operator.collections, Direction::Collection, &mut collecting.running),
            (&operator.looks, Direction::Look, &mut collecting.looks),
        ] {
            let Some(executions) = executions else { continue };
            let others;
            (*count, others) = running(executions, direction, now).await?;
            oldest.extend(others);
        }
        oldest.sort_by_key(|running| running.started);
        oldest.truncate(OLDEST_MAX);
    }
    let host = operator.stack.parameter("SftpHost").to_owned();
    let version = operator.stack.version().map(str::to_owned);
    Ok(Snapshot {
        host,
        version,
        running: deliveries,
        oldest,
        failures,
        undelivered_events,
        collecting,
        ..receipts
    })
}

/// What was delivered and collected in the last day.
async fn receipts(operator: &Operator, now: i64) -> Result<Snapshot, Problem> {
    let records = &operator.records;
    let mut snapshot = Snapshot { now, ..Snapshot::default() };
    let (yesterday, today) = (rfc3339(now - DAY), rfc3339(now));
    let is_another_day = yesterday[..10] != today[..10];
    let today = &today[..10];
    let days =
        [Some(records.receipts_from(&yesterday)), is_another_day.then(|| records.receipts_of_day(today))];
    for mut pages in days.into_iter().flatten() {
        while let Some(page) = pages.page().await? {
            page.iter().for_each(|receipt| snapshot.add(receipt));
        }
    }
    if !operator.stack.collects() {
        return Ok(snapshot);
    }
    snapshot.collecting = Some(Collecting::default());
    let days =
        [Some(records.collected_from(&yesterday)), is_another_day.then(|| records.collected_on(today))];
    for mut pages in days.into_iter().flatten() {
        while let Some(page) = pages.page().await? {
            page.iter().for_each(|receipt| snapshot.add_collected(receipt));
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
async fn running(
    executions: &Executions,
    direction: Direction,
    now: i64,
) -> Result<(u64, Vec<Running>), Problem> {
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
        looked_at.extend(look(executions, direction, item, events, now).await?);
    }
    Ok((count, looked_at))
}

/// `None` if it has ended meanwhile.
async fn look(
    executions: &Executions,
    direction: Direction,
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
    let input = described.input().and_then(|input| serde_json::from_str::<Value>(input).ok());
    let object_key = match input.and_then(|input| Started::of(input).ok()) {
        Some(Started::Object(object)) => object.object_key,
        Some(Started::File(file)) => file.url(),
        Some(Started::Look) => "(a look at the directory)".to_owned(),
        None => String::new(),
    };
    let (name, started) = (item.name.clone(), item.start_date.secs());
    Ok(Some(Running { direction, name, object_key, started, doing: doing(&events, now) }))
}

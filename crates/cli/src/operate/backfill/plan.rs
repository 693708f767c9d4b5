//! What is to be started.

use bridge::Outcome;

use super::candidates::Found;
use super::earlier::{Earlier, Next};
use super::event;
use crate::operate::holdings::{Ledger, Upload};
use crate::operate::operator::Operator;
use crate::operate::problem::Problem;
use crate::operate::progress;

/// Up to this many deliveries are started from here.
const DIRECT_MAX: usize = 300;

/// Who starts the deliveries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Way {
    /// This command, all at once.
    #[default]
    Direct,
    /// The state machine, a few at the same time.
    Machine,
}

/// Whether what has a receipt is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receipted {
    LeaveOut,
    Include,
}

/// What is to be started, and why not the rest.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Oldest uploads first. The order decides which deliveries two backfills wait for: it must be the same each time.
    pub(super) items: Vec<Item>,
    pub(super) passed_over: usize,
    pub(super) older: usize,
    pub(super) missing: Vec<String>,
    /// Delivered, as a receipt says.
    pub(super) delivered: usize,
    /// Delivered by an earlier backfill.
    pub(super) started: usize,
    /// With an open failure record.
    pub(super) failed: usize,
    pub(super) way: Way,
}

/// A delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) name: String,
    /// The input of its execution: JSON.
    pub(super) input: String,
    pub(super) standing: Standing,
}

/// Whether it was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    New,
    UnderWay,
}

impl Plan {
    pub(super) fn new_items(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(|item| item.standing == Standing::New)
    }

    pub(super) fn under_way(&self) -> usize {
        self.items.len() - self.new_items().count()
    }
}

/// Holds what was found against the records and the executions.
pub(super) async fn make(
    operator: &Operator,
    found: Found,
    prefix: &str,
    receipted: Receipted,
) -> Result<Plan, Problem> {
    let bar = progress::counting("reading records");
    let mut ledger = match receipted {
        Receipted::LeaveOut => Ledger::below(&operator.records, prefix, &bar).await?,
        Receipted::Include => Ledger::owed_below(&operator.records, prefix).await?,
    };
    bar.finish_and_clear();
    let earlier = Earlier::of(&operator.executions, &operator.backfills).await?;
    let Found { mut uploads, passed_over, older, missing } = found;
    uploads.sort_by(|a, b| (a.last_modified, &a.object_key).cmp(&(b.last_modified, &b.object_key)));
    let mut plan = Plan { passed_over, older, missing, ..Plan::default() };
    for upload in uploads {
        if matches!(ledger.receipts.outcome(&upload), Some(Outcome::Delivered | Outcome::AlreadyDelivered)) {
            plan.delivered += 1;
        } else if ledger.failures.of(&upload).is_some() {
            plan.failed += 1;
        } else if let Some(item) = item(operator.stack.bucket(), &upload, &earlier) {
            plan.items.push(item);
        } else {
            plan.started += 1;
        }
    }
    // A backfill that was stopped goes on as it began: its deliveries may be under way. One that runs must not be overtaken.
    if earlier.has_unfinished() || plan.new_items().count() > DIRECT_MAX {
        plan.way = Way::Machine;
    }
    Ok(plan)
}

/// `None` if an earlier backfill has delivered it.
fn item(bucket: &str, upload: &Upload, earlier: &Earlier) -> Option<Item> {
    let (name, standing) = match earlier.next(event::first_name(bucket, upload)) {
        Next::New(name) => (name, Standing::New),
        Next::UnderWay(name) => (name, Standing::UnderWay),
        Next::Succeeded => return None,
    };
    Some(Item { name, input: event::event(bucket, upload).to_string(), standing })
}

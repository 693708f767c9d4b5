//! What is known at one moment.

use std::collections::BTreeMap;

use bridge::{DayReceiptKey, FailureKey, Outcome, unix_seconds};

use crate::operate::history::Doing;

/// What is known at one moment. Times are in seconds since 1970.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    pub(super) now: i64,
    /// The partner's server.
    pub(super) host: String,
    /// The release that is deployed, if the stack says it.
    pub(super) version: Option<String>,
    /// Number of running executions.
    pub(super) running: u64,
    /// The oldest of them, the oldest first.
    pub(super) oldest: Vec<Running>,
    pub(super) hour: Delivered,
    pub(super) day: Delivered,
    /// When the last file was delivered, if that was in the last day.
    pub(super) last_delivery: Option<i64>,
    pub(super) failures: Failures,
    /// Events that were not delivered: an upload was not started, or a failure not recorded.
    pub(super) undelivered_events: u64,
}

/// A running execution.
#[derive(Clone, Debug)]
pub(super) struct Running {
    pub(super) name: String,
    pub(super) object_key: String,
    pub(super) started: i64,
    pub(super) doing: Doing,
}

/// What was delivered in some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Delivered {
    pub(super) files: u64,
    pub(super) bytes: u64,
    /// Deliveries that ended without sending a file.
    pub(super) others: u64,
}

/// Open failures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Failures {
    pub(super) by_error: BTreeMap<String, u64>,
    pub(super) oldest: Option<i64>,
    pub(super) newest: Option<i64>,
}

const HOUR: i64 = 3_600;
/// What is counted at most.
pub(super) const DAY: i64 = 24 * HOUR;

impl Snapshot {
    /// Counts a receipt.
    pub(super) fn add(&mut self, receipt: &DayReceiptKey) {
        let Some(at) = unix_seconds(&receipt.finished_at) else { return };
        let age = self.now - at;
        if age > DAY {
            return;
        }
        self.day.add(receipt);
        if age <= HOUR {
            self.hour.add(receipt);
        }
        if receipt.outcome == Outcome::Delivered {
            self.last_delivery = self.last_delivery.max(Some(at));
        }
    }

    /// When the oldest file that the partner does not have was announced or failed.
    pub(super) fn oldest_undelivered(&self) -> Option<i64> {
        let running = self.oldest.first().map(|running| running.started);
        [running, self.failures.oldest].into_iter().flatten().min()
    }
}

impl Delivered {
    fn add(&mut self, receipt: &DayReceiptKey) {
        if receipt.outcome == Outcome::Delivered {
            self.files += 1;
            self.bytes += receipt.bytes;
        } else {
            self.others += 1;
        }
    }
}

impl Failures {
    pub(super) fn add(&mut self, failure: &FailureKey) {
        *self.by_error.entry(failure.error.clone()).or_default() += 1;
        if let Some(at) = unix_seconds(&failure.recorded_at) {
            self.oldest = Some(self.oldest.map_or(at, |oldest| oldest.min(at)));
            self.newest = self.newest.max(Some(at));
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.by_error.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn story_218_the_last_hour_is_part_of_the_last_day() {
        let mut snapshot = Snapshot { now: 1_795_770_120, ..Snapshot::default() };
        for (finished_at, outcome, bytes) in [
            ("2026-11-27T08:30:00Z", Outcome::Delivered, 10),
            ("2026-11-27T08:40:00Z", Outcome::Skipped, 5),
            ("2026-11-26T10:00:00Z", Outcome::Delivered, 100),
            ("2026-11-26T09:01:00Z", Outcome::Delivered, 1_000),
        ] {
            snapshot.add(&DayReceiptKey {
                finished_at: finished_at.into(),
                outcome,
                bytes,
                execution: "e".into(),
            });
        }
        assert_eq!(snapshot.hour, Delivered { files: 1, bytes: 10, others: 1 });
        assert_eq!(snapshot.day, Delivered { files: 2, bytes: 110, others: 1 });
        assert_eq!(snapshot.last_delivery, unix_seconds("2026-11-27T08:30:00Z"));
    }
}

//! What is known at one moment.

use std::collections::BTreeMap;

use bridge::collect::CollectOutcome;
use bridge::{DayCollectReceiptKey, DayReceiptKey, FailureKey, Outcome, unix_seconds};

use crate::operate::direction::Direction;
use crate::operate::history::Doing;

/// What is known at one moment. Times are in seconds since 1970.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    pub(super) now: i64,
    /// The partner's server.
    pub(super) host: String,
    /// The release that is deployed, if the stack says it.
    pub(super) version: Option<String>,
    /// Number of running deliveries.
    pub(super) running: u64,
    /// The oldest running executions of both directions, the oldest first.
    pub(super) oldest: Vec<Running>,
    pub(super) hour: Delivered,
    pub(super) day: Delivered,
    /// When the last file was delivered, if that was in the last day.
    pub(super) last_delivery: Option<i64>,
    pub(super) failures: Failures,
    /// The other direction. `None` if the stack collects nothing.
    pub(super) collecting: Option<Collecting>,
    /// Events that were not delivered: an upload was not started, or a failure not recorded.
    pub(super) undelivered_events: u64,
}

/// What is known of the other direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Collecting {
    /// Number of running collections.
    pub(super) running: u64,
    /// Number of running looks at the directory.
    pub(super) looks: u64,
    pub(super) hour: Delivered,
    pub(super) day: Delivered,
    /// When the last file was collected, if that was in the last day.
    pub(super) last: Option<i64>,
}

/// A running execution.
#[derive(Clone, Debug)]
pub(super) struct Running {
    pub(super) direction: Direction,
    pub(super) name: String,
    /// The object's key, or `sftp://HOST/PATH`.
    pub(super) object_key: String,
    pub(super) started: i64,
    pub(super) doing: Doing,
}

/// What was delivered, or collected, in some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Delivered {
    pub(super) files: u64,
    pub(super) bytes: u64,
    /// Those that ended without a file.
    pub(super) others: u64,
}

/// Open failures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Failures {
    pub(super) by_error: BTreeMap<String, u64>,
    /// Of these: the failures of collections, and of looks. The rest are those of deliveries.
    pub(super) collections: u64,
    pub(super) looks: u64,
    pub(super) oldest: Option<i64>,
    /// The oldest one of a delivery.
    pub(super) oldest_delivery: Option<i64>,
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

    /// Counts a receipt of a collection.
    pub(super) fn add_collected(&mut self, receipt: &DayCollectReceiptKey) {
        let Some(at) = unix_seconds(&receipt.finished_at) else { return };
        let age = self.now - at;
        let collecting = self.collecting.get_or_insert_default();
        if age > DAY {
            return;
        }
        let is_collected = receipt.outcome == CollectOutcome::Collected;
        let bytes = is_collected.then_some(receipt.bytes);
        collecting.day.count(bytes);
        if age <= HOUR {
            collecting.hour.count(bytes);
        }
        if is_collected {
            collecting.last = collecting.last.max(Some(at));
        }
    }

    /// When the oldest file that the partner does not have was announced or failed.
    pub(super) fn oldest_undelivered(&self) -> Option<i64> {
        let running = self.oldest.iter().find(|running| running.direction == Direction::Delivery);
        [running.map(|running| running.started), self.failures.oldest_delivery].into_iter().flatten().min()
    }
}

impl Delivered {
    fn add(&mut self, receipt: &DayReceiptKey) {
        self.count((receipt.outcome == Outcome::Delivered).then_some(receipt.bytes));
    }

    /// Counts a file of this size, or an end without a file.
    fn count(&mut self, bytes: Option<u64>) {
        match bytes {
            Some(bytes) => {
                self.files += 1;
                self.bytes += bytes;
            }
            None => self.others += 1,
        }
    }
}

impl Failures {
    pub(super) fn add(&mut self, failure: &FailureKey) {
        *self.by_error.entry(failure.error.clone()).or_default() += 1;
        let direction = Direction::of(failure);
        self.collections += u64::from(direction == Direction::Collection);
        self.looks += u64::from(direction == Direction::Look);
        if let Some(at) = unix_seconds(&failure.recorded_at) {
            let earliest = |earlier: Option<i64>| Some(earlier.map_or(at, |earlier| earlier.min(at)));
            self.oldest = earliest(self.oldest);
            if direction == Direction::Delivery {
                self.oldest_delivery = earliest(self.oldest_delivery);
            }
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
    fn the_two_directions_are_counted_apart() {
        let mut snapshot = Snapshot { now: 1_795_770_120, ..Snapshot::default() };
        for (finished_at, outcome, bytes) in [
            ("2026-11-27T08:30:00Z", CollectOutcome::Collected, 10),
            ("2026-11-27T08:40:00Z", CollectOutcome::Changed, 5),
            ("2026-11-26T10:00:00Z", CollectOutcome::Collected, 100),
            ("2026-11-26T09:01:00Z", CollectOutcome::Collected, 1_000),
        ] {
            let (finished_at, execution) = (finished_at.into(), "e".into());
            snapshot.add_collected(&DayCollectReceiptKey { finished_at, outcome, bytes, execution });
        }
        assert_eq!(snapshot.day, Delivered::default());
        let collecting = snapshot.collecting.unwrap();
        assert_eq!(collecting.hour, Delivered { files: 1, bytes: 10, others: 1 });
        assert_eq!(collecting.day, Delivered { files: 2, bytes: 110, others: 1 });
        assert_eq!(collecting.last, unix_seconds("2026-11-27T08:30:00Z"));

        let mut failures = Failures::default();
        for (object, version, at) in
            [("sftp://h/a", "5-7", "07"), ("sftp://h/", "look", "06"), ("in/a", "v", "08")]
        {
            let version = bridge::VersionMark::parse(version);
            let at = format!("2026-11-27T{at}:00:00Z");
            failures.add(&FailureKey::open(object, version, &at, "RemoteFull", "c"));
        }
        assert_eq!((failures.count(), failures.collections, failures.looks), (3, 1, 1));
        assert_eq!(failures.oldest, unix_seconds("2026-11-27T06:00:00Z"));
        assert_eq!(failures.oldest_delivery, unix_seconds("2026-11-27T08:00:00Z"));
    }

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

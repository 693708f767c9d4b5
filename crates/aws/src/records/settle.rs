//! Open failures become settled ones.

use bridge::{FailureKey, FailureState, MakesGood, unix_seconds};
use serde_json::{Map, Value};

use super::RecordBucket;
use super::ended::Ended;

/// What settled a failure that a later one of the same execution replaces.
pub const FAILED_AGAIN: &str = "failed_again";

/// What settled a failure.
#[derive(Clone, Copy, Debug)]
pub struct Settlement<'a> {
    /// The execution's ARN.
    pub execution: &'a str,
    /// How it ended: an outcome, or [`FAILED_AGAIN`].
    pub outcome: &'a str,
}

impl RecordBucket {
    /// Settles the failures that a receipt makes good for. Returns how many these were.
    pub(super) async fn settle_by(&self, receipt: &impl Ended, execution: &str) -> Result<usize, String> {
        let settlement = Settlement { execution: receipt.execution_id(), outcome: receipt.outcome() };
        let mut settled = 0;
        for failure in self.failures(FailureState::Open, &receipt.subject()).await? {
            let started_before = match receipt.makes_good_for(execution, &failure) {
                MakesGood::No => continue,
                MakesGood::Yes => None,
                MakesGood::IfStartedBefore(time) => Some(time),
            };
            // If it does not exist, another execution has settled it meanwhile.
            let Some(record) = self.get(&failure).await? else { continue };
            if started_before.is_none_or(|time| has_started_before(&record, time)) {
                self.move_to_settled(&failure, record, settlement).await?;
                settled += 1;
            }
        }
        Ok(settled)
    }

    /// Settles a failure. Nothing happens if it is not open any more.
    ///
    /// # Errors
    /// What AWS answered.
    pub async fn settle(&self, failure: &FailureKey, settlement: Settlement<'_>) -> Result<(), String> {
        match self.get(failure).await? {
            Some(record) => self.move_to_settled(failure, record, settlement).await,
            None => Ok(()),
        }
    }

    /// If it ends between the two requests, the failure is still open, and is settled next time.
    async fn move_to_settled(
        &self,
        failure: &FailureKey,
        mut record: Map<String, Value>,
        settlement: Settlement<'_>,
    ) -> Result<(), String> {
        let at = crate::now();
        for (field, value) in [
            ("settled_by", settlement.execution),
            ("settled_at", &at),
            ("settled_outcome", settlement.outcome),
        ] {
            record.insert(field.to_owned(), value.into());
        }
        let settled = failure.clone().in_state(FailureState::Settled);
        self.put(&settled, &record).await?;
        self.remove(failure).await
    }
}

fn has_started_before(record: &Map<String, Value>, time: i64) -> bool {
    let started_at = record.get("started_at").and_then(Value::as_str);
    started_at.and_then(unix_seconds).is_some_and(|started_at| started_at < time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_record_that_says_so_has_started_before() {
        let record = |started_at: Value| Map::from_iter([("started_at".to_owned(), started_at)]);
        assert!(has_started_before(&record("1970-01-01T00:00:01.9Z".into()), 2));
        assert!(!has_started_before(&record("1970-01-01T00:00:02Z".into()), 2));
        assert!(!has_started_before(&record(1.into()), 2));
        assert!(!has_started_before(&Map::new(), 2));
    }
}

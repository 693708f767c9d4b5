//! What a receipt of either direction says to the record bucket.

use bridge::collect::CollectReceipt;
use bridge::{
    CollectReceiptKey, DayCollectReceiptKey, DayReceiptKey, FailureKey, MakesGood, Receipt, ReceiptKey,
};
use serde::Serialize;

/// A receipt of either direction.
pub(super) trait Ended: Serialize + Sync {
    /// What the records of the same thing have in the place of the object key.
    fn subject(&self) -> String;

    /// The key below which the receipts of the same thing lie.
    fn key(&self) -> String;

    /// The key of the day. `execution` is the execution's name.
    fn day_key(&self, execution: &str) -> String;

    /// How it ended, as in the keys.
    fn outcome(&self) -> &'static str;

    /// The execution's ARN.
    fn execution_id(&self) -> &str;

    /// When it ended.
    fn finished_at(&mut self) -> &mut String;

    /// What a person should know.
    fn warnings(&mut self) -> &mut Vec<String>;

    /// Whether it makes good for an open failure.
    fn makes_good_for(&self, execution: &str, failure: &FailureKey) -> MakesGood;
}

impl Ended for Receipt {
    fn subject(&self) -> String {
        self.object.object_key.clone()
    }

    fn key(&self) -> String {
        ReceiptKey::new(self).to_string()
    }

    fn day_key(&self, execution: &str) -> String {
        DayReceiptKey::new(self, execution).to_string()
    }

    fn outcome(&self) -> &'static str {
        self.outcome.as_str()
    }

    fn execution_id(&self) -> &str {
        &self.execution_id
    }

    fn finished_at(&mut self) -> &mut String {
        &mut self.finished_at
    }

    fn warnings(&mut self) -> &mut Vec<String> {
        &mut self.warnings
    }

    fn makes_good_for(&self, execution: &str, failure: &FailureKey) -> MakesGood {
        Self::makes_good_for(self, execution, failure)
    }
}

impl Ended for CollectReceipt {
    fn subject(&self) -> String {
        self.file.url()
    }

    fn key(&self) -> String {
        CollectReceiptKey::new(self).to_string()
    }

    fn day_key(&self, execution: &str) -> String {
        DayCollectReceiptKey::new(self, execution).to_string()
    }

    fn outcome(&self) -> &'static str {
        self.outcome.as_str()
    }

    fn execution_id(&self) -> &str {
        &self.execution_id
    }

    fn finished_at(&mut self) -> &mut String {
        &mut self.finished_at
    }

    fn warnings(&mut self) -> &mut Vec<String> {
        &mut self.warnings
    }

    fn makes_good_for(&self, execution: &str, failure: &FailureKey) -> MakesGood {
        Self::makes_good_for(self, execution, failure)
    }
}

//! How a collection ends that stores nothing.

use bridge::collect::CollectOutcome;

/// How a collection ends that stores nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) outcome: CollectOutcome,
    /// Why, for the receipt.
    pub(crate) reason: String,
}

impl Ending {
    pub(crate) fn changed(reason: String) -> Self {
        Self { outcome: CollectOutcome::Changed, reason }
    }

    pub(crate) fn gone(reason: String) -> Self {
        Self { outcome: CollectOutcome::Gone, reason }
    }

    pub(crate) fn skipped(reason: String) -> Self {
        Self { outcome: CollectOutcome::Skipped, reason }
    }
}

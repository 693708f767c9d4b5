//! Why an operation on the object was not done.

use crate::error::CallError;

/// Why an operation was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotDone {
    /// The reason, for the receipt.
    pub why: String,
    /// Whether the same operation may succeed later.
    pub transient: bool,
}

pub(super) type Result<T> = std::result::Result<T, NotDone>;

impl NotDone {
    /// For a reason that stays.
    pub(super) fn because(why: impl Into<String>) -> Self {
        Self { why: why.into(), transient: false }
    }

    /// Because a call failed.
    pub(super) fn after(operation: &str, error: &CallError) -> Self {
        Self { why: format!("{operation}: {error}"), transient: error.is_transient() }
    }
}

//! What the handler returns.

use serde::Serialize;

/// Output of `record-failure`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// Output of `RecordFailure`.
    Record(Recorded),
    /// Output of `RaiseOriginal` on a redrive; always true.
    Resumed(bool),
    /// After a status change: why there was nothing to record.
    Nothing(&'static str),
}

/// Whether the record was written. If not, the failure is raised nevertheless.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Recorded {
    /// `s3://…` of the record.
    Location(String),
    /// Why it was not written.
    Error(String),
}

//! What has become of an upload, as the records tell it.

use bridge::Outcome;

use super::failures::{Failed, OpenFailures};
use super::receipts::Receipts;
use super::rule::Rule;
use super::upload::Upload;

/// What has become of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holding {
    /// A receipt says that the partner got it.
    Delivered(Outcome),
    /// It is not to be delivered, and why.
    PassedOver(String),
    /// A newer upload took its place: a receipt says so.
    Superseded,
    /// Its delivery failed, and somebody has to do something.
    Failed(Failed),
    /// An execution is delivering it, or waits for the partner.
    UnderWay {
        /// The execution's ARN.
        execution: String,
    },
    /// Nothing tells of a delivery.
    NeverStarted,
}

impl Holding {
    /// As `rclone check --combined` writes it, with two more.
    pub(crate) fn symbol(&self) -> char {
        match self {
            Self::Delivered(_) => '=',
            Self::PassedOver(_) => '-',
            Self::Superseded => '>',
            Self::Failed(_) => '!',
            Self::UnderWay { .. } => '~',
            Self::NeverStarted => '+',
        }
    }

    /// For programs.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Delivered(_) => "delivered",
            Self::PassedOver(_) => "passed_over",
            Self::Superseded => "superseded",
            Self::Failed(_) => "failed",
            Self::UnderWay { .. } => "under_way",
            Self::NeverStarted => "never_started",
        }
    }

    /// Whether the partner is still to get it.
    pub(crate) fn is_owed(&self) -> bool {
        match self {
            Self::Failed(_) | Self::UnderWay { .. } | Self::NeverStarted => true,
            Self::Delivered(_) | Self::PassedOver(_) | Self::Superseded => false,
        }
    }
}

/// What the records say of an upload. `None` if they say nothing: then an execution may run, or none was ever started.
pub(crate) fn judge(
    upload: &Upload,
    receipts: &Receipts,
    failures: &mut OpenFailures,
    rule: &Rule,
) -> Option<Holding> {
    // Also asked if there is a receipt: it then knows which failures belong to no upload in the bucket.
    let failed = failures.of(upload);
    let outcome = receipts.outcome(upload);
    match outcome {
        Some(Outcome::Delivered | Outcome::AlreadyDelivered) => outcome.map(Holding::Delivered),
        _ if failed.is_some() => failed.map(Holding::Failed),
        Some(Outcome::Superseded) => Some(Holding::Superseded),
        Some(Outcome::Skipped) => Some(Holding::PassedOver("an execution skipped it".into())),
        None => rule.passes_over(upload).map(Holding::PassedOver),
    }
}

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

#[cfg(test)]
mod tests {
    use bridge::{FailureKey, ReceiptKey, object_part};

    use super::super::receipts::ReceiptsBuilder;
    use super::super::rule::tests::settings;
    use super::super::upload::tests::upload;
    use super::*;

    /// What is said of an upload with this key that has these receipts, and a failure.
    fn judged(object_key: &str, outcomes: &[Outcome], has_failed: bool) -> Option<char> {
        let upload = upload(object_key, "v");
        let (mut receipts, mut failures) = (ReceiptsBuilder::default(), OpenFailures::default());
        for outcome in outcomes {
            let object = object_part(object_key);
            receipts.add(&ReceiptKey { object, version: upload.mark(), outcome: *outcome });
        }
        if has_failed {
            let time = "2026-11-27T09:00:00Z";
            failures.add(&FailureKey::open(object_key, upload.mark(), time, "RemoteFull", "c"));
        }
        let rule = Rule {
            bucket: "b".into(),
            key_prefix: "in/".into(),
            key_suffix: String::new(),
            settings: settings(&[]),
        };
        judge(&upload, &receipts.build(), &mut failures, &rule).map(|holding| holding.symbol())
    }

    #[test]
    fn story_214_what_the_partner_has_counts_more_than_a_failure_and_that_more_than_the_rule() {
        for (key, outcomes, has_failed, expected) in [
            ("in/a", &[][..], false, None),
            ("in/a", &[Outcome::Delivered], true, Some('=')),
            ("in/a", &[Outcome::AlreadyDelivered, Outcome::Superseded], false, Some('=')),
            ("in/a", &[], true, Some('!')),
            ("in/a", &[Outcome::Superseded], true, Some('!')),
            ("in/a", &[Outcome::Superseded], false, Some('>')),
            ("in/a", &[Outcome::Skipped], false, Some('-')),
            // The rule was another one when these were uploaded.
            ("out/a", &[Outcome::Delivered], false, Some('=')),
            ("out/a", &[], true, Some('!')),
            ("out/a", &[], false, Some('-')),
        ] {
            assert_eq!(judged(key, outcomes, has_failed), expected, "{key} {outcomes:?} {has_failed}");
        }
    }

    #[test]
    fn only_what_may_still_come_is_owed() {
        let failed = Failed { error: "RemoteFull".into(), recorded_at: 0 };
        for (holding, is_owed) in [
            (Holding::Delivered(Outcome::Delivered), false),
            (Holding::PassedOver("why".into()), false),
            (Holding::Superseded, false),
            (Holding::Failed(failed), true),
            (Holding::UnderWay { execution: "e".into() }, true),
            (Holding::NeverStarted, true),
        ] {
            assert_eq!(holding.is_owed(), is_owed, "{}", holding.name());
        }
    }
}

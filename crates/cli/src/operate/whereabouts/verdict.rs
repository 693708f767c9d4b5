//! The answer to "was it delivered?".

use bridge::{FailureKey, Outcome, ReceiptKey};
use serde_json::Value;

use crate::location::Location;
use crate::moments::rfc3339;
use crate::operate::holdings::{Currency, Holding, Upload};
use crate::operate::problem::Answer;

/// What is known of the newest upload.
pub(super) struct Told<'a> {
    pub(super) upload: &'a Upload,
    pub(super) currency: Currency,
    /// What the records say. `None` if they say nothing.
    pub(super) holding: Option<Holding>,
    /// Its running execution.
    pub(super) running: Option<&'a str>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    name: &'static str,
    /// What follows the object's name.
    words: String,
    answer: Answer,
}

impl Verdict {
    fn new(name: &'static str, words: impl Into<String>, answer: Answer) -> Self {
        Self { name, words: words.into(), answer }
    }

    /// For programs.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn in_words(&self, object: &Location) -> String {
        format!("{}: {object} {}", self.name.replace('_', " "), self.words)
    }

    pub(super) fn answer(&self) -> Answer {
        self.answer
    }
}

/// The answer. `receipts` are those of all versions, the newest first; `open` is the last failure that is still open.
pub(super) fn verdict(
    told: Option<&Told<'_>>,
    receipts: &[(&ReceiptKey, &Value)],
    open: Option<(&FailureKey, &Value)>,
) -> Verdict {
    let Some(told) = told else { return of_records(receipts, open) };
    let gone = match told.currency {
        Currency::Current => "",
        Currency::Older => "; it was deleted since",
    };
    let verdict = match (&told.holding, told.running) {
        (Some(Holding::Delivered(outcome)), _) => {
            let receipt = receipts.iter().find(|(key, _)| key.outcome == *outcome && is_of(key, told.upload));
            delivered(receipt.map(|(_, receipt)| *receipt))
        }
        (Some(Holding::PassedOver(why)), _) => {
            Verdict::new("passed_over", format!("is not delivered: {why}"), Answer::Fine)
        }
        (Some(Holding::Superseded), _) => {
            Verdict::new("superseded", "was overtaken by a newer upload", Answer::Fine)
        }
        (Some(Holding::Failed(_)), Some(execution)) => under_way(execution),
        (Some(Holding::Failed(failed)), None) => {
            let cause = open.and_then(|(_, record)| record["cause"].as_str()).unwrap_or_default();
            let at = rfc3339(failed.recorded_at);
            Verdict::new(
                "failed",
                format!("was not delivered: {} at {at}: {cause}", failed.error),
                Answer::Owed,
            )
        }
        (Some(Holding::UnderWay { execution }), _) => under_way(execution),
        (Some(Holding::NeverStarted) | None, Some(execution)) => under_way(execution),
        (Some(Holding::NeverStarted) | None, None) => {
            let uploaded = rfc3339(told.upload.last_modified);
            let words = format!(
                "was uploaded {uploaded}, and no record and no running execution tells of it. An upload of the last \
                 seconds may not have started yet, and old records expire"
            );
            Verdict::new("never_started", words, Answer::Owed)
        }
    };
    let earlier = earlier(told, receipts).filter(|_| verdict.answer == Answer::Owed).unwrap_or_default();
    Verdict { words: format!("{}{gone}{earlier}", verdict.words), ..verdict }
}

/// Of an object that the bucket does not have, not even as an older version.
fn of_records(receipts: &[(&ReceiptKey, &Value)], open: Option<(&FailureKey, &Value)>) -> Verdict {
    let is_delivery =
        |key: &ReceiptKey| matches!(key.outcome, Outcome::Delivered | Outcome::AlreadyDelivered);
    let last = receipts.iter().find(|(key, _)| is_delivery(key));
    match (open, last, receipts.first()) {
        (Some((key, record)), ..) => {
            let cause = record["cause"].as_str().unwrap_or_default();
            let words = format!("was not delivered, and is gone from the bucket: {}: {cause}", key.error);
            Verdict::new("failed", words, Answer::Owed)
        }
        (None, Some((_, receipt)), _) => {
            let verdict = delivered(Some(receipt));
            Verdict { words: format!("{}; it is gone from the bucket since", verdict.words), ..verdict }
        }
        (None, None, Some((key, _))) => {
            let words = format!("is gone from the bucket; its last receipt says {}", key.outcome.as_str());
            Verdict::new("passed_over", words, Answer::Fine)
        }
        (None, None, None) => {
            let words = "is neither in the bucket nor in the records; old records expire";
            Verdict::new("unknown", words, Answer::Owed)
        }
    }
}

fn is_of(key: &ReceiptKey, upload: &Upload) -> bool {
    key.version.agrees_with(&upload.mark()) || upload.etag.as_deref() == Some(key.version.as_str())
}

fn delivered(receipt: Option<&Value>) -> Verdict {
    let field = |name: &str| receipt.and_then(|receipt| receipt[name].as_str());
    let words = [
        field("finished_at").map(|at| format!("at {at}")),
        field("remote_path").map(|path| match field("remote_host") {
            Some(host) => format!("to {path} on {host}"),
            None => format!("to {path}"),
        }),
        field("reason").map(|reason| format!("({reason})")),
        field("proof").map(|proof| format!("(proof: {proof})")),
    ];
    let words: Vec<String> = words.into_iter().flatten().collect();
    Verdict::new("delivered", words.join(" "), Answer::Fine)
}

fn under_way(execution: &str) -> Verdict {
    let name = execution.rsplit(':').next().unwrap_or(execution);
    Verdict::new(
        "under_way",
        format!("is being delivered, or waits for the partner: execution {name}"),
        Answer::Owed,
    )
}

/// What the partner has instead.
fn earlier(told: &Told<'_>, receipts: &[(&ReceiptKey, &Value)]) -> Option<String> {
    let is_delivery = |key: &ReceiptKey| key.outcome == Outcome::Delivered && !is_of(key, told.upload);
    let (key, receipt) = receipts.iter().find(|(key, _)| is_delivery(key))?;
    let at = receipt["finished_at"].as_str().unwrap_or("an unknown time");
    Some(format!(". The partner got an earlier upload, version {}, at {at}", key.version.as_str()))
}

#[cfg(test)]
mod tests {
    use bridge::VersionMark;
    use serde_json::json;

    use super::*;
    use crate::operate::holdings::Failed;
    use crate::operate::holdings::tests::upload;

    fn told<'a>(upload: &'a Upload, holding: Option<Holding>, running: Option<&'a str>) -> Told<'a> {
        Told { upload, currency: Currency::Current, holding, running }
    }

    fn words(verdict: &Verdict) -> String {
        verdict.in_words(&Location { bucket: "b".into(), object_key: "k".into() })
    }

    #[test]
    fn story_215_the_first_line_says_whether_when_and_how_proved() {
        let upload = upload("k", "v");
        let key = ReceiptKey { object: "k".into(), version: upload.mark(), outcome: Outcome::Delivered };
        let receipt = json!({
            "finished_at": "2026-11-27T09:02:00Z", "remote_path": "in/k", "remote_host": "h", "proof": "read-back",
        });
        let holding = Some(Holding::Delivered(Outcome::Delivered));
        let verdict = verdict(Some(&told(&upload, holding, None)), &[(&key, &receipt)], None);
        assert_eq!(
            words(&verdict),
            "delivered: s3://b/k at 2026-11-27T09:02:00Z to in/k on h (proof: read-back)"
        );
        assert_eq!(verdict.answer(), Answer::Fine);
    }

    #[test]
    fn story_216_what_is_not_delivered_says_what_the_partner_has_instead() {
        let upload = upload("k", "v2");
        let old =
            ReceiptKey { object: "k".into(), version: VersionMark::parse("v1"), outcome: Outcome::Delivered };
        let receipt = json!({"finished_at": "2026-11-27T09:02:00Z"});
        let receipts = [(&old, &receipt)];
        let failed = Failed { error: "RemoteFull".into(), recorded_at: 1_795_770_120 };
        for (holding, running, name) in [
            (None, None, "never started"),
            (None, Some("arn:x:e1"), "under way"),
            (Some(Holding::Failed(failed.clone())), None, "failed"),
            (Some(Holding::Failed(failed)), Some("arn:x:e1"), "under way"),
        ] {
            let verdict = verdict(Some(&told(&upload, holding, running)), &receipts, None);
            let words = words(&verdict);
            assert!(words.starts_with(&format!("{name}: s3://b/k ")), "{words}");
            assert!(words.contains("version v1, at 2026-11-27T09:02:00Z"), "{words}");
            assert_eq!(verdict.answer(), Answer::Owed);
        }
    }

    #[test]
    fn what_is_gone_from_the_bucket_is_told_by_its_records() {
        let key =
            ReceiptKey { object: "k".into(), version: VersionMark::parse("v1"), outcome: Outcome::Delivered };
        let receipt = json!({"finished_at": "2026-11-27T09:02:00Z"});
        let delivered = verdict(None, &[(&key, &receipt)], None);
        assert!(words(&delivered).contains("gone from the bucket"), "{delivered:?}");
        assert_eq!(delivered.answer(), Answer::Fine);
        let failure =
            FailureKey::open("k", VersionMark::parse("v1"), "2026-11-27T09:02:00Z", "RemoteFull", "c");
        let failed = verdict(None, &[], Some((&failure, &json!({"cause": "disk full"}))));
        assert!(words(&failed).ends_with("RemoteFull: disk full"), "{failed:?}");
        assert_eq!(verdict(None, &[], None).name(), "unknown");
        assert_eq!(verdict(None, &[], None).answer(), Answer::Owed);
    }
}

//! The receipts below a prefix, as little as is needed of each: 16 bytes.

use bridge::{Outcome, ReceiptKey};

use super::upload::{Fingerprint, Upload};

/// The outcomes, from the one that says most. An upload that two executions dealt with has two receipts.
const RANKS: [Outcome; 4] =
    [Outcome::Delivered, Outcome::AlreadyDelivered, Outcome::Superseded, Outcome::Skipped];

/// The last bits of an entry are the outcome's rank, the others are the upload's fingerprint.
const RANK_BITS: u128 = 0b11;

/// Collects receipts.
#[derive(Default)]
pub(crate) struct ReceiptsBuilder(Vec<u128>);

/// How uploads were delivered.
#[derive(Default)]
pub(crate) struct Receipts(Vec<u128>);

impl ReceiptsBuilder {
    pub(crate) fn add(&mut self, key: &ReceiptKey) {
        let rank = RANKS.iter().position(|ranked| *ranked == key.outcome).unwrap_or_default();
        self.0.push(entry(Fingerprint::new(&key.object, key.version.as_str()), rank));
    }

    pub(crate) fn build(mut self) -> Receipts {
        self.0.sort_unstable();
        self.0.dedup();
        Receipts(self.0)
    }
}

impl Receipts {
    /// How this upload was delivered. `None` without a receipt.
    pub(crate) fn outcome(&self, upload: &Upload) -> Option<Outcome> {
        let ranks = upload.fingerprints().filter_map(|fingerprint| self.rank(fingerprint));
        ranks.min().map(|rank| RANKS[rank])
    }

    fn rank(&self, fingerprint: Fingerprint) -> Option<usize> {
        let first = entry(fingerprint, 0);
        let found = self.0.get(self.0.partition_point(|entry| *entry < first))?;
        (found & !RANK_BITS == first).then_some((found & RANK_BITS) as usize)
    }
}

fn entry(fingerprint: Fingerprint, rank: usize) -> u128 {
    fingerprint.0 & !RANK_BITS | rank as u128
}

#[cfg(test)]
mod tests {
    use bridge::{VersionMark, object_part};

    use super::super::upload::tests::upload;
    use super::*;

    fn receipts(keys: &[ReceiptKey]) -> Receipts {
        let mut builder = ReceiptsBuilder::default();
        keys.iter().for_each(|key| builder.add(key));
        builder.build()
    }

    fn key(object_key: &str, version: VersionMark, outcome: Outcome) -> ReceiptKey {
        ReceiptKey { object: object_part(object_key), version, outcome }
    }

    #[test]
    fn story_210_a_receipt_is_of_one_upload_however_long_its_key_is() {
        for name in ["in/a.csv".to_owned(), "in/".to_owned() + &"ä".repeat(500)] {
            let mark = |upload: &Upload| upload.mark();
            let (old, new) = (upload(&name, "v1"), upload(&name, "v2"));
            let receipts = receipts(&[key(&name, mark(&old), Outcome::Delivered)]);
            assert_eq!(receipts.outcome(&old), Some(Outcome::Delivered), "{name}");
            assert_eq!(receipts.outcome(&new), None, "{name}");
            assert_eq!(receipts.outcome(&upload("in", "v1")), None);
        }
    }

    #[test]
    fn without_versions_entity_tag_and_time_tell_uploads_apart() {
        let now = upload("k", "");
        let before = Upload { last_modified: now.last_modified - 1, ..now.clone() };
        let delivered = receipts(&[key("k", before.mark(), Outcome::Delivered)]);
        assert_eq!((delivered.outcome(&before), delivered.outcome(&now)), (Some(Outcome::Delivered), None));
        // A receipt that was written before anybody looked at the object.
        let skipped = receipts(&[key("k", VersionMark::new(None, Some("e"), None), Outcome::Skipped)]);
        assert_eq!(skipped.outcome(&now), Some(Outcome::Skipped));
    }

    #[test]
    fn of_two_receipts_the_one_that_says_more_counts() {
        let upload = upload("k", "v");
        for (other, expected) in [
            (Outcome::Superseded, Outcome::Superseded),
            (Outcome::AlreadyDelivered, Outcome::AlreadyDelivered),
            (Outcome::Delivered, Outcome::Delivered),
        ] {
            let keys = [Outcome::Skipped, other].map(|outcome| key("k", upload.mark(), outcome));
            assert_eq!(receipts(&keys).outcome(&upload), Some(expected));
        }
        assert_eq!(receipts(&[]).outcome(&upload), None);
    }
}

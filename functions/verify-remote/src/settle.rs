//! Settles the object, once its file is published, and writes the receipt. The delivery has succeeded by then, whatever
//! happens here.

use std::time::Duration;

use aws::afterwards::{Copying, NotDone, delete, move_to, tag};
use bridge::{AfterDelivery, Checkpoint, Comparison, Outcome, PinnedObject, Publication, Receipt, Result};

use crate::call::Call;

/// Maximum number of attempts, after the SDK's own retries.
const TRIES_MAX: u32 = 3;
/// Pause before the second attempt; it doubles.
const PAUSE: Duration = Duration::from_millis(500);
/// Time to abort a copy that could not be finished: its parts would be stored, and billed, without end.
const ABORT: Duration = Duration::from_secs(5);
/// Maximum length of a tag's value in S3, in characters.
const TAG_MAX: usize = 256;

impl Call<'_> {
    /// Settles the object, and writes the receipt. `None` if the state machine is to call again first.
    pub(crate) async fn settle(&self, checkpoint: &Checkpoint) -> Result<Option<Receipt>> {
        let Some(publication) = checkpoint.phase.publication() else { return Ok(None) };
        let policy = &self.settings().after_delivery;
        // The object may go only when the state machine's document says that its file is published: then a retry needs
        // neither. The next call also has all its time for it.
        let is_recorded = self.input.checkpoint.phase.publication().is_some();
        let needs_record = policy.removes() || *policy != AfterDelivery::Keep && self.stop.has_passed();
        if !is_recorded && !publication.unconfirmed && needs_record {
            return Ok(None);
        }
        Ok(Some(self.delivered(checkpoint, publication).await))
    }

    async fn delivered(&self, checkpoint: &Checkpoint, publication: &Publication) -> Receipt {
        let Publication { outcome, path, proof, host_key_fingerprint, marker, unconfirmed, .. } =
            publication.clone();
        let settled = if unconfirmed && self.settings().after_delivery.removes() {
            Err("S3_AFTER_DELIVERY: the object stays, because the file was not seen under its final name"
                .to_owned())
        } else {
            self.settle_object(&checkpoint.object, outcome).await
        };
        let receipt = self.receipt(outcome, checkpoint);
        let mut warnings = receipt.warnings.clone();
        let after_delivery = settled.unwrap_or_else(|warning| {
            warnings.push(warning);
            None
        });
        let compared = checkpoint.sent.digests.compare_with_stored(&checkpoint.object);
        Receipt {
            remote_path: Some(path),
            marker,
            proof: Some(proof),
            checksum: Some(checkpoint.checksum()),
            source_checksum_matched: compared.map(|compared| compared == Comparison::Same),
            host_key_fingerprint,
            after_delivery,
            warnings,
            ..receipt
        }
    }

    /// Does what `S3_AFTER_DELIVERY` says. Returns what was done, for the receipt, or else a warning.
    async fn settle_object(
        &self,
        object: &PinnedObject,
        outcome: Outcome,
    ) -> std::result::Result<Option<String>, String> {
        let deadline = self.stop;
        let late = || NotDone { why: "there was not enough time".into(), transient: false };
        let mut tries = 1;
        loop {
            // No request is cut off by the end of the invocation, which would look like a failed delivery.
            let done = tokio::time::timeout(deadline.remaining(), self.settle_once(object, outcome)).await;
            match done.unwrap_or_else(|_| Err(late())) {
                Ok(done) => return Ok(done),
                Err(error) if error.transient && tries < TRIES_MAX && !deadline.has_passed() => {
                    tracing::warn!(why = error.why, tries, "S3_AFTER_DELIVERY failed, trying again");
                    tokio::time::sleep((PAUSE * 2u32.pow(tries - 1)).min(deadline.remaining())).await;
                    tries += 1;
                }
                Err(error) => {
                    tracing::warn!(why = error.why, tries, "S3_AFTER_DELIVERY failed; the delivery has not");
                    return Err(format!(
                        "S3_AFTER_DELIVERY: the file is delivered, but the object was not {}: {}",
                        participle(&self.settings().after_delivery),
                        error.why
                    ));
                }
            }
        }
    }

    async fn settle_once(
        &self,
        object: &PinnedObject,
        outcome: Outcome,
    ) -> std::result::Result<Option<String>, NotDone> {
        let s3 = &self.deps.clients.s3;
        match &self.settings().after_delivery {
            AfterDelivery::Keep => Ok(None),
            AfterDelivery::Tag => {
                let execution: String = self.input.execution.id.chars().take(TAG_MAX).collect();
                let tags = [("delivered-at", aws::now()), ("execution", execution)];
                let tags = tags.each_ref().map(|(name, value)| (*name, value.as_str()));
                // What another execution has delivered, it has tagged.
                tag(s3, object, &tags, outcome == Outcome::Delivered).await?;
                Ok(Some("tagged".into()))
            }
            AfterDelivery::Delete => Ok(Some(delete(s3, object).await?.to_string())),
            // An object below the prefix was moved before. Its name must not get longer with each delivery.
            AfterDelivery::Move { prefix } if object.object_key.starts_with(prefix) => Ok(None),
            AfterDelivery::Move { prefix } => {
                let target = format!("{prefix}{}", object.object_key);
                let deadline = self.stop.less(ABORT, 4);
                Ok(Some(move_to(s3, object, &target, Copying::default(), deadline).await?.to_string()))
            }
        }
    }
}

/// What S3_AFTER_DELIVERY asks for, as in "the object was not tagged".
fn participle(after_delivery: &AfterDelivery) -> &'static str {
    match after_delivery {
        AfterDelivery::Keep => "kept",
        AfterDelivery::Tag => "tagged",
        AfterDelivery::Delete => "deleted",
        AfterDelivery::Move { .. } => "moved",
    }
}

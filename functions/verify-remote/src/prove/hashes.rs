//! Hashes of the object that were not computed while it was sent.

use aws::ObjectReader;
use bridge::{Checkpoint, ErrorName, Hashes, Phase, Reread, Result};

use crate::work::Work;

/// Whether the checkpoint has what is wanted.
#[must_use]
pub(crate) enum Known {
    Yes,
    /// The stop came first. The checkpoint says how far it got.
    NotYet,
    /// The object is gone: another execution has delivered this version, and it was taken away for that.
    Never(String),
}

impl Work<'_> {
    /// Computes the hashes that are `wanted` and missing. For a file that was there already, or that was begun under other
    /// settings, the object is read again.
    pub(crate) async fn know_hashes(&self, checkpoint: &mut Checkpoint, wanted: Hashes) -> Result<Known> {
        let digests = &checkpoint.sent.digests;
        if (!wanted.sha256 || digests.sha256.is_some()) && (!wanted.md5 || digests.md5.is_some()) {
            return Ok(Known::Yes);
        }
        match self.reread(checkpoint).await {
            Err(error)
                if error.name == ErrorName::ObjectUnreadable
                    && was_found(&checkpoint.phase)
                    && self.call.settings().after_delivery.removes() =>
            {
                Ok(Known::Never(error.message().to_owned()))
            }
            other => other,
        }
    }

    async fn reread(&self, checkpoint: &mut Checkpoint) -> Result<Known> {
        let (s3, stop) = (&self.call.deps.clients.s3, self.call.stop);
        let Checkpoint { object, proving, sent, .. } = checkpoint;
        // Kept in the checkpoint on the way: this future may be dropped at any moment.
        let reread = proving.reread.get_or_insert_with(Reread::default);
        if reread.offset < object.size {
            let mut reader = ObjectReader::new(s3, object, reread.offset);
            while let Some(bytes) = reader.next().await? {
                // Both of the same bytes, whatever is wanted: the settings may change before the next call.
                reread.offset += bytes.len() as u64;
                reread.sha256.update(&bytes);
                reread.md5.update(&bytes);
                if stop.has_passed() && reread.offset < object.size {
                    return Ok(Known::NotYet);
                }
            }
        }
        sent.digests.sha256.get_or_insert_with(|| reread.sha256.clone());
        sent.digests.md5.get_or_insert_with(|| reread.md5.clone());
        Ok(Known::Yes)
    }
}

/// Whether the file was there before this execution sent anything.
fn was_found(phase: &Phase) -> bool {
    match phase {
        Phase::Found(_) => true,
        Phase::Published(publication) => publication.outcome == bridge::Outcome::AlreadyDelivered,
        Phase::Sending | Phase::Sent(_) | Phase::Renaming { .. } | Phase::Vanished(_) => false,
    }
}

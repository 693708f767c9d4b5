//! Hashes of the object that were not computed on the way.

use aws::ObjectReader;
use bridge::{Checkpoint, Deadline, ErrorName, Hashes, ReadForHash, Result};

use crate::Deps;

/// Whether the checkpoint has what is wanted.
#[must_use]
pub(crate) enum Known {
    Yes,
    /// The stop came first; the checkpoint says how far it got.
    NotYet,
    /// Nobody can tell any more: another execution has delivered this version, and the object was taken away for that.
    Never(String),
}

/// Sees to it that the checkpoint has what is wanted. For a file that was there already, or that was begun under other
/// settings, the object is read once more.
pub(crate) async fn know(
    deps: &Deps,
    checkpoint: &mut Checkpoint,
    wanted: Hashes,
    stop: Deadline,
) -> Result<Known> {
    let missing_sha256 = wanted.sha256 && checkpoint.sha256.is_none();
    let missing_md5 = wanted.md5 && checkpoint.md5.is_none();
    if !missing_sha256 && !missing_md5 {
        return Ok(Known::Yes);
    }
    match read(deps, checkpoint, stop).await {
        Err(error)
            if error.name == ErrorName::ObjectUnreadable
                && checkpoint.already_there
                && deps.partner.settings.after_delivery.removes() =>
        {
            Ok(Known::Never(error.message().to_owned()))
        }
        other => other,
    }
}

async fn read(deps: &Deps, checkpoint: &mut Checkpoint, stop: Deadline) -> Result<Known> {
    let Checkpoint { object, read_for_hash, .. } = checkpoint;
    // Kept in the checkpoint on the way: this future may be dropped at any moment.
    let read = read_for_hash.get_or_insert_with(ReadForHash::default);
    if read.offset < object.size {
        let mut reader = ObjectReader::new(&deps.partner.clients.s3, object, read.offset);
        while let Some(bytes) = reader.next().await? {
            // Both of the same bytes, whatever is wanted: the settings may change before the next call.
            read.offset += bytes.len() as u64;
            read.sha256.update(&bytes);
            read.md5.update(&bytes);
            if stop.has_passed() && read.offset < object.size {
                return Ok(Known::NotYet);
            }
        }
    }
    let (sha256, md5) = (read.sha256.clone(), read.md5.clone());
    checkpoint.sha256.get_or_insert(sha256);
    checkpoint.md5.get_or_insert(md5);
    Ok(Known::Yes)
}

//! `SFTP_PUBLISH=direct`: the final name itself is written to.

use bridge::{Marker, PinnedObject, RemotePaths, Result};
use sftp::Sftp;

/// How far the final name is ours already.
pub(crate) enum Prepared {
    /// All of it was acknowledged, and the answer to the close was lost. Opened once more, the file would be a new one
    /// to some stores.
    Complete,
    /// It reaches as far as was acknowledged.
    Continue,
    /// It is to be sent from its beginning, and cut as it is opened.
    Fresh,
}

/// Takes away what would speak of another file, before the first byte is sent; `size` is what is there now.
pub(crate) async fn prepare(
    sftp: &Sftp,
    marker: Marker,
    remote: &RemotePaths,
    object: &PinnedObject,
    offset: u64,
    size: Option<u64>,
) -> Result<Prepared> {
    if offset == object.size && offset > 0 && size == Some(offset) {
        return Ok(Prepared::Complete);
    }
    if let Some(suffix) = marker.suffix() {
        // The marker of a former file would say of this one that it is whole.
        match sftp.remove(&format!("{}{suffix}", remote.path)).await {
            Err(error) if !error.is_status() => return Err(error.into()),
            _ => {}
        }
    }
    // Ours is there as far as it was acknowledged, and no longer than the object.
    if offset > 0 && size.is_some_and(|size| (offset..=object.size).contains(&size)) {
        return Ok(Prepared::Continue);
    }
    // Whoever is still writing an older version there then writes into a file that has no name any more. Where the
    // server refuses, the file is cut as it is opened.
    match sftp.remove(&remote.path).await {
        Err(error) if !error.is_status() => Err(error.into()),
        _ => Ok(Prepared::Fresh),
    }
}

//! A direct route: the final name itself is written to (`SFTP_PUBLISH=direct`).

use bridge::{PinnedObject, Result, Route};
use partner::files::Reply;
use sftp::Sftp;

use crate::send::resume::Reach;
use crate::send::sending::Sending;

/// How much of the final file is ours already.
pub(crate) enum Prepared {
    /// All of it was acknowledged, and the answer to CLOSE was lost. Some object stores make a new file if it is opened
    /// again.
    Complete,
    /// It reaches as far as was acknowledged.
    Continue,
    /// Send it from the start, and truncate it when it is opened.
    Fresh,
}

impl Sending<'_> {
    /// Removes what belongs to another file, before the first byte is sent.
    pub(super) async fn prepare_direct(
        &self,
        sftp: &Sftp,
        route: &Route,
        object: &PinnedObject,
        offset: u64,
        reach: Reach,
    ) -> Result<Prepared> {
        let size = reach.bytes();
        if offset == object.size && offset > 0 && size == Some(offset) {
            return Ok(Prepared::Complete);
        }
        if let Some(suffix) = self.settings().marker.suffix() {
            // The marker of the former file would say that this one is whole.
            remove_if_allowed(sftp, &format!("{}{suffix}", route.path())).await?;
        }
        // Ours is there as far as it was acknowledged, and no longer than the object.
        if offset > 0 && size.is_some_and(|size| (offset..=object.size).contains(&size)) {
            return Ok(Prepared::Continue);
        }
        // An execution that still writes an older version then writes into a file without a name. If the server refuses,
        // the file is truncated when it is opened.
        remove_if_allowed(sftp, route.path()).await?;
        Ok(Prepared::Fresh)
    }
}

async fn remove_if_allowed(sftp: &Sftp, path: &str) -> Result<()> {
    Reply::of(sftp.remove(path).await)?;
    Ok(())
}

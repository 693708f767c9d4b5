//! Deletes the file.

use bridge::Result;
use bridge::collect::RemoteFile;
use partner::files::Reply;

use crate::work::{Became, LOOKS, Settled, Standing, Work};

impl Work<'_> {
    /// Deletes the file, if it is still the one that was collected.
    pub(crate) async fn delete(&self, file: &RemoteFile) -> Result<Settled> {
        let path = file.remote_path();
        let mut standing = self.standing(file).await?;
        let mut refusals = 0;
        loop {
            match standing {
                Standing::Same => {}
                // An earlier request was carried out.
                Standing::Gone if refusals > 0 || self.call.is_retry() => return Ok(Became::Deleted.into()),
                Standing::Gone => return Ok(Became::Gone.into()),
                Standing::Changed(what) => return Ok(self.changed(file, what)),
                Standing::Hidden(refusal) => return Ok(not_deleted(&path, &refusal)),
            }
            // The look travels along. The server may look before it deletes, so only an absence says something.
            let (removed, seen) = tokio::join!(biased; self.sftp.remove(&path), self.standing(file));
            standing = seen?;
            let refusal = match Reply::of(removed)? {
                Reply::Done(()) if self.is_deleted(file, standing).await? => {
                    self.has_done();
                    return Ok(Became::Deleted.into());
                }
                Reply::Done(()) => {
                    return Ok(not_deleted(&path, &"the server accepted it, and the file is still there"));
                }
                Reply::Refused(refusal) => refusal,
            };
            let waits = self.waits(refusals, &refusal).await;
            refusals += 1;
            standing = self.standing(file).await?;
            if !waits && matches!(standing, Standing::Same) {
                return Ok(not_deleted(&path, &refusal));
            }
        }
    }

    /// Whether the file that was collected is there no more. Caches show a file for a moment after it was deleted.
    async fn is_deleted(&self, file: &RemoteFile, mut seen: Standing) -> Result<bool> {
        for pause in LOOKS {
            if !matches!(seen, Standing::Same) || self.call.stop.remaining() <= pause {
                break;
            }
            tokio::time::sleep(pause).await;
            seen = self.standing(file).await?;
        }
        Ok(!matches!(seen, Standing::Same))
    }
}

fn not_deleted(path: &str, why: &impl std::fmt::Display) -> Settled {
    Settled::left(format!(
        "{path:?} is collected, but was not deleted: {why}. Ask the partner to let our user delete it, or set COLLECT_AFTERWARDS to leave"
    ))
}

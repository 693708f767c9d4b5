//! A look at the final name, after the server said that the rename is done.

use bridge::{Checkpoint, ErrorName, Result};
use partner::files::{Patience, Seen, discard, look_until};

use crate::work::Work;

impl Work<'_> {
    /// Returns whether the file is seen under its final name. If not, warns.
    ///
    /// # Errors
    /// `RemoteMismatch` if the server tells another size.
    pub(super) async fn confirm(&self, checkpoint: &mut Checkpoint) -> Result<bool> {
        let (path, size) = (checkpoint.final_path(), checkpoint.object.size);
        let sizes_unreliable = checkpoint.proving.sizes_unreliable;
        let is_whole = |seen: Seen| match seen {
            Seen::File(Some(told)) => told == size || sizes_unreliable,
            Seen::File(None) | Seen::Hidden => true,
            Seen::Directory | Seen::Nothing => false,
        };
        let patience = |seen| if seen == Seen::Nothing { Patience::Short } else { Patience::Long };
        let seen = look_until(self.sftp, &path, self.call.stop, is_whole, patience).await?;
        if is_whole(seen) {
            self.remove_former(checkpoint).await;
            return Ok(true);
        }
        if seen == Seen::Nothing {
            checkpoint.warn(format!(
                "the server accepted the rename, but {path:?} is not seen: it was taken away at once, or it lies under another name. Ask the partner whether it arrived"
            ));
            self.put_former_back(checkpoint).await?;
            return Ok(false);
        }
        if checkpoint.publishing.aside.is_some() {
            // What has the name is ours, and damaged.
            discard(self.sftp, &path).await;
            self.put_former_back(checkpoint).await?;
        }
        let found = seen.size().map_or("is not a file".to_owned(), |size| format!("has {size} bytes"));
        Err(ErrorName::RemoteMismatch.error(format!(
            "the server accepted the rename, but afterwards {path:?} {found}; {size} bytes were sent and proved. Ask the partner what changes files after a rename"
        )))
    }
}

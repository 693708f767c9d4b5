//! The former file and its marker, while they are moved aside: a checkpoint names them from just before the move until they
//! are removed or put back.

use bridge::{Checkpoint, Result};
use partner::files::{Discarded, Seen, discard, look, put_back};

use crate::work::Work;

impl Work<'_> {
    /// Before anything else is decided: what an earlier session or call left aside gets its name back, unless another
    /// file has taken it.
    pub(crate) async fn restore_former(&self, checkpoint: &mut Checkpoint) -> Result<()> {
        let partner = &self.call.deps.partner;
        let may_be_there = checkpoint.publishing.aside.is_some()
            || self.call.is_retry()
            || !self.sftp.can_replace()
            || partner.learned.moves_aside();
        if self.keeps(checkpoint) || !may_be_there {
            return Ok(());
        }
        let policy = &self.call.settings().policy;
        let Some(aside) = checkpoint.route.aside(&checkpoint.final_path(), policy) else { return Ok(()) };
        checkpoint.publishing.aside = match look(self.sftp, &aside).await? {
            Seen::File(_) => Some(aside),
            Seen::Nothing | Seen::Directory => None,
            Seen::Hidden => checkpoint.publishing.aside.take(),
        };
        self.put_former_back(checkpoint).await
    }

    /// Ours is not seen in its place.
    pub(crate) async fn put_former_back(&self, checkpoint: &mut Checkpoint) -> Result<()> {
        if let Some(aside) = &checkpoint.publishing.aside
            && put_back(self.sftp, aside, &checkpoint.final_path()).await?
        {
            checkpoint.publishing.aside = None;
        }
        Ok(())
    }

    /// Ours is in its place.
    pub(crate) async fn remove_former(&self, checkpoint: &mut Checkpoint) {
        if let Some(aside) = checkpoint.publishing.aside.take()
            && discard(self.sftp, &aside).await == Discarded::Refused
        {
            checkpoint.warn(format!(
                "the former file lies at {aside:?}, and could not be removed. Remove it, or ask the partner to"
            ));
        }
    }

    /// Ours is published, so nothing that was moved aside is needed any more. If the partner has taken ours already, the
    /// former file gets its name back.
    pub(crate) async fn clear_asides(&self, checkpoint: &mut Checkpoint) -> Result<()> {
        if let Some(aside) = &checkpoint.publishing.aside {
            put_back(self.sftp, aside, &checkpoint.final_path()).await?;
            checkpoint.publishing.aside = None;
        }
        if let Some(aside) = checkpoint.publishing.marker_aside.take() {
            discard(self.sftp, &aside).await;
        }
        Ok(())
    }
}

//! Replacing the former file on servers that cannot do it in one step.

use bridge::{Checkpoint, ErrorName, Result};
use partner::files::{Attempt, Onto, Reply, Swap, attempt, discard, swap};
use sftp::Status;

use crate::publish::rename::{Renaming, Try};

impl Renaming<'_, '_> {
    /// Moves the former file aside, and puts ours in its place. The partial file is known to be there.
    pub(super) async fn replace(&self, checkpoint: &mut Checkpoint) -> Result<Try> {
        if let Some(ended) = self.permission_refused(checkpoint).await? {
            return Ok(Try::Ended(ended));
        }
        let policy = &self.work.call.settings().policy;
        let Some(aside) = checkpoint.route.aside(self.path, policy) else {
            return Err(ErrorName::Internal.error("a file that is written to directly is not replaced"));
        };
        // Before it is requested: if the session is lost, the next one has to know.
        checkpoint.publishing.aside = Some(aside.clone());
        self.request(checkpoint);
        let swapped = swap(self.work.sftp, self.partial, self.path, &aside).await?;
        if !matches!(swapped, Swap::Done) {
            self.not_renamed(checkpoint);
        }
        match swapped {
            Swap::Done => {
                self.work.call.deps.partner.learned.set_moves_aside();
                checkpoint.warn(
                    "the server cannot replace a file in one step: the former one was moved aside for a moment",
                );
                Ok(Try::Renamed(None))
            }
            Swap::Refused(refusal) => {
                checkpoint.publishing.aside = None;
                Ok(Try::Refused(refusal))
            }
            Swap::NotPutBack(refusal) => Ok(Try::Refused(refusal)),
            Swap::Gone => Ok(Try::Ended(self.vanished(checkpoint))),
            Swap::CannotMoveAside(refusal) => {
                checkpoint.publishing.aside = None;
                tracing::info!(%refusal, path = self.path, "the former file cannot be moved aside");
                self.remove_and_rename(checkpoint, &aside).await
            }
        }
    }

    /// The last resort. S3 was just asked, and the partial file was just seen. Nothing is removed unless our file can be
    /// renamed at all, in the directory of the final name.
    async fn remove_and_rename(&self, checkpoint: &mut Checkpoint, free: &str) -> Result<Try> {
        if let Some(refusal) = self.try_renaming(free).await? {
            return Ok(Try::Refused(refusal));
        }
        if let Reply::Refused(refusal) = Reply::of(self.work.sftp.remove(self.path).await)? {
            return Ok(Try::Refused(refusal));
        }
        checkpoint.warn(format!(
            "the server can neither replace {:?} nor move it aside: the former file was removed before the rename",
            self.path
        ));
        self.request(checkpoint);
        let attempted = attempt(self.work.sftp, self.partial, self.path, Onto::Free).await?;
        match attempted {
            Attempt::Renamed => Ok(Try::Renamed(None)),
            Attempt::Gone => Ok(Try::Ended(self.vanished(checkpoint))),
            Attempt::Refused(refusal) | Attempt::Missing(refusal) | Attempt::Unseen(refusal) => {
                self.not_renamed(checkpoint);
                Ok(Try::Refused(refusal))
            }
        }
    }

    /// Renames the partial file to a free name and back. Returns the refusal, if there is one.
    async fn try_renaming(&self, free: &str) -> Result<Option<Status>> {
        discard(self.work.sftp, free).await;
        for (from, to) in [(self.partial, free), (free, self.partial)] {
            match attempt(self.work.sftp, from, to, Onto::Free).await? {
                Attempt::Renamed | Attempt::Gone => {}
                Attempt::Refused(refusal) | Attempt::Missing(refusal) | Attempt::Unseen(refusal) => {
                    return Ok(Some(refusal));
                }
            }
        }
        Ok(None)
    }
}

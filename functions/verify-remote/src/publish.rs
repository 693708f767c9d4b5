//! Publishing: the only place where the final name comes into being, unless it is written to directly.
//!
//! A file under the final name is never removed before ours is there, unless the server refuses every other way.

use std::time::Duration;

use aws::{Deliverable, Newer, Standing};
use bridge::{Checkpoint, Deadline, ErrorName, Result};
use partner::files::{
    Attempt, Discarded, Onto, Patience, Seen, Swap, attempt, discard, look, look_until, put_back, swap,
};
use sftp::{OpenFlags, Sftp, Status};

use crate::Deps;
use crate::marker::MarkerFile;

/// How an attempt to publish ended.
pub(crate) enum Published {
    /// By us.
    Now,
    /// Something changed meanwhile: what is there is to be found and proved anew.
    LookAgain,
    /// A newer upload has taken the object's place.
    Superseded(Newer),
    /// The stop came first.
    NotYet,
}

/// Pauses after a refused rename, 32 seconds in all: a virus scanner may hold the file, and no status says whether the
/// refusal will pass.
const PAUSES: [Duration; 7] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2500),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(8),
    Duration::from_secs(8),
];

/// Refusals by a server that announces an atomic replace before the former file is moved aside instead.
const REPLACE_REFUSALS: u32 = 2;

pub(crate) const LOST_ANSWER: &str = "the answer to the rename was lost, and the server shows neither the partial file nor the final one: the file was published, and may have been taken away since. Ask the partner whether it arrived";

/// Who publishes, and how.
pub(crate) struct Publisher<'a> {
    pub(crate) deps: &'a Deps,
    pub(crate) sftp: &'a Sftp,
    pub(crate) stop: Deadline,
    /// A file that is there must not be replaced.
    pub(crate) keeps: bool,
    /// An earlier call of this step may have been killed in the middle of publishing.
    pub(crate) is_retry: bool,
}

/// What came of one attempt.
enum Step {
    Renamed,
    Refused(Status),
    Ended(Published),
}

/// What S3 says of replacing a file that is there.
enum Permission {
    Granted,
    Superseded(Newer),
    /// Another execution may have delivered this very file.
    LookAgain,
}

impl Permission {
    /// Why the attempt ends here, if it does.
    fn refused(self) -> Option<Published> {
        match self {
            Self::Granted => None,
            Self::Superseded(newer) => Some(Published::Superseded(newer)),
            Self::LookAgain => Some(Published::LookAgain),
        }
    }
}

impl Publisher<'_> {
    /// Renames the proved partial file to the final name. The marker of a former file of that name is moved aside before,
    /// and put back if nothing is published.
    pub(crate) async fn publish(
        &self,
        checkpoint: &mut Checkpoint,
        marker: Option<&MarkerFile>,
    ) -> Result<Published> {
        let (sftp, path) = (self.sftp, checkpoint.final_path());
        // Not every server refuses to rename onto a name that exists.
        if self.keeps && matches!(look(sftp, &path).await?, Seen::File(_)) {
            return Ok(Published::LookAgain);
        }
        if checkpoint.remote.is_direct() {
            if let Some(marker) = marker {
                marker.withdraw(sftp).await?;
            }
            return Ok(Published::Now);
        }
        let published = Box::pin(self.rename(checkpoint, &path, marker)).await;
        match &published {
            // What lies aside is removed once ours was seen.
            Ok(Published::Now) => {}
            // Whether ours lies there is found out first.
            Ok(Published::LookAgain) if checkpoint.vanished => {}
            Err(error) if error.name.is_connection_failure() => checkpoint.publish_refusals += 1,
            _ => {
                let file = self.put_aside_back(checkpoint, &path).await;
                if let Some(marker) = marker {
                    marker.put_back(sftp, checkpoint).await?;
                }
                file?;
            }
        }
        published
    }

    /// Asks for the rename until it is done, or the server has refused it for long enough to be believed.
    async fn rename(
        &self,
        checkpoint: &mut Checkpoint,
        path: &str,
        marker: Option<&MarkerFile>,
    ) -> Result<Published> {
        loop {
            let refusal = match self.try_with_marker(checkpoint, path, marker).await? {
                Step::Renamed => return Ok(Published::Now),
                Step::Ended(published) => return Ok(published),
                Step::Refused(refusal) => refusal,
            };
            let pause = PAUSES.get(checkpoint.publish_refusals as usize).copied();
            let Some(pause) = pause else { return Err(self.refused(refusal, checkpoint, path)) };
            checkpoint.publish_refusals += 1;
            if self.stop.remaining() <= pause {
                return Ok(Published::NotYet);
            }
            tracing::info!(%refusal, ?pause, "the rename was refused; asking again");
            tokio::time::sleep(pause).await;
            if let Some(ended) = self.ask_s3(checkpoint, path).await?.refused() {
                return Ok(ended);
            }
        }
    }

    async fn try_with_marker(
        &self,
        checkpoint: &mut Checkpoint,
        path: &str,
        marker: Option<&MarkerFile>,
    ) -> Result<Step> {
        if let Some(marker) = marker.filter(|_| checkpoint.marker_aside.is_none())
            && let Some(refusal) = marker.move_aside(self.sftp, checkpoint).await?
            && !refusal.is_unsupported()
        {
            return Ok(Step::Refused(refusal));
        }
        self.try_once(checkpoint, path).await
    }

    async fn try_once(&self, checkpoint: &mut Checkpoint, path: &str) -> Result<Step> {
        let (sftp, partial) = (self.sftp, checkpoint.remote.partial.clone());
        let asked_before = std::mem::replace(&mut checkpoint.publishing, true);
        let onto = if self.keeps { Onto::Free } else { Onto::Any };
        match attempt(sftp, &partial, path, onto).await? {
            Attempt::Renamed => Ok(Step::Renamed),
            // An earlier request was carried out late.
            Attempt::Missing(_) if asked_before => Ok(Step::Ended(Published::LookAgain)),
            Attempt::Gone => Ok(Step::Ended(vanished(checkpoint))),
            // It was there when it was proved.
            Attempt::Missing(_) => {
                checkpoint.publishing = false;
                Ok(Step::Ended(Published::LookAgain))
            }
            Attempt::Unseen(refusal) => self.unseen(refusal, asked_before, checkpoint, path).await,
            Attempt::Refused(refusal) if refusal.is_unsupported() => {
                checkpoint.publishing = false;
                // To write directly, the partial file is not needed.
                discard(sftp, &partial).await;
                Err(ErrorName::InvalidConfig.error(format!(
                    "SFTP_PUBLISH is rename, but the server cannot rename: {refusal}; nothing was published. Set it to direct"
                )))
            }
            Attempt::Refused(refusal) => {
                checkpoint.publishing = false;
                self.refused_now(refusal, checkpoint, path).await
            }
        }
    }

    /// The partial file is still there: what is done about it depends on what lies under the final name.
    async fn refused_now(&self, refusal: Status, checkpoint: &mut Checkpoint, path: &str) -> Result<Step> {
        match look(self.sftp, path).await? {
            Seen::File(_) if self.keeps => Ok(Step::Ended(Published::LookAgain)),
            Seen::File(_) if self.moves_aside(checkpoint) => Box::pin(self.replace(checkpoint, path)).await,
            Seen::Directory => Err(ErrorName::RemotePathRejected.error(format!(
                "{path:?} is a directory; nothing was published. Ask the partner to remove or rename the directory. {:?} stays for the next try",
                checkpoint.remote.partial
            ))),
            _ => Ok(Step::Refused(refusal)),
        }
    }

    /// Without an atomic replace, an existing file stands in the way. Some servers announce one and refuse it.
    fn moves_aside(&self, checkpoint: &Checkpoint) -> bool {
        !self.sftp.can_replace()
            || checkpoint.publish_refusals >= REPLACE_REFUSALS
            || self.deps.partner.learned.moves_aside()
    }

    /// The server lets the partial file not be seen.
    async fn unseen(
        &self,
        refusal: Status,
        asked_before: bool,
        checkpoint: &mut Checkpoint,
        path: &str,
    ) -> Result<Step> {
        if !refusal.is_not_found() {
            // It may have been carried out: `publishing` stays, and the next answer tells.
            return Ok(Step::Refused(refusal));
        }
        checkpoint.publishing = false;
        let is_ours = look(self.sftp, path).await?.size() == Some(checkpoint.object.size);
        let may_be_renamed = is_ours || asked_before || self.is_retry;
        if !may_be_renamed {
            return Ok(Step::Refused(refusal));
        }
        // An earlier request may have been carried out: then there is nothing left to open.
        let partial = &checkpoint.remote.partial;
        match self.sftp.open(partial, OpenFlags::WRITE).await {
            Err(error) if error.is_status() => {
                checkpoint.publishing = true;
                checkpoint.warnings.push(LOST_ANSWER.to_owned());
                Ok(Step::Renamed)
            }
            Err(error) => Err(error.into()),
            // Some servers empty a file as they open it, and this one lets nobody look.
            Ok(file) => {
                self.sftp.close(file).await?;
                Err(ErrorName::RemoteMismatch.error(format!(
                    "{refusal}, but {partial:?} is there, and the server does not let anyone see what it holds; nothing was published, and it is sent again once"
                )))
            }
        }
    }

    /// Puts ours in the place of the former file, which is moved aside before. The partial file is known to be there.
    async fn replace(&self, checkpoint: &mut Checkpoint, path: &str) -> Result<Step> {
        if let Some(ended) = self.ask_s3(checkpoint, path).await?.refused() {
            return Ok(Step::Ended(ended));
        }
        let policy = &self.deps.partner.settings.policy;
        let partial = checkpoint.remote.partial.clone();
        let Some(aside) = checkpoint.remote.aside(path, policy) else {
            return Err(ErrorName::Internal.error("a file that is written to directly is not replaced"));
        };
        // Before it is asked for: if the session is lost, the next one has to know.
        checkpoint.aside = Some(aside.clone());
        checkpoint.publishing = true;
        let swapped = swap(self.sftp, &partial, path, &aside).await?;
        checkpoint.publishing = matches!(swapped, Swap::Done);
        match swapped {
            Swap::Done => {
                self.deps.partner.learned.set_moves_aside();
                checkpoint.warnings.push(
                    "the server cannot replace a file in one step: the former one was moved aside for a moment".into(),
                );
                Ok(Step::Renamed)
            }
            Swap::Refused(refusal) => {
                checkpoint.aside = None;
                Ok(Step::Refused(refusal))
            }
            Swap::NotPutBack(refusal) => Ok(Step::Refused(refusal)),
            Swap::Gone => Ok(Step::Ended(vanished(checkpoint))),
            Swap::CannotMoveAside(refusal) => {
                checkpoint.aside = None;
                tracing::info!(%refusal, path, "the former file cannot be moved aside");
                self.remove_and_rename(checkpoint, path, &aside).await
            }
        }
    }

    /// The last resort. S3 was just asked, and the partial file was just seen. Nothing is removed unless our file can be
    /// renamed at all, in the directory of the final name.
    async fn remove_and_rename(&self, checkpoint: &mut Checkpoint, path: &str, free: &str) -> Result<Step> {
        if let Some(refusal) = self.try_renaming(checkpoint, free).await? {
            return Ok(Step::Refused(refusal));
        }
        match self.sftp.remove(path).await {
            Ok(()) => {}
            Err(sftp::Error::Refused(status)) => return Ok(Step::Refused(status)),
            Err(error) => return Err(error.into()),
        }
        checkpoint.warnings.push(format!(
            "the server can neither replace {path:?} nor move it aside: the former file was removed before"
        ));
        checkpoint.publishing = true;
        let partial = checkpoint.remote.partial.clone();
        let attempted = attempt(self.sftp, &partial, path, Onto::Free).await?;
        checkpoint.publishing = matches!(attempted, Attempt::Renamed);
        match attempted {
            Attempt::Renamed => Ok(Step::Renamed),
            Attempt::Gone => Ok(Step::Ended(vanished(checkpoint))),
            Attempt::Refused(refusal) | Attempt::Missing(refusal) | Attempt::Unseen(refusal) => {
                Ok(Step::Refused(refusal))
            }
        }
    }

    /// Renames the partial file to a free name and back. Returns the refusal, if there is one.
    async fn try_renaming(&self, checkpoint: &Checkpoint, free: &str) -> Result<Option<Status>> {
        let partial = &checkpoint.remote.partial;
        discard(self.sftp, free).await;
        for (from, to) in [(partial.as_str(), free), (free, partial.as_str())] {
            match attempt(self.sftp, from, to, Onto::Free).await? {
                Attempt::Renamed | Attempt::Gone => {}
                Attempt::Refused(refusal) | Attempt::Missing(refusal) | Attempt::Unseen(refusal) => {
                    return Ok(Some(refusal));
                }
            }
        }
        Ok(None)
    }

    /// Whether a file under the final name may be replaced now.
    async fn ask_s3(&self, checkpoint: &Checkpoint, path: &str) -> Result<Permission> {
        match standing(self.deps, checkpoint).await? {
            Standing::Newest => Ok(Permission::Granted),
            Standing::Superseded(newer) => Ok(Permission::Superseded(newer)),
            Standing::Gone => match look(self.sftp, path).await? {
                Seen::Nothing => Ok(Permission::Granted),
                Seen::File(Some(size)) if size == checkpoint.object.size => Ok(Permission::LookAgain),
                _ => Err(cannot_tell(checkpoint, path)),
            },
        }
    }

    /// What an earlier session or call left aside has its name back, unless another file has taken it, before anything
    /// else is decided.
    pub(crate) async fn restore(&self, checkpoint: &mut Checkpoint, path: &str) -> Result<()> {
        let may_be_there = checkpoint.aside.is_some()
            || self.is_retry
            || !self.sftp.can_replace()
            || self.deps.partner.learned.moves_aside();
        if self.keeps || !may_be_there {
            return Ok(());
        }
        let Some(aside) = checkpoint.remote.aside(path, &self.deps.partner.settings.policy) else {
            return Ok(());
        };
        checkpoint.aside = match look(self.sftp, &aside).await? {
            Seen::File(_) => Some(aside),
            Seen::Nothing | Seen::Directory => None,
            Seen::Hidden => checkpoint.aside.take(),
        };
        self.put_aside_back(checkpoint, path).await
    }

    /// Ours lies in its place.
    pub(crate) async fn remove_aside(&self, checkpoint: &mut Checkpoint) {
        if let Some(aside) = checkpoint.aside.take()
            && discard(self.sftp, &aside).await == Discarded::Refused
        {
            checkpoint.warnings.push(format!(
                "the former file lies at {aside:?}, and could not be removed. Remove it, or ask the partner to"
            ));
        }
    }

    /// Ours is not seen in its place.
    pub(crate) async fn put_aside_back(&self, checkpoint: &mut Checkpoint, path: &str) -> Result<()> {
        if let Some(aside) = checkpoint.aside.clone()
            && put_back(self.sftp, &aside, path).await?
        {
            checkpoint.aside = None;
        }
        Ok(())
    }

    /// The partial file stays: what the server refuses today it may allow tomorrow.
    fn refused(&self, refusal: Status, checkpoint: &Checkpoint, path: &str) -> bridge::Error {
        let partial = &checkpoint.remote.partial;
        let error = bridge::Error::from(sftp::Error::from(refusal));
        let mut message = format!(
            "{} to {path:?}; nothing was published. {partial:?} stays, and the next try of this execution publishes it",
            error.message()
        );
        if let Some(aside) = &checkpoint.aside {
            message += &format!(". The former {path:?} lies at {aside:?}");
        }
        let removed =
            checkpoint.warnings.iter().find(|warning| warning.contains("the former file was removed"));
        if let Some(removed) = removed {
            message += &format!(". Note: {removed}");
        }
        error.name.error(message)
    }

    /// Looks whether the file lies under its final name. `false` if it is not seen, with a warning.
    ///
    /// # Errors
    /// `RemoteMismatch` if another size is told.
    pub(crate) async fn confirm(&self, checkpoint: &mut Checkpoint) -> Result<bool> {
        let (path, size) = (checkpoint.final_path(), checkpoint.object.size);
        let believed = !checkpoint.sizes_unreliable;
        let is_whole = |seen: Seen| match seen {
            Seen::File(Some(told)) => told == size || !believed,
            Seen::File(None) | Seen::Hidden => true,
            Seen::Directory | Seen::Nothing => false,
        };
        let patience = |seen| if seen == Seen::Nothing { Patience::Short } else { Patience::Long };
        let seen = look_until(self.sftp, &path, self.stop, is_whole, patience).await?;
        match seen {
            seen if is_whole(seen) => {
                self.remove_aside(checkpoint).await;
                Ok(true)
            }
            Seen::Nothing => {
                checkpoint.warnings.push(format!(
                    "the server accepted the rename, but {path:?} is not seen: it was taken away at once, or it lies under another name. Ask the partner whether it arrived"
                ));
                self.put_aside_back(checkpoint, &path).await?;
                Ok(false)
            }
            seen => {
                if checkpoint.aside.is_some() {
                    // What lies there is ours, and damaged.
                    discard(self.sftp, &path).await;
                    self.put_aside_back(checkpoint, &path).await?;
                }
                Err(ErrorName::RemoteMismatch.error(format!(
                "the server accepted the rename, but {path:?} is {} afterwards; {size} bytes were sent and proved. Ask the partner what changes files after a rename",
                seen.size().map_or("no file".to_owned(), |size| format!("{size} bytes long"))
            )))
            }
        }
    }
}

/// Our file is not seen any more, although the server refused to rename it: what lies under the final name is to be proved
/// by its contents.
fn vanished(checkpoint: &mut Checkpoint) -> Published {
    checkpoint.publishing = false;
    checkpoint.vanished = true;
    checkpoint.read_back = None;
    Published::LookAgain
}

/// What S3 says of the pinned object now.
pub(crate) async fn standing(deps: &Deps, checkpoint: &Checkpoint) -> Result<Standing> {
    aws::standing(&deps.partner.clients.s3, &checkpoint.object, deliverable(deps)).await
}

pub(crate) fn deliverable(deps: &Deps) -> Deliverable {
    Deliverable { skip_empty: deps.partner.settings.policy.skip_empty }
}

/// The object is gone, and a file is there that may be newer.
pub(crate) fn cannot_tell(checkpoint: &Checkpoint, path: &str) -> bridge::Error {
    ErrorName::ObjectUnreadable.error(format!(
        "s3://{}/{} was deleted before its file was published, and there is a {path:?} already: nobody can tell any more which of the two is newer. Nothing was published; {:?} stays. If it is this one, upload it again",
        checkpoint.object.bucket, checkpoint.object.object_key, checkpoint.remote.partial
    ))
}

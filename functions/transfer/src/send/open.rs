//! Opening the partial file, along with the looks at both names if nothing of an earlier call can be in it.

use std::sync::atomic::Ordering;

use bridge::{Publish, Result, Route};
use partner::files::{OpenAs, PartialFile, Reply, Seen};
use sftp::{FileHandle, Sftp};

use crate::send::acknowledged::Found;
use crate::send::resume::Reach;
use crate::send::sending::Sending;

/// The server's answer to an OPEN that did not wait for what the looks show; `None` if it was not sent.
pub(super) type OpenedAtOnce = Option<Reply<FileHandle>>;

impl Sending<'_> {
    /// Opens a new partial file at once. It is ours alone, so nobody misses what it held, whatever the looks show. It
    /// is not opened at once if there is a staging directory, because the directories of the final name come first
    /// then; nor if the file would most likely be removed again, or could not be.
    pub(super) async fn open_at_once(&self, sftp: &Sftp, route: &Route) -> Result<OpenedAtOnce> {
        let publish = &self.settings().policy.publish;
        let is_beside = matches!(publish, Publish::Rename { staging_directory: None, .. });
        let learned = &self.call.deps.partner.learned;
        if !is_beside || !self.hurries() || learned.never_removes() || learned.has_files_already() {
            return Ok(None);
        }
        self.partial_file(sftp, route).open_at_once().await.map(Some)
    }

    /// Nothing is sent, so no empty partial file stays behind. Nor does one of an earlier call, if the file was found.
    ///
    /// # Errors
    /// The session was lost: the next one finds out whether an empty file is there.
    pub(super) async fn leave_nothing(
        &self,
        sftp: &Sftp,
        route: &Route,
        found: &Result<Option<Found>>,
        partial: &Result<Seen>,
        opened: Result<OpenedAtOnce>,
    ) -> Result<()> {
        let Some(path) = route.partial() else { return Ok(()) };
        match (opened, partial) {
            // Some systems do not remove an open file. A refusal changes nothing.
            (Ok(Some(Reply::Done(file))), _) => drop(Reply::of(sftp.close(file).await)?),
            (Err(error), _) if error.name.is_connection_failure() => return Err(error),
            (_, Ok(Seen::File(Some(0)))) => {}
            (_, Ok(Seen::File(_))) if found.is_ok() => {}
            _ => return Ok(()),
        }
        if let Reply::Refused(refusal) = Reply::of(sftp.remove(path).await)?
            && !refusal.is_not_found()
        {
            tracing::warn!(%refusal, path, "a file of ours could not be removed");
            self.call.deps.partner.learned.set_never_removes();
        }
        Ok(())
    }

    /// Opens the file, unless it is open. Returns how far its contents may be believed: as far as the open file reaches, and
    /// no further than it did before. Some servers truncate a file when they open it.
    pub(super) async fn open(
        &self,
        sftp: &Sftp,
        route: &Route,
        open_as: OpenAs,
        before: Reach,
        opened: OpenedAtOnce,
    ) -> Result<(FileHandle, Reach)> {
        self.resumes.store(open_as == OpenAs::Resume, Ordering::Relaxed);
        let (partial, warn) = (self.partial_file(sftp, route), |warning| self.acknowledged.warn(warning));
        let mut file = match opened {
            Some(opened) => partial.open_after(opened, open_as, warn).await?,
            None => partial.open(open_as, warn).await?,
        };
        if route.is_direct() {
            file.leave_open_if_dropped();
        }
        if open_as == OpenAs::Fresh {
            return Ok((file, before.truncated()));
        }
        self.call.deps.partner.learned.set_never_continues(false);
        let after = Reach::of_open_file(sftp, &file, route.upload_path()).await?;
        Ok((file, after.at_most(before)))
    }

    fn partial_file<'a>(&'a self, sftp: &'a Sftp, route: &'a Route) -> PartialFile<'a> {
        let settings = self.settings();
        PartialFile { sftp, remote: route, policy: &settings.policy, dir_mode: settings.attributes.dir_mode }
    }
}

//! The marker: a file beside the published one that says that it is there.

use bridge::{Checkpoint, ErrorName, Hashes, Marker, Result, Route, Settings};
use bytes::Bytes;
use partner::files::{self, Attempt, Onto, Reply, Seen, Swap, attempt, discard, look, swap};
use sftp::{FileHandle, OpenFlags, Sftp, Status};

use crate::prove::hashes::Known;
use crate::work::Work;

/// Outcome of putting the marker beside the published file.
pub(crate) enum Marked {
    Written,
    /// The marker was there and right, or nothing tells what it has to say.
    AsItWas,
    /// The stop came first. The next call continues.
    OutOfTime,
}

impl Work<'_> {
    /// Puts the marker beside the published file, and names it in the checkpoint.
    pub(crate) async fn mark(&self, checkpoint: &mut Checkpoint) -> Result<Marked> {
        let settings = self.call.settings();
        match self.know_hashes(checkpoint, settings.marker.hashes()).await? {
            Known::Yes => {}
            Known::NotYet => return Ok(Marked::OutOfTime),
            // The execution that delivered the file has put its marker there.
            Known::Never(why) => {
                checkpoint.warn(format!("the marker was not checked: {why}"));
                return Ok(Marked::AsItWas);
            }
        }
        let Some(path) = checkpoint.phase.publication().map(|publication| publication.path.clone()) else {
            return Err(ErrorName::Internal.error("there is no marker without a published file"));
        };
        let Some(marker) = MarkerFile::new(settings, checkpoint, &path)? else { return Ok(Marked::AsItWas) };
        let marked = marker.publish(self.sftp).await?;
        if let Some(publication) = checkpoint.phase.publication_mut() {
            publication.marker = Some(marker.path().to_owned());
        }
        Ok(marked)
    }
}

/// A marker of one file.
pub(crate) struct MarkerFile {
    route: Route,
    /// Where the marker of the former file is moved; `None` if nothing is renamed.
    aside: Option<String>,
    content: Bytes,
    syncs: bool,
}

impl MarkerFile {
    /// For the file that was or will be published at `path`; `None` if there is to be none.
    pub(crate) fn new(settings: &Settings, checkpoint: &Checkpoint, path: &str) -> Result<Option<Self>> {
        let marker = settings.marker;
        let Some(suffix) = marker.suffix() else { return Ok(None) };
        let digests = &checkpoint.sent.digests;
        let hash = match marker {
            Marker::None | Marker::Done => None,
            Marker::Sha256 => digests.sha256.as_ref().map(|sha256| sha256.hexadecimal()),
            Marker::Md5 => digests.md5.as_ref().map(|md5| md5.hexadecimal()),
        };
        let name = path.rsplit('/').next().unwrap_or(path);
        let content = match hash {
            Some(hash) => format!("{hash}  {name}\n"),
            None if marker.hashes() == Hashes::default() => String::new(),
            None => return Err(ErrorName::Internal.error("the marker's hash was not computed")),
        };
        let route = checkpoint.route.marker(path, suffix, &settings.policy)?;
        let aside = route.aside(route.path(), &settings.policy);
        let syncs = settings.attributes.fsync.is_some();
        Ok(Some(Self { route, aside, content: content.into(), syncs }))
    }

    pub(crate) fn path(&self) -> &str {
        self.route.path()
    }

    /// Moves the marker of the former file out of the way, just before ours is published: it would describe a file that it
    /// does not know. Returns the refusal, if there is one: then nothing else can be renamed either.
    pub(crate) async fn move_aside(
        &self,
        sftp: &Sftp,
        checkpoint: &mut Checkpoint,
    ) -> Result<Option<Status>> {
        let Some(aside) = &self.aside else { return self.withdraw(sftp).await.map(|()| None) };
        match look(sftp, self.path()).await? {
            Seen::File(_) | Seen::Hidden => {}
            // A directory is the partner's, and not moved.
            Seen::Nothing | Seen::Directory => return Ok(None),
        }
        checkpoint.publishing.marker_aside = Some(aside.clone());
        let reply = Reply::of(files::request(sftp, self.path(), aside, Onto::Any).await)?;
        let Reply::Refused(refusal) = reply else { return Ok(None) };
        checkpoint.publishing.marker_aside = None;
        Ok(Some(refusal).filter(|refusal| !refusal.is_not_found()))
    }

    /// A call that was killed has not reported what it moved aside.
    pub(crate) async fn find_aside(&self, sftp: &Sftp, checkpoint: &mut Checkpoint) -> Result<()> {
        if checkpoint.publishing.marker_aside.is_none()
            && let Some(aside) = &self.aside
            && matches!(look(sftp, aside).await?, Seen::File(_))
        {
            checkpoint.publishing.marker_aside = Some(aside.clone());
        }
        Ok(())
    }

    /// The former file stays, and so does its marker.
    pub(crate) async fn put_back(&self, sftp: &Sftp, checkpoint: &mut Checkpoint) -> Result<()> {
        if let Some(aside) = &checkpoint.publishing.marker_aside
            && files::put_back(sftp, aside, self.path()).await?
        {
            checkpoint.publishing.marker_aside = None;
        }
        Ok(())
    }

    /// Removes the marker of the former file. If it cannot be removed, it is replaced later.
    pub(crate) async fn withdraw(&self, sftp: &Sftp) -> Result<()> {
        Reply::of(sftp.remove(self.path()).await)?;
        Ok(())
    }

    /// Publishes it, once its file is. A marker that is there and says the same stays: a partner may wait for a new one.
    ///
    /// # Errors
    /// `RemoteFailure`, which is retried, if the server refuses it; or the loss of the session.
    async fn publish(&self, sftp: &Sftp) -> Result<Marked> {
        if self.is_there(sftp).await? {
            return Ok(Marked::AsItWas);
        }
        match self.write(sftp).await? {
            Reply::Done(()) => Ok(Marked::Written),
            Reply::Refused(refusal) => Err(ErrorName::RemoteFailure.error(format!(
                "the file is published, but the server refused its marker {:?}: {refusal}. The next attempt sends only the marker",
                self.path()
            ))),
        }
    }

    async fn is_there(&self, sftp: &Sftp) -> Result<bool> {
        // After a refusal: the server hides it, or the partner was just taking it.
        Ok(Reply::of(self.has_content(sftp).await)?.done().unwrap_or(false))
    }

    async fn has_content(&self, sftp: &Sftp) -> sftp::Result<bool> {
        let told = sftp.stat(self.path()).await?;
        if told.and_then(|attributes| attributes.size) != Some(self.content.len() as u64) {
            return Ok(false);
        }
        let file = sftp.open(self.path(), OpenFlags::READ).await?;
        let is_same = self.is_content_of(sftp, &file).await;
        sftp.close(file).await?;
        is_same
    }

    async fn is_content_of(&self, sftp: &Sftp, file: &FileHandle) -> sftp::Result<bool> {
        let mut content = Vec::new();
        let mut download = sftp.download(file, 0, self.content.len() as u64);
        while let Some(bytes) = download.next().await? {
            content.extend_from_slice(&bytes);
        }
        Ok(content == self.content)
    }

    async fn write(&self, sftp: &Sftp) -> Result<Reply<()>> {
        let path = self.path();
        let (Some(partial), Some(aside)) = (self.route.partial(), &self.aside) else {
            return self.write_to(sftp, path).await;
        };
        if let refused @ Reply::Refused(_) = self.write_to(sftp, partial).await? {
            return Ok(refused);
        }
        let refusal = match attempt(sftp, partial, path, Onto::Any).await? {
            Attempt::Renamed | Attempt::Gone => return Ok(Reply::Done(())),
            Attempt::Refused(refusal) | Attempt::Missing(refusal) | Attempt::Unseen(refusal) => refusal,
        };
        let outcome = match look(sftp, path).await? {
            Seen::File(_) => self.replace(sftp, partial, aside).await?,
            // So short a file is whole as soon as it is seen, or empty.
            Seen::Nothing | Seen::Hidden => self.write_to(sftp, path).await?,
            Seen::Directory => Reply::Refused(refusal),
        };
        discard(sftp, partial).await;
        Ok(outcome)
    }

    /// Another marker has the name, and the server does not replace it in one step.
    async fn replace(&self, sftp: &Sftp, partial: &str, aside: &str) -> Result<Reply<()>> {
        let path = self.path();
        match swap(sftp, partial, path, aside).await? {
            Swap::Done | Swap::Gone => {
                discard(sftp, aside).await;
                Ok(Reply::Done(()))
            }
            Swap::Refused(refusal) | Swap::NotPutBack(refusal) => Ok(Reply::Refused(refusal)),
            Swap::CannotMoveAside(_) => match Reply::of(sftp.remove(path).await)? {
                Reply::Done(()) => Ok(Reply::of(sftp.rename_noreplace(partial, path).await)?),
                refused => Ok(refused),
            },
        }
    }

    async fn write_to(&self, sftp: &Sftp, path: &str) -> Result<Reply<()>> {
        let flags = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::TRUNCATE;
        let file = match Reply::of(sftp.open(path, flags).await)? {
            Reply::Done(file) => file,
            Reply::Refused(refusal) => return Ok(Reply::Refused(refusal)),
        };
        let written =
            if self.content.is_empty() { Ok(()) } else { sftp.write(&file, 0, self.content.clone()).await };
        // Whatever came of it: no handle is left open.
        let closed = sftp.close_with(file, self.syncs).await;
        Ok(Reply::of(written.and(closed.map(drop)))?)
    }
}

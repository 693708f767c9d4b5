//! The marker: a file beside the published one that says that it is there.

use bridge::{Checkpoint, ErrorName, Marker, RemotePaths, Result, Settings};
use bytes::Bytes;
use partner::files::{self, Attempt, Onto, Reply, Seen, Swap, attempt, discard, look, swap};
use sftp::{FileHandle, OpenFlags, Sftp, Status};

/// A marker of one file.
pub(crate) struct MarkerFile {
    remote: RemotePaths,
    /// Where the marker of a former file is moved; `None` where nothing is renamed.
    aside: Option<String>,
    content: Bytes,
    syncs: bool,
}

impl MarkerFile {
    /// For the file that was or will be published at `path`; `None` if there is to be none.
    pub(crate) fn new(settings: &Settings, checkpoint: &Checkpoint, path: &str) -> Result<Option<Self>> {
        let marker = settings.marker;
        let Some(suffix) = marker.suffix() else { return Ok(None) };
        let file = RemotePaths { path: path.to_owned(), partial: checkpoint.remote.partial.clone() };
        let hash = match marker {
            Marker::None | Marker::Done => None,
            Marker::Sha256 => checkpoint.sha256.as_ref().map(|sha256| sha256.hexadecimal()),
            Marker::Md5 => checkpoint.md5.as_ref().map(|md5| md5.hexadecimal()),
        };
        let name = path.rsplit('/').next().unwrap_or(path);
        let content = match (marker.hashes() == bridge::Hashes::default(), hash) {
            (true, _) => String::new(),
            (false, Some(hash)) => format!("{hash}  {name}\n"),
            (false, None) => return Err(ErrorName::Internal.error("the marker's hash was not computed")),
        };
        let remote = file.marker(suffix, &settings.policy)?;
        let aside = remote.aside(&remote.path, &settings.policy);
        let syncs = settings.attributes.fsync.is_some();
        Ok(Some(Self { remote, aside, content: content.into(), syncs }))
    }

    pub(crate) fn path(&self) -> &str {
        &self.remote.path
    }

    /// Moves the marker of a former file of this name out of the way, just before ours is published: it would speak of a
    /// file that it does not know. Returns the refusal, if there is one: then nothing else can be renamed either.
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
        checkpoint.marker_aside = Some(aside.clone());
        let reply = Reply::of(files::request(sftp, self.path(), aside, Onto::Any).await)?;
        let Reply::Refused(refusal) = reply else { return Ok(None) };
        checkpoint.marker_aside = None;
        Ok(Some(refusal).filter(|refusal| !refusal.is_not_found()))
    }

    /// A call that was killed has told nobody what it moved aside.
    pub(crate) async fn find_aside(&self, sftp: &Sftp, checkpoint: &mut Checkpoint) -> Result<()> {
        if checkpoint.marker_aside.is_none()
            && let Some(aside) = &self.aside
            && matches!(look(sftp, aside).await?, Seen::File(_))
        {
            checkpoint.marker_aside = Some(aside.clone());
        }
        Ok(())
    }

    /// The former file stays, and so does its marker.
    pub(crate) async fn put_back(&self, sftp: &Sftp, checkpoint: &mut Checkpoint) -> Result<()> {
        if let Some(aside) = &checkpoint.marker_aside
            && files::put_back(sftp, aside, self.path()).await?
        {
            checkpoint.marker_aside = None;
        }
        Ok(())
    }

    /// Removes the marker of a former file. One that cannot be removed is replaced later.
    pub(crate) async fn withdraw(&self, sftp: &Sftp) -> Result<()> {
        match sftp.remove(self.path()).await {
            Err(error) if !error.is_status() => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Publishes it, once its file is. One that is there and says the same stays: a partner may wait for a new one.
    /// Returns whether it was written.
    ///
    /// # Errors
    /// `RemoteFailure`, which is retried, if the server refuses it; or the loss of the session.
    pub(crate) async fn publish(&self, sftp: &Sftp) -> Result<bool> {
        let published = match self.is_there(sftp).await {
            Ok(true) => return Ok(false),
            Ok(false) => self.write(sftp).await?,
            Err(error) => Err(error),
        };
        match published {
            Ok(()) => Ok(true),
            Err(error) if error.is_status() => Err(ErrorName::RemoteFailure.error(format!(
                "the file is published, and the marker {:?} that the partner waits for is not: {error}. The next try sends the marker only",
                self.path()
            ))),
            Err(error) => Err(error.into()),
        }
    }

    async fn is_there(&self, sftp: &Sftp) -> sftp::Result<bool> {
        let looked = async {
            let told = sftp.stat(self.path()).await?;
            if told.and_then(|attributes| attributes.size) != Some(self.content.len() as u64) {
                return Ok(false);
            }
            let file = sftp.open(self.path(), OpenFlags::READ).await?;
            let says_the_same = self.is_content_of(sftp, &file).await;
            sftp.close(file).await?;
            says_the_same
        };
        match looked.await {
            // A server that lets nothing be seen, or a partner who was just taking it.
            Err(error) if error.is_status() => Ok(false),
            other => other,
        }
    }

    async fn is_content_of(&self, sftp: &Sftp, file: &FileHandle) -> sftp::Result<bool> {
        let mut content = Vec::new();
        let mut download = sftp.download(file, 0, self.content.len() as u64);
        while let Some(bytes) = download.next().await? {
            content.extend_from_slice(&bytes);
        }
        Ok(content == self.content)
    }

    async fn write(&self, sftp: &Sftp) -> Result<sftp::Result<()>> {
        let RemotePaths { path, partial } = &self.remote;
        let Some(aside) = &self.aside else { return Ok(self.write_to(sftp, path).await) };
        if let Err(error) = self.write_to(sftp, partial).await {
            return Ok(Err(error));
        }
        let refusal = match attempt(sftp, partial, path, Onto::Any).await? {
            Attempt::Renamed | Attempt::Gone => return Ok(Ok(())),
            Attempt::Refused(refusal) | Attempt::Missing(refusal) | Attempt::Unseen(refusal) => refusal,
        };
        let outcome = match look(sftp, path).await? {
            Seen::File(_) => self.replace(sftp, aside).await?,
            // So short a file is whole as soon as it is seen, or empty.
            Seen::Nothing | Seen::Hidden => self.write_to(sftp, path).await,
            Seen::Directory => Err(refusal.into()),
        };
        discard(sftp, partial).await;
        Ok(outcome)
    }

    /// Another marker has the name, and the server does not replace it in one step.
    async fn replace(&self, sftp: &Sftp, aside: &str) -> Result<sftp::Result<()>> {
        let RemotePaths { path, partial } = &self.remote;
        Ok(match swap(sftp, partial, path, aside).await? {
            Swap::Done | Swap::Gone => {
                discard(sftp, aside).await;
                Ok(())
            }
            Swap::Refused(refusal) | Swap::NotPutBack(refusal) => Err(refusal.into()),
            Swap::CannotMoveAside(_) => match sftp.remove(path).await {
                Ok(()) => sftp.rename_noreplace(partial, path).await,
                Err(error) => Err(error),
            },
        })
    }

    async fn write_to(&self, sftp: &Sftp, path: &str) -> sftp::Result<()> {
        let flags = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::TRUNCATE;
        let file = sftp.open(path, flags).await?;
        let written = match self.content.is_empty() {
            true => Ok(()),
            false => sftp.write(&file, 0, self.content.clone()).await,
        };
        // Whatever came of it: no handle is left open.
        let closed = sftp.close_with(file, self.syncs).await;
        written.and(closed.map(drop))
    }
}

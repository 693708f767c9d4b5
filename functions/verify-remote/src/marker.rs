//! The marker: a file beside the published one that says that it is there.

use bridge::{Checkpoint, ErrorName, Marker, RemotePaths, Result, Settings};
use bytes::Bytes;
use sftp::{FileHandle, OpenFlags, Sftp};

/// A marker of one file.
pub(crate) struct MarkerFile {
    remote: RemotePaths,
    content: Bytes,
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
        let remote = file.marker(suffix, &settings.policy, &checkpoint.object)?;
        Ok(Some(Self { remote, content: content.into() }))
    }

    pub(crate) fn path(&self) -> &str {
        &self.remote.path
    }

    /// Takes away the marker of a former file of this name, which would speak of one that it does not know. One that
    /// cannot be removed is replaced later.
    pub(crate) async fn withdraw(&self, sftp: &Sftp) -> Result<()> {
        match sftp.remove(self.path()).await {
            Err(error) if !error.is_status() => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Publishes it, once its file is. One that is there and says the same stays: a partner may wait for a new one.
    ///
    /// # Errors
    /// `RemoteFailure`, which is retried, if the server refuses it; or the loss of the session.
    pub(crate) async fn publish(&self, sftp: &Sftp) -> Result<()> {
        let published = match self.is_there(sftp).await {
            Ok(true) => return Ok(()),
            Ok(false) => self.write(sftp).await,
            Err(error) => Err(error),
        };
        published.map_err(|error| match error.is_status() {
            true => ErrorName::RemoteFailure.error(format!(
                "the file is published, and the marker {:?} that the partner waits for is not: {error}. The next try sends the marker only",
                self.path()
            )),
            false => error.into(),
        })
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

    async fn write(&self, sftp: &Sftp) -> sftp::Result<()> {
        let RemotePaths { path, partial } = &self.remote;
        if self.remote.is_direct() {
            return self.write_to(sftp, path, OpenFlags::TRUNCATE).await;
        }
        // Without truncating it: another execution of the same version writes the same, and may be publishing it.
        self.write_to(sftp, partial, OpenFlags::CREATE).await?;
        let refused = match sftp.rename(partial, path).await {
            Err(error) if error.is_status() => error,
            done_or_lost => return done_or_lost,
        };
        if !self.is_there(sftp).await? {
            self.write_over(sftp, &refused).await?;
        }
        match sftp.remove(partial).await {
            Err(error) if !error.is_status() => Err(error),
            _ => Ok(()),
        }
    }

    /// The rename was refused: something stands in the way, or the server cannot rename at all.
    async fn write_over(&self, sftp: &Sftp, refused: &sftp::Error) -> sftp::Result<()> {
        let RemotePaths { path, partial } = &self.remote;
        let renamed = match sftp.remove(path).await {
            Ok(()) => sftp.rename(partial, path).await,
            Err(error) => Err(error),
        };
        match renamed {
            // So short a file is there whole as soon as it is there at all, or empty.
            Err(error) if error.is_status() => {
                tracing::info!(error = %refused, "the marker is written under its own name");
                self.write_to(sftp, path, OpenFlags::TRUNCATE).await
            }
            done_or_lost => done_or_lost,
        }
    }

    async fn write_to(&self, sftp: &Sftp, path: &str, flags: OpenFlags) -> sftp::Result<()> {
        let file = sftp.open(path, OpenFlags::WRITE | OpenFlags::CREATE | flags).await?;
        let written = match self.content.is_empty() {
            true => Ok(()),
            false => sftp.write(&file, 0, self.content.clone()).await,
        };
        // Whatever came of it: no handle is left open.
        let closed = sftp.close(file).await;
        written.and(closed)
    }
}

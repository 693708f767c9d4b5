//! One session's share of a transfer.

use aws::{ObjectReader, credential};
use bridge::{
    Checkpoint, Checksum, Deadline, ErrorName, PinnedObject, ProofPolicy, RemotePaths, Result, TransferInput,
};
use sftp::{Endpoint, FileHandle, Login, OpenFlags, Session, Sftp};

use crate::Deps;
use crate::acknowledged::Acknowledged;

pub(crate) struct Slice<'a> {
    pub(crate) deps: &'a Deps,
    pub(crate) input: &'a TransferInput,
    pub(crate) acknowledged: &'a Acknowledged,
    /// No new bytes are sent after this.
    pub(crate) stop: Deadline,
}

impl Slice<'_> {
    /// Sends until the object is complete or the stop has come; `acknowledged` says how far.
    pub(crate) async fn run(&self) -> Result<()> {
        let session = self.connect().await?;
        let outcome = self.send(session.sftp()).await;
        session.disconnect().await;
        outcome
    }

    /// Removes the partial file of a version that is not to be published any more. One that cannot be removed is not
    /// worth failing for: it is not under the final name.
    pub(crate) async fn discard(&self) {
        let partial = self.acknowledged.checkpoint().remote.partial;
        let removing = async {
            let session = self.connect().await?;
            let removed = session.sftp().remove(&partial).await;
            session.disconnect().await;
            Ok::<(), bridge::Error>(removed?)
        };
        if let Err(error) = removing.await {
            tracing::warn!(%error, partial, "the partial file could not be removed");
        }
    }

    async fn connect(&self) -> Result<Session> {
        let Deps { settings, clients, sftp: options, .. } = self.deps;
        let reference = &self.input.credential;
        let credential = credential::read(clients, &reference.location).await?;
        let login = Login::new(
            reference.user_name.clone(),
            credential.private_key.as_ref(),
            credential.passphrase.as_ref(),
            credential.password,
        )?;
        let endpoint = Endpoint { host: settings.host.clone(), port: settings.port };
        Ok(Session::connect(&endpoint, &login, &settings.trusted_host_keys, options).await?)
    }

    async fn send(&self, sftp: &Sftp) -> Result<()> {
        let Checkpoint { object, remote, offset, .. } = self.acknowledged.checkpoint();
        if offset == 0
            && let Some(stored) = self.is_already_there(sftp, &object, &remote).await?
        {
            tracing::info!(
                path = remote.path,
                "the final name holds a file of this size, stored after the object"
            );
            return self.acknowledged.is_already_there(stored);
        }
        let file = open_partial(sftp, &remote).await?;
        let offset = self.continue_at(sftp, &file, offset).await?;
        let complete = match self.stream(sftp, &file, &object, offset).await {
            Err(error) if error.name == ErrorName::RemoteFailure => Err(explain(sftp, &remote, error).await),
            other => other,
        }?;
        // An error on close is an error: some servers commit the file, or check the quota, only now.
        sftp.close(file).await?;
        if complete {
            self.acknowledged.complete();
        }
        Ok(())
    }

    /// A duplicate event or a rerun: is there a file under the final name that may be this very version? Returns the
    /// checksum by which `verify-remote` proves it before anyone relies on it.
    async fn is_already_there<'o>(
        &self,
        sftp: &Sftp,
        object: &'o PinnedObject,
        remote: &RemotePaths,
    ) -> Result<Option<&'o Checksum>> {
        let (Some(stored_at), Some(checksum)) = (object.last_modified, &object.checksum) else {
            return Ok(None);
        };
        if self.input.resends > 0 {
            return Ok(None);
        }
        match sftp.stat(&remote.path).await {
            Ok(Some(attributes)) => {
                let later = attributes.modified.is_some_and(|modified| i64::from(modified) >= stored_at);
                Ok((later && attributes.size == Some(object.size)).then_some(checksum))
            }
            Ok(None) => Ok(None),
            // A server that lets nothing be seen is no reason not to deliver.
            Err(error) if error.is_status() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Where to go on: where the checkpoint says, if the partial file reaches that far; else at the start.
    async fn continue_at(&self, sftp: &Sftp, file: &FileHandle, offset: u64) -> Result<u64> {
        if offset > 0 {
            let size = match sftp.fstat(file).await {
                Ok(attributes) => attributes.size,
                Err(error) if error.is_status() => None,
                Err(error) => return Err(error.into()),
            };
            if size.is_some_and(|size| size >= offset) {
                tracing::info!(offset, "resuming");
                return Ok(offset);
            }
            tracing::warn!(offset, ?size, "the partial file does not reach the checkpoint; starting over");
        }
        let hash =
            sftp.can_hash() && matches!(self.deps.settings.proof, ProofPolicy::Auto | ProofPolicy::Hash);
        self.acknowledged.start_over(hash);
        Ok(0)
    }

    /// Returns whether every byte was sent and acknowledged.
    async fn stream(
        &self,
        sftp: &Sftp,
        file: &FileHandle,
        object: &PinnedObject,
        offset: u64,
    ) -> Result<bool> {
        let on_progress = &self.deps.on_progress;
        let mut upload =
            sftp.upload(file, offset, |bytes| on_progress(self.acknowledged.add(bytes), object.size));
        let mut reader = ObjectReader::new(&self.deps.clients.s3, object, offset);
        while let Some(bytes) = reader.next().await? {
            self.acknowledged.count_sent(bytes.len());
            upload.push(bytes).await?;
            if self.stop.has_passed() {
                tracing::info!("the deadline is near");
                break;
            }
        }
        upload.flush().await?;
        Ok(upload.acknowledged() == object.size)
    }
}

/// Opens the partial file without truncating it: two executions of one version write the same bytes to the same
/// places, and neither may cut the file under the other's feet.
async fn open_partial(sftp: &Sftp, remote: &RemotePaths) -> Result<FileHandle> {
    let flags = OpenFlags::WRITE | OpenFlags::CREATE;
    match sftp.open(&remote.partial, flags).await {
        Err(error) if error.is_not_found() => {
            for directory in remote.directories() {
                make_directory(sftp, directory).await?;
            }
            Ok(sftp.open(&remote.partial, flags).await?)
        }
        other => Ok(other?),
    }
}

/// Another execution may make the same directory at the same time; version 3 has no word for "exists".
async fn make_directory(sftp: &Sftp, directory: &str) -> Result<()> {
    let is_directory = async || match sftp.stat(directory).await {
        Ok(attributes) => Ok(attributes.map(|attributes| attributes.is_directory() != Some(false))),
        // One that may not be looked at may still be passed through.
        Err(error) if error.is_status() => Ok(Some(true)),
        Err(error) => Err(error),
    };
    match is_directory().await? {
        Some(true) => Ok(()),
        Some(false) => {
            Err(ErrorName::RemotePathRejected.error(format!("mkdir {directory:?}: a file has that name")))
        }
        None => match sftp.mkdir(directory).await {
            Err(error) if error.is_status() && is_directory().await? != Some(true) => Err(error.into()),
            Err(error) if !error.is_status() => Err(error.into()),
            _ => Ok(()),
        },
    }
}

/// OpenSSH says no more than `Failure` when the disk is full; ask how much room there is.
async fn explain(sftp: &Sftp, remote: &RemotePaths, error: bridge::Error) -> bridge::Error {
    const NEXT_TO_NOTHING: u64 = 64 * 1024;
    match sftp.free_bytes(&remote.partial).await {
        Some(free) if free < NEXT_TO_NOTHING => {
            ErrorName::RemoteFull.error(format!("{}; {free} bytes are free there", error.message()))
        }
        _ => error,
    }
}

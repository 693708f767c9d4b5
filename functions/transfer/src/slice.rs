//! One session's share of a transfer.

use aws::{ObjectReader, credential};
use bridge::{
    Checkpoint, Deadline, ErrorName, PinnedObject, ProofPolicy, RemotePaths, Result, TransferInput,
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
        let session = Session::connect(&endpoint, &login, &settings.trusted_host_keys, options).await?;
        let outcome = self.send(session.sftp()).await;
        session.disconnect().await;
        outcome
    }

    async fn send(&self, sftp: &Sftp) -> Result<()> {
        let Checkpoint { object, remote, offset, .. } = self.acknowledged.checkpoint();
        if offset == 0 && self.is_already_there(sftp, &object, &remote).await? {
            tracing::info!(
                path = remote.path,
                "the final name holds a file of this size, stored after the object"
            );
            self.acknowledged.is_already_there();
            return Ok(());
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
            self.check_source(&object)?;
            self.acknowledged.complete();
        }
        Ok(())
    }

    /// A duplicate event or a rerun: is there a file under the final name that may be this very version? What is
    /// found here is proved by `verify-remote` before anyone relies on it.
    async fn is_already_there(
        &self,
        sftp: &Sftp,
        object: &PinnedObject,
        remote: &RemotePaths,
    ) -> Result<bool> {
        let (Some(stored), Some(_)) = (object.last_modified, &object.checksum) else { return Ok(false) };
        if self.input.resends > 0 {
            return Ok(false);
        }
        match sftp.stat(&remote.path).await {
            Ok(Some(attributes)) => Ok(attributes.size == Some(object.size)
                && attributes.modified.is_some_and(|modified| i64::from(modified) >= stored)),
            Ok(None) => Ok(false),
            // A server that lets nothing be seen is no reason not to deliver.
            Err(error) if error.is_status() => Ok(false),
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

    /// The bytes that were read have to have the checksum that S3 stored.
    fn check_source(&self, object: &PinnedObject) -> Result<()> {
        let read = self.acknowledged.checkpoint().checksum;
        match &object.checksum {
            Some(stored) if *stored != read => Err(ErrorName::ObjectChanged.error(format!(
                "the bytes read from s3://{}/{} have the checksum {}, but S3 stored {}",
                object.bucket, object.object_key, read.value, stored.value
            ))),
            _ => Ok(()),
        }
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

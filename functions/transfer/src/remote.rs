//! The partial file on the server, before and after bytes are sent.

use bridge::{ErrorName, RemotePaths, Result};
use sftp::{FileHandle, OpenFlags, Sftp};

/// Opens the partial file without truncating it: two executions of one version write the same bytes to the same
/// places, and neither may cut the file under the other's feet.
pub(crate) async fn open_partial(sftp: &Sftp, remote: &RemotePaths) -> Result<FileHandle> {
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
pub(crate) async fn explain(sftp: &Sftp, remote: &RemotePaths, error: bridge::Error) -> bridge::Error {
    const NEXT_TO_NOTHING: u64 = 64 * 1024;
    match sftp.free_bytes(&remote.partial).await {
        Some(free) if free < NEXT_TO_NOTHING => {
            ErrorName::RemoteFull.error(format!("{}; {free} bytes are free there", error.message()))
        }
        _ => error,
    }
}

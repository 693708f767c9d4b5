//! The partial file on the server, before and after bytes are sent.

use bridge::{ErrorName, Mode, RemotePaths, Result};
use partner::set_attributes;
use sftp::{Attributes, FileHandle, OpenFlags, Sftp};

/// Opens the partial file without truncating it: two executions of one version write the same bytes to the same
/// places, and neither may cut the file under the other's feet. Missing directories are made, with `dir_mode`.
pub(crate) async fn open_partial(
    sftp: &Sftp,
    remote: &RemotePaths,
    dir_mode: Option<Mode>,
    mut warn: impl FnMut(String),
) -> Result<FileHandle> {
    let flags = OpenFlags::WRITE | OpenFlags::CREATE;
    match sftp.open(&remote.partial, flags).await {
        Err(error) if error.is_not_found() => {
            for directory in remote.directories() {
                if make_directory(sftp, directory).await?
                    && let Some(mode) = dir_mode
                {
                    set_mode(sftp, directory, mode).await?.into_iter().for_each(&mut warn);
                }
            }
            Ok(sftp.open(&remote.partial, flags).await?)
        }
        other => Ok(other?),
    }
}

/// The mode of a directory that was just made. One that cannot have the mode it must have is taken away again, or the
/// next try would find it and take it for someone else's.
async fn set_mode(sftp: &Sftp, directory: &str, mode: Mode) -> Result<Option<String>> {
    let wanted = Attributes { permissions: Some(mode.bits), ..Attributes::default() };
    let set = set_attributes(sftp, directory, wanted, mode.demand, "SFTP_DIR_MODE").await;
    if let Err(error) = &set
        && error.name == ErrorName::InvalidConfig
        && let Err(error) = sftp.rmdir(directory).await
    {
        tracing::warn!(%error, "the directory could not be removed");
    }
    set
}

/// Returns whether it was made just now, by us. Another execution may make the same directory at the same time;
/// version 3 has no word for "exists".
async fn make_directory(sftp: &Sftp, directory: &str) -> Result<bool> {
    let is_directory = async || match sftp.stat(directory).await {
        Ok(attributes) => Ok(attributes.map(|attributes| attributes.is_directory() != Some(false))),
        // One that may not be looked at may still be passed through.
        Err(error) if error.is_status() => Ok(Some(true)),
        Err(error) => Err(error),
    };
    match is_directory().await? {
        Some(true) => Ok(false),
        Some(false) => {
            Err(ErrorName::RemotePathRejected.error(format!("mkdir {directory:?}: a file has that name")))
        }
        None => match sftp.mkdir(directory).await {
            Ok(()) => Ok(true),
            Err(error) if error.is_status() && is_directory().await? == Some(true) => Ok(false),
            Err(error) => Err(error.into()),
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

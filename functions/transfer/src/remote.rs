//! The partial file on the server, before and after bytes are sent.

use bridge::{DeliveryPolicy, ErrorName, Publish, RemotePaths, Result};
use sftp::{FileHandle, OpenFlags, Sftp};

/// Opens the partial file without truncating it: two executions of one version write the same bytes to the same
/// places, and neither may cut the file under the other's feet.
pub(crate) async fn open_partial(
    sftp: &Sftp,
    remote: &RemotePaths,
    policy: &DeliveryPolicy,
    more: Option<OpenFlags>,
) -> Result<FileHandle> {
    let flags = OpenFlags::WRITE | OpenFlags::CREATE;
    let flags = more.map_or(flags, |more| flags | more);
    if matches!(&policy.publish, Publish::Rename { staging_directory: Some(_), .. }) {
        // That the partial file can be opened says nothing of the directory that it is to be renamed into.
        make_directories(sftp, &remote.directories(), policy).await?;
    }
    match sftp.open(&remote.partial, flags).await {
        Err(error) if error.is_not_found() => {
            make_directories(sftp, &remote.partial_directories(), policy).await?;
            Ok(sftp.open(&remote.partial, flags).await?)
        }
        other => Ok(other?),
    }
}

/// Those that are missing, outermost first.
async fn make_directories(sftp: &Sftp, directories: &[&str], policy: &DeliveryPolicy) -> Result<()> {
    let Some(innermost) = directories.last() else { return Ok(()) };
    match look(sftp, innermost).await? {
        Seen::Directory => Ok(()),
        Seen::Nothing if !policy.create_directories => Err(ErrorName::RemotePathRejected.error(format!(
            "the directory {innermost:?} is not there, and SFTP_CREATE_DIRECTORIES is false; nothing was sent"
        ))),
        _ if !policy.create_directories => Ok(()),
        _ => {
            for directory in directories {
                make_directory(sftp, directory).await?;
            }
            Ok(())
        }
    }
}

/// Removes what the final name holds, before it is written to: whoever is still writing an older version there then
/// writes into a file that has no name any more. Where the server refuses, the file is to be cut as it is opened.
pub(crate) async fn remove_former(sftp: &Sftp, path: &str) -> Result<Option<OpenFlags>> {
    match sftp.remove(path).await {
        Ok(()) => Ok(None),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) if error.is_status() => Ok(Some(OpenFlags::TRUNCATE)),
        Err(error) => Err(error.into()),
    }
}

enum Seen {
    Directory,
    Another,
    Nothing,
    /// It may not be looked at; it may be there all the same.
    Hidden,
}

async fn look(sftp: &Sftp, path: &str) -> Result<Seen> {
    match sftp.stat(path).await {
        Ok(Some(attributes)) if attributes.is_directory() == Some(false) => Ok(Seen::Another),
        Ok(Some(_)) => Ok(Seen::Directory),
        Ok(None) => Ok(Seen::Nothing),
        Err(error) if error.is_status() => Ok(Seen::Hidden),
        Err(error) => Err(error.into()),
    }
}

/// Another execution may make the same directory at the same time; version 3 has no word for "exists".
async fn make_directory(sftp: &Sftp, directory: &str) -> Result<()> {
    let seen = look(sftp, directory).await?;
    match seen {
        Seen::Directory => return Ok(()),
        Seen::Another => {
            return Err(
                ErrorName::RemotePathRejected.error(format!("mkdir {directory:?}: a file has that name"))
            );
        }
        Seen::Nothing | Seen::Hidden => {}
    }
    match sftp.mkdir(directory).await {
        Err(error) if !error.is_status() => Err(error.into()),
        // Whether it was needed, opening the file will tell.
        Err(error)
            if matches!(seen, Seen::Nothing) && !matches!(look(sftp, directory).await?, Seen::Directory) =>
        {
            Err(error.into())
        }
        _ => Ok(()),
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

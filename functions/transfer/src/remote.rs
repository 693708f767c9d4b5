//! The partial file on the server, before and after bytes are sent.

use bridge::{ErrorName, Mode, Publish, RemotePaths, Result, Settings};
use partner::set_attributes;
use sftp::{Attributes, FileHandle, OpenFlags, Sftp};

/// Opens the partial file without truncating it: two executions of one version write the same bytes to the same
/// places, and neither may cut the file under the other's feet.
pub(crate) async fn open_partial(
    sftp: &Sftp,
    remote: &RemotePaths,
    settings: &Settings,
    more: Option<OpenFlags>,
    mut warn: impl FnMut(String),
) -> Result<FileHandle> {
    let flags = OpenFlags::WRITE | OpenFlags::CREATE;
    let flags = more.map_or(flags, |more| flags | more);
    if matches!(&settings.policy.publish, Publish::Rename { staging_directory: Some(_), .. }) {
        // That the partial file can be opened says nothing of the directory that it is to be renamed into.
        make_directories(sftp, &remote.directories(), settings, &mut warn).await?;
    }
    match sftp.open(&remote.partial, flags).await {
        Err(error) if error.is_not_found() => {
            make_directories(sftp, &remote.partial_directories(), settings, &mut warn).await?;
            Ok(sftp.open(&remote.partial, flags).await?)
        }
        other => Ok(other?),
    }
}

/// Those that are missing, outermost first.
async fn make_directories(
    sftp: &Sftp,
    directories: &[&str],
    settings: &Settings,
    warn: &mut impl FnMut(String),
) -> Result<()> {
    let create = settings.policy.create_directories;
    let Some(innermost) = directories.last() else { return Ok(()) };
    match look(sftp, innermost).await? {
        Seen::Directory => Ok(()),
        Seen::Nothing if !create => Err(ErrorName::RemotePathRejected.error(format!(
            "the directory {innermost:?} is not there, and SFTP_CREATE_DIRECTORIES is false; nothing was sent"
        ))),
        _ if !create => Ok(()),
        _ => {
            for directory in directories {
                if make_directory(sftp, directory).await?
                    && let Some(mode) = settings.attributes.dir_mode
                {
                    set_mode(sftp, directory, mode).await?.into_iter().for_each(&mut *warn);
                }
            }
            Ok(())
        }
    }
}

/// The mode of a directory that was just made. One that cannot have the mode it must have is taken away again, or the
/// next try would find it and take it for someone else's.
async fn set_mode(sftp: &Sftp, directory: &str, mode: Mode) -> Result<Option<String>> {
    let wanted = Attributes { permissions: Some(mode.bits), ..Attributes::default() };
    let set = set_attributes(sftp, directory, wanted, mode.demand, "SFTP_DIR_MODE", None).await;
    if let Err(error) = &set
        && error.name == ErrorName::InvalidConfig
        && let Err(error) = sftp.rmdir(directory).await
    {
        tracing::warn!(%error, "the directory could not be removed");
    }
    set
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

/// Returns whether it was made just now, by us. Another execution may make the same directory at the same time;
/// version 3 has no word for "exists".
async fn make_directory(sftp: &Sftp, directory: &str) -> Result<bool> {
    let seen = look(sftp, directory).await?;
    match seen {
        Seen::Directory => return Ok(false),
        Seen::Another => {
            return Err(
                ErrorName::RemotePathRejected.error(format!("mkdir {directory:?}: a file has that name"))
            );
        }
        Seen::Nothing | Seen::Hidden => {}
    }
    match sftp.mkdir(directory).await {
        Ok(()) => Ok(true),
        Err(error) if !error.is_status() => Err(error.into()),
        // Whether it was needed, opening the file will tell.
        Err(error)
            if matches!(seen, Seen::Nothing) && !matches!(look(sftp, directory).await?, Seen::Directory) =>
        {
            Err(error.into())
        }
        Err(_) => Ok(false),
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

//! The directories that a file needs.

use bridge::{ErrorName, Mode, Result};
use sftp::{Attributes, Sftp, Status};

use super::attributes::{AttributesOf, set_attributes};
use super::look::{Seen, look_for_directory};
use super::reply::Reply;

/// Outcome of [`make_directories`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directories {
    /// Nothing was made: they exist, or the server hides whether they do.
    WereThere,
    /// They were made, or may have been: a file that could not be opened before may open now.
    Made,
}

/// Makes the missing ones of these directories, outermost first, if the settings allow that.
///
/// # Errors
/// `RemotePathRejected` if one is missing and `create` is false, or if a file has the name of a directory. The server
/// refused to make one. Those of [`set_attributes`]. The session was lost.
pub async fn make_directories(
    sftp: &Sftp,
    directories: &[&str],
    create: bool,
    mode: Option<Mode>,
    mut warn: impl FnMut(String),
) -> Result<Directories> {
    let Some(innermost) = directories.last() else { return Ok(Directories::WereThere) };
    let seen = look_for_directory(sftp, innermost).await?;
    if seen == Seen::Directory {
        return Ok(Directories::WereThere);
    }
    if !create {
        refuse_file_above(sftp, directories).await?;
        if seen == Seen::Hidden {
            return Ok(Directories::WereThere);
        }
        return Err(ErrorName::RemotePathRejected.error(format!(
            "the directory {innermost:?} does not exist, and SFTP_CREATE_DIRECTORIES is false; nothing was sent"
        )));
    }
    for directory in directories {
        match make_directory(sftp, directory).await? {
            Made::Now => {
                if let Some(mode) = mode {
                    set_mode(sftp, directory, mode).await?.into_iter().for_each(&mut warn);
                }
            }
            Made::Before | Made::Unknown => {}
            Made::IsFile => return Err(is_a_file(directory)),
            Made::Refused(status) => return Err(sftp::Error::from(status).into()),
        }
    }
    Ok(Directories::Made)
}

/// Outcome of [`make_directory`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    /// We made it just now.
    Now,
    /// It existed, or somebody else made it at the same time.
    Before,
    /// The path is that of a file.
    IsFile,
    /// It does not exist, and the server refused to make it.
    Refused(Status),
    /// The server refused to make it and hides whether it exists. Opening a file in it will tell.
    Unknown,
}

/// Makes a directory unless it exists. Another execution may make the same one at the same time, and version 3 of SFTP
/// has no status for "exists".
///
/// # Errors
/// The session was lost.
pub async fn make_directory(sftp: &Sftp, directory: &str) -> Result<Made> {
    let seen = look_for_directory(sftp, directory).await?;
    match seen {
        Seen::Directory => return Ok(Made::Before),
        Seen::File(_) => return Ok(Made::IsFile),
        Seen::Nothing | Seen::Hidden => {}
    }
    match Reply::of(sftp.mkdir(directory).await)? {
        Reply::Done(()) => Ok(Made::Now),
        Reply::Refused(_) if seen == Seen::Hidden => Ok(Made::Unknown),
        Reply::Refused(status) => match look_for_directory(sftp, directory).await? {
            Seen::Directory => Ok(Made::Before),
            Seen::File(_) | Seen::Nothing | Seen::Hidden => Ok(Made::Refused(status)),
        },
    }
}

/// Sets the mode of a directory that was just made. If a required mode cannot be set, the directory is removed: the next
/// attempt would take it for one of the partner's.
async fn set_mode(sftp: &Sftp, directory: &str, mode: Mode) -> Result<Option<String>> {
    let wanted = Attributes { permissions: Some(mode.bits), ..Attributes::default() };
    let of = AttributesOf::Directory;
    let set = set_attributes(sftp, directory, wanted, mode.demand, "SFTP_DIR_MODE", of).await;
    if let Err(error) = &set
        && error.name == ErrorName::InvalidConfig
        && let Err(error) = sftp.rmdir(directory).await
    {
        tracing::warn!(%error, directory, "the directory could not be removed");
    }
    set
}

/// Refuses a path that needs a directory where the server has a file. Object keys such as `x` and `x/y` cannot both be
/// delivered.
async fn refuse_file_above(sftp: &Sftp, directories: &[&str]) -> Result<()> {
    for directory in directories {
        if let Seen::File(_) = look_for_directory(sftp, directory).await? {
            return Err(is_a_file(directory));
        }
    }
    Ok(())
}

fn is_a_file(directory: &str) -> bridge::Error {
    ErrorName::RemotePathRejected.error(format!(
        "{directory:?} is a file on the server, and the path needs a directory of that name; nothing was sent"
    ))
}

/// Refuses a final name where the server has a directory.
///
/// # Errors
/// `RemotePathRejected`.
pub fn refuse_directory(path: &str, attributes: &Attributes) -> Result<()> {
    if attributes.is_directory() == Some(true) {
        return Err(ErrorName::RemotePathRejected.error(format!(
            "{path:?} is a directory on the server, and the object would be a file of that name; nothing was sent"
        )));
    }
    Ok(())
}

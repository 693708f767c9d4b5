//! What the server shows under a path. Links are not followed.

use bridge::Result;
use partner::files::Reply;
use sftp::{Attributes, FileType, Sftp, Status};

/// What is under a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// A regular file; also what the server does not tell the type of.
    File { size: Option<u64>, modified: Option<u32> },
    /// Something else.
    Other(&'static str),
    /// Nothing: the server says so.
    Nothing,
    /// The server refused to look: something may be there or not.
    Hidden(Status),
}

impl Shown {
    fn of(told: Attributes) -> Self {
        match told.file_type() {
            None | Some(FileType::File) => Self::File { size: told.size, modified: told.modified },
            Some(FileType::Directory) => Self::Other("it is a directory now"),
            Some(FileType::Link) => Self::Other("it is a symbolic link now"),
            Some(FileType::Other) => Self::Other("it is no regular file any more"),
        }
    }
}

/// Looks once.
///
/// # Errors
/// The session was lost.
pub(crate) async fn show(sftp: &Sftp, path: &str) -> Result<Shown> {
    Ok(match Reply::of(sftp.lstat(path).await)? {
        Reply::Done(Some(told)) => Shown::of(told),
        Reply::Done(None) => Shown::Nothing,
        Reply::Refused(refusal) => Shown::Hidden(refusal),
    })
}

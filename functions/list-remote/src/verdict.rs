//! What a look makes of each entry that a directory lists.

use std::borrow::Cow;

use bridge::collect::RemoteFile;

/// An entry of the directory, or of one below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its path below the directory, made printable if its name is not plain.
    pub path: String,
    /// What the look makes of it.
    pub verdict: Verdict,
}

/// What a look makes of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// A file to collect, unless it was collected before.
    Due(RemoteFile),
    /// A setting leaves it out; the text says which.
    Excluded(String),
    /// It is empty, and empty files are not collected.
    Empty,
    /// The file that says that it is complete is missing; the text is that file's path.
    MarkerMissing(String),
    /// It is itself a marker.
    Marker,
    /// A newer file is in its directory, and only the newest is collected.
    NotNewest,
    /// A symbolic link. None is followed.
    Link,
    /// A device, a pipe or a socket.
    Special,
    /// Its name makes no object key, or no path that is safe; the text says why.
    Unnameable(String),
    /// The server does not tell its size.
    SizeUnknown,
    /// A directory that is not looked into, because the look is not recursive.
    Directory,
    /// An archive of collected files.
    Archive,
    /// A directory too far below the one that is collected.
    TooDeep,
    /// A directory that cannot be listed, or not to its end; the text says why. What was listed of it is judged.
    Unreadable(String),
}

/// A file that was listed, as a look at it alone shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Confirmed {
    Due(RemoteFile),
    /// It is no regular file, or it is empty, and empty files are not collected.
    PassedOver,
    Gone,
}

impl Verdict {
    /// Why it is not collected, as a clause. `None` if it is due.
    pub fn reason(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(match self {
            Self::Due(_) => return None,
            Self::Excluded(reason) | Self::Unnameable(reason) => reason,
            Self::Unreadable(why) => {
                return Some(Cow::Owned(format!("it cannot be listed to its end: {why}")));
            }
            Self::MarkerMissing(marker) => {
                return Some(Cow::Owned(format!("its marker {marker:?} is missing")));
            }
            Self::Empty => "it is empty, and COLLECT_EMPTY is skip",
            Self::Marker => "it is a marker (COLLECT_MARKER)",
            Self::NotNewest => "a newer file is in its directory (COLLECT_NEWEST_ONLY)",
            Self::Link => "it is a symbolic link, and none is followed",
            Self::Special => "it is no regular file",
            Self::SizeUnknown => "the server does not tell its size",
            Self::Directory => "it is a directory, and COLLECT_RECURSIVE is false",
            Self::Archive => "it is an archive of collected files",
            Self::TooDeep => "it is more than 16 levels below COLLECT_DIRECTORY",
        }))
    }

    /// Whether it is a file that is passed over, as a setting or its kind says.
    pub(crate) fn is_passed_over(&self) -> bool {
        match self {
            Self::Excluded(_)
            | Self::Empty
            | Self::MarkerMissing(_)
            | Self::Marker
            | Self::NotNewest
            | Self::Link
            | Self::Special => true,
            Self::Due(_)
            | Self::Unnameable(_)
            | Self::SizeUnknown
            | Self::Directory
            | Self::Archive
            | Self::TooDeep
            | Self::Unreadable(_) => false,
        }
    }
}

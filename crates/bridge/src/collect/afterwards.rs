//! `COLLECT_AFTERWARDS`: what becomes of a file that was collected, and what the archive calls it.

use super::file::beneath;
use crate::calendar::{self, Moment};
use crate::paths::{COMPONENT_MAX, cut, split, split_extension};

/// The archive in the directory of each file, unless `COLLECT_ARCHIVE_DIRECTORY` names another.
const ARCHIVE: &str = ".done";

/// `YYYYMMDDHHMMSS`, in UTC.
const STAMP: &str = "%Y%m%d%H%M%S";

/// Digits of a stamp.
const STAMP_LENGTH: usize = 14;

/// What becomes of a file on the server once S3 has confirmed its object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Afterwards {
    /// It is moved into an archive.
    Archive {
        /// `COLLECT_ARCHIVE_DIRECTORY`: below the directory that is collected, or absolute. `None`: `.done` in the
        /// directory of each file.
        directory: Option<String>,
    },
    /// It is deleted.
    Delete,
    /// It stays as it is.
    Leave,
}

impl Afterwards {
    /// The word in `COLLECT_AFTERWARDS`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Archive { .. } => "archive",
            Self::Delete => "delete",
            Self::Leave => "leave",
        }
    }

    /// The archive, on the server, of the files that are in one directory with `path`, which is below `directory`. `None`
    /// if nothing is archived.
    pub fn archive_directory(&self, directory: &str, path: &str) -> Option<String> {
        match self {
            Self::Archive { directory: None } => {
                let (own, _) = split(path);
                Some(beneath(directory, &format!("{own}{ARCHIVE}")))
            }
            Self::Archive { directory: Some(archive) } if archive.starts_with('/') => Some(archive.clone()),
            Self::Archive { directory: Some(archive) } => Some(beneath(directory, archive)),
            Self::Delete | Self::Leave => None,
        }
    }

    /// Where the file at `path` below `directory` goes: `YYYYMMDDHHMMSS-NAME` in the archive. `time` is that of the
    /// execution's start, so that a retry knows the name it gave. A `number` above 0 makes another name where that one
    /// exists: `YYYYMMDDHHMMSS-STEM-1.EXT`. `None` if nothing is archived, or `time` is none.
    pub fn archived_path(&self, directory: &str, path: &str, time: &str, number: u32) -> Option<String> {
        let archive = self.archive_directory(directory, path)?;
        let stamp = Moment::parse(time)?.format(STAMP);
        let (stem, extension) = split_extension(split(path).1);
        let dot = if extension.is_empty() { "" } else { "." };
        let number = if number == 0 { String::new() } else { format!("-{number}") };
        let tail = format!("{number}{dot}{extension}");
        let tail = cut(&tail, COMPONENT_MAX - STAMP_LENGTH - "-".len());
        let stem = cut(stem, COMPONENT_MAX - STAMP_LENGTH - "-".len() - tail.len());
        Some(beneath(&archive, &format!("{stamp}-{stem}{tail}")))
    }

    /// When the file of this name, or path, was archived, in seconds since 1970. `None` if the archive never gave it this
    /// name. The file's own time says nothing: it is the partner's, and older.
    pub fn archive_moment(name: &str) -> Option<i64> {
        let (stamp, rest) = split(name).1.split_at_checked(STAMP_LENGTH)?;
        if !stamp.bytes().all(|byte| byte.is_ascii_digit()) || rest.len() < 2 || !rest.starts_with('-') {
            return None;
        }
        let (date, time) = stamp.split_at(8);
        let (year, month, day) = (&date[..4], &date[4..6], &date[6..]);
        let (hour, minute, second) = (&time[..2], &time[2..4], &time[4..]);
        // Nobody archived before 1970, and no stamp has a leap second.
        let seconds = calendar::unix_seconds(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z"))?;
        (seconds >= 0 && second != "60").then_some(seconds)
    }

    /// Whether `path`, below `directory`, is in an archive. What is there is never collected again. `.done` is one
    /// whatever the settings are now: it may be that of earlier settings, or of another bridge.
    pub(crate) fn holds(&self, directory: &str, path: &str) -> bool {
        let (parent, _) = split(path);
        if parent.split('/').any(|component| component == ARCHIVE) {
            return true;
        }
        let Some(archive) = self.archive_directory(directory, "") else { return false };
        beneath(directory, path)
            .strip_prefix(archive.trim_end_matches('/'))
            .is_some_and(|rest| rest.starts_with('/'))
    }
}

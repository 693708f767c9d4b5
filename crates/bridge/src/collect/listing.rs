//! What `list-remote` returns.

use serde::{Deserialize, Serialize};

use super::file::RemoteFile;

/// How far a look at the directory has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListProgress {
    /// Names that were seen in the directory and below it.
    pub seen: u64,
    /// Executions that this look has started.
    pub started: u64,
    /// Files that an earlier look has started already.
    pub started_before: u64,
    /// Files that are not collected: excluded, empty, without their marker.
    pub passed_over: u64,
    /// Files that can never be collected under their names; the first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unnameable: Vec<Unnameable>,
    /// How many there are.
    #[serde(default)]
    pub unnameable_count: u64,
    /// Archived files that were deleted because of `COLLECT_ARCHIVE_DAYS`.
    #[serde(default)]
    pub purged: u64,
    /// What a person should know although the look succeeded: directories that cannot be read, files of unknown size. The
    /// first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Where the next call goes on. Absent once the look is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<ListCursor>,
    /// Why the look ended before its end, if it did: another look is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The last file that was started, in the order of the look: oldest first, then by path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ListCursor {
    /// Its time of modification, 0 if the server does not tell it.
    pub modified: u32,
    /// Its path below the directory.
    pub path: String,
}

impl ListCursor {
    /// The place of a file in the order of the look.
    pub fn of(file: &RemoteFile) -> Self {
        Self { modified: file.modified.unwrap_or_default(), path: file.path.clone() }
    }
}

/// The newest of these files, for `COLLECT_NEWEST_ONLY`: the last one in the order of the look. If times are equal, or the
/// server tells none, that is the last one by path.
pub fn newest(files: impl IntoIterator<Item = RemoteFile>) -> Option<RemoteFile> {
    files.into_iter().max_by_key(ListCursor::of)
}

/// A file whose name makes no object key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unnameable {
    /// The name, made printable.
    pub path: String,
    /// Why.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, modified: Option<u32>) -> RemoteFile {
        RemoteFile { host: "h".into(), directory: String::new(), path: path.into(), size: 1, modified }
    }

    #[test]
    fn story_284_only_the_newest_is_the_last_by_time_and_then_by_path() {
        let newest_of = |files: &[(&str, Option<u32>)]| {
            newest(files.iter().map(|(path, modified)| file(path, *modified))).map(|file| file.path)
        };
        for (files, expected) in [
            (&[("b", Some(5)), ("a", Some(9)), ("c", Some(7))][..], Some("a")),
            (&[("prices-1", Some(5)), ("prices-2", Some(5))], Some("prices-2")),
            (&[("prices-2", None), ("prices-1", None)], Some("prices-2")),
            (&[("z", None), ("a", Some(1))], Some("a")),
            (&[], None),
        ] {
            assert_eq!(newest_of(files).as_deref(), expected, "{files:?}");
        }
    }
}

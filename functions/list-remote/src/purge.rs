//! Deletes archived files that are older than `COLLECT_ARCHIVE_DAYS`. Their age is that of the name the archive gave
//! them: a file's own time is the partner's, and older. Nothing of this fails a look.

use std::sync::Arc;

use bridge::collect::Afterwards;
use bridge::{Deadline, Result};
use partner::files::Reply;
use sftp::{DirectoryEntry, FileType, Sftp};
use tokio::task::JoinSet;

const DAY: i64 = 24 * 3600;

/// Maximum number of files that are deleted in one flight.
const FLIGHT: usize = 16;

/// Maximum number of archives that one look remembers.
const ARCHIVES_MAX: usize = 4_096;

/// The archives that a walk came across.
#[derive(Debug, Default)]
pub(crate) struct Archives(Vec<String>);

impl Archives {
    /// Adds the path of one on the server. If there are too many, it takes the place of any other: each gets its turn
    /// in one look or another.
    pub(crate) fn add(&mut self, path: String) {
        if self.0.contains(&path) {
            return;
        }
        if self.0.len() < ARCHIVES_MAX {
            self.0.push(path);
        } else {
            let place = fastrand::usize(..ARCHIVES_MAX);
            self.0[place] = path;
        }
    }
}

/// What came of deleting.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Purged {
    pub(crate) count: u64,
    /// The first refusal.
    pub(crate) refused: Option<String>,
}

/// When a file must have been archived to be deleted now: before this moment. Both are in seconds since 1970.
pub(crate) fn oldest_kept(days: u32, now: i64) -> i64 {
    now - i64::from(days) * DAY
}

/// Deletes the archived files from before `oldest_kept`.
///
/// # Errors
/// The session was lost.
pub(crate) async fn purge(
    sftp: &Arc<Sftp>,
    archives: &Archives,
    oldest_kept: i64,
    names_max: u64,
    stop: Deadline,
    purged: &mut Purged,
) -> Result<()> {
    let mut names = 0;
    for archive in &archives.0 {
        // An archive that was never needed is not there.
        let Some(mut directory) = Reply::of(sftp.read_directory(archive).await)?.done() else { continue };
        while let Some(entries) = Reply::of(directory.next().await)?.done().flatten() {
            names += entries.len() as u64;
            if names > names_max || stop.has_passed() {
                return Ok(());
            }
            let paths: Vec<String> =
                entries.iter().filter_map(|entry| path_of(archive, entry, oldest_kept)).collect();
            for paths in paths.chunks(FLIGHT) {
                delete(sftp, paths, purged).await?;
            }
            if purged.refused.is_some() {
                break;
            }
        }
    }
    Ok(())
}

/// The path of an entry that is to be deleted.
fn path_of(archive: &str, entry: &DirectoryEntry, oldest_kept: i64) -> Option<String> {
    let name = bridge::collect::plain_name(&entry.name).ok()?;
    let is_old = Afterwards::archive_moment(name)? < oldest_kept;
    let may_be_file = matches!(entry.attributes.file_type(), None | Some(FileType::File));
    (is_old && may_be_file).then(|| format!("{}/{name}", archive.trim_end_matches('/')))
}

async fn delete(sftp: &Arc<Sftp>, paths: &[String], purged: &mut Purged) -> Result<()> {
    let mut flight = JoinSet::new();
    for path in paths {
        let (sftp, path) = (Arc::clone(sftp), path.clone());
        flight.spawn(async move {
            // Some servers list a link with the attributes of what it leads to.
            let seen = Reply::of(sftp.lstat(&path).await)?.done().flatten();
            if seen.and_then(|seen| seen.file_type()) != Some(FileType::File) {
                return Ok(None);
            }
            Reply::of(sftp.remove(&path).await).map(Some)
        });
    }
    for deleted in flight.join_all().await {
        match deleted? {
            Some(Reply::Done(())) => purged.count += 1,
            Some(Reply::Refused(refusal)) if !refusal.is_not_found() => {
                purged.refused.get_or_insert(refusal.to_string());
            }
            Some(Reply::Refused(_)) | None => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use sftp::Attributes;

    use super::*;

    fn entry(name: &'static [u8], permissions: Option<u32>) -> DirectoryEntry {
        let attributes = Attributes { permissions, ..Attributes::default() };
        DirectoryEntry { name: Bytes::from_static(name), attributes }
    }

    #[test]
    fn only_what_the_archive_named_long_ago_is_deleted() {
        let limit = oldest_kept(14, bridge::unix_seconds("2026-03-15T12:00:00Z").unwrap());
        let file = Some(0o100_644);
        let path = |name, permissions| path_of("out/.done/", &entry(name, permissions), limit);
        let old = "out/.done/20260301115959-a.csv".to_owned();
        assert_eq!(path(b"20260301115959-a.csv", file), Some(old.clone()));
        assert_eq!(path(b"20260301115959-a.csv", None), Some(old), "a look at it will tell");
        assert_eq!(path(b"20260301120000-a.csv", file), None, "14 days to the second");
        assert_eq!(path(b"20260301115959-a.csv", Some(0o040_755)), None);
        assert_eq!(path(b"20260301115959-a.csv", Some(0o120_777)), None);
        for other in
            [&b"a.csv"[..], b"20260301115959", b"20261301115959-a.csv", b"20260301115959-../a", b"\xff"]
        {
            assert_eq!(path(Box::leak(other.into()), file), None, "{other:?}");
        }
    }
}

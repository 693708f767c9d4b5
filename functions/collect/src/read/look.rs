//! Looks at the file: before it is read, and after that once more, before anything is published.

use aws::Unwritten;
use bridge::collect::RemoteFile;
use bridge::{ErrorName, Result};
use partner::files::Reply;
use sftp::{Attributes, Download, FileHandle, FileType, Sftp};

use crate::ending::Ending;
use crate::read::collecting::Collecting;
use crate::read::outcome::Read;
use crate::read::unreadable::refused;

/// How a file that is collected may look.
pub(super) enum Look {
    /// As it did.
    Same,
    /// The collection ends here.
    Ended(Ending),
}

impl Collecting<'_> {
    /// Looks at the path, and does not follow a link.
    ///
    /// # Errors
    /// `RemoteUnreadable` if the server refuses it, or the session was lost.
    pub(super) async fn look(&mut self, sftp: &Sftp) -> Result<Look> {
        let path = self.file().remote_path();
        let attributes = match Reply::of(sftp.lstat(&path).await)? {
            Reply::Done(Some(attributes)) => attributes,
            Reply::Done(None) => {
                return Ok(Look::Ended(Ending::gone(format!("{path:?} is not there any more"))));
            }
            Reply::Refused(status) => return Err(refused(status, "")),
        };
        if let Some(ending) = judge(self.file(), self.seen, attributes) {
            return Ok(Look::Ended(ending));
        }
        self.seen.get_or_insert(attributes);
        Ok(Look::Same)
    }

    /// Whether the open file is the one at the path.
    ///
    /// # Errors
    /// `RemoteUnreadable` if the server tells something else of it than of the path.
    pub(super) async fn look_into(&mut self, sftp: &Sftp, file: &FileHandle) -> Result<Look> {
        let told = Reply::of(sftp.fstat(file).await)?.done().unwrap_or_default();
        let Some(difference) = difference(self.file(), self.seen, told) else { return Ok(Look::Same) };
        // What the path shows decides: a server may tell less of an open file, or something older.
        match self.look(sftp).await? {
            Look::Ended(ending) => Ok(Look::Ended(ending)),
            Look::Same => Err(ErrorName::RemoteUnreadable.error(format!(
                "{:?} {difference} once it is open, although its path shows the file that was found",
                self.file().remote_path()
            ))),
        }
    }

    /// The time that every handle must show.
    pub(super) fn modified(&self) -> Option<u32> {
        expected_time(self.file(), self.seen)
    }

    /// The last look, after every byte was read: at the path, at the open file on each connection, and behind its end. All
    /// in one flight.
    ///
    /// # Errors
    /// As [`look_into`](Self::look_into). `RemoteUnreadable` if the file goes on behind its end.
    pub(super) async fn look_again(
        &mut self,
        sftp: &Sftp,
        file: &FileHandle,
        download: &Download<'_>,
    ) -> Result<Read> {
        let size = self.file().size;
        let path = self.file().remote_path();
        let (shown, told, behind, elsewhere) = tokio::join!(
            biased;
            sftp.lstat(&path),
            sftp.fstat(file),
            read_behind(sftp, file, size),
            download.shown()
        );
        let shown = match Reply::of(shown)? {
            Reply::Done(Some(attributes)) => attributes,
            Reply::Done(None) => {
                return Ok(Read::Ended(Ending::gone(format!("{path:?} is not there any more"))));
            }
            Reply::Refused(status) => return Err(refused(status, "")),
        };
        if let Some(ending) = judge(self.file(), self.seen, shown) {
            return Ok(Read::Ended(ending));
        }
        let elsewhere = elsewhere.into_iter().find_map(|told| difference(self.file(), self.seen, told));
        if let Some(difference) = elsewhere {
            // What was read may be of two files, so no call may build on it.
            let why = format!("on a further connection the file {difference}");
            return Ok(Read::UploadGone(Unwritten::UploadGone(why)));
        }
        let told = Reply::of(told)?.done().unwrap_or_default();
        let difference = difference(self.file(), self.seen, told);
        let difference = if behind? { Some(format!("has more than {size} bytes")) } else { difference };
        match difference {
            None => Ok(Read::Whole),
            // It may be growing at this moment, so the next look decides.
            Some(difference) => Err(ErrorName::RemoteUnreadable
                .error(format!("{path:?} {difference}, although its path shows the file that was found"))),
        }
    }
}

/// Whether the file has a byte behind its end. Not every server answers such a READ as the protocol says.
async fn read_behind(sftp: &Sftp, file: &FileHandle, size: u64) -> Result<bool> {
    let mut behind = sftp.download(file, size, size.saturating_add(1));
    Ok(Reply::of(behind.next().await)?.done().flatten().is_some())
}

/// How the collection ends if this is what the path shows.
fn judge(file: &RemoteFile, seen: Option<Attributes>, shown: Attributes) -> Option<Ending> {
    // A look has seen a regular file there: if it comes back, it is collected.
    let difference = match shown.file_type() {
        Some(FileType::Link) => "is a symbolic link now, and links are not followed".to_owned(),
        Some(FileType::Directory | FileType::Other) => "is no regular file any more".to_owned(),
        Some(FileType::File) | None => difference(file, seen, shown)?,
    };
    Some(Ending::changed(format!("{:?} {difference}", file.remote_path())))
}

/// How attributes differ from those of the file, and from what an earlier look showed. What the server does not tell is no
/// difference.
fn difference(file: &RemoteFile, seen: Option<Attributes>, told: Attributes) -> Option<String> {
    if let Some(size) = told.size.filter(|size| *size != file.size) {
        return Some(format!("has {size} bytes, and had {} when it was found", file.size));
    }
    match (told.modified, expected_time(file, seen)) {
        (Some(now), Some(then)) if now != then => {
            Some(format!("was modified at {now} (seconds since 1970), and at {then} when it was found"))
        }
        _ => None,
    }
}

/// The first look takes the place of a listing without times.
fn expected_time(file: &RemoteFile, seen: Option<Attributes>) -> Option<u32> {
    file.modified.or(seen.and_then(|seen| seen.modified))
}

#[cfg(test)]
mod tests {
    use bridge::collect::CollectOutcome;

    use super::*;

    fn file(modified: Option<u32>) -> RemoteFile {
        let (host, directory, path) = ("h".into(), "out".into(), "f".into());
        RemoteFile { host, directory, path, size: 5, modified }
    }

    fn attributes(mode: u32, size: u64, modified: u32) -> Attributes {
        Attributes { permissions: Some(mode), size: Some(size), modified: Some(modified) }
    }

    const FILE: u32 = 0o100_640;

    #[test]
    fn a_file_is_the_same_by_size_and_time() {
        let outcome = |shown| judge(&file(Some(7)), None, shown).map(|ending| ending.outcome);
        assert_eq!(outcome(attributes(FILE, 5, 7)), None);
        assert_eq!(outcome(attributes(FILE, 6, 7)), Some(CollectOutcome::Changed));
        assert_eq!(outcome(attributes(FILE, 5, 8)), Some(CollectOutcome::Changed));
        assert_eq!(outcome(attributes(FILE, 5, 6)), Some(CollectOutcome::Changed), "an older time, too");
    }

    #[test]
    fn what_is_no_regular_file_any_more_has_changed() {
        for mode in [0o120_777, 0o040_755, 0o010_644, 0o060_644] {
            let ending = judge(&file(Some(7)), None, attributes(mode, 5, 7)).unwrap();
            assert_eq!(ending.outcome, CollectOutcome::Changed, "{mode:o}");
        }
    }

    #[test]
    fn what_the_server_does_not_tell_is_no_difference() {
        let nothing = Attributes::default();
        assert_eq!(judge(&file(Some(7)), None, nothing), None);
        // A listing without times: the first look of the call takes the place of it.
        let first = attributes(FILE, 5, 7);
        assert_eq!(judge(&file(None), None, first), None);
        assert_eq!(judge(&file(None), Some(first), first), None);
        let later = judge(&file(None), Some(first), attributes(FILE, 5, 8)).unwrap();
        assert_eq!(later.outcome, CollectOutcome::Changed);
    }
}

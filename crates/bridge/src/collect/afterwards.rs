//! `COLLECT_AFTERWARDS`: what becomes of a file that was collected, and what the archive calls it.

use sha2::{Digest as _, Sha256};

use super::file::beneath;
use crate::calendar::{self, Moment};
use crate::paths::{COMPONENT_MAX, cut, split, split_extension};

/// The archive in the directory of each file, unless `COLLECT_ARCHIVE_DIRECTORY` names another.
const ARCHIVE: &str = ".done";

/// What the name of a file begins with that was moved aside to be deleted. Hexadecimal digits follow.
const ASIDE: &str = ".collected-";

/// Number of these digits.
const ASIDE_DIGITS: usize = 16;

/// `YYYYMMDDHHMMSS`, in UTC.
const STAMP: &str = "%Y%m%d%H%M%S";

/// Digits of a stamp.
const STAMP_LENGTH: usize = 14;

/// What is put before the name of a file that nobody could identify in the archive.
const UNIDENTIFIED: &str = "unidentified-";

/// Number of digits that tell files of several directories apart in one archive.
const APART_DIGITS: usize = 8;

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
    /// exists: `YYYYMMDDHHMMSS-STEM-1.EXT`. In an archive for several directories, the name of a file from below has digits
    /// that are made of its path: `YYYYMMDDHHMMSS-STEM-0a1b2c3d.EXT`. `None` if nothing is archived, or `time` is no time.
    pub fn archived_path(&self, directory: &str, path: &str, time: &str, number: u32) -> Option<String> {
        self.place("", directory, path, time, number)
    }

    /// Where the same file goes if it was moved, and nobody can tell whether it is the one that was collected. Nothing of
    /// such a name is ever deleted.
    pub fn unidentified_path(&self, directory: &str, path: &str, time: &str, number: u32) -> Option<String> {
        self.place(UNIDENTIFIED, directory, path, time, number)
    }

    fn place(&self, prefix: &str, directory: &str, path: &str, time: &str, number: u32) -> Option<String> {
        let archive = self.archive_directory(directory, path)?;
        let stamp = Moment::parse(time)?.format(STAMP);
        let (own, name) = split(path);
        let (stem, extension) = split_extension(name);
        let is_shared = matches!(self, Self::Archive { directory: Some(_) }) && !own.is_empty();
        let apart = if is_shared { format!("-{}", digits(&[path], APART_DIGITS)) } else { String::new() };
        let number = if number == 0 { String::new() } else { format!("-{number}") };
        let dot = if extension.is_empty() { "" } else { "." };
        let room = COMPONENT_MAX - prefix.len() - STAMP_LENGTH - "-".len();
        let tail = format!("{apart}{number}{dot}{extension}");
        let tail = cut(&tail, room);
        let stem = cut(stem, room - tail.len());
        Some(beneath(&archive, &format!("{prefix}{stamp}-{stem}{tail}")))
    }

    /// Where the file at `path` below `directory` is moved before it is deleted: beside it, since a rename may not cross
    /// file systems. The name is made of the execution, so that a retry knows it, and nobody else uses it.
    pub fn aside_path(directory: &str, path: &str, execution: &str) -> String {
        let (own, name) = split(path);
        let digits = digits(&[execution, path], ASIDE_DIGITS);
        let name = cut(name, COMPONENT_MAX - ASIDE.len() - ASIDE_DIGITS - "-".len());
        beneath(directory, &format!("{own}{ASIDE}{digits}-{name}"))
    }

    /// Whether a file of this name was moved aside to be deleted.
    pub(crate) fn is_aside(name: &str) -> bool {
        let rest = name.strip_prefix(ASIDE).and_then(|rest| rest.split_at_checked(ASIDE_DIGITS));
        rest.is_some_and(|(digits, rest)| {
            let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            digits.bytes().all(is_digit) && rest.starts_with('-')
        })
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
    /// whatever the settings are now: it may be that of earlier settings, or of another bridge. Upper and lower case are
    /// the same, as they are for some servers: they would list `archive` where we archive into `Archive`.
    pub(crate) fn holds(&self, directory: &str, path: &str) -> bool {
        let path = path.to_lowercase();
        let (parent, _) = split(&path);
        if parent.split('/').any(|component| component == ARCHIVE) {
            return true;
        }
        let Self::Archive { directory: Some(archive) } = self else { return false };
        let archive = archive.to_lowercase();
        let below = match archive.strip_prefix('/') {
            None => Some(archive.as_str()),
            Some(_) => archive.strip_prefix(&beneath(directory, "").to_lowercase()),
        };
        below.and_then(|below| path.strip_prefix(below)).is_some_and(|rest| rest.starts_with('/'))
    }
}

/// Hexadecimal digits that are made of these texts.
fn digits(texts: &[&str], number: usize) -> String {
    let mut digits = hex::encode(Sha256::digest(texts.join("\0")));
    digits.truncate(number);
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "2026-11-27T12:00:09.5Z";

    fn archive(directory: Option<&str>) -> Afterwards {
        Afterwards::Archive { directory: directory.map(str::to_owned) }
    }

    #[test]
    fn story_276_an_archived_file_has_the_time_in_its_name_and_a_number_where_that_is_taken() {
        let path =
            |afterwards: &Afterwards, number| afterwards.archived_path("out", "a/b.tar.gz", TIME, number);
        let own = archive(None);
        assert_eq!(path(&own, 0).as_deref(), Some("out/a/.done/20261127120009-b.tar.gz"));
        assert_eq!(path(&own, 12).as_deref(), Some("out/a/.done/20261127120009-b.tar-12.gz"));
        let own_name = |directory| archive(Some(directory)).archived_path("out", "b.tar.gz", TIME, 0);
        assert_eq!(own_name("old").as_deref(), Some("out/old/20261127120009-b.tar.gz"));
        assert_eq!(own_name("/old").as_deref(), Some("/old/20261127120009-b.tar.gz"));
        assert_eq!((path(&Afterwards::Delete, 0), path(&Afterwards::Leave, 0)), (None, None));
        for (directory, path, expected) in [
            ("", "README", ".done/20261127120009-README-1"),
            ("/", "README", "/.done/20261127120009-README-1"),
            ("/out", ".hidden", "/out/.done/20261127120009-.hidden-1"),
        ] {
            assert_eq!(own.archived_path(directory, path, TIME, 1).as_deref(), Some(expected));
        }
        assert_eq!(own.archived_path("", "a", "yesterday", 0), None);
    }

    #[test]
    fn story_276_files_of_one_name_and_several_directories_have_several_names_in_one_archive() {
        let shared = archive(Some("/old"));
        let path = |path: &str, number| shared.archived_path("out", path, TIME, number).unwrap();
        let names = ["b.csv", "a/b.csv", "c/b.csv"].map(|it| path(it, 0));
        assert_eq!(names[0], "/old/20261127120009-b.csv");
        assert_eq!(names[1], "/old/20261127120009-b-1c31892c.csv");
        assert_eq!(names[2].len(), names[1].len());
        assert_ne!(names[2], names[1]);
        assert_eq!(path("a/b.csv", 1), "/old/20261127120009-b-1c31892c-1.csv");
    }

    #[test]
    fn what_nobody_could_identify_has_a_name_that_is_never_deleted() {
        for (name, unidentified) in [
            ("a/b.csv", "out/a/.done/unidentified-20261127120009-b-1.csv"),
            ("b", "out/.done/unidentified-20261127120009-b-1"),
        ] {
            let path = archive(None).unidentified_path("out", name, TIME, 1).unwrap();
            assert_eq!((path.as_str(), Afterwards::archive_moment(&path)), (unidentified, None));
        }
        let longest = archive(None).unidentified_path("", &"x".repeat(255), TIME, 12).unwrap();
        let (_, name) = split(&longest);
        assert!(name.len() == COMPONENT_MAX && name.ends_with("xx-12"), "{name}");
        assert_eq!(Afterwards::Leave.unidentified_path("out", "a", TIME, 0), None);
    }

    #[test]
    fn story_276_no_archived_name_is_longer_than_a_file_system_takes() {
        let longest = [
            "x".repeat(255),
            format!("{}.csv", "ü".repeat(125)),
            format!("a.{}", "x".repeat(253)),
            format!("a.{}", "ü".repeat(126)),
        ];
        for name in longest {
            for number in [0, 1, 999] {
                let path = archive(None).archived_path("", &name, TIME, number).unwrap();
                let (directory, archived) = split(&path);
                assert_eq!(directory, ".done/");
                assert!((240..=COMPONENT_MAX).contains(&archived.len()), "{}: {archived}", archived.len());
                assert!(number == 0 || archived.contains(&format!("-{number}")), "{archived}");
                assert!(Afterwards::archive_moment(archived).is_some(), "{archived}");
            }
        }
        let long = archive(None).archived_path("", &format!("{}.csv", "x".repeat(251)), TIME, 1).unwrap();
        assert!(long.ends_with("xxx-1.csv"), "{long}");
    }

    #[test]
    fn a_file_is_moved_aside_beside_itself_to_a_name_of_its_execution() {
        let aside = |path: &str, execution| Afterwards::aside_path("out", path, execution);
        let one = aside("a/b.csv", "arn:one");
        assert!(one.starts_with("out/a/.collected-") && one.ends_with("-b.csv"), "{one}");
        assert_eq!(aside("a/b.csv", "arn:one"), one);
        assert_ne!(aside("a/b.csv", "arn:two"), one);
        for name in ["b.csv", &"x".repeat(255), &"ü".repeat(127)] {
            let aside = aside(name, "arn:one");
            let (_, name) = split(&aside);
            assert!(name.len() <= COMPONENT_MAX && Afterwards::is_aside(name), "{name}");
        }
        for name in ["", ".collected-", ".collected-0123456789abcdef", ".collected-0123456789abcdeg-a", "a"] {
            assert!(!Afterwards::is_aside(name), "{name}");
        }
    }

    #[test]
    fn the_moment_of_archiving_is_in_the_name() {
        let moment = Afterwards::archive_moment;
        let noon = bridge_seconds("2026-11-27T12:00:00Z");
        for name in ["20261127120000-a.csv", ".done/20261127120000-a.csv", "/x/.done/20261127120000-a-1.csv"]
        {
            assert_eq!(moment(name), Some(noon), "{name}");
        }
        assert_eq!(moment("20240229235959--"), Some(bridge_seconds("2024-02-29T23:59:59Z")));
        assert_eq!(moment("19700101000000-a"), Some(0));
    }

    fn bridge_seconds(text: &str) -> i64 {
        crate::unix_seconds(text).unwrap()
    }

    /// What the bridge did not name is never deleted.
    #[test]
    fn names_that_only_look_like_those_of_an_archive_have_no_moment() {
        for name in [
            "",
            "a.csv",
            "-a.csv",
            "27-a.csv",
            "20261127-a.csv",
            "20261127120000",
            "20261127120000-",
            "20261127120000a.csv",
            "20261127120000_a.csv",
            "2026112712000-a.csv",
            "202611271200000-a.csv",
            "x20261127120000-a.csv",
            " 20261127120000-a.csv",
            "+2026112712000-a.csv",
            "20261127120000-a.csv/b",
            // A month, a day, an hour, a minute and a second that there are not.
            "20261327120000-a.csv",
            "20260027120000-a.csv",
            "20260229120000-a.csv",
            "20261100120000-a.csv",
            "20261127240000-a.csv",
            "20261127126000-a.csv",
            "20261127120060-a.csv",
            "20161231235960-a.csv",
            // Before 1970 nobody archived anything.
            "00000101000000-a.csv",
            "00010101000000-a.csv",
            "19691231235959-a.csv",
            "２０２６１１２７１２００００-a.csv",
            "2026112712000é-a.csv",
        ] {
            assert_eq!(Afterwards::archive_moment(name), None, "{name}");
        }
    }

    #[test]
    fn what_is_in_an_archive_is_known() {
        for (archive, directory, path, is_in) in [
            (archive(None), "out", ".done/a.csv", true),
            (archive(None), "out", "a/.done/b/c.csv", true),
            (archive(None), "out", ".done", false),
            (archive(None), "out", "a.done/b.csv", false),
            (archive(Some("old")), "out", "old/a.csv", true),
            (archive(Some("old")), "out", "old/a/b.csv", true),
            (archive(Some("old")), "out", "older/a.csv", false),
            (archive(Some("Old")), "out", "old/a.csv", true),
            (archive(Some("/Out/old")), "/out", "OLD/a.csv", true),
            (archive(None), "out", ".DONE/a.csv", true),
            (archive(Some("old")), "out", "a/old/b.csv", false),
            (archive(Some("old")), "out", "a/.done/b.csv", true),
            (archive(Some("/out/old")), "/out", "old/a.csv", true),
            (archive(Some("/out/old")), "/", "out/old/a.csv", true),
            (archive(Some("/old")), "/out", "old/a.csv", false),
            (archive(Some("/data")), "/data/out", "a/b.csv", false),
            (archive(Some("/")), "/out", "a/b.csv", false),
            (Afterwards::Leave, "", ".done/a.csv", true),
            (Afterwards::Delete, "", "done/a.csv", false),
        ] {
            assert_eq!(archive.holds(directory, path), is_in, "{archive:?} {directory} {path}");
        }
    }
}

//! Servers that differ in their answers to OPEN and RENAME, in the names that they allow, and in the sizes of files that
//! they report.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use russh_sftp::protocol::{Attrs, OpenFlags, StatusCode};
use russh_sftp::server::StatusReply;

/// How the server differs from a well-behaved one when it opens, renames and shows files.
#[derive(Clone, Debug, Default)]
pub struct Ways {
    /// An OPEN that fails is answered with this status, whatever the reason. STAT still works.
    pub open_answers: Option<StatusCode>,
    /// What the server does with the flag TRUNC.
    pub truncation: Truncation,
    /// Which names files may have.
    pub names: Names,
    /// `posix-rename@openssh.com` is announced, and refuses an existing name.
    pub posix_rename_keeps: bool,
    /// For a while after it was written, a file is locked and cannot be renamed.
    pub lock: Option<Lock>,
    /// The size of a file in answers to STAT.
    pub sizes: Sizes,
    /// Announced like the others, but not supported.
    pub announces: Option<&'static str>,
}

/// What the server does with the flag TRUNC when a file is opened for writing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Truncation {
    /// What the client asks for.
    #[default]
    AsAsked,
    /// An OPEN without the flag is refused.
    Required,
    /// An OPEN with the flag is refused.
    Refused,
    /// A file is emptied whenever it is opened.
    Always,
}

/// Which names files may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Names {
    /// All that the file system allows.
    #[default]
    Any,
    /// None that begins with a dot.
    NoLeadingDot,
    /// At most this many bytes.
    AtMost(usize),
    /// Only those with this ending.
    EndingWith(&'static str),
}

/// A file cannot be renamed until this long after the first try.
#[derive(Clone, Debug)]
pub struct Lock {
    lasts: Duration,
    since: Arc<OnceLock<Instant>>,
}

impl Lock {
    /// For this long.
    pub fn lasting(lasts: Duration) -> Self {
        Self { lasts, since: Arc::default() }
    }

    fn holds(&self) -> bool {
        self.since.get_or_init(Instant::now).elapsed() < self.lasts
    }
}

/// The size of a file in answers to STAT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sizes {
    /// What it is.
    #[default]
    Told,
    /// Zero, always.
    Zero,
    /// Zero until this long after the last write.
    LateBy(Duration),
}

impl Ways {
    /// The flags that the file is opened with.
    pub(super) fn open(&self, path: &Path, flags: OpenFlags) -> Result<OpenFlags, StatusReply> {
        if !flags.contains(OpenFlags::WRITE) {
            return Ok(flags);
        }
        self.takes(path)?;
        let truncates = flags.contains(OpenFlags::TRUNCATE);
        match self.truncation {
            Truncation::Required if !truncates => Err(StatusCode::Failure.with_message("Invalid parameter")),
            Truncation::Refused if truncates => Err(StatusCode::Failure.with_message("Invalid parameter")),
            Truncation::Always => Ok(flags | OpenFlags::TRUNCATE),
            _ => Ok(flags),
        }
    }

    /// The answer to a refused OPEN.
    pub(super) fn refuse_open(&self, refused: StatusReply) -> StatusReply {
        self.open_answers.map_or(refused, StatusReply::from)
    }

    /// Whether a file may have this name.
    pub(super) fn takes(&self, path: &Path) -> Result<(), StatusReply> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_taken = match self.names {
            Names::Any => true,
            Names::NoLeadingDot => !name.starts_with('.'),
            Names::AtMost(most) => name.len() <= most,
            Names::EndingWith(end) => name.ends_with(end),
        };
        if is_taken { Ok(()) } else { Err(StatusCode::PermissionDenied.with_message("Filename not allowed")) }
    }

    /// Whether a file may be renamed onto this path.
    pub(super) fn rename(&self, to: &Path, is_posix: bool) -> Result<(), StatusReply> {
        if self.lock.as_ref().is_some_and(Lock::holds) {
            return Err(StatusCode::PermissionDenied.with_message("The process cannot access the file"));
        }
        if is_posix && self.posix_rename_keeps && to.symlink_metadata().is_ok() {
            return Err(StatusCode::Failure.with_message("file exists"));
        }
        self.takes(to)
    }

    /// What is told of a file.
    pub(super) fn told(&self, path: &Path, mut attributes: Attrs) -> Attrs {
        let is_late = |by| {
            let modified = path.metadata().and_then(|metadata| metadata.modified());
            modified.is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|age| age < by))
        };
        let hides = match self.sizes {
            Sizes::Told => false,
            Sizes::Zero => true,
            Sizes::LateBy(by) => is_late(by),
        };
        if hides && path.is_file() {
            attributes.attrs.size = Some(0);
        }
        attributes
    }
}

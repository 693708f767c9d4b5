//! Servers with answers of their own: to OPEN and RENAME, which names they accept, and which size STAT returns.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use russh_sftp::protocol::{Attrs, OpenFlags, StatusCode};
use russh_sftp::server::StatusReply;

/// How the server differs from a well-behaved one when it opens, renames and shows files.
#[derive(Clone, Debug, Default)]
pub struct Ways {
    /// The answer to each OPEN that fails, whatever the reason. STAT still finds what exists.
    pub open_answers: Option<StatusCode>,
    /// What the server does with the flag TRUNC.
    pub truncation: Truncation,
    /// Which names files may have.
    pub names: Names,
    /// `posix-rename@openssh.com` is announced and refuses a name that exists.
    pub posix_rename_keeps: bool,
    /// A lock on a file that was just written: it cannot be renamed.
    pub lock: Option<Lock>,
    /// Which size STAT returns.
    pub sizes: Sizes,
    /// An extension that is announced but not implemented.
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
    /// Every OPEN empties the file.
    Always,
}

/// Which names files may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Names {
    /// All that the file system accepts.
    #[default]
    Any,
    /// Names that do not begin with a dot.
    NoLeadingDot,
    /// Names of at most this many bytes.
    AtMost(usize),
    /// Names that end like this.
    EndingWith(&'static str),
}

/// A file cannot be renamed until this long after the first attempt.
#[derive(Clone, Debug)]
pub struct Lock {
    lasts: Duration,
    since: Arc<OnceLock<Instant>>,
}

impl Lock {
    /// Lasts this long.
    pub fn lasting(lasts: Duration) -> Self {
        Self { lasts, since: Arc::default() }
    }

    fn holds(&self) -> bool {
        self.since.get_or_init(Instant::now).elapsed() < self.lasts
    }
}

/// Which size STAT returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sizes {
    /// The real one.
    #[default]
    Told,
    /// Always zero.
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

    /// What STAT returns for a file.
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

//! How the server differs from a well-behaved one.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::cut::Cut;
use super::late::Late;
use super::order::Order;
use super::ways::Ways;
use crate::door::Door;

/// How the server differs from a well-behaved one.
#[derive(Clone, Debug, Default)]
pub struct Quirks {
    /// `posix-rename@openssh.com` is missing, so that no rename replaces a file.
    pub no_posix_rename: bool,
    /// Maximum size of a file, in bytes: the disk is full.
    pub capacity: Option<u64>,
    /// A drop box: STAT and READ are refused.
    pub write_only: bool,
    /// The server hashes files (`check-file`, as ProFTPD does).
    pub check_file: bool,
    /// Each OPEN for writing starts an upload of its own, and the upload that is closed last becomes the file. Gateways to
    /// object stores work like this.
    pub apart: bool,
    /// With `apart`: each upload is a whole object. It starts empty, and is discarded unless it is closed.
    pub whole_objects: bool,
    /// The server disconnects when a second channel is opened.
    pub one_channel: bool,
    /// What requests to set mode or time do.
    pub setstat: Setstat,
    /// How clients log in, and with which algorithms.
    pub door: Door,
    /// REMOVE is refused.
    pub no_delete: bool,
    /// REMOVE of a file that is open in the session is refused, as on Windows.
    pub open_files_stay: bool,
    /// OPEN for writing is refused.
    pub read_only: bool,
    /// RENAME is unknown.
    pub no_rename: bool,
    /// Renames are refused as long as this is true.
    pub rename_refused: Arc<AtomicBool>,
    /// RENAME replaces an existing file, as on many servers.
    pub rename_replaces: bool,
    /// How long CLOSE of a written file takes.
    pub slow_close: Duration,
    /// The answer that the server never sends.
    pub lost_answer: Option<LostAnswer>,
    /// Maximum number of connections. Further ones are closed at once.
    pub connections_max: Option<usize>,
    /// Handles are not text, an OK has no strings, and status codes of later drafts are used: 9, 11, 18.
    pub later_codes: bool,
    /// OPEN for reading and writing at once is refused.
    pub no_mixed_open: bool,
    /// STAT is refused, READ is not.
    pub no_stat: bool,
    /// Whether files can be read.
    pub reading: Reading,
    /// OPEN for reading is refused as long as this is true.
    pub open_refused: Arc<AtomicBool>,
    /// When the connection is cut.
    pub cut: Option<Cut>,
    /// Maximum number of WRITEs to a file.
    pub writes_max: Option<u64>,
    /// A file is written from its start to its end and cannot be continued, as in gateways to object stores.
    pub in_one_go: bool,
    /// WRITEs that begin in this range are acknowledged and lost.
    pub loses: Option<Range<u64>>,
    /// Maximum size of a file, in bytes, checked when it is closed.
    pub capacity_at_close: Option<u64>,
    /// When the server moves files away.
    pub sweep: Option<Sweep>,
    /// The READ that fails.
    pub hiccup: Option<Hiccup>,
    /// Each directory is a file system of its own: a rename to another directory fails.
    pub file_systems: bool,
    /// What a rename does.
    pub renaming: Renaming,
    /// How long STAT does not find a file that was closed.
    pub seen_late: Option<Late>,
    /// How long a file whose session was cut cannot be opened for writing.
    pub held_after_cut: Option<Late>,
    /// What `fsync@openssh.com` does.
    pub fsync: Fsync,
    /// How names, sizes and refusals differ.
    pub ways: Ways,
    /// Maximum number of open files in a session.
    pub files_max: Option<FilesMax>,
    /// In which order requests are served that arrive together.
    pub order: Order,
}

/// Maximum number of open files in a session, and whether a client can know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilesMax {
    /// The server does not say it.
    Unsaid(usize),
    /// It is in the answer to `limits@openssh.com`.
    Announced(usize),
}

impl FilesMax {
    pub(super) fn number(self) -> usize {
        match self {
            Self::Unsaid(number) | Self::Announced(number) => number,
        }
    }
}

/// What a rename does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Renaming {
    /// What was asked for.
    #[default]
    Honest,
    /// It is carried out and answered with FAILURE.
    FailsAfterwards,
    /// It is answered with OK, and the server appends `.in` to the name.
    Elsewhere,
    /// A file that begins with `infected` is removed instead, and the answer is FAILURE.
    Quarantined,
}

/// What the request to write a file to the disk does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fsync {
    /// It is unknown.
    #[default]
    Unknown,
    /// It is done.
    Done,
    /// It is announced and refused.
    Refused,
}

/// READs at or after an offset fail: the first one, or all of them until it is healed.
#[derive(Clone, Debug)]
pub struct Hiccup {
    from: u64,
    stays: bool,
    over: Arc<AtomicBool>,
}

impl Hiccup {
    /// Fails the first READ at or after this offset.
    pub fn from(from: u64) -> Self {
        Self { from, stays: false, over: Arc::default() }
    }

    /// Fails every READ at or after this offset.
    pub fn always_from(from: u64) -> Self {
        Self { stays: true, ..Self::from(from) }
    }

    /// From now on, nothing fails.
    pub fn heal(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Whether a READ fails.
    pub(super) fn fails(&self, offset: u64) -> bool {
        if offset < self.from || self.stays {
            return offset >= self.from && !self.over.load(Ordering::Relaxed);
        }
        !self.over.swap(true, Ordering::Relaxed)
    }
}

/// What a request to set mode or time does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Setstat {
    /// It is done.
    #[default]
    Done,
    /// It is refused.
    Refused,
    /// It is answered with OK and does nothing.
    Ignored,
    /// It is refused with NO_SUCH_FILE.
    NotFound,
}

/// Whether files can be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reading {
    /// They can.
    #[default]
    Allowed,
    /// OPEN for reading is refused.
    NotOpened,
    /// OPEN for reading succeeds, READ is refused.
    NothingRead,
}

/// The first request of a kind is carried out, and its channel falls silent.
#[derive(Clone, Debug)]
pub struct LostAnswer {
    pub(super) to: &'static str,
    pub(super) lost: Arc<AtomicBool>,
}

impl LostAnswer {
    /// Loses the answer to a `close` of a written file, to a `rename`, or to a `check-file`.
    pub fn to(request: &'static str) -> Self {
        Self { to: request, lost: Arc::default() }
    }
}

/// When a drop box moves a file into [`TAKEN`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sweep {
    /// When it is closed, whatever its name.
    AtClose,
    /// When it was renamed.
    AfterRename,
    /// When it was written or renamed, unless its name begins with a dot. It is removed.
    Visible,
}

/// The folder, below the served one, where a drop box keeps the files that it has taken.
pub const TAKEN: &str = ".taken";

//! The file to prove.

use std::time::Duration;

use partner::files::Seen;
use sftp::{Attributes, FileHandle};
use tokio::time::Instant;

/// How long a look at the final name is believed. Others work on the server, too.
const FRESH: Duration = Duration::from_secs(5);

/// The file to prove.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) path: String,
    pub(crate) place: Place,
    /// In bytes, if the server tells it.
    pub(crate) size: Option<u64>,
    /// What else the server told of it.
    pub(crate) attributes: Attributes,
    /// It is open to be read. Its CLOSE goes out when this is dropped.
    pub(crate) open: Option<FileHandle>,
    /// What was seen under the final name along with a partial file.
    pub(crate) final_name: Option<Glance>,
}

impl Subject {
    pub(crate) fn new(path: String, place: Place, size: Option<u64>) -> Self {
        Self { path, place, size, attributes: Attributes::default(), open: None, final_name: None }
    }
}

/// What was seen, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Glance {
    seen: Seen,
    at: Instant,
}

impl Glance {
    pub(crate) fn of(seen: Seen) -> Self {
        Self { seen, at: Instant::now() }
    }

    pub(crate) fn if_fresh(self) -> Option<Seen> {
        (self.at.elapsed() <= FRESH).then_some(self.seen)
    }
}

/// Where the file to prove was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Where it was sent: the partial file, or the final one with a direct route.
    Upload,
    /// Under the final name, with a route that renames; or where a file was found before anything was sent.
    Final,
}

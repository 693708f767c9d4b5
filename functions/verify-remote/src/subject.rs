//! The file to prove.

use sftp::FileHandle;

/// The file to prove.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) path: String,
    pub(crate) place: Place,
    /// In bytes, if the server tells it.
    pub(crate) size: Option<u64>,
    /// It is open to be read. Its CLOSE goes out when this is dropped.
    pub(crate) open: Option<FileHandle>,
}

/// Where the file to prove was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Where it was sent: the partial file, or the final one with a direct route.
    Upload,
    /// Under the final name, with a route that renames; or where a file was found before anything was sent.
    Final,
}

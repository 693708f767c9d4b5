//! Removing a file of ours that is no longer needed.

use sftp::Sftp;

/// Outcome of removing a file of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discarded {
    /// The server removed it.
    Removed,
    /// The server says that there was no such file.
    Nothing,
    /// The server refused, or the session was lost: the file may still be there.
    Refused,
}

/// Removes a file of ours that is no longer needed. Best effort: a failure is logged and otherwise ignored, because the
/// file is not under the final name.
pub async fn discard(sftp: &Sftp, path: &str) -> Discarded {
    match sftp.remove(path).await {
        Ok(()) => Discarded::Removed,
        Err(error) if error.is_not_found() => Discarded::Nothing,
        Err(error) => {
            tracing::warn!(%error, path, "a file of ours could not be removed");
            Discarded::Refused
        }
    }
}

//! What a server lets be seen of a path.

use std::time::Duration;

use bridge::{Deadline, Result};
use sftp::Sftp;

/// What is under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A file; its size in bytes, if the server tells it.
    File(Option<u64>),
    /// A directory.
    Directory,
    /// Nothing: the server says so.
    Nothing,
    /// The server refuses to tell.
    Hidden,
}

impl Seen {
    /// The size that is told, bytes.
    pub fn size(self) -> Option<u64> {
        match self {
            Self::File(size) => size,
            Self::Directory | Self::Nothing | Self::Hidden => None,
        }
    }
}

/// Looks once.
///
/// # Errors
/// The loss of the session.
pub async fn look(sftp: &Sftp, path: &str) -> Result<Seen> {
    match sftp.stat(path).await {
        Ok(Some(attributes)) if attributes.is_directory() == Some(true) => Ok(Seen::Directory),
        Ok(Some(attributes)) => Ok(Seen::File(attributes.size)),
        Ok(None) => Ok(Seen::Nothing),
        Err(error) if error.is_status() => Ok(Seen::Hidden),
        Err(error) => Err(error.into()),
    }
}

/// Gateways to object stores and caches tell an old size, or nothing, for seconds after a file was closed or renamed.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// How often something is looked at again that is not as expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// For 1.5 seconds. Servers that take files away at once would be waited for with every file.
    Short,
    /// For 7.5 seconds.
    Long,
}

/// Looks until what is seen is as expected; `patience` says how long something else is looked at again. Returns what was
/// seen last.
///
/// # Errors
/// The loss of the session.
pub async fn look_until(
    sftp: &Sftp,
    path: &str,
    stop: Deadline,
    is_expected: impl Fn(Seen) -> bool,
    patience: impl Fn(Seen) -> Patience,
) -> Result<Seen> {
    let mut seen = look(sftp, path).await?;
    for (count, pause) in PAUSES.into_iter().enumerate() {
        let short = count >= 3 && patience(seen) == Patience::Short;
        if is_expected(seen) || short || stop.remaining() <= pause {
            break;
        }
        tracing::info!(path, ?seen, "not what was expected; looking again");
        tokio::time::sleep(pause).await;
        seen = look(sftp, path).await?;
    }
    Ok(seen)
}

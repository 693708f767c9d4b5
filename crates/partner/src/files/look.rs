//! What the server shows of a path.

use std::time::Duration;

use bridge::{Deadline, Result};
use sftp::{Attributes, Error, Sftp};

/// What is under a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A file, with its size in bytes if the server tells it.
    File(Option<u64>),
    /// A directory.
    Directory,
    /// Nothing: the server says so.
    Nothing,
    /// The server refused the STAT: something may be there or not.
    Hidden,
}

impl Seen {
    /// The size of a file in bytes, if the server tells it.
    pub fn size(self) -> Option<u64> {
        match self {
            Self::File(size) => size,
            Self::Directory | Self::Nothing | Self::Hidden => None,
        }
    }

    /// `untyped` is what something is taken for if the server does not tell its type.
    fn of(answer: sftp::Result<Option<Attributes>>, untyped: fn(Attributes) -> Self) -> Result<Self> {
        match answer {
            Ok(Some(attributes)) => Ok(match attributes.is_directory() {
                Some(true) => Self::Directory,
                Some(false) => Self::File(attributes.size),
                None => untyped(attributes),
            }),
            Ok(None) => Ok(Self::Nothing),
            Err(Error::Refused(_)) => Ok(Self::Hidden),
            Err(error) => Err(error.into()),
        }
    }
}

/// Looks once. If the server does not tell the type of what is there, it is taken for a file.
///
/// # Errors
/// The session was lost.
pub async fn look(sftp: &Sftp, path: &str) -> Result<Seen> {
    Seen::of(sftp.stat(path).await, |attributes| Seen::File(attributes.size))
}

/// Looks once, and keeps all that the server tells. Attributes that it does not tell are `None`.
///
/// # Errors
/// The session was lost.
pub async fn look_closely(sftp: &Sftp, path: &str) -> Result<(Seen, Attributes)> {
    let answer = sftp.stat(path).await;
    let attributes = answer.as_ref().ok().copied().flatten().unwrap_or_default();
    Ok((Seen::of(answer, |attributes| Seen::File(attributes.size))?, attributes))
}

/// Looks once at a path that is to be a directory. If the server does not tell the type of what is there, it is taken for
/// a directory: opening a file in it will show whether it is one.
///
/// # Errors
/// The session was lost.
pub async fn look_for_directory(sftp: &Sftp, path: &str) -> Result<Seen> {
    Seen::of(sftp.stat(path).await, |_| Seen::Directory)
}

/// Pauses between looks. Caches and gateways to object stores report an old size, or no file, for some seconds after a
/// CLOSE or a RENAME.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// How long to keep looking at something that is not as expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// For 1.5 seconds. More would slow down every file on servers that take files away at once.
    Short,
    /// For 7.5 seconds.
    Long,
}

/// Looks until `is_expected` accepts what is seen, `patience` for it ends or `stop` passes. Returns what was seen last.
///
/// # Errors
/// The session was lost.
pub async fn look_until(
    sftp: &Sftp,
    path: &str,
    stop: Deadline,
    is_expected: impl Fn(Seen) -> bool,
    patience: impl Fn(Seen) -> Patience,
) -> Result<Seen> {
    let seen = look(sftp, path).await?;
    look_on(sftp, path, seen, stop, is_expected, patience).await
}

/// Goes on as [`look_until`] does, after a first look.
///
/// # Errors
/// The session was lost.
pub async fn look_on(
    sftp: &Sftp,
    path: &str,
    mut seen: Seen,
    stop: Deadline,
    is_expected: impl Fn(Seen) -> bool,
    patience: impl Fn(Seen) -> Patience,
) -> Result<Seen> {
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

//! Renaming on servers whose answers say little: what was refused may have happened, and the other way round. So it is
//! looked at.

use bridge::Result;
use partner::{Seen, look};
use sftp::Sftp;

/// What happens to a file that has the new name already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Onto {
    /// It is replaced in one step, if the server can.
    Any,
    /// It stays, and the rename fails.
    Free,
}

/// What came of asking for a rename.
#[derive(Debug)]
pub(crate) enum Attempt {
    /// The server says so.
    Renamed,
    /// The server refused, but nothing is seen under the old name any more.
    Gone,
    /// The file is still under its old name.
    Refused(sftp::Error),
    /// The server says that there is no such file, and none is seen.
    Missing(sftp::Error),
    /// The server refused, and does not let the old name be seen.
    Unseen(sftp::Error),
}

/// Asks once. Nobody else renames or removes `from`.
///
/// # Errors
/// The loss of the session: whether it was renamed is not known then.
pub(crate) async fn attempt(sftp: &Sftp, from: &str, to: &str, onto: Onto) -> Result<Attempt> {
    let refusal = match request(sftp, from, to, onto).await {
        Ok(()) => return Ok(Attempt::Renamed),
        Err(error) if error.is_status() => error,
        Err(error) => return Err(error.into()),
    };
    Ok(match look(sftp, from).await? {
        Seen::Nothing if refusal.is_not_found() => Attempt::Missing(refusal),
        Seen::Nothing => Attempt::Gone,
        Seen::Hidden => Attempt::Unseen(refusal),
        Seen::File(_) | Seen::Directory => Attempt::Refused(refusal),
    })
}

/// One request, or two where the server knows one of them only.
pub(crate) async fn request(sftp: &Sftp, from: &str, to: &str, onto: Onto) -> sftp::Result<()> {
    let (first, second) = match onto {
        Onto::Any => (sftp.rename(from, to).await, Onto::Free),
        Onto::Free => (sftp.rename_noreplace(from, to).await, Onto::Any),
    };
    match first {
        // Some servers have one of the two requests only, whatever they announce.
        Err(error) if error.is_unsupported() && sftp.can_replace() => match second {
            Onto::Any => sftp.rename(from, to).await,
            Onto::Free => sftp.rename_noreplace(from, to).await,
        },
        other => other,
    }
}

/// What came of putting a file in the place of another one, in two steps.
#[derive(Debug)]
pub(crate) enum Swap {
    /// It is there, and the former file lies aside.
    Done,
    /// It was refused, and the former file is back in its place.
    Refused(sftp::Error),
    /// Neither was moved: the server does not let the former file be moved aside.
    CannotMoveAside(sftp::Error),
    /// It was refused, and so was putting the former file back: that one lies aside.
    NotPutBack(sftp::Error),
    /// It was refused, but our file is not seen any more. The former file lies aside.
    Gone,
}

/// Moves the file `to` to `aside`, and then `from` to `to`. Until then a reader sees no file of that name, never a part.
///
/// # Errors
/// The loss of the session: `aside` may hold the former file then.
pub(crate) async fn swap(sftp: &Sftp, from: &str, to: &str, aside: &str) -> Result<Swap> {
    if let Some(refusal) = move_aside(sftp, to, aside).await? {
        return Ok(Swap::CannotMoveAside(refusal));
    }
    let refusal = match attempt(sftp, from, to, Onto::Free).await? {
        Attempt::Renamed => return Ok(Swap::Done),
        Attempt::Gone => return Ok(Swap::Gone),
        Attempt::Refused(refusal) | Attempt::Missing(refusal) | Attempt::Unseen(refusal) => refusal,
    };
    Ok(match put_back(sftp, aside, to).await? {
        true => Swap::Refused(refusal),
        false => Swap::NotPutBack(refusal),
    })
}

/// Returns the refusal, if the file is still in its place.
async fn move_aside(sftp: &Sftp, path: &str, aside: &str) -> Result<Option<sftp::Error>> {
    let refusal = match attempt(sftp, path, aside, Onto::Free).await? {
        Attempt::Renamed | Attempt::Gone | Attempt::Missing(_) => return Ok(None),
        Attempt::Refused(refusal) | Attempt::Unseen(refusal) => refusal,
    };
    // What an earlier call left aside is superseded by the whole file that has the name now.
    if !matches!(look(sftp, aside).await?, Seen::File(_)) || sftp.remove(aside).await.is_err() {
        return Ok(Some(refusal));
    }
    match attempt(sftp, path, aside, Onto::Free).await? {
        Attempt::Renamed | Attempt::Gone | Attempt::Missing(_) => Ok(None),
        Attempt::Refused(refusal) | Attempt::Unseen(refusal) => Ok(Some(refusal)),
    }
}

/// Gives the former file its name back, unless another file has taken it: that one is whole, and the former one is
/// removed. Returns whether nothing is left aside.
pub(crate) async fn put_back(sftp: &Sftp, aside: &str, path: &str) -> Result<bool> {
    // Not every server refuses to rename onto a name that exists.
    if matches!(look(sftp, path).await?, Seen::File(_)) {
        return Ok(discard(sftp, aside).await != Discarded::Refused);
    }
    match attempt(sftp, aside, path, Onto::Free).await? {
        Attempt::Renamed | Attempt::Gone | Attempt::Missing(_) => Ok(true),
        Attempt::Refused(error) | Attempt::Unseen(error) => {
            if matches!(look(sftp, path).await?, Seen::File(_)) {
                return Ok(discard(sftp, aside).await != Discarded::Refused);
            }
            tracing::warn!(%error, aside, path, "the former file could not be put back");
            Ok(false)
        }
    }
}

/// What came of removing a file of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Discarded {
    /// It is gone.
    Removed,
    /// There was none.
    Nothing,
    /// It stays.
    Refused,
}

/// Removes a file of ours that is not needed any more. One that cannot be removed is not worth failing for: it is not
/// under the final name.
pub(crate) async fn discard(sftp: &Sftp, path: &str) -> Discarded {
    match sftp.remove(path).await {
        Ok(()) => Discarded::Removed,
        Err(error) if error.is_not_found() => Discarded::Nothing,
        Err(error) => {
            tracing::warn!(%error, path, "a file of ours could not be removed");
            Discarded::Refused
        }
    }
}

//! Renaming. A refused rename may have been carried out, and an accepted one may not, so each answer is followed by a look
//! at the server.

use bridge::Result;
use sftp::{Sftp, Status};

use super::discard::{Discarded, discard};
use super::look::{Seen, look};
use super::reply::Reply;

/// What happens to a file that has the new name already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onto {
    /// It is replaced in one step, if the server can.
    Any,
    /// It stays, and the rename fails.
    Free,
}

/// Outcome of one rename.
#[derive(Debug)]
pub enum Attempt {
    /// The server says that it is done.
    Renamed,
    /// The server refused, but nothing is under the old name any more.
    Gone,
    /// The server refused, and the file still has its old name.
    Refused(Status),
    /// The server says that there is no such file, and shows none.
    Missing(Status),
    /// The server refused, and hides what has the old name.
    Unseen(Status),
}

/// Asks once. Nobody else renames or removes `from`.
///
/// # Errors
/// The session was lost: the rename may have been carried out.
pub async fn attempt(sftp: &Sftp, from: &str, to: &str, onto: Onto) -> Result<Attempt> {
    what_came_of(sftp, from, request(sftp, from, to, onto).await).await
}

/// Asks once, and looks at the new name without waiting for the answer. The look is returned only if the server says that
/// the rename is done.
///
/// The server may look before it renames. What is seen is ours only if it cannot have been there before.
///
/// # Errors
/// The session was lost before the rename was answered: it may have been carried out.
pub async fn attempt_and_look(
    sftp: &Sftp,
    from: &str,
    to: &str,
    onto: Onto,
) -> Result<(Attempt, Option<Seen>)> {
    let (answer, seen) = tokio::join!(biased; request(sftp, from, to, onto), look(sftp, to));
    let attempt = what_came_of(sftp, from, answer).await?;
    let seen = seen.ok().filter(|_| matches!(attempt, Attempt::Renamed));
    Ok((attempt, seen))
}

async fn what_came_of(sftp: &Sftp, from: &str, answer: sftp::Result<()>) -> Result<Attempt> {
    let Reply::Refused(refusal) = Reply::of(answer)? else { return Ok(Attempt::Renamed) };
    Ok(match look(sftp, from).await? {
        Seen::Nothing if refusal.is_not_found() => Attempt::Missing(refusal),
        Seen::Nothing => Attempt::Gone,
        Seen::Hidden => Attempt::Unseen(refusal),
        Seen::File(_) | Seen::Directory => Attempt::Refused(refusal),
    })
}

/// The two requests of SFTP that rename a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenameRequest {
    /// RENAME of version 3, which must not replace a file.
    Plain,
    /// `posix-rename@openssh.com`, which replaces a file in one step; RENAME if the server does not announce it.
    Posix,
}

impl RenameRequest {
    /// Sends it. Does not look.
    ///
    /// # Errors
    /// The server refused, or the session was lost.
    pub async fn send(self, sftp: &Sftp, from: &str, to: &str) -> sftp::Result<()> {
        match self {
            Self::Plain => sftp.rename_noreplace(from, to).await,
            Self::Posix => sftp.rename(from, to).await,
        }
    }
}

impl Onto {
    /// The request for this, and the other one for servers that do not support it.
    pub fn requests(self) -> [RenameRequest; 2] {
        match self {
            Self::Any => [RenameRequest::Posix, RenameRequest::Plain],
            Self::Free => [RenameRequest::Plain, RenameRequest::Posix],
        }
    }
}

/// Sends the request for a rename, or both requests if the server does not support the first one. Does not look.
///
/// # Errors
/// The server refused, or the session was lost.
pub async fn request(sftp: &Sftp, from: &str, to: &str, onto: Onto) -> sftp::Result<()> {
    let [first, second] = onto.requests();
    match first.send(sftp, from, to).await {
        // Some servers have only one of the two requests, whatever they announce.
        Err(error) if error.is_unsupported() && sftp.can_replace() => second.send(sftp, from, to).await,
        outcome => outcome,
    }
}

/// Outcome of putting a file in the place of another one, in two steps.
#[derive(Debug)]
pub enum Swap {
    /// It is there, and the former file is aside.
    Done,
    /// It was refused, and the former file is back in its place.
    Refused(Status),
    /// Neither was moved: the server refuses to move the former file aside.
    CannotMoveAside(Status),
    /// It was refused, and so was putting the former file back, which is still aside.
    NotPutBack(Status),
    /// It was refused, but our file does not have its old name any more. The former file is aside.
    Gone,
}

/// Moves the file `to` to `aside`, and then `from` to `to`. In between a reader sees no file of that name, but never a
/// part of one.
///
/// # Errors
/// The session was lost: the former file may be at `aside`.
pub async fn swap(sftp: &Sftp, from: &str, to: &str, aside: &str) -> Result<Swap> {
    if let Some(refusal) = move_aside(sftp, to, aside).await? {
        return Ok(Swap::CannotMoveAside(refusal));
    }
    let refusal = match attempt(sftp, from, to, Onto::Free).await? {
        Attempt::Renamed => return Ok(Swap::Done),
        Attempt::Gone => return Ok(Swap::Gone),
        Attempt::Refused(refusal) | Attempt::Missing(refusal) | Attempt::Unseen(refusal) => refusal,
    };
    if put_back(sftp, aside, to).await? { Ok(Swap::Refused(refusal)) } else { Ok(Swap::NotPutBack(refusal)) }
}

/// Returns the refusal if the file is still in its place.
async fn move_aside(sftp: &Sftp, path: &str, aside: &str) -> Result<Option<Status>> {
    let refusal = match attempt(sftp, path, aside, Onto::Free).await? {
        Attempt::Renamed | Attempt::Gone | Attempt::Missing(_) => return Ok(None),
        Attempt::Refused(refusal) | Attempt::Unseen(refusal) => refusal,
    };
    // An earlier call may have left a file aside. The whole file that has the name now supersedes it.
    if !matches!(look(sftp, aside).await?, Seen::File(_)) || sftp.remove(aside).await.is_err() {
        return Ok(Some(refusal));
    }
    match attempt(sftp, path, aside, Onto::Free).await? {
        Attempt::Renamed | Attempt::Gone | Attempt::Missing(_) => Ok(None),
        Attempt::Refused(refusal) | Attempt::Unseen(refusal) => Ok(Some(refusal)),
    }
}

/// Gives the former file its name back. If another file has taken the name, that one is whole, and the former one is
/// removed. Returns whether nothing is aside any more.
///
/// # Errors
/// The session was lost.
pub async fn put_back(sftp: &Sftp, aside: &str, path: &str) -> Result<bool> {
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

#[cfg(test)]
mod tests {
    use super::super::script::{Answer, Ask, Server};
    use super::*;

    const FLIGHT: [Ask; 2] = [Ask::Rename, Ask::Stat];
    const FILE: Answer = Answer::File(5, 0o644, 0);

    #[tokio::test]
    async fn the_look_travels_behind_the_rename() {
        // The server looks first.
        for (seen, shown) in [(Answer::NoSuchFile, Seen::Nothing), (FILE, Seen::File(Some(5)))] {
            let (mut server, session) = Server::start().await;
            let answers = [(1, seen), (0, Answer::Ok)];
            let (attempted, ()) = tokio::join!(
                attempt_and_look(session.sftp(), "from", "to", Onto::Any),
                server.flight(&FLIGHT, &answers),
            );
            let (attempted, told) = attempted.unwrap();
            assert!(matches!(attempted, Attempt::Renamed), "{attempted:?}");
            assert_eq!(told, Some(shown));
        }
    }

    /// A server with one thread answers nothing while it renames.
    #[tokio::test(start_paused = true)]
    async fn the_look_has_its_time_after_a_slow_rename() {
        let (mut server, session) = Server::start().await;
        let patience = session.sftp().stall_timeout();
        let serving = async {
            let ids = server.receive(&FLIGHT).await;
            tokio::time::sleep(patience * 99 / 10).await;
            server.answer(ids[0], Answer::Ok);
            tokio::time::sleep(patience / 2).await;
            server.answer(ids[1], FILE);
        };
        let (attempted, ()) =
            tokio::join!(attempt_and_look(session.sftp(), "from", "to", Onto::Any), serving);
        assert_eq!(attempted.unwrap().1, Some(Seen::File(Some(5))));
    }

    #[tokio::test]
    async fn a_look_behind_a_refused_rename_says_nothing() {
        let (mut server, session) = Server::start().await;
        let serving = async {
            server.flight(&FLIGHT, &[(0, Answer::Failure), (1, FILE)]).await;
            server.flight(&[Ask::Stat], &[(0, FILE)]).await;
        };
        let (attempted, ()) =
            tokio::join!(attempt_and_look(session.sftp(), "from", "to", Onto::Free), serving);
        let (attempted, told) = attempted.unwrap();
        assert!(matches!(attempted, Attempt::Refused(_)), "{attempted:?}");
        assert_eq!(told, None);
    }
}

//! Publishing: the only place where the final name comes into being, unless it is written to directly.

use bridge::{Checkpoint, ErrorName, Result};
use sftp::Sftp;

use crate::marker::MarkerFile;

pub(crate) enum Published {
    /// By us; with what a person should know.
    Now(Vec<String>),
    /// Another execution of the same version was faster, as far as the server lets it be seen.
    ByAnother,
    /// Not yet: what is there has changed, and is to be looked at anew.
    LookAgain,
}

/// Renames the proved partial file onto the final name; with `keeps`, never onto a file that is there. A marker of a
/// former file of that name is taken away just before.
pub(crate) async fn publish(
    sftp: &Sftp,
    checkpoint: &mut Checkpoint,
    marker: Option<&MarkerFile>,
    keeps: bool,
) -> Result<Published> {
    let (partial, path, size) =
        (checkpoint.remote.partial.clone(), checkpoint.final_path(), checkpoint.object.size);
    // Not every server refuses to rename onto a name that exists.
    if keeps && matches!(look(sftp, &path).await?, Seen::File(_)) {
        return Ok(Published::LookAgain);
    }
    if let Some(marker) = marker {
        marker.withdraw(sftp).await?;
    }
    if checkpoint.remote.is_direct() {
        return Ok(Published::Now(Vec::new()));
    }
    let asked_before = std::mem::replace(&mut checkpoint.publishing, true);
    let renamed = rename(sftp, &partial, &path, keeps).await;
    if let Ok(()) | Err(sftp::Error::Status { .. }) = renamed {
        checkpoint.publishing = false;
    }
    let Err(error) = renamed else { return Ok(Published::Now(Vec::new())) };
    if !error.is_status() {
        return Err(error.into());
    }
    if error.is_unsupported() {
        // To write directly, the partial file is of no use.
        discard(sftp, &partial).await;
        return Err(ErrorName::InvalidConfig.error(format!(
            "SFTP_PUBLISH is rename, but the server cannot rename: {error}; nothing was published. Set it to direct"
        )));
    }
    let there = look(sftp, &path).await?;
    if error.is_not_found() {
        // The partial file was there when it was proved.
        return match (look(sftp, &partial).await?, there) {
            (Seen::Nothing | Seen::Hidden, Seen::Nothing | Seen::Hidden) if asked_before => {
                Ok(Published::Now(vec![LOST_ANSWER.to_owned()]))
            }
            (Seen::Nothing, _) => Ok(Published::LookAgain),
            (Seen::Hidden, Seen::File(there)) if there == Some(size) => Ok(Published::ByAnother),
            _ => Err(refused(error, &partial, &path)),
        };
    }
    match there {
        Seen::File(_) if keeps => Ok(Published::LookAgain),
        Seen::File(_) if !sftp.can_replace() => replace(sftp, checkpoint, &path).await,
        _ => Err(refused(error, &partial, &path)),
    }
}

/// Without posix-rename an existing name stands in the way. Between the two requests there is no file of that name; a
/// reader sees none or a whole one, never a part.
async fn replace(sftp: &Sftp, checkpoint: &mut Checkpoint, path: &str) -> Result<Published> {
    let partial = checkpoint.remote.partial.clone();
    sftp.remove(path).await?;
    checkpoint.publishing = true;
    let renamed = sftp.rename(&partial, path).await;
    if let Ok(()) | Err(sftp::Error::Status { .. }) = renamed {
        checkpoint.publishing = false;
    }
    match renamed {
        Ok(()) => Ok(Published::Now(vec![
            "the server cannot replace a file in one step: the former one was removed just before".into(),
        ])),
        Err(error) if error.is_status() => {
            let error = refused(error, &partial, path);
            Err(error.name.error(format!("{}. The former {path:?} was removed before", error.message())))
        }
        Err(error) => Err(error.into()),
    }
}

pub(crate) const LOST_ANSWER: &str = "the answer to the rename was lost, and the server lets neither the partial file be seen any more nor the final one: it was published, and may have been taken away since";

async fn rename(sftp: &Sftp, partial: &str, path: &str, keeps: bool) -> sftp::Result<()> {
    let (first, second) = match keeps {
        true => (sftp.rename_new(partial, path).await, false),
        false => (sftp.rename(partial, path).await, true),
    };
    match first {
        // Some servers have one of the two only, whatever they announce.
        Err(error) if error.is_unsupported() && sftp.can_replace() => match second {
            true => sftp.rename_new(partial, path).await,
            false => sftp.rename(partial, path).await,
        },
        other => other,
    }
}

/// The partial file stays: what the server refuses today may be allowed tomorrow.
fn refused(error: sftp::Error, partial: &str, path: &str) -> bridge::Error {
    let is_status = error.is_status();
    let error = bridge::Error::from(error);
    if !is_status {
        return error;
    }
    error.name.error(format!(
        "{} to {path:?}; nothing was published. {partial:?} stays, and a redrive publishes it",
        error.message()
    ))
}

/// Removes a partial file that is of no more use; whether there was one. One that cannot be removed is not worth
/// failing for: it is not under the final name.
pub(crate) async fn discard(sftp: &Sftp, partial: &str) -> bool {
    match sftp.remove(partial).await {
        Ok(()) => true,
        Err(error) if error.is_not_found() => false,
        Err(error) => {
            tracing::warn!(%error, "the partial file could not be removed");
            true
        }
    }
}

enum Seen {
    /// Of this size, if the server says.
    File(Option<u64>),
    Nothing,
    /// The server does not let it be seen.
    Hidden,
}

async fn look(sftp: &Sftp, path: &str) -> Result<Seen> {
    match sftp.stat(path).await {
        Ok(Some(attributes)) => Ok(Seen::File(attributes.size)),
        Ok(None) => Ok(Seen::Nothing),
        Err(error) if error.is_status() => Ok(Seen::Hidden),
        Err(error) => Err(error.into()),
    }
}

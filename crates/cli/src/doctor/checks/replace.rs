//! `replace`: publishing under a name that exists.

use partner::files::{Discarded, RenameRequest, Reply, Swap, discard, swap};

use super::renaming::in_words;
use crate::doctor::examination::{Doctor, Step, Stopped, answer, lost};
use crate::doctor::report::Finding;

pub(in crate::doctor) async fn check(doctor: &mut Doctor) -> Step<Finding> {
    let sftp = doctor.sftp()?;
    let (partial, path) = (doctor.scratch.partial(), doctor.scratch.file(""));
    write_again(doctor, &path).await?;
    write_again(doctor, &partial).await?;
    let plain = answer(RenameRequest::Plain.send(&sftp, &partial, &path).await)?;
    let mut posix = None;
    if sftp.can_replace() {
        if plain.is_done() {
            write_again(doctor, &partial).await?;
        }
        posix = Some(answer(RenameRequest::Posix.send(&sftp, &partial, &path).await)?);
    }
    let found = format!(
        "onto an existing name, plain: {}; posix-rename: {}",
        in_words(Some(&plain)),
        posix.as_ref().map_or("not offered".into(), |posix| in_words(Some(posix)))
    );
    let in_one_step = posix.as_ref().unwrap_or(&plain).is_done();
    doctor.facts.replace = Some(in_one_step);
    let finding = if in_one_step {
        Finding::ok(found)
    } else {
        Finding::warn(found, replace_in_two_steps(doctor, &partial, &path).await?)
    };
    for file in [path, partial] {
        doctor.remove(&file).await?;
    }
    Ok(finding)
}

/// Moves the former file aside, as a delivery does. Returns what the outcome means.
async fn replace_in_two_steps(doctor: &mut Doctor, partial: &str, path: &str) -> Step<&'static str> {
    let sftp = doctor.sftp()?;
    let aside = doctor.scratch.file(".aside");
    let swapped = swap(&sftp, partial, path, &aside).await.map_err(lost)?;
    if discard(&sftp, &aside).await != Discarded::Refused {
        doctor.scratch.forget(&aside);
    }
    Ok(match swapped {
        Swap::Done | Swap::Gone => {
            "a new version of a file is published by moving the former one aside: for a moment there is no file of that name"
        }
        Swap::CannotMoveAside(_) => {
            "a new version of a file is published after the former one was removed: for a moment there is no file of that name, and if publishing then fails, the former one is gone"
        }
        Swap::Refused(_) | Swap::NotPutBack(_) => {
            "a new version of a file cannot be published, although the former one can be moved aside: ask the partner to allow it"
        }
    })
}

async fn write_again(doctor: &Doctor, path: &str) -> Step {
    match doctor.write(path, b"x").await? {
        Reply::Done(()) => Ok(()),
        Reply::Refused(status) => Err(Stopped::Here(Finding::fail(
            status.to_string(),
            "a file could be written once, but not again: ask the partner",
        ))),
    }
}

//! `directory`: whether `SFTP_LOCATION` exists, or can be made.

use partner::files::{Made, Reply, Seen, look, make_directory};

use crate::doctor::examination::{Doctor, Step, Stopped, answer, lost};
use crate::doctor::report::Finding;

pub(in crate::doctor) async fn check(doctor: &mut Doctor) -> Step<Finding> {
    let location = doctor.configuration.settings.location.clone();
    doctor.scratch.move_to(&location);
    let (path, in_words) = if location.is_empty() {
        (".", "the directory in which the session begins".to_owned())
    } else {
        (location.as_str(), format!("{location:?}"))
    };
    match answer(doctor.sftp()?.stat(path).await)? {
        Reply::Done(Some(attributes)) if attributes.is_directory() == Some(false) => {
            Err(Stopped::Here(Finding::fail(format!("{in_words} is a file"), "check SFTP_LOCATION")))
        }
        Reply::Done(Some(_)) => Ok(Finding::ok(format!("{in_words} exists"))),
        Reply::Done(None) => find_or_make(doctor, &location).await,
        Reply::Refused(status) => Ok(Finding::warn(
            format!("the server hides whether {in_words} exists: {status}"),
            "nothing to do if the partner wants it so (a drop box)",
        )),
    }
}

async fn find_or_make(doctor: &mut Doctor, location: &str) -> Step<Finding> {
    // A wrong slash at the beginning is the usual mistake: with it, the path begins at the server's root.
    let other = location.strip_prefix('/').map_or_else(|| format!("/{location}"), str::to_owned);
    if !other.is_empty() && look(&*doctor.sftp()?, &other).await.map_err(lost)? == Seen::Directory {
        doctor.scratch.move_to(&other);
        doctor.facts.other_location = Some(other.clone());
        return Ok(Finding::fail(
            format!("{location:?} does not exist, but {other:?} does"),
            format!(
                "set SFTP_LOCATION={other} if that is the right one. A path that does not begin with a slash begins in the directory in which the session begins. The remaining checks use {other:?}"
            ),
        ));
    }
    if !doctor.configuration.settings.policy.create_directories {
        return Err(Stopped::Here(Finding::fail(
            format!("{location:?} does not exist"),
            "check SFTP_LOCATION, or ask the partner to make the directory: SFTP_CREATE_DIRECTORIES is false, so deliveries do not",
        )));
    }
    let slashes = location.match_indices('/').map(|(index, _)| location[..index].to_owned());
    let directories = slashes.chain([location.to_owned()]);
    let directories = directories.filter(|path| !path.is_empty() && !path.ends_with('/')).collect();
    if let Reply::Refused(status) = make_directories(doctor, directories).await? {
        return Err(Stopped::Here(Finding::fail(
            format!("{location:?} does not exist, and the server refuses to make it: {status}"),
            "check SFTP_LOCATION, or ask the partner to make the directory",
        )));
    }
    Ok(Finding::warn(
        format!("{location:?} did not exist. Deliveries make it, as this check did (it is removed again)"),
        "check the spelling of SFTP_LOCATION with the partner",
    ))
}

/// Makes the missing ones of these directories, outermost first, as a delivery does. Returns those that were made.
pub(super) async fn make_directories(
    doctor: &mut Doctor,
    directories: Vec<String>,
) -> Step<Reply<Vec<String>>> {
    let mut made = Vec::new();
    for directory in directories {
        match make(doctor, &directory).await? {
            Made::Now => made.push(directory),
            Made::Before | Made::IsFile | Made::Unknown => {}
            Made::Refused(status) => return Ok(Reply::Refused(status)),
        }
    }
    Ok(Reply::Done(made))
}

/// A directory that is missing is ours from before the request on. One that the server hides may be the partner's, and is
/// ours only if the server says that it made it.
async fn make(doctor: &mut Doctor, directory: &str) -> Step<Made> {
    let sftp = doctor.sftp()?;
    let is_missing = look(&sftp, directory).await.map_err(lost)? == Seen::Nothing;
    if is_missing {
        doctor.scratch.remember_directory(directory);
    }
    let made = make_directory(&sftp, directory).await.map_err(lost)?;
    match (is_missing, made == Made::Now) {
        (true, false) => doctor.scratch.forget(directory),
        (false, true) => doctor.scratch.remember_directory(directory),
        (true, true) | (false, false) => {}
    }
    Ok(made)
}

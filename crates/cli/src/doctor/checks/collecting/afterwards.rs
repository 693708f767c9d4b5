//! `afterwards`: whether a file can be archived or deleted, tried with a file of the doctor's own.

use bridge::collect::Afterwards;
use partner::files::{Made, Onto, Reply, make_directory, request};
use sftp::Status;

use super::collecting;
use crate::doctor::configuration::Collecting;
use crate::doctor::examination::{Doctor, Step, answer, content, lost};
use crate::doctor::report::Finding;

pub(in crate::doctor) async fn check(doctor: &mut Doctor) -> Step<Finding> {
    let collecting = collecting(doctor)?;
    let afterwards = &collecting.settings.afterwards;
    if *afterwards == Afterwards::Leave {
        return Ok(Finding::ok("files stay where they are (COLLECT_AFTERWARDS=leave)"));
    }
    doctor.scratch.move_to(&collecting.settings.directory);
    let path = doctor.scratch.file("");
    if let Reply::Refused(status) = doctor.write(&path, &content()).await? {
        doctor.scratch.forget(&path);
        return Ok(not_tried(doctor, &status));
    }
    if let Reply::Done(None) = doctor.told(&path, content().len() as u64).await?.reply {
        doctor.scratch.forget(&path);
        return Ok(Finding::warn(
            "not tried: the server takes our file away as soon as it is closed",
            WAIT_AND_SEE,
        ));
    }
    match afterwards {
        Afterwards::Archive { .. } => archive(doctor, &collecting, path).await,
        Afterwards::Delete | Afterwards::Leave => delete(doctor, &collecting, path).await,
    }
}

/// Settings by which somebody has asked for more than the default.
const DEMANDS: [&str; 3] = ["COLLECT_AFTERWARDS", "COLLECT_ARCHIVE_DIRECTORY", "COLLECT_ARCHIVE_DAYS"];

/// Whether files may stay where they are: nobody has asked for something else, and the settings are recommended.
fn may_stay(doctor: &Doctor) -> bool {
    doctor.configuration.examines_everything() && !doctor.configuration.sets_any(&DEMANDS)
}

const WAIT_AND_SEE: &str = "nothing to do if the partner wants it so. The first file that is collected shows whether it can be archived or deleted; if not, its receipt has a warning, and it is not collected again";

fn not_tried(doctor: &mut Doctor, status: &Status) -> Finding {
    let found = format!("not tried: our user may make no file in the directory: {status}");
    if may_stay(doctor) {
        doctor.facts.stay = Some("our user may make no file there, so it can hardly move or delete one");
        return Finding::warn(
            found,
            "files stay where they are (COLLECT_AFTERWARDS=leave), as is recommended below. If the partner lets our user move or delete files, set COLLECT_AFTERWARDS=archive or COLLECT_AFTERWARDS=delete",
        );
    }
    Finding::warn(found, WAIT_AND_SEE)
}

/// Deletes the file as `settle-remote` does, which moves it aside first.
async fn delete(doctor: &mut Doctor, collecting: &Collecting, path: String) -> Step<Finding> {
    let name = path.rsplit('/').next().unwrap_or_default();
    let aside = Afterwards::aside_path(&collecting.settings.directory, name, "doctor");
    let sftp = doctor.sftp()?;
    doctor.scratch.remember(&aside);
    let renamed = answer(request(&sftp, &path, &aside, Onto::Free).await)?;
    let path = if renamed.is_done() {
        doctor.scratch.renamed(&path, &aside);
        aside
    } else {
        doctor.scratch.forget(&aside);
        path
    };
    Ok(match (doctor.remove(&path).await?, renamed) {
        (Reply::Refused(status), _) => refused(doctor, format!("a file cannot be deleted: {status}")),
        (Reply::Done(()), Reply::Done(())) => Finding::ok("a file can be deleted"),
        (Reply::Done(()), Reply::Refused(status)) => Finding::warn(
            format!("a file can be deleted, but not renamed: {status}"),
            "ask the partner to let our user rename files. Otherwise each receipt has a warning: a file that the partner puts into the place at the moment of the deletion is deleted, too",
        ),
    })
}

async fn archive(doctor: &mut Doctor, collecting: &Collecting, path: String) -> Step<Finding> {
    let name = path.rsplit('/').next().unwrap_or_default().to_owned();
    let afterwards = &collecting.settings.afterwards;
    let Some(archive) = afterwards.archive_directory(&collecting.settings.directory, &name) else {
        return Ok(Finding::ok("files stay where they are"));
    };
    let (sftp, target) = (doctor.sftp()?, format!("{}/{name}", archive.trim_end_matches('/')));
    // A directory that we make is ours from before the request on.
    let was_there = matches!(answer(sftp.stat(&archive).await)?, Reply::Done(Some(_)));
    if !was_there {
        doctor.scratch.remember_directory(&archive);
    }
    let made = make_directory(&sftp, &archive).await.map_err(lost)?;
    if !was_there && made != Made::Now {
        doctor.scratch.forget(&archive);
    }
    match made {
        Made::Now | Made::Before | Made::Unknown => {}
        Made::IsFile => {
            return Ok(Finding::fail(
                format!("{archive:?} is a file"),
                "name another directory in COLLECT_ARCHIVE_DIRECTORY",
            ));
        }
        Made::Refused(status) => {
            return Ok(refused(doctor, format!("the archive {archive:?} cannot be made: {status}")));
        }
    }
    doctor.scratch.remember(&target);
    Ok(match answer(request(&sftp, &path, &target, Onto::Free).await)? {
        Reply::Done(()) => {
            doctor.scratch.renamed(&path, &target);
            let made = if made == Made::Now { ", which was made for this and is removed again" } else { "" };
            Finding::ok(format!("a file can be moved into {archive:?}{made}"))
        }
        Reply::Refused(status) => {
            doctor.scratch.forget(&target);
            refused(doctor, format!("a file cannot be moved into the archive: {status}"))
        }
    })
}

fn refused(doctor: &mut Doctor, found: String) -> Finding {
    if may_stay(doctor) {
        doctor.facts.stay = Some("our user may not move files into the archive");
        return Finding::warn(
            found,
            "files stay where they are (COLLECT_AFTERWARDS=leave), as is recommended below. Or ask the partner to permit it",
        );
    }
    Finding::fail(
        found,
        "ask the partner to permit it, name another archive in COLLECT_ARCHIVE_DIRECTORY, or set COLLECT_AFTERWARDS=leave. Otherwise each receipt has a warning, and the files stay",
    )
}

#[cfg(test)]
mod tests {
    use bridge::CollectSettings;

    use super::super::on_server;
    use super::*;

    #[test]
    fn the_archive_is_that_of_a_collection() {
        let variables =
            [("SFTP_LOCATION", "/in"), ("COLLECT_BUCKET", "bucket"), ("COLLECT_DIRECTORY", "/out/")];
        let settings = CollectSettings::parse(&variables.into_iter().collect()).unwrap();
        let collecting = Collecting { settings, names_bucket: true, probe: None };
        let archive = collecting.settings.afterwards.archive_directory("/out", "name");
        assert_eq!(archive.as_deref(), Some("/out/.done"));
        assert_eq!(on_server(&collecting, "name"), "/out/name");
    }
}

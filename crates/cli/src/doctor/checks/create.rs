//! `create`: whether a file can be made, and under which name.

use bridge::{PartialName, other_partial_names};
use partner::files::{Reply, open_fresh};
use sftp::Status;

use super::directory::make_directories;
use super::staging;
use crate::doctor::examination::{Doctor, Step, Stopped, lost};
use crate::doctor::report::Finding;

/// Leaves the file open for the next check.
pub(in crate::doctor) async fn check(doctor: &mut Doctor) -> Step<Finding> {
    let mut made = Vec::new();
    let mut opened = open_partial(doctor).await?;
    // The status does not tell whether a directory is missing.
    if !opened.is_done() && doctor.configuration.settings.policy.create_directories {
        made = make_directories(doctor, doctor.scratch.above()).await?.done().unwrap_or_default();
        if !made.is_empty() {
            opened = open_partial(doctor).await?;
        }
    }
    let mut finding = None;
    if let Reply::Refused(refusal) = &opened
        && let Some(other) = find_name(doctor, refusal).await?
    {
        (opened, finding) = (Reply::Done(()), other);
    }
    if let Reply::Refused(refusal) = &opened
        && let Some(directory) = doctor.scratch.staging()
    {
        staging::give_up(doctor, format!("no file can be made in {directory:?}: {refusal}"));
        opened = open_partial(doctor).await?;
        if let Reply::Refused(refusal) = &opened
            && let Some(other) = find_name(doctor, refusal).await?
        {
            (opened, finding) = (Reply::Done(()), other);
        }
    }
    match opened {
        Reply::Done(()) => Ok(finding.unwrap_or_else(|| created(&made))),
        Reply::Refused(refusal) => {
            doctor.facts.write = Some(false);
            Err(Stopped::Here(refused(&refusal)))
        }
    }
}

/// Opens a partial file of ours, as a delivery does that sends it from the start.
async fn open_partial(doctor: &mut Doctor) -> Step<Reply<()>> {
    let path = doctor.scratch.partial();
    match open_fresh(&*doctor.sftp()?, &path).await.map_err(|error| lost(error.into()))? {
        Reply::Done(file) => {
            (doctor.open, doctor.file) = (Some(file), path);
            Ok(Reply::Done(()))
        }
        Reply::Refused(status) => {
            doctor.scratch.forget(&path);
            Ok(Reply::Refused(status))
        }
    }
}

fn created(made: &[String]) -> Finding {
    if made.is_empty() {
        return Finding::ok("a file can be made");
    }
    let found = format!(
        "a file can be made; {} was not there: deliveries make it, as this check did (it is removed again)",
        made.join(", ")
    );
    Finding::warn(found, "check the spelling of SFTP_LOCATION and SFTP_STAGING_DIRECTORY with the partner")
}

fn refused(refusal: &Status) -> Finding {
    let hint = if refusal.is_not_found() {
        "check SFTP_LOCATION: this user has no such directory"
    } else {
        "ask the partner to let this user write into that directory, or for another one (SFTP_LOCATION)"
    };
    Finding::fail(refusal.to_string(), hint)
}

/// Looks for another name of the partial file that the server accepts. If there is one, that file is open, and the finding
/// says what it means; without a finding it means nothing for deliveries.
async fn find_name(doctor: &mut Doctor, refusal: &Status) -> Step<Option<Option<Finding>>> {
    if !doctor.scratch.has_partial_names() {
        // Only our own name begins with a dot here, not that of a delivery.
        if !doctor.scratch.show() {
            return Ok(None);
        }
        let is_opened = open_partial(doctor).await?.is_done();
        if !is_opened {
            doctor.scratch.hide();
        }
        return Ok(is_opened.then_some(None));
    }
    let former = doctor.scratch.partial_name();
    for template in other_partial_names(&doctor.scratch.visible_name()) {
        let Ok(name) = PartialName::parse(&template) else { continue };
        doctor.scratch.call_partial(name);
        if open_partial(doctor).await?.is_done() {
            let finding = other_name(refusal, &template);
            doctor.facts.partial_name = Some(template);
            return Ok(Some(Some(finding)));
        }
    }
    if let Some(former) = former {
        doctor.scratch.call_partial(former);
    }
    Ok(None)
}

fn other_name(refusal: &Status, template: &str) -> Finding {
    let found = format!("the server refuses the name of a partial file and accepts others: {refusal}");
    let mut hint =
        format!("every delivery would fail: set SFTP_PARTIAL_NAME={template}. The remaining checks use it");
    if !template.ends_with(".part") {
        hint.push_str(". Readers may take a partial file of that name for a whole one: ask the partner for a directory on the same file system that they do not read, and set SFTP_STAGING_DIRECTORY to it");
    }
    Finding::fail(found, hint)
}

//! `rename`: publishing under a free name.

use bridge::Publish;
use partner::files::Onto;

use super::renaming::{Renamed, Waited};
use super::staging;
use crate::doctor::examination::{Doctor, Step};
use crate::doctor::report::Finding;

pub(in crate::doctor) async fn check(doctor: &mut Doctor) -> Step<Finding> {
    let (partial, path) = (doctor.file.clone(), doctor.scratch.path(""));
    let (renamed, waited) = Renamed::patiently(doctor, partial, path).await?;
    let renamed = staging::judge(doctor, renamed).await?;
    doctor.facts.rename = renamed.works(Onto::Any);
    doctor.facts.rename_new = renamed.works(Onto::Free);
    let finding = finding(doctor, &renamed, waited)?;
    doctor.file = renamed.at;
    Ok(finding)
}

fn finding(doctor: &Doctor, renamed: &Renamed, waited: Option<Waited>) -> Step<Finding> {
    let policy = &doctor.configuration.settings.policy;
    let mut found = renamed.in_words(doctor.sftp()?.can_replace());
    if renamed.suffices(policy.if_exists.keeps()) {
        let Some(Waited { time, refusal }) = waited else { return Ok(Finding::ok(found)) };
        found.push_str(&format!("; before that it was refused for {:.0} s: {refusal}", time.as_secs_f64()));
        return Ok(Finding::warn(
            found,
            "something holds a file for some time after it was written, probably a virus scanner. Nothing to change: deliveries repeat a refused rename for at least 30 s",
        ));
    }
    if let Some(Waited { time, .. }) = waited {
        found.push_str(&format!("; refused for {:.0} s", time.as_secs_f64()));
    }
    Ok(match policy.publish {
        Publish::Direct => Finding::warn(
            found,
            "with SFTP_PUBLISH=direct nothing is renamed; readers see files while they are written",
        ),
        Publish::Rename { .. } => Finding::fail(
            found,
            "ask the partner to allow it. Only if that is impossible, set SFTP_PUBLISH=direct: files are then written under their final name, and readers see incomplete files",
        ),
    })
}

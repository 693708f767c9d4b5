//! `staging`: whether partial files can be in `SFTP_STAGING_DIRECTORY`, and can be renamed from there.

use partner::files::{Reply, Seen, look_for_directory};

use super::directory::make_directories;
use super::renaming::Renamed;
use crate::doctor::examination::{Doctor, Step, lost};
use crate::doctor::report::Finding;

/// Looks at the directory before the first file is written.
pub(in crate::doctor) async fn prepare(doctor: &mut Doctor) -> Step {
    let Some(directory) = doctor.scratch.staging() else {
        let finding = Finding::absent("not set: partial files are in the directory of the final name");
        doctor.report.add("staging", finding);
        return Ok(());
    };
    let seen = look_for_directory(&*doctor.sftp()?, &directory).await.map_err(lost)?;
    let problem = match seen {
        Seen::File(_) => Some(format!("{directory:?} is a file")),
        Seen::Nothing if !doctor.configuration.settings.policy.create_directories => {
            Some(format!("{directory:?} does not exist, and SFTP_CREATE_DIRECTORIES is false"))
        }
        Seen::Nothing => match make_directories(doctor, doctor.scratch.above()).await? {
            Reply::Done(_) => None,
            Reply::Refused(status) => {
                Some(format!("{directory:?} does not exist, and the server refuses to make it: {status}"))
            }
        },
        // If it is hidden, the first file shows whether it exists.
        Seen::Directory | Seen::Hidden => None,
    };
    if let Some(problem) = problem {
        give_up(doctor, problem);
    }
    Ok(())
}

/// Goes on with partial files in the directory of the final name.
pub(super) fn give_up(doctor: &mut Doctor, found: String) {
    doctor.facts.staging = Some(false);
    doctor.scratch.unstage();
    let hint = "every delivery would fail: remove SFTP_STAGING_DIRECTORY, so that partial files are in the directory of the final name, or ask the partner for a directory on the same file system that this user may write to. The remaining checks do without it";
    doctor.report.add("staging", Finding::fail(found, hint));
}

/// After the first rename: if nothing can be renamed out of the staging directory, tries without it.
pub(super) async fn judge(doctor: &mut Doctor, renamed: Renamed) -> Step<Renamed> {
    let Some(directory) = doctor.scratch.staging() else { return Ok(renamed) };
    let keeps = doctor.configuration.settings.policy.if_exists.keeps();
    if renamed.suffices(keeps) {
        doctor.facts.staging = Some(true);
        let found = format!("partial files can be in {directory:?}, and can be renamed from there");
        let finding = if doctor.scratch.has_made(&directory) {
            Finding::warn(
                format!(
                    "{found}. It did not exist: deliveries make it, as this check did (it is removed again)"
                ),
                "check the spelling of SFTP_STAGING_DIRECTORY with the partner",
            )
        } else {
            Finding::ok(found)
        };
        doctor.report.add("staging", finding);
        return Ok(renamed);
    }
    let beside = doctor.scratch.partial_beside();
    if !doctor.write(&beside, b"x").await?.is_done() {
        doctor.scratch.forget(&beside);
        return Ok(renamed);
    }
    let path = doctor.scratch.path("");
    let again = Renamed::both(doctor, beside, path).await?;
    if again.suffices(keeps) {
        let refusal = renamed.refusal().map(|status| status.to_string()).unwrap_or_default();
        give_up(
            doctor,
            format!(
                "nothing can be renamed out of {directory:?}, which may be on another file system: {refusal}"
            ),
        );
    }
    Ok(again)
}

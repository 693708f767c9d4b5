//! `chmod-dir`: whether the mode of a directory can be set.

use super::attributes::Wanted;
use crate::doctor::examination::{Doctor, Step};
use crate::doctor::report::Finding;

/// Tried if `SFTP_DIR_MODE` is not set. Every server should accept it.
const DEFAULT: u32 = 0o755;

pub(in crate::doctor) async fn check(doctor: &mut Doctor) -> Step<Finding> {
    let Some(directory) = doctor.directory.clone() else {
        return Ok(Finding::absent("not tried: no directory could be made"));
    };
    let mode = doctor.configuration.settings.attributes.dir_mode;
    let wanted = Wanted::mode("SFTP_DIR_MODE", "directory", mode, DEFAULT);
    let (finding, works) = wanted.set(doctor, &directory).await?;
    doctor.facts.chmod_dir = Some(works);
    Ok(finding)
}

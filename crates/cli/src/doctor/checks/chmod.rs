//! `chmod`: whether the mode of a file can be set.

use super::attributes::Wanted;
use crate::doctor::examination::{Doctor, Step};
use crate::doctor::report::Finding;

/// Tried if `SFTP_FILE_MODE` is not set. Every server should accept it.
const DEFAULT: u32 = 0o644;

pub(in crate::doctor) async fn check(doctor: &mut Doctor) -> Step<Finding> {
    let mode = doctor.configuration.settings.attributes.file_mode;
    let wanted = Wanted::mode("SFTP_FILE_MODE", "file", mode, DEFAULT);
    let (finding, works) = wanted.set(doctor, &doctor.file).await?;
    doctor.facts.chmod = Some(works);
    Ok(finding)
}

//! `mtime`: whether the time of a file can be set.

use std::time::{SystemTime, UNIX_EPOCH};

use sftp::Attributes;

use super::attributes::Wanted;
use crate::doctor::examination::{Doctor, Step};
use crate::doctor::report::Finding;

pub(in crate::doctor) async fn check(doctor: &mut Doctor) -> Step<Finding> {
    // A time that no clock shows by chance.
    let an_hour_ago =
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs() - 3600) as u32;
    let wanted = Wanted {
        setting: "SFTP_PRESERVE_MTIME",
        what: "the time of a file".into(),
        attributes: Attributes { modified: Some(an_hour_ago), ..Attributes::default() },
        demand: doctor.configuration.settings.attributes.mtime,
        lenient: "try".into(),
    };
    let (finding, works) = wanted.set(doctor, &doctor.file).await?;
    doctor.facts.mtime = Some(works);
    Ok(finding)
}

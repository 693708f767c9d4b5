//! `fsync`: whether a file can be synced to the disk, so that it survives a power failure at the partner's.

use bridge::Demand;

use crate::doctor::examination::{Doctor, Step};
use crate::doctor::report::Finding;

const FSYNC: &str = "fsync@openssh.com";

pub(in crate::doctor) async fn check(doctor: &mut Doctor) -> Step<Finding> {
    let is_offered = doctor.facts.extensions.iter().any(|extension| extension == FSYNC);
    doctor.facts.fsync = Some(is_offered);
    let not_offered = format!("not offered ({FSYNC})");
    Ok(if is_offered {
        Finding::ok(format!("offered ({FSYNC}): files can be synced to the disk before they are published"))
    } else if doctor.configuration.settings.attributes.fsync == Some(Demand::Require) {
        Finding::fail(not_offered, "SFTP_FSYNC requires it, so every delivery would fail: set SFTP_FSYNC=try")
    } else {
        Finding::absent(not_offered)
    })
}

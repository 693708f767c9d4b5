//! `free-space`: how much room there is.

use crate::doctor::examination::{Doctor, Step, bytes_in_words};
use crate::doctor::report::Finding;

/// Less than this is a warning, in bytes.
const FREE_MIN: u64 = 100 * 1024 * 1024;

pub(in crate::doctor) async fn check(doctor: &mut Doctor) -> Step<Finding> {
    let path = doctor.scratch.path("");
    let directory = match path.rsplit_once('/') {
        Some(("", _)) => "/",
        Some((directory, _)) => directory,
        None => ".",
    };
    let Some(free) = doctor.sftp()?.free_bytes(directory).await else {
        return Ok(Finding::absent("not told (statvfs@openssh.com)"));
    };
    doctor.facts.free_bytes = Some(free);
    let words = format!("{} are free", bytes_in_words(free as f64));
    Ok(if free < FREE_MIN {
        Finding::warn(words, "ask the partner for more space")
    } else {
        Finding::ok(words)
    })
}

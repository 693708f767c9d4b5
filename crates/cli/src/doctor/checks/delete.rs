//! `delete`: whether a file can be removed.

use partner::files::Reply;

use crate::doctor::examination::{Doctor, Step};
use crate::doctor::report::Finding;

/// If it cannot, nothing more is made: it would stay.
pub(in crate::doctor) async fn check(doctor: &mut Doctor) -> Step<Finding> {
    let file = doctor.file.clone();
    Ok(match doctor.remove(&file).await? {
        Reply::Done(()) => {
            doctor.facts.delete = Some(true);
            Finding::ok("a file can be removed")
        }
        Reply::Refused(status) if status.is_not_found() => Finding::warn(
            "the file was gone as soon as it was renamed: something takes files away on arrival",
            "nothing to do if the partner's own system collects them",
        ),
        Reply::Refused(status) => {
            doctor.facts.delete = Some(false);
            Finding::warn(
                status.to_string(),
                "deliveries succeed without it. But a partial file stays there if it differs, or if a newer upload supersedes it. The doctor made no more files, because they would stay, too",
            )
        }
    })
}

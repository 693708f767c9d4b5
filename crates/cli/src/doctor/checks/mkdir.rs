//! `mkdir`: whether directories can be made.

use partner::files::Reply;

use crate::doctor::examination::{Doctor, Step, answer};
use crate::doctor::report::Finding;

/// Leaves the directory for the next check.
pub(in crate::doctor) async fn check(doctor: &mut Doctor) -> Step<Finding> {
    let directory = doctor.scratch.path(".d");
    doctor.scratch.remember_directory(&directory);
    let reply = answer(doctor.sftp()?.mkdir(&directory).await)?;
    doctor.facts.mkdir = Some(reply.is_done());
    Ok(match reply {
        Reply::Done(()) => {
            doctor.directory = Some(directory);
            Finding::ok("directories can be made")
        }
        Reply::Refused(status) => {
            doctor.scratch.forget(&directory);
            Finding::warn(
                status.to_string(),
                "object keys with a slash need directories that exist already: ask the partner to make them",
            )
        }
    })
}

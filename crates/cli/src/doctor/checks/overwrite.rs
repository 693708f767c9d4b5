//! `overwrite`: whether a file can be written again from its start.

use partner::files::Reply;

use crate::doctor::examination::{Doctor, Step};
use crate::doctor::report::Finding;

pub(in crate::doctor) async fn check(doctor: &mut Doctor) -> Step<Finding> {
    let reply = doctor.write(&doctor.file, &[b'x'; 16]).await?;
    doctor.facts.overwrite = Some(reply.is_done());
    Ok(match reply {
        Reply::Done(()) => Finding::ok("a file can be overwritten"),
        Reply::Refused(status) => Finding::warn(
            status.to_string(),
            "the server would refuse a delivery that begins again under the same name",
        ),
    })
}

//! `read-back`: whether the file can be read, and has arrived unchanged.

use bridge::ProofPolicy;
use partner::files::Reply;

use super::proof;
use crate::doctor::examination::{Doctor, Step, content};
use crate::doctor::report::Finding;

pub(in crate::doctor) async fn check(doctor: &mut Doctor) -> Step<Finding> {
    let reply = doctor.read(&doctor.file, content().len() as u64).await?;
    doctor.facts.read = Some(reply.is_done());
    Ok(match reply {
        Reply::Done(read) if read == content() => Finding::ok("the file has the contents that were written"),
        Reply::Done(_) => Finding::fail(
            "the file has other contents than were written",
            "something alters files on arrival: ask the partner what (a scanner, text mode)",
        ),
        Reply::Refused(status) => proof::unsupported(doctor, ProofPolicy::ReadBack, status.to_string()),
    })
}

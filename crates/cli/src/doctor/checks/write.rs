//! `write`: writes and closes the file that `create` has opened.

use bridge::Place;
use partner::files::Reply;

use crate::doctor::examination::{Doctor, Step, Stopped, content};
use crate::doctor::report::Finding;

/// The file is not closed in between: some servers refuse to open a file again unless it is truncated.
pub(in crate::doctor) async fn check(doctor: &mut Doctor) -> Step<Finding> {
    let file = doctor.open.take().ok_or(Stopped::Earlier)?;
    match doctor.fill(file, 0, &content()).await? {
        Reply::Done(()) => {
            doctor.facts.write = Some(true);
            Ok(Finding::ok("it can be written and closed"))
        }
        Reply::Refused(status) => {
            doctor.facts.write = Some(false);
            let error = bridge::Error::from(sftp::Error::from(status));
            let hint = error.name.hint_for(Place::CommandLine);
            Err(Stopped::Here(Finding::fail(error.message(), hint)))
        }
    }
}

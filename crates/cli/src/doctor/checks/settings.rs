//! `settings`: whether they are complete.

use crate::doctor::examination::{Doctor, Step};
use crate::doctor::report::Finding;

pub(in crate::doctor) async fn check(doctor: &mut Doctor) -> Step<Finding> {
    Ok(if doctor.configuration.is_pinned {
        let stack = doctor.configuration.stack_name().map(|name| format!("; the stack is {name}"));
        let server = doctor.configuration.endpoint();
        Finding::ok(format!("complete; the server is {server}{}", stack.unwrap_or_default()))
    } else {
        Finding::fail(
            "SFTP_TRUSTED_HOST_KEYS is not set, so the checks log in to no server",
            "pin the partner's host key; see host-key",
        )
    })
}

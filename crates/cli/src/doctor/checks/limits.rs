//! `limits`: the sizes of requests that the server accepts.

use partner::files::Reply;

use crate::doctor::examination::{Doctor, Step, answer};
use crate::doctor::report::Finding;

pub(in crate::doctor) async fn check(doctor: &mut Doctor) -> Step<Finding> {
    let Reply::Done(Some(limits)) = answer(doctor.sftp()?.limits().await)? else {
        return Ok(Finding::absent("not told (limits@openssh.com): each request carries up to 32 KiB"));
    };
    let words = [
        ("packets", limits.packet),
        ("reads", limits.read),
        ("writes", limits.write),
        ("open files", limits.handles),
    ];
    let words = words.map(|(what, limit)| match limit {
        0 => format!("{what}: no limit"),
        limit => format!("{what}: {limit}"),
    });
    Ok(Finding::ok(words.join(", ")))
}

//! `read`: whether a file of the partner's can be read. Only one that the operator names: others are not ours to read.

use std::time::Instant;

use partner::files::Reply;

use super::{collecting, on_server};
use crate::doctor::examination::{Doctor, Step, answer};
use crate::doctor::report::Finding;

/// Maximum number of bytes that are read.
const READ_MAX: u64 = 8 << 20;

pub(in crate::doctor) async fn check(doctor: &mut Doctor) -> Step<Finding> {
    let collecting = collecting(doctor)?;
    let Some(probe) = &collecting.probe else {
        return Ok(Finding::absent(
            "no file of the partner's is read unless you name one: --collect-probe PATH, with the partner's consent",
        ));
    };
    let (path, sftp) = (on_server(&collecting, probe), doctor.sftp()?);
    let size = match answer(sftp.lstat(&path).await)? {
        Reply::Done(Some(seen)) => seen.size.unwrap_or_default(),
        Reply::Done(None) => {
            return Ok(Finding::fail(
                format!("{path:?} is not there"),
                "name a file below COLLECT_DIRECTORY",
            ));
        }
        Reply::Refused(status) => {
            return Ok(Finding::fail(status.to_string(), "ask the partner to permit LSTAT"));
        }
    };
    let begun = Instant::now();
    let reply = doctor.read(&path, size.min(READ_MAX)).await?;
    Ok(match reply {
        Reply::Done(read) if read.len() as u64 == size.min(READ_MAX) => {
            let rate = read.len() as f64 / begun.elapsed().as_secs_f64() / 1e6;
            Finding::ok(format!("{path:?} can be read: {} of {size} bytes, {rate:.0} MB/s", read.len()))
        }
        Reply::Done(read) => Finding::fail(
            format!("{path:?} has {size} bytes, and ended after {}", read.len()),
            "if the file is just being written, run this again. Otherwise ask the partner what alters files",
        ),
        Reply::Refused(status) => Finding::fail(
            status.to_string(),
            "every file like this one would fail with RemoteUnreadable: ask the partner to let our user read it",
        ),
    })
}

//! `names`: how long names may be, and what that leaves for final names.

use partner::files::{Reply, open_fresh};

use crate::doctor::examination::{Doctor, Step, answer, lost};
use crate::doctor::report::Finding;

/// Maximum length of a file name on almost every file system, in bytes.
const NAME_MAX: usize = 255;

pub(in crate::doctor) async fn check(doctor: &mut Doctor) -> Step<Finding> {
    // The server may refuse our name for its beginning or its ending.
    if !accepts_name(doctor, 0).await? {
        return Ok(Finding::absent("how long names may be could not be found out"));
    }
    let longest = longest_name(doctor).await?;
    let visible = doctor.scratch.visible_name();
    let partial = doctor.scratch.partial();
    doctor.scratch.forget(&partial);
    let partial = partial.rsplit('/').next().unwrap_or_default();
    let more = partial.len().saturating_sub(visible.len());
    let grows = doctor.scratch.has_partial_names() && partial.contains(&visible);
    let found = format!("the server accepts names of up to {longest} bytes");
    if longest >= NAME_MAX || !grows {
        return Ok(Finding::ok(found));
    }
    let left = longest.saturating_sub(more);
    Ok(Finding::warn(
        format!("{found}; the name of a partial file is {more} bytes longer than the final name"),
        format!(
            "deliveries whose final name has more than {left} bytes would fail: if there are any, set SFTP_PARTIAL_NAME={{id}}.part"
        ),
    ))
}

async fn longest_name(doctor: &mut Doctor) -> Step<usize> {
    let (mut accepted, mut refused) = (doctor.scratch.visible_name().len(), NAME_MAX + 1);
    let mut length = NAME_MAX;
    while accepted + 1 < refused {
        if accepts_name(doctor, length).await? {
            accepted = length;
        } else {
            refused = length;
        }
        length = accepted.midpoint(refused);
    }
    Ok(accepted)
}

/// Makes and removes an empty file whose name has this length, or that of our other names if it is longer.
async fn accepts_name(doctor: &mut Doctor, length: usize) -> Step<bool> {
    let sftp = doctor.sftp()?;
    let path = doctor.scratch.file_of(length);
    match open_fresh(&sftp, &path).await.map_err(|error| lost(error.into()))? {
        Reply::Done(file) => {
            answer(sftp.close(file).await)?;
            doctor.remove(&path).await?;
            Ok(true)
        }
        Reply::Refused(_) => {
            doctor.scratch.forget(&path);
            Ok(false)
        }
    }
}

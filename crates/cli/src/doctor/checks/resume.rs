//! `resume`: whether a file can be continued where an earlier connection stopped.

use partner::files::{OpenAs, Reply};
use sftp::Attributes;

use crate::doctor::examination::{Doctor, Step, answer, content};
use crate::doctor::report::Finding;

const EMPTIED: &str = "the server empties a file when it is opened (truncates on open)";

pub(in crate::doctor) async fn check(doctor: &mut Doctor) -> Step<Finding> {
    let problem = problem(doctor).await?;
    doctor.facts.resume = Some(problem.is_none());
    Ok(match problem {
        None => Finding::ok("a partial file can be resumed"),
        Some(problem) => Finding::warn(
            problem,
            "a transfer that is interrupted begins again at the first byte: large files need a stable connection",
        ),
    })
}

/// Why a file cannot be continued, if so.
async fn problem(doctor: &Doctor) -> Step<Option<String>> {
    let (sftp, path, length) = (doctor.sftp()?, &doctor.file, content().len() as u64);
    let file = match answer(sftp.open(path, OpenAs::Resume.flags()).await)? {
        Reply::Done(file) => file,
        Reply::Refused(status) => return Ok(Some(status.to_string())),
    };
    let told = answer(sftp.fstat(&file).await)?;
    let is_empty = matches!(told, Reply::Done(Attributes { size: Some(0), .. }));
    if let Reply::Refused(status) = doctor.fill(file, length, &content()).await? {
        return Ok(Some(status.to_string()));
    }
    if doctor.facts.stat == Some(true) {
        if is_empty {
            return Ok(Some(EMPTIED.into()));
        }
        let told = doctor.told(path, 2 * length).await?.reply;
        if let Reply::Done(Some(Attributes { size: Some(size), .. })) = told
            && size != 2 * length
        {
            return Ok(Some(format!("{length} bytes were added to {length}, and the server says {size}")));
        }
    }
    if doctor.facts.read != Some(true) {
        return Ok(None);
    }
    // The size is also right if there is a hole before the new bytes.
    Ok(match doctor.read(path, 2 * length).await? {
        Reply::Done(read) if read == content().repeat(2) => None,
        Reply::Done(read) if read.iter().take(length as usize).all(|byte| *byte == 0) => Some(EMPTIED.into()),
        Reply::Done(_) => Some("the earlier contents of the file have changed".into()),
        Reply::Refused(status) => Some(status.to_string()),
    })
}

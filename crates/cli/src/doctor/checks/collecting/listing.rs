//! `listing`: whether the directory can be listed.

use bridge::collect::plain_name;
use partner::files::{Reply, Seen, look};
use sftp::{Attributes, FileType, Sftp};

use super::collecting;
use crate::doctor::examination::{Doctor, Step, Stopped, answer, lost};
use crate::doctor::report::Finding;

/// Maximum number of names that are read. A directory may have millions.
const NAMES_MAX: usize = 10_000;
/// Number of files that the next check looks at.
const SAMPLE: usize = 10;

/// What was listed.
#[derive(Default)]
struct Listed {
    names: usize,
    files: usize,
    /// The server has more.
    is_cut: bool,
    sample: Vec<(String, Attributes)>,
}

/// Leaves some files for the next check.
pub(in crate::doctor) async fn check(doctor: &mut Doctor) -> Step<Finding> {
    let directory = collecting(doctor)?.settings.directory;
    let sftp = doctor.sftp()?;
    let listed = match list(&sftp, &directory).await? {
        Reply::Done(listed) => listed,
        Reply::Refused(status) => {
            let hint = hint(&sftp, &directory).await?;
            return Err(Stopped::Here(Finding::fail(status.to_string(), hint)));
        }
    };
    let in_words = if directory.is_empty() {
        "the directory in which the session begins".to_owned()
    } else {
        format!("{directory:?}")
    };
    let Listed { names, files, is_cut, sample } = listed;
    doctor.sample = sample;
    doctor.facts.listing = Some(true);
    let more = if is_cut { "at least " } else { "" };
    Ok(Finding::ok(format!("{in_words} can be listed: {more}{names} names, {more}{files} of them files")))
}

async fn list(sftp: &Sftp, directory: &str) -> Step<Reply<Listed>> {
    let mut entries = match answer(sftp.read_directory(directory).await)? {
        Reply::Done(entries) => entries,
        Reply::Refused(status) => return Ok(Reply::Refused(status)),
    };
    let mut listed = Listed::default();
    loop {
        let packet = match answer(entries.next().await)? {
            Reply::Done(Some(packet)) => packet,
            Reply::Done(None) => return Ok(Reply::Done(listed)),
            Reply::Refused(status) => return Ok(Reply::Refused(status)),
        };
        for entry in packet {
            listed.names += 1;
            if !matches!(entry.attributes.file_type(), None | Some(FileType::File)) {
                continue;
            }
            listed.files += 1;
            if let Ok(name) = plain_name(&entry.name)
                && listed.sample.len() < SAMPLE
            {
                listed.sample.push((name.to_owned(), entry.attributes));
            }
        }
        if listed.names >= NAMES_MAX {
            return Ok(Reply::Done(Listed { is_cut: true, ..listed }));
        }
    }
}

/// A wrong slash at the beginning is the usual mistake: with it, the path begins at the server's root.
async fn hint(sftp: &Sftp, directory: &str) -> Step<String> {
    let other = directory.strip_prefix('/').map_or_else(|| format!("/{directory}"), str::to_owned);
    let is_there = !other.is_empty() && look(sftp, &other).await.map_err(lost)? == Seen::Directory;
    Ok(if is_there {
        format!("set COLLECT_DIRECTORY={other} if that is the right one: that directory exists")
    } else {
        "check COLLECT_DIRECTORY, or ask the partner to let this user list the directory".to_owned()
    })
}

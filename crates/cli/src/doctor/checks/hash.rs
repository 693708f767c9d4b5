//! `hash`: whether the server hashes a file itself.

use bridge::ProofPolicy;
use partner::files::Reply;
use sftp::OpenFlags;
use sha2::{Digest, Sha256};

use super::proof;
use crate::doctor::examination::{Doctor, Step, answer, content};
use crate::doctor::report::Finding;

/// What the server says of its hash.
enum Hash {
    Right,
    Wrong,
    Unsupported(String),
}

pub(in crate::doctor) async fn check(doctor: &mut Doctor) -> Step<Finding> {
    let hash = ask(doctor).await?;
    doctor.facts.hash = Some(matches!(hash, Hash::Right));
    Ok(match hash {
        Hash::Right => Finding::ok("the server hashes files itself (check-file, SHA-256)"),
        Hash::Wrong => Finding::fail(
            "the server's SHA-256 is not that of the contents that were written",
            "something alters files on arrival: ask the partner what",
        ),
        Hash::Unsupported(why) if doctor.configuration.settings.proof == ProofPolicy::Hash => {
            proof::unsupported(doctor, ProofPolicy::Hash, why)
        }
        Hash::Unsupported(why) => Finding::absent(why),
    })
}

async fn ask(doctor: &Doctor) -> Step<Hash> {
    let sftp = doctor.sftp()?;
    if !sftp.can_hash() {
        return Ok(Hash::Unsupported("not offered (check-file)".into()));
    }
    let file = match answer(sftp.open(&doctor.file, OpenFlags::READ).await)? {
        Reply::Done(file) => file,
        Reply::Refused(status) => return Ok(Hash::Unsupported(status.to_string())),
    };
    let hash = answer(sftp.sha256(&file, content().len() as u64, doctor.configuration.timeout()).await)?;
    answer(sftp.close(file).await)?;
    Ok(match hash {
        Reply::Done(Some(hash)) if hash[..] == Sha256::digest(content())[..] => Hash::Right,
        Reply::Done(Some(_)) => Hash::Wrong,
        Reply::Done(None) => Hash::Unsupported("the server hashes, but not with SHA-256".into()),
        Reply::Refused(status) => Hash::Unsupported(status.to_string()),
    })
}

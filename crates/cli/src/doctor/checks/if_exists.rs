//! `if-exists`: whether an existing file can be kept, as `fail` and `keep-both` do.

use bridge::{IfExists, Marker, ProofPolicy};
use partner::files::Reply;

use crate::doctor::examination::{Doctor, Step, answer};
use crate::doctor::report::Finding;

/// That needs to see the file, to compare it, and a rename that does not replace it.
pub(in crate::doctor) async fn check(doctor: &mut Doctor) -> Step<Finding> {
    let problem = problem(doctor).await?;
    doctor.facts.keep = Some(problem.is_none());
    let if_exists = doctor.configuration.settings.policy.if_exists;
    Ok(match (problem, if_exists) {
        (None, _) => Finding::ok("an existing file can be seen, compared and kept"),
        (Some(problem), IfExists::Replace | IfExists::Skip) => {
            Finding::absent(format!("no `fail` and no `keep-both`: {problem}"))
        }
        (Some(problem), IfExists::Fail | IfExists::KeepBoth) => Finding::fail(
            problem,
            format!(
                "SFTP_IF_EXISTS={} needs that, so deliveries would fail: ask the partner to allow it, or set SFTP_IF_EXISTS=replace",
                if_exists.as_str()
            ),
        ),
    })
}

async fn problem(doctor: &Doctor) -> Step<Option<String>> {
    let settings = &doctor.configuration.settings;
    let uses_hash =
        matches!(settings.proof, ProofPolicy::Auto | ProofPolicy::Hash) || settings.marker == Marker::Sha256;
    let hashes = doctor.facts.hash == Some(true) && uses_hash;
    let free = doctor.scratch.path(".free");
    if let Reply::Refused(status) = answer(doctor.sftp()?.stat(&free).await)? {
        return Ok(Some(format!("the server hides whether a name is free: {status}")));
    }
    if doctor.facts.read != Some(true) && !hashes {
        return Ok(Some("an existing file cannot be read to compare it".into()));
    }
    let refused = doctor.facts.rename_new == Some(false);
    Ok(refused.then(|| "the server refuses the rename that does not replace a file".into()))
}

//! `clean-up`: removes what the checks have made, on this connection or another.

use crate::doctor::examination::Doctor;
use crate::doctor::report::Finding;

/// No finding if the checks never came to the server's files.
pub(in crate::doctor) async fn check(doctor: &mut Doctor, interrupted: bool) -> Option<Finding> {
    const CLEAN: &str = "nothing of ours is left";
    if doctor.scratch.is_empty() {
        return doctor.session.is_some().then(|| Finding::ok(CLEAN));
    }
    if doctor.session.as_ref().is_none_or(|session| session.sftp().is_poisoned()) {
        doctor.reconnect().await;
    }
    let mut problems = clear(doctor).await;
    if interrupted && !doctor.scratch.is_empty() {
        // Not every server removes a file that is still open. The end of its connection closes it.
        doctor.reconnect().await;
        problems = clear(doctor).await;
    }
    Some(if doctor.scratch.is_empty() {
        Finding::ok(CLEAN)
    } else {
        let found = format!("left behind: {}; {}", doctor.scratch.names(), problems.join("; "));
        Finding::warn(found, "remove it by hand, or ask the partner to do it")
    })
}

async fn clear(doctor: &mut Doctor) -> Vec<String> {
    match &doctor.session {
        Some(session) => doctor.scratch.clear(session.sftp()).await,
        None => vec!["there is no connection to remove it on".into()],
    }
}

//! `ssh`: whether an SSH server answers, and what it offers. If no host key is pinned, also which ones it presents.

use bridge::Error;
use sftp::probe;

use super::host_key;
use crate::doctor::examination::{Doctor, Step, Stopped};
use crate::doctor::login::{LONG_PAUSE, pause};
use crate::doctor::report::Finding;

pub(in crate::doctor) async fn check(doctor: &mut Doctor) -> Step<Finding> {
    let (endpoint, options) = (doctor.configuration.endpoint(), doctor.configuration.options());
    pause().await;
    let mut offer = probe::offer(&endpoint, &options).await;
    if offer.is_err() {
        // A full server may have room in a moment.
        tokio::time::sleep(LONG_PAUSE).await;
        offer = probe::offer(&endpoint, &options).await;
    }
    match offer {
        Ok(offer) => {
            let finding = Finding::ok(&offer.identification);
            doctor.facts.software = Some(offer.identification.clone());
            doctor.facts.offer = Some(offer);
            Ok(finding)
        }
        Err(error) => Err(Stopped::Here(Finding::fail(
            Error::from(error).message(),
            "something that does not speak SSH listens there, or a firewall or a full server does not answer: check SFTP_HOST and SFTP_PORT, and try again in a minute",
        ))),
    }
}

/// Stops if no host key is pinned, and shows the keys that the server presents.
pub(in crate::doctor) async fn require_pinned_host_key(doctor: &mut Doctor) -> Step {
    if doctor.configuration.is_pinned {
        return Ok(());
    }
    let presented = host_key::presented(doctor).await;
    doctor.report.add(
        "host-key",
        Finding::fail(
            format!("unknown, so the checks did not log in. {presented}"),
            "ask the partner for the fingerprint by another way (its documentation, a signed mail, a phone call): an attacker between you and the server presents a key, too.\nOnly if it is the same, set SFTP_TRUSTED_HOST_KEYS to that line and run this again",
        ),
    );
    Err(Stopped::Earlier)
}

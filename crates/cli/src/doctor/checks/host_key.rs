//! `host-key`: whether the server presents a pinned one.

use bridge::Error;
use sftp::probe::{self, HostKey};

use crate::doctor::examination::Doctor;
use crate::doctor::login::pause;
use crate::doctor::report::Finding;

/// Reports the trusted key that the server presented.
pub(super) fn report(doctor: &mut Doctor, key: &HostKey) {
    doctor.facts.host_key = Some(key.public_key.clone());
    if !doctor.report.says("host-key") {
        let found = format!("pinned: {} {}", key.key_type, key.fingerprint);
        doctor.report.add("host-key", Finding::ok(found));
    }
}

/// Reports that the server presented no pinned key.
pub(super) async fn report_mismatch(doctor: &mut Doctor, error: &Error) {
    let presented = presented(doctor).await;
    let finding = Finding::fail(
        format!("{}.\n{presented}", error.message()),
        "do not simply replace the pinned key: another server may be answering. Ask the partner by another way (its documentation, a signed mail, a phone call) whether its host key has changed. If so, pin the new line beside the old one",
    );
    doctor.report.add("host-key", finding);
}

/// The host keys that the server presents, in words.
pub(super) async fn presented(doctor: &mut Doctor) -> String {
    let (endpoint, options) = (doctor.configuration.endpoint(), doctor.configuration.options());
    pause().await;
    let presented = match probe::host_keys(&endpoint, &options).await {
        Ok(presented) => presented,
        Err(error) => {
            let error = Error::from(error);
            return format!("The server presented no key of a supported type: {}", error.message());
        }
    };
    doctor.facts.presented = presented.keys.iter().map(|key| key.public_key.clone()).collect();
    let lines = presented.keys.iter().map(|key| format!("\n{}\n  {}", key.public_key, key.fingerprint));
    let mut words = format!("The server presents{}", lines.collect::<String>());
    if let Some(gap) = presented.gap() {
        words.push_str(&format!("\nIt may have more: {gap}"));
    }
    words
}

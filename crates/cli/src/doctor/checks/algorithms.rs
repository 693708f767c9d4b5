//! `algorithms`: whether the server and we have enough in common. The host key is checked at the same time.

use bridge::{Error, ErrorName, Place, Preset};
use sftp::probe::{self, Negotiated, Offer};

use super::host_key;
use crate::doctor::examination::{Doctor, Step, Stopped};
use crate::doctor::login::pause;
use crate::doctor::report::Finding;

const ALGORITHMS: &str = "SFTP_ALGORITHMS";

/// Connects without logging in. If the server and we share no algorithm, the checks go on with a preset that helps, so
/// that one run shows everything.
pub(super) async fn greet(doctor: &mut Doctor, user_name: Option<&str>) -> Step {
    loop {
        let (endpoint, options) = (doctor.configuration.endpoint(), doctor.configuration.options());
        let trusted = doctor.configuration.settings.trusted_host_keys.clone();
        pause().await;
        let error = match probe::greet(&endpoint, user_name, &trusted, &options).await {
            Ok(greeting) => {
                doctor.facts.methods = greeting.methods.clone();
                doctor.greeting = Some(greeting);
                return Ok(());
            }
            Err(error) => partner::with_setting(error),
        };
        match error.name {
            ErrorName::HostKeyMismatch => {
                host_key::report_mismatch(doctor, &error).await;
                return Err(Stopped::Earlier);
            }
            ErrorName::NoCommonAlgorithm if allow_old(doctor, &error) => {}
            // The server may let us log in although it has not said how.
            ErrorName::ConnectFailed if doctor.credential.is_some() => return Ok(()),
            name => {
                let finding = Finding::fail(error.message(), name.hint_for(Place::CommandLine));
                doctor.report.add("algorithms", finding);
                return Err(Stopped::Earlier);
            }
        }
    }
}

fn allow_old(doctor: &mut Doctor, error: &Error) -> bool {
    let preset = match doctor.facts.offer.as_ref().map(Offer::preset) {
        Some(None) => return false,
        Some(Some(preset)) => preset,
        None => Preset::Legacy,
    };
    let renewal = match preset {
        Preset::Modern => "",
        Preset::Legacy => ", and ask the partner when the server will be renewed",
    };
    let preset = preset.as_str();
    let hint = format!("set SFTP_ALGORITHMS={preset}{renewal}. The remaining checks use it");
    change(doctor, preset, "the server and the present setting share no algorithm", error, hint)
}

/// For a server that accepts signatures of RSA keys with SHA-1 only.
pub(super) fn allow_sha1(doctor: &mut Doctor, error: &Error) -> bool {
    let value = format!("{},+ssh-rsa", doctor.configuration.value(ALGORITHMS));
    let hint = format!(
        "set SFTP_ALGORITHMS={value}, or use a key of another type (Ed25519) whose public key the partner installs. The remaining checks use this setting"
    );
    change(doctor, &value, "the server accepts signatures of RSA keys with SHA-1 only", error, hint)
}

/// Goes on with another value of the setting. Returns whether it is another one.
fn change(doctor: &mut Doctor, value: &str, why: &str, error: &Error, hint: String) -> bool {
    if doctor.configuration.value(ALGORITHMS) == value
        || doctor.configuration.change(ALGORITHMS, value, why).is_err()
    {
        return false;
    }
    doctor.report.add("algorithms", Finding::fail(error.message(), hint));
    true
}

/// Reports what was checked before the login, if nobody could log in.
pub(super) fn report_greeting(doctor: &mut Doctor) {
    if let Some(greeting) = doctor.greeting.take() {
        host_key::report(doctor, &greeting.host_key);
        report(doctor, &greeting.negotiated);
    }
}

/// Reports the negotiated algorithms.
pub(super) fn report(doctor: &mut Doctor, negotiated: &Negotiated) {
    let Negotiated { key_exchange, host_key, cipher, mac, identification } = negotiated;
    doctor.facts.software = Some(identification.clone());
    doctor.facts.key_exchange = Some(key_exchange.clone());
    doctor.facts.cipher = Some(cipher.clone());
    let mac = mac.as_deref();
    let words = [Some(key_exchange.as_str()), Some(host_key), Some(cipher), mac].into_iter().flatten();
    let words: Vec<&str> = words.collect();
    let old: Vec<&str> = words.iter().copied().filter(|name| is_old(name)).collect();
    doctor.facts.legacy = Some(!old.is_empty());
    if doctor.report.says("algorithms") {
        return;
    }
    let finding = if old.is_empty() {
        Finding::ok(words.join(", "))
    } else {
        let hint = format!("{} are weak: ask the partner when the server will be renewed", old.join(", "));
        Finding::warn(words.join(", "), hint)
    };
    doctor.report.add("algorithms", finding);
}

/// Whether only outdated servers need this algorithm.
fn is_old(name: &str) -> bool {
    let sha1 = name.contains("sha1") && !name.contains("etm");
    sha1 || name.ends_with("-cbc") || matches!(name, "ssh-rsa" | "ssh-dss" | "hmac-md5" | "arcfour")
}

//! `authentication`: logs in as a delivery does.

use std::sync::Arc;

use bridge::{Error, ErrorName, Methods, Place};
use partner::with_setting;
use sftp::probe::Attempted;
use sftp::{Login, Session};

use super::{algorithms, host_key};
use crate::doctor::examination::{Doctor, Step, Stopped};
use crate::doctor::report::Finding;

pub(in crate::doctor) async fn check(doctor: &mut Doctor) -> Step<Finding> {
    let Some(login) = doctor.credential.clone() else {
        let user_name = doctor.configuration.settings.user.clone();
        algorithms::greet(doctor, user_name.as_deref()).await?;
        algorithms::report_greeting(doctor);
        return Err(Stopped::Earlier);
    };
    algorithms::greet(doctor, Some(&login.user_name)).await?;
    let offered = offered_methods(doctor);
    let mut outcome = enter(doctor, &login).await;
    if let Err(error) = &outcome
        && error.name == ErrorName::NoCommonAlgorithm
        && algorithms::allow_sha1(doctor, error)
    {
        outcome = enter(doctor, &login).await;
    }
    match outcome {
        Ok(session) => {
            host_key::report(doctor, session.host_key());
            algorithms::report(doctor, session.negotiated());
            doctor.facts.signs_with_sha1 = Some(may_sign_with_sha1(doctor, &login));
            doctor.session = Some(Arc::new(session));
            Ok(Finding::ok(format!("logged in as {:?}; {offered}", login.user_name)))
        }
        Err(error) if error.name == ErrorName::AuthenticationRejected => {
            algorithms::report_greeting(doctor);
            let found = format!("{}; {offered}", error.message());
            Err(Stopped::Here(Finding::fail(found, explain_refusal(doctor, &login))))
        }
        Err(error) => {
            if error.name == ErrorName::ConnectFailed {
                algorithms::report_greeting(doctor);
            }
            let hint = error.name.hint_for(Place::CommandLine);
            Err(Stopped::Here(Finding::fail(error.message(), hint)))
        }
    }
}

/// If there are several methods, asks the server about each first. Later connections use only those that it accepted, so
/// that each refusal happens once.
async fn enter(doctor: &mut Doctor, login: &Login) -> Result<Session, Error> {
    let login = match login.usable().count() {
        0 | 1 => login.clone(),
        _ => try_methods(doctor, login).await?,
    };
    let session = doctor.connect(&login).await?;
    doctor.login = Some(login);
    Ok(session)
}

/// Tries the methods as a delivery does. Returns the login with those that the server accepted.
async fn try_methods(doctor: &mut Doctor, login: &Login) -> Result<Login, Error> {
    let target = doctor.target();
    // Nothing can be refused before a method is tried, and those are counted below.
    let attempted = doctor.patiently(0, async || target.log_in(login).await).await?;
    doctor.count(&attempted);
    let Attempted { answers, problem } = attempted;
    let accepted = answers.iter().filter(|(_, answer)| !answer.is_refusal());
    let accepted: Vec<&str> = accepted.map(|(method, _)| method.as_str()).collect();
    let methods = Methods::parse(&accepted.join(","));
    doctor.answers = answers;
    if let Some(problem) = problem {
        return Err(with_setting(problem));
    }
    Ok(Login { methods: methods.unwrap_or_else(|_| login.methods.clone()), ..login.clone() })
}

fn offered_methods(doctor: &Doctor) -> String {
    if doctor.facts.methods.is_empty() {
        "the server does not say which methods it offers".into()
    } else {
        format!("the server offers {}", doctor.facts.methods.join(", "))
    }
}

fn may_sign_with_sha1(doctor: &Doctor, login: &Login) -> bool {
    let is_rsa = login.private_key.as_ref().is_some_and(|key| key.algorithm().contains("rsa"));
    is_rsa && doctor.configuration.settings.login.algorithms.host_keys.contains(&"ssh-rsa")
}

/// What to do about a refused login.
fn explain_refusal(doctor: &Doctor, login: &Login) -> String {
    let methods = &doctor.facts.methods;
    let offers = |method: &str| methods.iter().any(|offered| offered == method);
    let Login { user_name, private_key, .. } = login;
    let Some(private_key) = private_key else {
        return if offers("password") || offers("keyboard-interactive") {
            format!("check the user name {user_name:?} and the password with the partner")
        } else {
            "the server accepts no passwords: the credential needs a private key whose public key the partner installs"
                .into()
        };
    };
    if !methods.is_empty() && !offers("publickey") {
        return "the server accepts no public keys from this user: ask the partner to allow them, or for a password"
            .into();
    }
    let mut hint = format!(
        "check the user name {user_name:?} with the partner, and that this public key is installed for it:\n{}",
        private_key.public_key()
    );
    if private_key.algorithm().contains("rsa") && !may_sign_with_sha1(doctor, login) {
        hint.push_str("\nA server from before 2016 may accept signatures of RSA keys with SHA-1 only. For such a server, add +ssh-rsa to SFTP_ALGORITHMS");
    }
    hint
}

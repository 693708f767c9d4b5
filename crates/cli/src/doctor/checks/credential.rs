//! `credential`: whether it can be read, and what it supports.

use bridge::Place;
use sftp::Login;

use crate::doctor::examination::{Doctor, Step};
use crate::doctor::report::Finding;

/// Without a credential, the checks go on until the login.
pub(in crate::doctor) async fn check(doctor: &mut Doctor) -> Step<Finding> {
    let configuration = &doctor.configuration;
    if !configuration.names_credential {
        return Ok(Finding::fail(
            "missing: neither SFTP_SECRET_ID nor SFTP_S3_SSH_KEY is set",
            "set SFTP_SECRET_ID to the secret, or give a file with --key-file. The checks that need no credential are run without one",
        ));
    }
    let source = configuration.credential_source();
    Ok(match configuration.login().await {
        Ok(login) if login.usable().next().is_none() => Finding::fail(
            format!("SFTP_AUTHENTICATION permits {}, and {source} contains nothing for that", login.methods),
            "add to the credential what the partner asks for, or permit a method that it supports",
        ),
        Ok(login) => {
            let finding = Finding::ok(in_words(&source, &login));
            doctor.credential = Some(login);
            finding
        }
        Err(error) => {
            let hint = if configuration.has_key_file() {
                "check the path after --key-file, that you may read the file, and that it is a private key or JSON in the format of the secret"
            } else {
                error.name.hint_for(Place::CommandLine)
            };
            Finding::fail(error.message(), hint)
        }
    })
}

fn in_words(source: &str, login: &Login) -> String {
    let key = login.private_key.as_ref();
    let key = key.map(|key| format!("the private key {} {}", key.algorithm(), key.fingerprint()));
    let password = login.password.as_ref().map(|_| "a password".to_owned());
    let contents: Vec<String> = key.into_iter().chain(password).collect();
    format!("{source} contains {} for the user {:?}", contents.join(" and "), login.user_name)
}

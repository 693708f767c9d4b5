//! Which setting helps if the server and we share no algorithm.

use bridge::{Error, ErrorName};
use sftp::{ConnectError, Remedy};

/// The error, with the name and value of the setting that would help.
pub fn with_setting(error: sftp::Error) -> Error {
    match error {
        sftp::Error::Connect(ConnectError { error, remedy: Some(remedy) }) => {
            ErrorName::from(error.kind).error(format!("{}; {}", error.message(), advice(remedy)))
        }
        error => error.into(),
    }
}

fn advice(remedy: Remedy) -> String {
    match remedy {
        Remedy::Preset(preset) => format!("SFTP_ALGORITHMS={} would connect", preset.as_str()),
        Remedy::NoPreset => "no preset of SFTP_ALGORITHMS would connect".into(),
        Remedy::Unknown => {
            "the server could not be asked whether SFTP_ALGORITHMS=legacy would connect".into()
        }
        Remedy::Sha1 => "SFTP_ALGORITHMS=legacy would connect, and so would +ssh-rsa added to what is set; a key of \
                         another type needs neither"
            .into(),
        Remedy::PerhapsSha1 => "the server does not say which signatures of RSA keys it accepts: if it is an old one \
                                that accepts ssh-rsa (SHA-1) only, set SFTP_ALGORITHMS=legacy, or add +ssh-rsa to \
                                what is set, or use a key of another type"
            .into(),
        remedy => remedy.to_string(),
    }
}

//! How the bridge connects and logs in.

use std::time::Duration;

use super::problems::Problems;
use super::read::{number, parsed};
use super::table::{SFTP_ALGORITHMS, SFTP_AUTHENTICATION, SFTP_CONNECT_TIMEOUT, SFTP_LOGIN_TIMEOUT, Setting};
use super::variables::Variables;
use terms::Algorithms;
use terms::Methods;

/// Login methods, algorithms and time limits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoginSettings {
    /// `SFTP_AUTHENTICATION`.
    pub methods: Methods,
    /// `SFTP_ALGORITHMS`.
    pub algorithms: Algorithms,
    /// `SFTP_CONNECT_TIMEOUT`. `None` if it is not set: the SFTP client has the same default.
    pub connect_timeout: Option<Duration>,
    /// `SFTP_LOGIN_TIMEOUT`. `None` if it is not set: the SFTP client has the same default.
    pub login_timeout: Option<Duration>,
}

impl LoginSettings {
    pub(super) fn parse(variables: &Variables, problems: &mut Problems) -> Self {
        Self {
            methods: parsed(variables, problems, &SFTP_AUTHENTICATION, Methods::parse),
            algorithms: parsed(variables, problems, &SFTP_ALGORITHMS, Algorithms::parse),
            connect_timeout: seconds_if_set(variables, problems, &SFTP_CONNECT_TIMEOUT),
            login_timeout: seconds_if_set(variables, problems, &SFTP_LOGIN_TIMEOUT),
        }
    }
}

fn seconds_if_set(variables: &Variables, problems: &mut Problems, setting: &Setting) -> Option<Duration> {
    let seconds = number(variables, problems, setting);
    variables.get(setting).map(|_| Duration::from_secs(seconds.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_wrong_is_said() {
        let variables = [("SFTP_AUTHENTICATION", "gssapi"), ("SFTP_ALGORITHMS", "ancient")];
        let error =
            Problems::of(&variables, |variables, problems| Some(LoginSettings::parse(variables, problems)));
        let message = error.unwrap_err().message().to_owned();
        for words in [
            "SFTP_AUTHENTICATION is \"gssapi\": expected",
            "SFTP_ALGORITHMS is \"ancient\": for \"ancient\", expected",
        ] {
            assert!(message.contains(words), "{message}");
        }
    }
}

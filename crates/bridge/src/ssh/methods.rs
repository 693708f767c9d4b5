//! How the bridge agrees with a server on how to speak and who is there.

use std::time::Duration;

use super::{Problems, Variables, number};
use crate::Algorithms;

/// Methods, algorithms, and how long they may take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoginSettings {
    /// `SFTP_AUTHENTICATION`.
    pub methods: Methods,
    /// `SFTP_ALGORITHMS`.
    pub algorithms: Algorithms,
    /// `SFTP_CONNECT_TIMEOUT`, if it is set.
    pub connect_timeout: Option<Duration>,
    /// `SFTP_LOGIN_TIMEOUT`, if it is set.
    pub login_timeout: Option<Duration>,
}

impl LoginSettings {
    pub(super) fn parse(variables: &Variables, problems: &mut Problems) -> Self {
        Self {
            methods: parsed(variables, problems, "SFTP_AUTHENTICATION", Methods::parse),
            algorithms: parsed(variables, problems, "SFTP_ALGORITHMS", Algorithms::parse),
            connect_timeout: seconds(variables, problems, "SFTP_CONNECT_TIMEOUT"),
            login_timeout: seconds(variables, problems, "SFTP_LOGIN_TIMEOUT"),
        }
    }
}

/// What is not set is the SFTP client's to know.
fn seconds(variables: &Variables, problems: &mut Problems, name: &'static str) -> Option<Duration> {
    let seconds = number(variables, problems, name, "20", 1..=300);
    variables.get(name).map(|_| Duration::from_secs(seconds.into()))
}

fn parsed<T: Default>(
    variables: &Variables,
    problems: &mut Problems,
    name: &'static str,
    parse: fn(&str) -> Result<T, String>,
) -> T {
    let Some(text) = variables.get(name) else { return T::default() };
    parse(text).unwrap_or_else(|problem| {
        problems.wrong(name, text, &problem);
        T::default()
    })
}

/// A way to prove who one is (RFC 4252, RFC 4256).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The private key, with its certificate where there is one.
    PublicKey,
    /// The password.
    Password,
    /// The password as the answer to the server's question.
    KeyboardInteractive,
}

impl Method {
    const ALL: [Self; 3] = [Self::PublicKey, Self::Password, Self::KeyboardInteractive];

    /// As SSH names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PublicKey => "publickey",
            Self::Password => "password",
            Self::KeyboardInteractive => "keyboard-interactive",
        }
    }
}

/// The permitted methods, in the order in which they are tried; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Methods(Vec<Method>);

impl Default for Methods {
    fn default() -> Self {
        Self(Method::ALL.to_vec())
    }
}

impl Methods {
    /// Parses names separated by commas or blanks.
    ///
    /// # Errors
    /// What is expected, as a clause.
    pub fn parse(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected publickey, password, keyboard-interactive or some of them, each once, separated by commas";
        let is_between = |c: char| c == ',' || c.is_ascii_whitespace();
        let mut methods = Vec::new();
        for word in text.split(is_between).filter(|word| !word.is_empty()) {
            let method = Method::ALL.into_iter().find(|method| method.as_str() == word);
            match method.filter(|method| !methods.contains(method)) {
                Some(method) => methods.push(method),
                None => return Err(EXPECTED.into()),
            }
        }
        if methods.is_empty() {
            return Err(EXPECTED.into());
        }
        Ok(Self(methods))
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = Method> {
        self.0.iter().copied()
    }
}

impl From<Method> for Methods {
    fn from(method: Method) -> Self {
        Self(vec![method])
    }
}

impl std::fmt::Display for Methods {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.iter().map(Method::as_str).collect();
        f.write_str(&names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_in_their_order() {
        assert_eq!(Methods::default().to_string(), "publickey, password, keyboard-interactive");
        for text in ["password,publickey", " password, publickey ", "password\npublickey,"] {
            assert_eq!(Methods::parse(text).unwrap().0, [Method::Password, Method::PublicKey]);
        }
        for text in ["", ",", "publickey,publickey", "hostbased", "publickey;password"] {
            assert!(Methods::parse(text).unwrap_err().contains("expected"), "{text}");
        }
    }

    #[test]
    fn all_that_is_wrong_is_said() {
        let variables = [("SFTP_AUTHENTICATION", "gssapi"), ("SFTP_ALGORITHMS", "ancient")];
        let mut problems = Problems::default();
        LoginSettings::parse(&variables.into_iter().collect(), &mut problems);
        let message = problems.unless_any(Some(())).unwrap_err().message().to_owned();
        for words in [
            "SFTP_AUTHENTICATION is \"gssapi\": expected",
            "SFTP_ALGORITHMS is \"ancient\": for \"ancient\", expected",
        ] {
            assert!(message.contains(words), "{message}");
        }
    }
}

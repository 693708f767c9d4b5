//! How the bridge agrees with a server on how to speak and who is there.

use super::{Problems, Variables};
use crate::Algorithms;

/// Methods and algorithms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoginSettings {
    /// `SFTP_AUTHENTICATION`.
    pub methods: Methods,
    /// `SFTP_ALGORITHMS`.
    pub algorithms: Algorithms,
}

impl LoginSettings {
    pub(super) fn parse(variables: &Variables, problems: &mut Problems) -> Self {
        let methods = variables.get("SFTP_AUTHENTICATION").map(Methods::parse);
        let methods = methods.transpose().map_err(|problem| problems.add("SFTP_AUTHENTICATION", &problem));
        let algorithms = variables.get("SFTP_ALGORITHMS").map(Algorithms::parse).transpose();
        let algorithms = algorithms.map_err(|problem| problems.add("SFTP_ALGORITHMS", &problem));
        Self {
            methods: methods.ok().flatten().unwrap_or_default(),
            algorithms: algorithms.ok().flatten().unwrap_or_default(),
        }
    }
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
    /// Parses names separated by commas or spaces.
    ///
    /// # Errors
    /// What is wrong, in a few words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut methods = Vec::new();
        for word in text.split([',', ' ']).filter(|word| !word.is_empty()) {
            let method = Method::ALL.into_iter().find(|method| method.as_str() == word);
            match method.filter(|method| !methods.contains(method)) {
                Some(method) => methods.push(method),
                None => {
                    return Err(format!(
                        "is {text:?}: expected publickey, password, keyboard-interactive or some of them, each \
                         once, separated by commas"
                    ));
                }
            }
        }
        if methods.is_empty() {
            return Err(format!("is {text:?}: expected at least one method"));
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
        assert_eq!(Methods::parse("password,publickey").unwrap().0, [Method::Password, Method::PublicKey]);
        for text in ["", ",", "publickey,publickey", "hostbased"] {
            assert!(Methods::parse(text).unwrap_err().contains("expected"), "{text}");
        }
    }

    #[test]
    fn all_that_is_wrong_is_said() {
        let variables = [("SFTP_AUTHENTICATION", "gssapi"), ("SFTP_ALGORITHMS", "ancient")];
        let mut problems = Problems::default();
        LoginSettings::parse(&variables.into_iter().collect(), &mut problems);
        let message = problems.into_error().unwrap().message().to_owned();
        for words in ["SFTP_AUTHENTICATION is \"gssapi\"", "SFTP_ALGORITHMS has \"ancient\""] {
            assert!(message.contains(words), "{message}");
        }
    }
}

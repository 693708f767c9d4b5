//! Methods to log in.

use std::fmt;

/// A method to authenticate a user (RFC 4252, RFC 4256).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The private key, with its certificate if there is one.
    PublicKey,
    /// The password.
    Password,
    /// The password, as the answer to a question of the server.
    KeyboardInteractive,
}

impl Method {
    const ALL: [Self; 3] = [Self::PublicKey, Self::Password, Self::KeyboardInteractive];

    /// The name in SSH.
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
    /// Parses names separated by commas or white space.
    ///
    /// # Errors
    /// What is expected, as a clause.
    pub fn parse(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected one or more of publickey, password, keyboard-interactive, each once, separated by commas";
        let is_separator = |c: char| c == ',' || c.is_ascii_whitespace();
        let mut methods = Vec::new();
        for word in text.split(is_separator).filter(|word| !word.is_empty()) {
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

    /// In this order.
    pub fn iter(&self) -> impl Iterator<Item = Method> {
        self.0.iter().copied()
    }
}

impl From<Method> for Methods {
    fn from(method: Method) -> Self {
        Self(vec![method])
    }
}

impl fmt::Display for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
}

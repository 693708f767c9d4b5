//! The contents of a secret.

use bridge::{ErrorName, Result};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

/// What the secret contains. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct Credential {
    /// `Username`.
    pub user_name: Option<String>,
    /// `PrivateKey`.
    pub private_key: Option<SecretString>,
    /// `Certificate`: the OpenSSH certificate of the private key's public half. It is not secret.
    pub certificate: Option<String>,
    /// `Passphrase` of the private key.
    pub passphrase: Option<SecretString>,
    /// `Password`.
    pub password: Option<SecretString>,
}

/// Parses JSON as AWS Transfer Family writes it, or a private key alone. Messages name fields and never show values;
/// `credential` is the name of the credential in them.
///
/// # Errors
/// `SecretUnreadable`.
pub fn parse(text: &SecretString, credential: &str) -> Result<Credential> {
    let unreadable =
        |problem: String| ErrorName::SecretUnreadable.error(format!("the credential {credential} {problem}"));
    let text = text.expose_secret().trim();
    if text.is_empty() {
        return Err(unreadable("is empty".into()));
    }
    if !text.starts_with('{') {
        return Ok(Credential {
            user_name: None,
            private_key: Some(text.to_owned().into()),
            certificate: None,
            passphrase: None,
            password: None,
        });
    }
    let Ok(Value::Object(mut fields)) = serde_json::from_str::<Value>(text) else {
        return Err(unreadable("starts with `{` but is not JSON".into()));
    };
    let mut field = |name: &str| match fields.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
        Some(_) => Err(unreadable(format!("has a field `{name}` that is not a string"))),
    };
    let credential = Credential {
        user_name: field("Username")?,
        private_key: field("PrivateKey")?.map(Into::into),
        certificate: field("Certificate")?,
        passphrase: field("Passphrase")?.map(Into::into),
        password: field("Password")?.map(Into::into),
    };
    if credential.private_key.is_none() && credential.password.is_none() {
        return Err(unreadable("has neither `PrivateKey` nor `Password`".into()));
    }
    Ok(credential)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Credential> {
        parse(&text.into(), "partner")
    }

    #[test]
    fn transfer_familys_json_with_extra_fields() {
        let text = r#"{"Username":"u","PrivateKey":"k","Passphrase":"p","Password":"","Certificate":"c",
            "HostKey":["x"]}"#;
        let credential = parsed(text).unwrap();
        assert_eq!(credential.user_name.as_deref(), Some("u"));
        assert_eq!(credential.private_key.unwrap().expose_secret(), "k");
        assert_eq!(credential.passphrase.unwrap().expose_secret(), "p");
        assert_eq!(credential.certificate.as_deref(), Some("c"));
        assert!(credential.password.is_none());
    }

    #[test]
    fn a_bare_private_key() {
        let credential = parsed("\n-----BEGIN X-----\nabc\n").unwrap();
        assert_eq!(credential.private_key.unwrap().expose_secret(), "-----BEGIN X-----\nabc");
    }

    #[test]
    fn what_is_wrong_is_named_without_the_value() {
        for (text, words) in [
            ("", "empty"),
            ("{hunter2", "not JSON"),
            (r#"{"Username":"hunter2"}"#, "neither"),
            (r#"{"PrivateKey":["hunter2"]}"#, "`PrivateKey`"),
        ] {
            let error = parsed(text).unwrap_err();
            assert_eq!(error.name, ErrorName::SecretUnreadable);
            assert!(error.message().contains(words) && !error.message().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!(
            "{:?}",
            parsed(r#"{"Username":"u","PrivateKey":"hunter2","Password":"hunter2"}"#).unwrap()
        );
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

//! The user who logs in, and the secrets for it.

use secrecy::{ExposeSecret, SecretString};
use terms::{Method, Methods, Result};

use crate::ssh::certificate::Certificate;
use crate::ssh::private_key::PrivateKey;

/// The user who logs in, with the secrets for it. Its `Debug` shows no secret.
#[derive(Clone, Debug, Default)]
pub struct Login {
    /// The user.
    pub user_name: String,
    /// For the method `publickey`.
    pub private_key: Option<PrivateKey>,
    /// Shown to the server instead of the plain public key.
    pub certificate: Option<Certificate>,
    /// For the methods `password` and `keyboard-interactive`.
    pub password: Option<SecretString>,
    /// The permitted methods, in the order in which they are tried.
    pub methods: Methods,
    /// A name by which the caller recognizes this login (see [`Session::label`](crate::Session::label)). The server never
    /// sees it.
    pub label: Option<String>,
}

impl Login {
    /// A login from the texts of a credential.
    ///
    /// # Errors
    /// `InvalidPrivateKey`.
    pub fn new(
        user_name: String,
        private_key: Option<&SecretString>,
        passphrase: Option<&SecretString>,
        password: Option<SecretString>,
    ) -> Result<Self> {
        let private_key = private_key.map(|text| PrivateKey::parse(text, passphrase)).transpose()?;
        Ok(Self { user_name, private_key, password, ..Self::default() })
    }

    /// Adds a certificate for the private key.
    ///
    /// # Errors
    /// `InvalidPrivateKey` if the text is not a certificate, belongs to another key, or is not valid now.
    pub fn with_certificate(self, text: Option<&str>) -> Result<Self> {
        let Some(text) = text else { return Ok(self) };
        let certificate = Certificate::parse(text, self.private_key.as_ref())?;
        Ok(Self { certificate: Some(certificate), ..self })
    }

    /// The permitted methods for which there is a secret, in their order.
    pub fn usable(&self) -> impl Iterator<Item = Method> {
        self.methods.iter().filter(|method| match method {
            Method::PublicKey => self.private_key.is_some(),
            Method::Password | Method::KeyboardInteractive => self.password.is_some(),
        })
    }

    /// A server's text without the password: some servers repeat what they were sent.
    pub(crate) fn without_password(&self, words: &str) -> String {
        let password = self.password.as_ref().map(ExposeSecret::expose_secret);
        let Some(password) = password.filter(|password| !password.is_empty()) else {
            return words.to_owned();
        };
        let escaped = format!("{password:?}");
        words.replace(password, "***").replace(escaped.trim_matches('"'), "***")
    }

    /// Whether both logins show the server the same user and secrets.
    pub fn is_same(&self, other: &Self) -> bool {
        let shown = |login: &Self| {
            let key = login.private_key.as_ref().map(PrivateKey::fingerprint);
            (login.user_name.clone(), key, login.certificate.clone())
        };
        let password = |login: &Self| login.password.as_ref().map(|it| it.expose_secret().to_owned());
        shown(self) == shown(other) && password(self) == password(other)
    }
}

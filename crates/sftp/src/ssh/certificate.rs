//! The certificate of a user.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use russh::keys::HashAlg;
use russh::keys::ssh_key::certificate::CertType;
use terms::{ErrorKind, Result};

use crate::ssh::private_key::PrivateKey;

/// An OpenSSH certificate: the signature of an authority for a user's public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate(Arc<russh::keys::Certificate>);

impl Certificate {
    /// Parses `ssh-ed25519-cert-v01@openssh.com AAAA…`, the contents of `id_ed25519-cert.pub`.
    ///
    /// # Errors
    /// `InvalidPrivateKey` if the text could not be parsed, the certificate is not a user's, belongs to another key, or is
    /// not valid now.
    pub fn parse(text: &str, private_key: Option<&PrivateKey>) -> Result<Self> {
        let invalid =
            |problem: &str| ErrorKind::InvalidPrivateKey.error(format!("the certificate {problem}"));
        let certificate = russh::keys::Certificate::from_openssh(text.trim());
        let certificate = certificate.map_err(|_| {
            invalid("could not be parsed: expected a line such as `ssh-ed25519-cert-v01@openssh.com AAAA…`")
        })?;
        if certificate.cert_type() != CertType::User {
            return Err(invalid("is a host's, not a user's"));
        }
        let key = private_key.ok_or_else(|| invalid("has no private key beside it"))?;
        if certificate.public_key() != key.key().public_key().key_data() {
            return Err(invalid("belongs to another key than the private key beside it"));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if certificate.valid_before() <= now {
            return Err(invalid("has expired: ask for a new one"));
        }
        if certificate.valid_after() > now {
            return Err(invalid("is not valid yet"));
        }
        Ok(Self(Arc::new(certificate)))
    }

    pub(crate) fn certificate(&self) -> &russh::keys::Certificate {
        &self.0
    }
}

impl std::fmt::Display for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let authority = self.0.signature_key().fingerprint(HashAlg::Sha256);
        write!(f, "the certificate {:?} signed by {authority}", self.0.key_id())
    }
}

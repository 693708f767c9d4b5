//! The private key, which leaves this type only as a signature.

use std::sync::Arc;

use bridge::{ErrorName, Result};
use russh::keys::{HashAlg, decode_secret_key};
use secrecy::{ExposeSecret, SecretString};

/// A parsed private key. Its `Debug` shows the public key's fingerprint and nothing else.
#[derive(Clone)]
pub struct PrivateKey(Arc<russh::keys::PrivateKey>);

impl PrivateKey {
    /// Parses an OpenSSH, PEM (PKCS#1, SEC1) or PKCS#8 private key. A key whose line breaks were lost on the way
    /// (typed as `\n` or folded into spaces, as happens in JSON secrets) is mended first.
    ///
    /// # Errors
    /// `InvalidPrivateKey`; the message never repeats any of the text.
    pub fn parse(text: &SecretString, passphrase: Option<&SecretString>) -> Result<Self> {
        let invalid = |problem: &str| ErrorName::InvalidPrivateKey.error(problem);
        let text = SecretString::from(with_line_breaks(text.expose_secret()));
        if !text.expose_secret().contains("-----BEGIN ")
            && !text.expose_secret().contains("PuTTY-User-Key-File-")
        {
            return Err(invalid("the private key has no `-----BEGIN … PRIVATE KEY-----` line"));
        }
        if text.expose_secret().contains("-----BEGIN PUBLIC KEY") {
            return Err(invalid("a public key is stored where the private key belongs"));
        }
        let passphrase =
            passphrase.map(ExposeSecret::expose_secret).filter(|passphrase| !passphrase.is_empty());
        // russh's errors name positions and formats; they are left out all the same.
        let key = decode_secret_key(text.expose_secret(), passphrase).map_err(|_| {
            invalid(match passphrase {
                Some(_) => "the private key could not be parsed: it is damaged, of an unknown format, or the passphrase is wrong",
                None => "the private key could not be parsed: it is damaged, of an unknown format, or needs a passphrase",
            })
        })?;
        if key.is_encrypted() {
            return Err(invalid("the private key needs a passphrase"));
        }
        Ok(Self(Arc::new(key)))
    }

    /// The algorithm, as OpenSSH names it (`ssh-ed25519`).
    pub fn algorithm(&self) -> String {
        self.0.algorithm().as_str().to_owned()
    }

    /// The public key's SHA-256 fingerprint, `SHA256:…`.
    pub fn fingerprint(&self) -> String {
        self.0.fingerprint(HashAlg::Sha256).to_string()
    }

    /// The public key, `ssh-ed25519 AAAA…`: what the partner installs.
    pub fn public_key(&self) -> String {
        self.0.public_key().to_openssh().unwrap_or_default()
    }

    pub(crate) fn key(&self) -> Arc<russh::keys::PrivateKey> {
        Arc::clone(&self.0)
    }
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PrivateKey({} {})", self.algorithm(), self.fingerprint())
    }
}

fn with_line_breaks(text: &str) -> String {
    let text = text.trim().replace("\\n", "\n").replace('\r', "");
    if text.contains('\n') || !text.starts_with("-----BEGIN ") {
        return text;
    }
    // One line: `-----BEGIN X----- base64 base64 -----END X-----`.
    let parts: Option<(&str, &str, &str)> = text.get(11..).and_then(|rest| {
        let head_end = 11 + rest.find("-----")? + 5;
        let tail_start = text.rfind("-----END ")?;
        Some((text.get(..head_end)?, text.get(head_end..tail_start)?, text.get(tail_start..)?))
    });
    match parts {
        Some((head, body, tail)) => {
            let body: Vec<&str> = body.split_whitespace().collect();
            format!("{head}\n{}\n{tail}\n", body.join("\n"))
        }
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made for this test with `ssh-keygen -t ed25519`; it opens nothing.
    const KEY: &str = include_str!("../testdata/ed25519");
    const ENCRYPTED: &str = include_str!("../testdata/ed25519-passphrase");
    const FINGERPRINT: &str = include_str!("../testdata/ed25519.fingerprint");

    fn parse(text: &str, passphrase: Option<&str>) -> Result<PrivateKey> {
        PrivateKey::parse(&text.into(), passphrase.map(SecretString::from).as_ref())
    }

    #[test]
    fn parses_and_shows_only_the_fingerprint() {
        let key = parse(KEY, None).unwrap();
        assert_eq!(key.algorithm(), "ssh-ed25519");
        assert_eq!(key.fingerprint(), FINGERPRINT.trim());
        assert_eq!(format!("{key:?}"), format!("PrivateKey(ssh-ed25519 {})", FINGERPRINT.trim()));
    }

    #[test]
    fn lost_line_breaks_are_mended() {
        for text in [
            KEY.replace('\n', "\\n"),
            KEY.replace('\n', " "),
            KEY.replace('\n', "\r\n"),
            format!("\n{KEY}\n\n"),
        ] {
            assert_eq!(parse(&text, None).unwrap().fingerprint(), FINGERPRINT.trim());
        }
    }

    #[test]
    fn a_passphrase_is_needed_right_and_never_repeated() {
        assert_eq!(parse(ENCRYPTED, Some("correct horse")).unwrap().fingerprint(), FINGERPRINT.trim());
        for passphrase in [None, Some(""), Some("battery staple")] {
            let error = parse(ENCRYPTED, passphrase).unwrap_err();
            assert_eq!(error.name, ErrorName::InvalidPrivateKey);
            assert!(error.message().contains("passphrase") && !error.message().contains("staple"), "{error}");
        }
    }

    #[test]
    fn what_is_no_private_key_is_refused_without_repeating_it() {
        for text in [
            "",
            "hunter2",
            "-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2\n-----END OPENSSH PRIVATE KEY-----",
            "-----BEGIN hunter2",
        ] {
            let error = parse(text, None).unwrap_err();
            assert_eq!(error.name, ErrorName::InvalidPrivateKey);
            assert!(!error.message().contains("hunter2"), "{error}");
        }
    }
}

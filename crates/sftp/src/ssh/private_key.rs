//! The private key of a user. It leaves this type only as a signature.

use std::sync::Arc;

use russh::keys::{HashAlg, decode_secret_key};
use secrecy::{ExposeSecret, SecretString};
use terms::{ErrorKind, Result};

use crate::ssh::{openssh, pem};

/// A parsed private key. Its `Debug` shows the public key's fingerprint and nothing else.
#[derive(Clone)]
pub struct PrivateKey(Arc<russh::keys::PrivateKey>);

impl PrivateKey {
    /// Parses an OpenSSH, PEM (PKCS#1, SEC1), PKCS#8 or PuTTY private key.
    ///
    /// Common damage is repaired first: line breaks that became `\n` or spaces in a JSON secret, indentation, and a
    /// byte-order mark.
    ///
    /// # Errors
    /// `InvalidPrivateKey`. The message repeats nothing of the text.
    pub fn parse(text: &SecretString, passphrase: Option<&SecretString>) -> Result<Self> {
        let invalid = |problem: &str| ErrorKind::InvalidPrivateKey.error(problem);
        let text = SecretString::from(with_line_breaks(text.expose_secret()));
        let is_puttys = text.expose_secret().contains("PuTTY-User-Key-File-");
        if !is_puttys && !text.expose_secret().contains("-----BEGIN ") {
            return Err(invalid("the private key has no `-----BEGIN … PRIVATE KEY-----` line"));
        }
        if text.expose_secret().contains("-----BEGIN PUBLIC KEY") {
            return Err(invalid("a public key is stored where the private key belongs"));
        }
        let passphrase =
            passphrase.map(ExposeSecret::expose_secret).filter(|passphrase| !passphrase.is_empty());
        let unreadable = || invalid(unreadable(is_puttys, passphrase.is_some()));
        // russh's own errors are left out: they might repeat something of the text.
        let text = text.expose_secret();
        let key = match passphrase {
            Some(passphrase) if pem::is_encrypted(text) => {
                let plain = pem::decrypt(text, passphrase).ok_or_else(unreadable)?;
                decode_secret_key(&plain, None)
            }
            // A passphrase is ignored if the key is not encrypted. russh would try to decrypt it.
            Some(_) if PLAIN.iter().any(|head| text.contains(head)) => decode_secret_key(text, None),
            passphrase => decode_secret_key(text, passphrase),
        };
        let key = key.ok().or_else(|| openssh::decode_p256(text, passphrase)).ok_or_else(unreadable)?;
        if key.is_encrypted() {
            return Err(invalid("the private key needs a passphrase"));
        }
        Ok(Self(Arc::new(key)))
    }

    /// The algorithm under its SSH name, such as `ssh-ed25519`.
    pub fn algorithm(&self) -> String {
        self.0.algorithm().as_str().to_owned()
    }

    /// The public key's SHA-256 fingerprint, `SHA256:…`.
    pub fn fingerprint(&self) -> String {
        self.0.fingerprint(HashAlg::Sha256).to_string()
    }

    /// The public key, `ssh-ed25519 AAAA…`. It has to be installed on the server.
    pub fn public_key(&self) -> String {
        self.0.public_key().to_openssh().unwrap_or_default()
    }

    pub(crate) fn key(&self) -> Arc<russh::keys::PrivateKey> {
        Arc::clone(&self.0)
    }
}

/// First lines of keys that are not encrypted, unless they have a line `DEK-Info`.
const PLAIN: [&str; 3] =
    ["-----BEGIN PRIVATE KEY-----", "-----BEGIN RSA PRIVATE KEY-----", "-----BEGIN EC PRIVATE KEY-----"];

fn unreadable(is_puttys: bool, has_passphrase: bool) -> &'static str {
    if is_puttys {
        "the private key is in PuTTY's format (.ppk) and could not be parsed: it is damaged, or the passphrase is wrong or \
         missing. `puttygen KEY.ppk -O private-openssh -o KEY` converts it, and so does PuTTYgen with Conversions, Export \
         OpenSSH key"
    } else if has_passphrase {
        "the private key could not be parsed: it is damaged, of an unknown format, or the passphrase is wrong"
    } else {
        "the private key could not be parsed: it is damaged, of an unknown format, or needs a passphrase"
    }
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PrivateKey({} {})", self.algorithm(), self.fingerprint())
    }
}

fn with_line_breaks(text: &str) -> String {
    let text = text.trim_start_matches('\u{feff}').trim().replace("\\n", "\n").replace('\r', "");
    if text.contains('\n') || !text.starts_with("-----BEGIN ") {
        return text.lines().map(str::trim).collect::<Vec<_>>().join("\n") + "\n";
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
    const KEY: &str = include_str!("../../testdata/ed25519");
    const ENCRYPTED: &str = include_str!("../../testdata/ed25519-passphrase");
    const FINGERPRINT: &str = include_str!("../../testdata/ed25519.fingerprint");

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
    fn story_71_a_byte_order_mark_and_indentation_are_mended() {
        let indented: String = KEY.lines().map(|line| format!("    {line}  \n")).collect();
        let tabbed: String = KEY.lines().map(|line| format!("\t{line}\r\n")).collect();
        for text in [format!("\u{feff}{KEY}"), indented.clone(), tabbed, format!("\u{feff}\n{indented}")] {
            assert_eq!(parse(&text, None).unwrap().fingerprint(), FINGERPRINT.trim(), "{text}");
        }
        // The first line of an encrypted key is followed by further header lines and an empty line.
        for (name, text, fingerprint) in KEYS {
            let indented: String = text.lines().map(|line| format!("  {line}\n")).collect();
            let key = parse(&format!("\u{feff}{indented}"), Some("correct horse"));
            assert_eq!(key.map(|key| key.fingerprint()).as_deref(), Ok(*fingerprint), "{name}");
        }
    }

    #[test]
    fn story_71_a_key_in_puttys_format_is_named() {
        for version in [2, 3] {
            let text = format!(
                "PuTTY-User-Key-File-{version}: ssh-ed25519\r\nEncryption: none\r\nComment: hunter2\r\n\
                 Public-Lines: 2\r\nAAAA\r\nPrivate-Lines: 1\r\nhunter2\r\nPrivate-MAC: 00\r\n"
            );
            for text in [text.clone(), format!("\u{feff}{text}"), text.replace("\r\n", "\\n")] {
                let error = parse(&text, None).unwrap_err();
                assert_eq!(error.kind, ErrorKind::InvalidPrivateKey);
                assert!(error.message().contains("puttygen") && error.message().contains(".ppk"), "{error}");
                assert!(!error.message().contains("hunter2"), "{error}");
            }
        }
    }

    #[test]
    fn a_passphrase_is_needed_right_and_never_repeated() {
        assert_eq!(parse(ENCRYPTED, Some("correct horse")).unwrap().fingerprint(), FINGERPRINT.trim());
        for passphrase in [None, Some(""), Some("battery staple")] {
            let error = parse(ENCRYPTED, passphrase).unwrap_err();
            assert_eq!(error.kind, ErrorKind::InvalidPrivateKey);
            assert!(error.message().contains("passphrase") && !error.message().contains("staple"), "{error}");
        }
    }

    // Made for this test with OpenSSL 3.0 and ssh-keygen; they open nothing.
    macro_rules! keys {
        ($($fingerprint:literal: $($name:literal)*;)*) => {
            &[$($((
                $name,
                include_str!(concat!("../../testdata/keys/", $name, ".pem")),
                concat!("SHA256:", $fingerprint),
            ),)*)*]
        };
    }
    const KEYS: &[(&str, &str, &str)] = keys! {
        "3avWpQLG7LY+JSpgUFeZZFk7wHdI/si07cMBRhE8x2M":
            "rsa-pkcs1" "rsa-pkcs8" "rsa-pkcs1-aes128" "rsa-pkcs1-aes192" "rsa-pkcs1-aes256" "rsa-pkcs1-des3"
            "rsa-pkcs1-des";
        "IRMibOtzDSksgmDP7nq0DlDO7Tfsf4Wn1R9ITjC1Trc":
            "ec256-sec1" "ec256-sec1-with-parameters" "ec256-sec1-explicit" "ec256-sec1-aes128" "ec256-sec1-des3"
            "ec256-pkcs8-aes256" "ec256-pkcs8-aes128-sha1" "ec256-pkcs8-des3-sha1" "ec256-pkcs8-scrypt";
        "9OwWUoeUJCTNO6kGg8CE3n6l319x+4jsfuXSnF9zx5c": "ec256-openssh-short" "ec256-openssh-short-encrypted";
        "2e2SM/Qzhg3Nb2Yz9PSU1bfpnTV7BY5rNrMRPRqP5Xo": "ec384-pkcs8";
        "uk6dQb/dDgCXAgYy0pamHn7IFuLwuXmuW2DWKk2BbMQ": "ec521-sec1";
        "LoDm6aTbJDujEjrKXX52cq/90wI4UwPNry5FeRmPEqk": "ed25519-pkcs8" "ed25519-pkcs8-aes256";
    };

    #[test]
    fn story_17_keys_as_openssl_writes_them() {
        for (name, text, fingerprint) in KEYS {
            // As it is, and as a JSON secret may hold it.
            for text in [text.to_string(), text.replace('\n', "\\n")] {
                let key = parse(&text, Some("correct horse"));
                assert_eq!(key.map(|key| key.fingerprint()).as_deref(), Ok(*fingerprint), "{name}");
            }
            let is_encrypted = text.contains("ENCRYPTED") || name.ends_with("-encrypted");
            for passphrase in [None, Some("battery staple")] {
                let parsed = parse(text, passphrase);
                assert_eq!(parsed.is_err(), is_encrypted, "{name} {passphrase:?}: {parsed:?}");
            }
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
            assert_eq!(error.kind, ErrorKind::InvalidPrivateKey);
            assert!(!error.message().contains("hunter2"), "{error}");
        }
    }
}

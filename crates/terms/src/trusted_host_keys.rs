//! Trusted host keys. They are pinned beforehand and never learned from a server.

use std::fmt;

use ssh_key::{Fingerprint, HashAlg, PublicKey};

/// One pinned host key: its SHA-256 fingerprint and, if the whole key was given, its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedHostKey {
    fingerprint: Fingerprint,
    key_type: Option<String>,
    /// Whether it is the key of an authority that signs host keys, instead of a host key.
    is_authority: bool,
}

/// The marker in `known_hosts` for the key of an authority.
const CERT_AUTHORITY: &str = "@cert-authority";

impl TrustedHostKey {
    /// Parses `ssh-ed25519 AAAA...`, optionally with a host name before it and a comment after it, or `SHA256:...`; for an
    /// authority, after `@cert-authority`. The host name is ignored: the keys are for one server.
    ///
    /// # Errors
    /// What is wrong with it, as a clause.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (is_authority, text) = match text.strip_prefix(CERT_AUTHORITY) {
            Some(rest) => (true, rest.trim_start()),
            None => (false, text),
        };
        if text.starts_with('@') {
            return Err(format!("expected no marker but {CERT_AUTHORITY}"));
        }
        let words: Vec<&str> = text.split_whitespace().collect();
        // After the marker, there may be a host name before a fingerprint, too.
        if let Some(word) = words.iter().take(1 + usize::from(is_authority)).find(|word| is_fingerprint(word))
        {
            let fingerprint = word.trim_end_matches('=').parse::<Fingerprint>();
            let fingerprint =
                fingerprint.map_err(|_| "expected a SHA-256 fingerprint of 43 base64 characters")?;
            return Ok(Self { fingerprint, key_type: None, is_authority });
        }
        let pair = words.windows(2).take(2).find(|pair| is_key(pair[1]));
        let pair =
            pair.ok_or("expected `ssh-ed25519 AAAA...`, `host ssh-ed25519 AAAA...` or `SHA256:...`")?;
        // The library's message is left out, because it may repeat a secret that was pasted here.
        let key = PublicKey::from_openssh(&pair.join(" ")).map_err(
            |_| "expected a complete public key after its type: this one is cut off, altered or of an unknown type",
        )?;
        Ok(Self {
            fingerprint: key.fingerprint(HashAlg::Sha256),
            key_type: Some(key.algorithm().as_str().to_owned()),
            is_authority,
        })
    }
}

fn is_fingerprint(word: &str) -> bool {
    word.starts_with("SHA256:")
}

fn is_key(word: &str) -> bool {
    word.starts_with("AAAA")
}

impl fmt::Display for TrustedHostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_authority {
            write!(f, "{CERT_AUTHORITY} ")?;
        }
        write!(f, "{}", self.fingerprint)
    }
}

/// The pinned host keys of a partner; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedHostKeys(Vec<TrustedHostKey>);

impl TrustedHostKeys {
    /// Parses keys separated by newlines or commas; blank lines and `#` comments are skipped.
    ///
    /// # Errors
    /// A clause for each entry that is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut keys = Vec::new();
        let mut problems = Vec::new();
        for (index, entry) in entries(text).into_iter().enumerate() {
            match TrustedHostKey::parse(&entry) {
                Ok(key) => keys.push(key),
                Err(problem) => problems.push(format!("entry {}: {problem}", index + 1)),
            }
        }
        if !problems.is_empty() {
            return Err(problems.join("; "));
        }
        if keys.is_empty() {
            return Err("expected at least one host key".into());
        }
        Ok(Self(keys))
    }

    /// Whether the host key with this SHA-256 fingerprint (`SHA256:...`) is pinned.
    pub fn trusts(&self, fingerprint: &str) -> bool {
        self.pinned().any(|(pinned, _)| pinned.to_string() == fingerprint)
    }

    /// Fingerprints of the pinned host keys, and their types (`ssh-ed25519`) if the whole key was given.
    pub fn pinned(&self) -> impl Iterator<Item = (&Fingerprint, Option<&str>)> {
        let keys = self.0.iter().filter(|key| !key.is_authority);
        keys.map(|key| (&key.fingerprint, key.key_type.as_deref()))
    }

    /// Fingerprints of the authorities that are trusted to sign host keys.
    pub fn authorities(&self) -> impl Iterator<Item = &Fingerprint> {
        self.0.iter().filter(|key| key.is_authority).map(|key| &key.fingerprint)
    }
}

/// Splits at newlines and commas, except the commas between hosts of `known_hosts`: `host,192.0.2.1 ssh-ed25519 AAAA...`.
fn entries(text: &str) -> Vec<String> {
    let mut entries = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        let mut hosts = String::new();
        for part in line.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let entry = if hosts.is_empty() { part.to_owned() } else { format!("{hosts},{part}") };
            let has_key = entry.split_whitespace().any(|word| is_fingerprint(word) || is_key(word));
            let is_marked = entry.starts_with('@');
            let host_only = !has_key && (is_marked || !part.contains(char::is_whitespace));
            hosts = if host_only {
                entry
            } else {
                entries.push(entry);
                String::new()
            };
        }
        if !hosts.is_empty() {
            entries.push(hosts);
        }
    }
    entries
}

impl fmt::Display for TrustedHostKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&keys.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";
    const FINGERPRINT: &str = "SHA256:UCUiLr7Pjs9wFFJMDByLgc3NrtdU344OgUM45wZPcIQ";

    #[test]
    fn every_form_gives_the_same_fingerprint() {
        for text in [
            KEY.to_owned(),
            format!("{KEY} user@host"),
            format!("sftp.example.com {KEY}"),
            format!("[sftp.example.com]:2222 {KEY} comment of several words"),
            FINGERPRINT.to_owned(),
            format!("sftp.example.com,192.0.2.1 {KEY}"),
            format!("# the partner's\n\n{KEY}\n"),
        ] {
            assert!(TrustedHostKeys::parse(&text).unwrap().trusts(FINGERPRINT), "{text}");
        }
    }

    #[test]
    fn several_keys_and_their_algorithms() {
        let two = TrustedHostKeys::parse(&format!("{KEY},SHA256:{}", "A".repeat(43))).unwrap();
        assert!(two.trusts(FINGERPRINT));
        let types: Vec<_> = two.pinned().map(|(_, key_type)| key_type).collect();
        assert_eq!(types, [Some("ssh-ed25519"), None]);
        assert_eq!(two.authorities().count(), 0);
    }

    #[test]
    fn an_authority_is_not_a_server() {
        for text in [
            format!("@cert-authority * {KEY}"),
            format!("@cert-authority *.example.com,*.example.org {KEY} comment"),
            format!("@cert-authority {KEY}"),
            format!("@cert-authority {FINGERPRINT}"),
            format!("@cert-authority *.example.com {FINGERPRINT}"),
        ] {
            let trusted = TrustedHostKeys::parse(&text).unwrap();
            assert!(!trusted.trusts(FINGERPRINT), "{text}");
            let authorities: Vec<String> = trusted.authorities().map(ToString::to_string).collect();
            assert_eq!(authorities, [FINGERPRINT], "{text}");
            let both = TrustedHostKeys::parse(&format!("{KEY},{text}")).unwrap();
            assert!(both.trusts(FINGERPRINT) && both.authorities().count() == 1, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_for_each_entry() {
        assert_eq!(TrustedHostKeys::parse(" \n,").unwrap_err(), "expected at least one host key");
        let problem = TrustedHostKeys::parse(&format!("{KEY},SHA256:short,nonsense")).unwrap_err();
        assert!(problem.contains("entry 2") && problem.contains("entry 3"), "{problem}");
        for text in ["@cert-authority", "@cert-authority *.example.com", "@revoked * ssh-ed25519 AAAA"] {
            assert!(TrustedHostKeys::parse(text).is_err(), "{text}");
        }
    }
}

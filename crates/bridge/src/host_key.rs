//! The host keys that are trusted: pinned, never learned.

use std::fmt;

use ssh_key::{Fingerprint, HashAlg, PublicKey};

/// One pinned host key, as its SHA-256 fingerprint and, where the whole key was given, its algorithm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedHostKey {
    fingerprint: Fingerprint,
    algorithm: Option<String>,
}

impl TrustedHostKey {
    /// Parses `ssh-ed25519 AAAA…` with or without a comment behind or a host name before it, or `SHA256:…`.
    ///
    /// # Errors
    /// What is wrong with it, in a few words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.starts_with("SHA256:") {
            let fingerprint = text.trim_end_matches('=').parse::<Fingerprint>();
            let fingerprint = fingerprint.map_err(|_| "not a SHA-256 fingerprint of 43 base64 characters")?;
            return Ok(Self { fingerprint, algorithm: None });
        }
        if text.starts_with('@') {
            return Err("markers such as @cert-authority are not supported".into());
        }
        let words: Vec<&str> = text.split_whitespace().collect();
        let pair = words.windows(2).take(2).find(|pair| pair[1].starts_with("AAAA"));
        let pair = pair.ok_or("expected `ssh-ed25519 AAAA…`, `host ssh-ed25519 AAAA…` or `SHA256:…`")?;
        let key =
            PublicKey::from_openssh(&pair.join(" ")).map_err(|error| format!("not a public key: {error}"))?;
        Ok(Self {
            fingerprint: key.fingerprint(HashAlg::Sha256),
            algorithm: Some(key.algorithm().as_str().to_owned()),
        })
    }
}

impl fmt::Display for TrustedHostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
    /// One sentence for all that is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut keys = Vec::new();
        let mut problems = Vec::new();
        for (index, entry) in entries(text).into_iter().enumerate() {
            match TrustedHostKey::parse(&entry) {
                Ok(key) => keys.push(key),
                Err(problem) => problems.push(format!("entry {}: {problem}", index + 1)),
            }
        }
        match (problems.is_empty(), keys.is_empty()) {
            (false, _) => Err(problems.join("; ")),
            (true, true) => Err("expected at least one host key".into()),
            (true, false) => Ok(Self(keys)),
        }
    }

    /// Whether the key with this SHA-256 fingerprint (`SHA256:…`) is pinned.
    pub fn trusts(&self, fingerprint: &str) -> bool {
        self.0.iter().any(|key| key.fingerprint.to_string() == fingerprint)
    }

    /// The algorithms of the pinned keys (`ssh-ed25519`, …), or `None` where a bare fingerprint leaves it open.
    pub fn algorithms(&self) -> Option<Vec<&str>> {
        self.0.iter().map(|key| key.algorithm.as_deref()).collect()
    }
}

/// Splits at newlines and commas, but keeps `known_hosts` lines whole: `host,192.0.2.1 ssh-ed25519 AAAA…`.
fn entries(text: &str) -> Vec<String> {
    let mut entries = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        let mut hosts = String::new();
        for part in line.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let entry = if hosts.is_empty() { part.to_owned() } else { format!("{hosts},{part}") };
            let host_only = !part.contains(char::is_whitespace) && !part.starts_with("SHA256:");
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
        assert_eq!(two.algorithms(), None);
        assert_eq!(TrustedHostKeys::parse(KEY).unwrap().algorithms(), Some(vec!["ssh-ed25519"]));
    }

    #[test]
    fn what_is_wrong_is_said_for_each_entry() {
        assert_eq!(TrustedHostKeys::parse(" \n,").unwrap_err(), "expected at least one host key");
        let problem = TrustedHostKeys::parse(&format!("{KEY},SHA256:short,nonsense")).unwrap_err();
        assert!(problem.contains("entry 2") && problem.contains("entry 3"), "{problem}");
        assert!(TrustedHostKeys::parse(&format!("@cert-authority * {KEY}")).is_err());
    }
}

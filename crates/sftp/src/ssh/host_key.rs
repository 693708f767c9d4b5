//! Host keys: which types to ask for, and whether the presented key is trusted.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use russh::keys::ssh_key::certificate::CertType;
use russh::keys::{Algorithm, Certificate, HashAlg, PublicKeyOrCertificate};
use terms::{Algorithms, Glob, TrustedHostKeys, lock};

use crate::ssh::algorithms::{HostKeyAlgorithms, key_type};

/// A host key, as a server presented it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostKey {
    /// The type, such as `ssh-ed25519`, `ecdsa-sha2-nistp256` or `ssh-rsa`.
    pub key_type: String,
    /// The SHA-256 fingerprint, `SHA256:…`.
    pub fingerprint: String,
    /// The whole key, `ssh-ed25519 AAAA…`.
    pub public_key: String,
    /// The authority that signed the key, if the server presented a certificate.
    pub authority: Option<Authority>,
}

/// An authority that signs host keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// The SHA-256 fingerprint, `SHA256:…`.
    pub fingerprint: String,
    /// The whole key, `ssh-ed25519 AAAA…`.
    pub public_key: String,
    /// The host names in the certificate.
    pub principals: Vec<String>,
}

impl HostKey {
    pub(crate) fn presented(presented: &PublicKeyOrCertificate) -> Self {
        let key = presented.public_key();
        Self {
            key_type: key_type(key.algorithm().as_str()).to_owned(),
            fingerprint: key.fingerprint(HashAlg::Sha256).to_string(),
            public_key: key.to_openssh().unwrap_or_default(),
            authority: presented.certificate().map(|certificate| Authority {
                fingerprint: certificate.signature_key().fingerprint(HashAlg::Sha256).to_string(),
                public_key: russh::keys::PublicKey::from(certificate.signature_key().clone())
                    .to_openssh()
                    .unwrap_or_default(),
                principals: certificate.valid_principals().to_vec(),
            }),
        }
    }

    /// What to give to [`TrustedHostKeys::parse`] to trust it: the authority if one has signed it, else the key itself.
    pub fn setting(&self) -> String {
        match &self.authority {
            Some(authority) => format!("@cert-authority {}", authority.public_key),
            None => self.public_key.clone(),
        }
    }
}

impl std::fmt::Display for HostKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.key_type, self.fingerprint)?;
        match &self.authority {
            Some(authority) => write!(f, " signed by {}", authority.fingerprint),
            None => Ok(()),
        }
    }
}

/// A host key that is not trusted.
#[derive(Clone, Debug)]
pub(crate) struct UntrustedHostKey {
    pub(crate) key: HostKey,
    /// Why the certificate was not accepted, if there was one.
    pub(crate) problem: Option<String>,
}

impl std::fmt::Display for UntrustedHostKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.key)?;
        match &self.problem {
            Some(problem) => write!(f, " ({problem})"),
            None => Ok(()),
        }
    }
}

/// Checks that the key is pinned, or signed by a pinned authority.
pub(crate) fn check(
    presented: &PublicKeyOrCertificate,
    host: &str,
    trusted: &TrustedHostKeys,
) -> Result<HostKey, Box<UntrustedHostKey>> {
    let key = HostKey::presented(presented);
    if trusted.trusts(&key.fingerprint) {
        learn(&key);
        return Ok(key);
    }
    let problem = match presented.certificate() {
        None => None,
        Some(certificate) => match check_certificate(certificate, host, trusted, now()) {
            Ok(()) => return Ok(key),
            Err(problem) => Some(problem),
        },
    };
    Err(Box::new(UntrustedHostKey { key, problem }))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The checks that OpenSSH's PROTOCOL.certkeys asks of a client.
fn check_certificate(
    certificate: &Certificate,
    host: &str,
    trusted: &TrustedHostKeys,
    now: u64,
) -> Result<(), String> {
    if certificate.cert_type() != CertType::Host {
        return Err("a user's certificate, not a host's".into());
    }
    if !certificate.critical_options().is_empty() {
        return Err("a certificate with unknown critical options".into());
    }
    let authority = certificate.signature_key().fingerprint(HashAlg::Sha256);
    if !trusted.authorities().any(|trusted| trusted.to_string() == authority.to_string()) {
        return Err("an authority that is not trusted".into());
    }
    if certificate.verify_signature().is_err() {
        return Err("the signature is wrong".into());
    }
    if !(certificate.valid_after()..certificate.valid_before()).contains(&now) {
        return Err("the certificate is not valid now".into());
    }
    let host = host.to_ascii_lowercase();
    let principals = certificate.valid_principals();
    if !principals.iter().any(|pattern| Glob::new(&pattern.to_ascii_lowercase()).matches(&host)) {
        let names = if principals.is_empty() { "no host".into() } else { principals.join(", ") };
        return Err(format!("the certificate is for {names}"));
    }
    Ok(())
}

/// The types of keys that were pinned by fingerprint only. A fingerprint stands for one key, and a key has one type, so
/// an entry stays valid. Only pinned keys are entered, so there are few.
static LEARNED_TYPES: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());

fn learn(key: &HostKey) {
    lock(&LEARNED_TYPES).insert(key.fingerprint.clone(), key.key_type.clone());
}

/// The host keys to ask the server for.
///
/// A server presents one key only: a key of the first type in our list that it has. The pinned types therefore come
/// first; otherwise it might present a key that is not pinned. The type of a bare fingerprint is unknown: the types are
/// then asked for one after the other, each on a connection of its own.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// Pinned types.
    known: Vec<String>,
    /// Whether a pinned key is of unknown type.
    has_unknown: bool,
    algorithms: Vec<&'static str>,
    wants_certificates: bool,
    /// Whether the server presented a key that is not trusted.
    was_refused: bool,
}

impl Wanted {
    pub(crate) fn new(trusted: &TrustedHostKeys, algorithms: &Algorithms) -> Self {
        let learned = lock(&LEARNED_TYPES);
        let types = trusted.pinned().map(|(fingerprint, key_type)| {
            key_type.map(str::to_owned).or_else(|| learned.get(&fingerprint.to_string()).cloned())
        });
        let types: Vec<Option<String>> = types.collect();
        Self {
            has_unknown: types.contains(&None),
            known: types.into_iter().flatten().collect(),
            algorithms: algorithms.host_keys.clone(),
            wants_certificates: trusted.authorities().next().is_some(),
            was_refused: false,
        }
    }

    /// The algorithms to ask for. On the first connection, the types that are not pinned come last: the error message
    /// then names the key that the server has instead.
    pub(crate) fn algorithms(&self) -> HostKeyAlgorithms {
        let is_known = |name: &&str| self.known.iter().any(|known| known == key_type(name));
        let mut names: Vec<&str> = self.algorithms.clone();
        if self.was_refused && !self.has_unknown {
            names.retain(|name| is_known(name));
        }
        names.sort_by_key(|name| !is_known(name));
        let keys: Vec<Algorithm> = names.iter().filter_map(|name| Algorithm::new(name).ok()).collect();
        let certificates = if self.wants_certificates { keys.clone() } else { Vec::new() };
        HostKeyAlgorithms { keys, certificates }
    }

    /// Rules out the type of a key that is not trusted. False if no other type can have a trusted key.
    pub(crate) fn rule_out(&mut self, key: &HostKey) -> bool {
        match &key.authority {
            Some(_) => self.wants_certificates = false,
            None => self.algorithms.retain(|name| key_type(name) != key.key_type),
        }
        self.was_refused = true;
        !self.algorithms().keys.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    fn key(key_type: &str) -> HostKey {
        HostKey {
            key_type: key_type.into(),
            fingerprint: "SHA256:x".into(),
            public_key: key_type.into(),
            authority: None,
        }
    }

    fn first(wanted: &Wanted) -> String {
        wanted.algorithms().keys[0].as_str().to_owned()
    }

    #[test]
    fn pinned_types_come_first_and_are_all_that_is_tried_again() {
        let rsa = format!("ssh-rsa {}", ED25519.split_once(' ').unwrap().1);
        assert!(TrustedHostKeys::parse(&rsa).is_err(), "the type must be the key's");
        let trusted = TrustedHostKeys::parse(ED25519).unwrap();
        let mut wanted = Wanted::new(&trusted, &Algorithms::default());
        assert_eq!((first(&wanted).as_str(), wanted.algorithms().keys.len()), ("ssh-ed25519", 6));
        assert!(!wanted.rule_out(&key("ssh-ed25519")), "no other can be the pinned one");
    }

    #[test]
    fn a_bare_fingerprint_is_looked_for_among_all_types() {
        let trusted = TrustedHostKeys::parse(&format!("SHA256:{}", "A".repeat(43))).unwrap();
        let mut wanted = Wanted::new(&trusted, &Algorithms::default());
        let mut asked = Vec::new();
        loop {
            asked.push(first(&wanted));
            if !wanted.rule_out(&key(key_type(asked.last().unwrap()))) {
                break;
            }
        }
        assert_eq!(
            asked,
            [
                "ssh-ed25519",
                "ecdsa-sha2-nistp256",
                "ecdsa-sha2-nistp384",
                "ecdsa-sha2-nistp521",
                "rsa-sha2-512"
            ]
        );
    }

    #[test]
    fn certificates_are_asked_for_where_an_authority_is_trusted() {
        let trusted = TrustedHostKeys::parse(&format!("@cert-authority * {ED25519}")).unwrap();
        let wanted = Wanted::new(&trusted, &Algorithms::default());
        assert_eq!(wanted.algorithms().certificates.len(), 6);
        let trusted = TrustedHostKeys::parse(ED25519).unwrap();
        assert!(Wanted::new(&trusted, &Algorithms::default()).algorithms().certificates.is_empty());
    }

    #[test]
    fn names_with_wildcards() {
        for (pattern, name, expected) in [
            ("sftp.example.com", "sftp.example.com", true),
            ("*.example.com", "sftp.example.com", true),
            ("*.example.com", "example.com", false),
            ("sftp?.example.com", "sftp1.example.com", true),
            ("sftp?.example.com", "sftp.example.com", false),
            ("*", "x", true),
            ("", "x", false),
            ("127.0.0.1", "127.0.0.11", false),
        ] {
            assert_eq!(Glob::new(pattern).matches(name), expected, "{pattern} {name}");
        }
    }
}

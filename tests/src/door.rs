//! How one logs in to the embedded server, and what it agrees on: passwords, questions, two things one after the other,
//! other host keys, other algorithms. It counts what it refuses.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use russh::keys::{Certificate, PrivateKey};
use russh::server::{Auth, Config};
use russh::{MethodKind, MethodSet, Preferred};

/// The way in. Without anything set: the account's key alone.
#[derive(Clone, Debug, Default)]
pub struct Door {
    /// What has to be proved, one after the other; none: the account's key.
    pub methods: Vec<MethodKind>,
    /// Whether one of them is enough.
    pub any: bool,
    /// The user's password.
    pub password: String,
    /// More host keys, in OpenSSH's encoding.
    pub host_keys: Vec<String>,
    /// Certificates of host keys.
    pub certificates: Vec<String>,
    /// What is offered, instead of russh's defaults.
    pub preferred: Option<Preferred>,
    /// Whoever tries to log in is hung up on.
    pub hangs_up: bool,
    /// Attempts that were refused, on all connections.
    pub refused: Arc<AtomicUsize>,
    /// Attempts that were judged, on all connections.
    pub judged: Arc<AtomicUsize>,
}

impl Door {
    /// Attempts that were refused since the last time.
    pub fn take_refused(&self) -> usize {
        self.refused.swap(0, Ordering::Relaxed)
    }

    pub(crate) fn config(&self, config: Config) -> Result<Config> {
        let mut config = config;
        for key in &self.host_keys {
            config.keys.push(PrivateKey::from_openssh(key)?);
        }
        for certificate in &self.certificates {
            config.certificates.push(Certificate::from_openssh(certificate)?);
        }
        if let Some(preferred) = &self.preferred {
            config.preferred = preferred.clone();
        }
        config.methods = self.left(&[]);
        Ok(config)
    }

    /// The methods with which one may go on.
    fn left(&self, proved: &[MethodKind]) -> MethodSet {
        let all = match self.methods.is_empty() {
            true => &[MethodKind::PublicKey][..],
            false => &self.methods,
        };
        let mut left = all.iter().filter(|method| !proved.contains(method));
        match self.any {
            true => all.into(),
            false => left.next().map_or(MethodSet::empty(), |next| [*next].as_slice().into()),
        }
    }

    pub(crate) fn judge(&self, method: MethodKind, known: bool, proved: &mut Vec<MethodKind>) -> Auth {
        self.judged.fetch_add(1, Ordering::Relaxed);
        if !known || !self.left(proved).contains(&method) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Auth::Reject { proceed_with_methods: Some(self.left(proved)), partial_success: false };
        }
        proved.push(method);
        let left = self.left(proved);
        match self.any || left.is_empty() {
            true => Auth::Accept,
            false => Auth::Reject { proceed_with_methods: Some(left), partial_success: true },
        }
    }

    pub(crate) fn is_password(&self, password: &str) -> bool {
        !self.password.is_empty() && password == self.password
    }

    pub(crate) fn question() -> Auth {
        let prompts = Cow::Borrowed(&[(Cow::Borrowed("Password: "), false)][..]);
        Auth::Partial { name: "".into(), instructions: "".into(), prompts }
    }
}

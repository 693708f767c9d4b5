//! Logins of the embedded server: passwords, questions, several methods one after the other; and its host keys and
//! algorithms. It counts the attempts that it refuses.

use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use russh::keys::{Certificate, PrivateKey};
use russh::server::{Auth, Config};
use russh::{MethodKind, MethodSet, Preferred};

/// How clients log in. By default: with the account's key.
#[derive(Clone, Debug, Default)]
pub struct Door {
    /// The required methods, one after the other. Empty: the account's key.
    pub methods: Vec<MethodKind>,
    /// Whether one of the methods is enough.
    pub any: bool,
    /// The user's password.
    pub password: String,
    /// More host keys, in OpenSSH's encoding.
    pub host_keys: Vec<String>,
    /// Certificates of host keys.
    pub certificates: Vec<String>,
    /// The algorithms, instead of russh's defaults.
    pub preferred: Option<Preferred>,
    /// Whether each login ends the connection.
    pub hangs_up: bool,
    /// How long it takes to check a key or a password.
    pub slow: Duration,
    /// The banner.
    pub banner: Option<&'static str>,
    /// The rounds of questions of keyboard-interactive: each question, and whether its answer is shown. Empty: the server
    /// asks for the password.
    pub questions: Vec<Vec<(&'static str, bool)>>,
    /// The answers to the questions, on all connections.
    pub answers: Arc<Mutex<Vec<String>>>,
    /// What the server does when a client requests SFTP.
    pub start: Start,
    /// Number of channels of each kind that the server opens to the client after the request for SFTP.
    pub opens: usize,
    /// The server's channels that the client accepted, and those that it refused.
    pub opened: Arc<[AtomicUsize; 2]>,
    /// Attempts that were refused, on all connections.
    pub refused: Arc<AtomicUsize>,
    /// Attempts that were checked, on all connections.
    pub judged: Arc<AtomicUsize>,
}

/// What the server does when a client requests SFTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// SFTP starts.
    #[default]
    Sftp,
    /// The connection ends. Until SFTP has started, the channel takes no data.
    Cut,
    /// SFTP is refused. Until SFTP has started, the channel takes no data.
    Refused,
    /// These words are sent as standard error, and the channel is closed.
    Words(&'static str),
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
        if matches!(self.start, Start::Cut | Start::Refused) {
            config.window_size = 0;
        }
        Ok(config)
    }

    /// The methods that the client may use next.
    fn left(&self, proved: &[MethodKind]) -> MethodSet {
        let all = if self.methods.is_empty() { &[MethodKind::PublicKey][..] } else { &self.methods };
        let mut left = all.iter().filter(|method| !proved.contains(method));
        if self.any {
            all.into()
        } else {
            left.next().map_or(MethodSet::empty(), |next| [*next].as_slice().into())
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
        if self.any || left.is_empty() {
            Auth::Accept
        } else {
            Auth::Reject { proceed_with_methods: Some(left), partial_success: true }
        }
    }

    pub(crate) fn is_password(&self, password: &str) -> bool {
        !self.password.is_empty() && password == self.password
    }

    /// The questions of this round, from 0; `None` after the last one.
    pub(crate) fn questions(&self, round: usize) -> Option<Auth> {
        let prompts = match self.questions.get(round) {
            Some(questions) => {
                questions.iter().map(|(question, is_seen)| (Cow::Borrowed(*question), *is_seen)).collect()
            }
            None if round == 0 => vec![(Cow::Borrowed("Password: "), false)],
            None => return None,
        };
        Some(Auth::Partial { name: "".into(), instructions: "".into(), prompts: Cow::Owned(prompts) })
    }

    /// Opens channels to the client, and counts its answers.
    pub(crate) fn open_channels(&self, client: russh::server::Handle) {
        let (opens, opened) = (self.opens, Arc::clone(&self.opened));
        tokio::spawn(async move {
            for _ in 0..opens {
                for channel in [
                    client.channel_open_forwarded_tcpip("a", 1, "b", 2).await,
                    client.channel_open_session().await,
                    client.channel_open_direct_tcpip("a", 1, "b", 2).await,
                    client.channel_open_x11("a", 1).await,
                ] {
                    opened[usize::from(channel.is_err())].fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
}

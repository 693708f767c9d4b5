//! A session: one connection to a server, logged in, with SFTP started.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use russh::client::Handle;
use terms::{ErrorKind, TrustedHostKeys, lock};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::error::{Error, Result};
use crate::options::{Endpoint, Options};
use crate::protocol::channel::Sftp;
use crate::ssh::algorithms::Negotiated;
use crate::ssh::authentication::{authenticate, not_logged_in};
use crate::ssh::condition::Condition;
use crate::ssh::connection::{Handler, disconnect};
use crate::ssh::handshake;
use crate::ssh::host_key::HostKey;
use crate::ssh::login::Login;

/// A connection to a server, logged in, with one SFTP channel. Further channels are opened on request.
pub struct Session {
    /// `None` if a test speaks SFTP without SSH.
    ssh: Option<Handle<Handler>>,
    /// After the first one.
    further: Mutex<Vec<Arc<OnceCell<Arc<Sftp>>>>>,
    first: Arc<Sftp>,
    host_key: HostKey,
    negotiated: Negotiated,
    condition: Condition,
    target: Target,
}

/// Everything that is needed to connect again.
#[derive(Clone)]
struct Target {
    endpoint: Endpoint,
    login: Login,
    trusted: TrustedHostKeys,
    options: Options,
}

impl Session {
    /// Connects, checks the host key, logs in and starts SFTP.
    ///
    /// Round trips: TCP, identifications and lists of algorithms, key exchange, service, the offer of the key, its
    /// signature, the channel, and the subsystem with SFTP's version. The last step takes two round trips with OpenSSH: its
    /// channel has no window before the subsystem runs. The limits of the server come along with the first request.
    ///
    /// # Errors
    /// [`Error::Connect`]: `ConnectFailed` with the step and the address, `HostKeyMismatch`, `NoCommonAlgorithm`, or
    /// `AuthenticationRejected`.
    ///
    /// # Cancel safety
    /// If the future is dropped, the connection is closed. An attempt to log in may count as failed on the server.
    pub async fn connect(
        endpoint: &Endpoint,
        login: &Login,
        trusted: &TrustedHostKeys,
        options: &Options,
    ) -> Result<Self> {
        let target = Target {
            endpoint: endpoint.clone(),
            login: login.clone(),
            trusted: trusted.clone(),
            options: options.clone(),
        };
        Self::open(target).await
    }

    /// Opens another connection with the same endpoint, login and options.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    ///
    /// # Cancel safety
    /// As [`connect`](Self::connect).
    pub async fn reconnect(&self) -> Result<Self> {
        Self::open(self.target.clone()).await
    }

    async fn open(target: Target) -> Result<Self> {
        let Target { endpoint, login, trusted, options } = &target;
        let mut connection = handshake::connect(endpoint, trusted, options).await?;
        let logging_in = async {
            authenticate(&mut connection, endpoint, login, options).await?;
            let started = start_sftp(&connection.ssh, endpoint, &connection.facts.condition, options).await;
            started
                .map_err(|error| Error::from(error.kind().error(login.without_password(&error.to_string()))))
        };
        let sftp = tokio::time::timeout(options.login_timeout, logging_in).await;
        let sftp = sftp.unwrap_or_else(|_| Err(not_logged_in(endpoint, options)));
        let first = Arc::new(sftp.inspect_err(|error| connection.facts.note_failure(error))?);
        Ok(Self {
            ssh: Some(connection.ssh),
            further: Mutex::default(),
            first,
            host_key: connection.facts.host_key(),
            negotiated: connection.facts.negotiated(),
            condition: connection.facts.condition,
            target,
        })
    }

    /// A session without SSH, for tests that decide when a request is answered.
    #[cfg(feature = "internals")]
    pub(crate) async fn without_ssh(
        ends: crate::protocol::link::Ends,
        endpoint: Endpoint,
        trusted: TrustedHostKeys,
        options: Options,
    ) -> Result<Self> {
        let condition = Condition::default();
        let (reader, writer) = ends.into_halves();
        let sftp =
            Sftp::start_on(reader, writer, condition.clone(), options.stall_timeout, Duration::ZERO).await?;
        let first = Arc::new(sftp);
        Ok(Self {
            ssh: None,
            further: Mutex::default(),
            first,
            host_key: HostKey::default(),
            negotiated: Negotiated::default(),
            condition,
            target: Target { endpoint, login: Login::default(), trusted, options },
        })
    }

    /// The first SFTP channel.
    pub fn sftp(&self) -> &Arc<Sftp> {
        &self.first
    }

    /// The SFTP channel with this number, from 0 on. If it does not exist, it is opened. Several can be opened at the same
    /// time.
    ///
    /// # Errors
    /// The server permits no further channel (OpenSSH's `MaxSessions`). The session can still be used.
    ///
    /// # Cancel safety
    /// Cancel safe. A channel that was being opened is closed.
    pub async fn channel(&self, number: usize) -> Result<Arc<Sftp>> {
        let Some(index) = number.checked_sub(1) else { return Ok(Arc::clone(&self.first)) };
        let cell = {
            let mut further = lock(&self.further);
            let cells = further.len().max(number);
            further.resize_with(cells, Arc::default);
            Arc::clone(&further[index])
        };
        cell.get_or_try_init(|| self.open_channel()).await.cloned()
    }

    async fn open_channel(&self) -> Result<Arc<Sftp>> {
        let Target { endpoint, options, .. } = &self.target;
        let ssh = self.ssh.as_ref().ok_or_else(|| starting_sftp(endpoint, &"there is no SSH"))?;
        let starting = start_sftp(ssh, endpoint, &self.condition, options);
        let sftp = tokio::time::timeout(options.login_timeout, starting).await;
        Ok(Arc::new(sftp.map_err(|_| starting_sftp(endpoint, &"no answer"))??))
    }

    /// Whether the server still answers, within `patience`.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn is_alive(&self, patience: Duration) -> bool {
        // This path exists on every server. A refusal is a sign of life as well.
        let answered = tokio::time::timeout(patience, self.first.stat(".")).await;
        matches!(answered, Ok(Ok(_) | Err(Error::Refused(_))))
    }

    /// From now on, no new work may begin on this session: see [`Sftp::is_poisoned`].
    pub fn poison(&self) {
        self.condition.poison();
    }

    /// Whether bytes of a file were transferred on this session: acknowledged by the server, or read from it.
    pub fn has_carried_data(&self) -> bool {
        self.condition.has_carried_data()
    }

    /// The fingerprint of the server's host key, `SHA256:…`. The key is trusted.
    pub fn host_key_fingerprint(&self) -> &str {
        &self.host_key.fingerprint
    }

    /// The server's host key. It is trusted.
    pub fn host_key(&self) -> &HostKey {
        &self.host_key
    }

    /// The algorithms in use, and the server's identification.
    pub fn negotiated(&self) -> &Negotiated {
        &self.negotiated
    }

    /// The label of the login (see [`Login::label`]).
    pub fn label(&self) -> Option<&str> {
        self.target.login.label.as_deref()
    }

    /// Tells the server that the session ends. A session that is only dropped is closed as well, but the server logs it as
    /// broken.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn disconnect(&self) {
        if let Some(ssh) = &self.ssh {
            disconnect(ssh).await;
        }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("endpoint", &self.target.endpoint)
            .field("user_name", &self.target.login.user_name)
            .field("host_key", &self.host_key.fingerprint)
            .field("negotiated", &self.negotiated)
            .finish_non_exhaustive()
    }
}

async fn start_sftp(
    ssh: &Handle<Handler>,
    endpoint: &Endpoint,
    condition: &Condition,
    options: &Options,
) -> Result<Sftp> {
    let asked_at = Instant::now();
    let channel = ssh.channel_open_session().await.map_err(|error| match condition.ended() {
        Some(how) => starting_sftp(endpoint, &how),
        None => starting_sftp(endpoint, &error),
    })?;
    let round_trip = asked_at.elapsed();
    Sftp::start(channel, condition.clone(), options.stall_timeout, round_trip).await
}

fn starting_sftp(endpoint: &Endpoint, problem: &dyn std::fmt::Display) -> Error {
    ErrorKind::ConnectFailed.error(format!("starting SFTP on {endpoint}: {problem}")).into()
}

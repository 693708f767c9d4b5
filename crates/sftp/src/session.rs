//! Connecting: TCP, key exchange, host key, login, the SFTP subsystem.

use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bridge::{Algorithms, Error, ErrorName, TrustedHostKeys};
use russh::client::{self, ChannelOpenHandle, DisconnectReason, Handle, Msg};
use russh::keys::{Algorithm, PublicKeyOrCertificate};
use russh::{AlgorithmKind, Channel, Disconnect, Limits, Names, Preferred};
use socket2::{SockRef, Socket};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::addresses::{self, Addresses, Connected, late};
use crate::algorithms;
use crate::authentication::{Login, authenticate};
use crate::codec::clipped;
use crate::condition::Condition;
use crate::greeting::Greeted;
use crate::host_key::{self, HostKey, Refused, Wanted};
use crate::lanes::Lane;
use crate::probe::{self, Negotiated};
use crate::transport::Transport;
use crate::{Caps, ConnectError, FileHandle, Remedy, Result, Sftp, Spread, UploadBuilder};

/// The partner's server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// How to speak with a server, and how long to wait for what.
#[derive(Clone, Debug)]
pub struct Options {
    /// For looking the name up, TCP and key exchange together, with all addresses of the host.
    pub connect_timeout: Duration,
    /// For logging in and starting SFTP together.
    pub login_timeout: Duration,
    /// What to connect to instead of what the host's name stands for. Empty: the name is looked up.
    pub addresses: Vec<SocketAddr>,
    /// A keepalive is sent after this much silence; four times as much end the session, unless the server is hashing,
    /// closing or renaming a file for us.
    pub keepalive_interval: Duration,
    /// What was asked on a session that is otherwise alive has to be answered within this, CLOSE and RENAME within ten
    /// times this. [`Sftp::sha256`] has a patience of its own.
    pub stall_timeout: Duration,
    /// New keys are agreed on after so many bytes, in either direction (RFC 4253, section 9, recommends each GiB).
    pub rekey_after: usize,
    /// What is offered to the server.
    pub algorithms: Algorithms,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(20),
            login_timeout: Duration::from_secs(20),
            addresses: Vec::new(),
            keepalive_interval: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(60),
            rekey_after: 1 << 30,
            algorithms: Algorithms::default(),
        }
    }
}

/// A connection to a server, logged in, with one SFTP channel; more are opened when they are asked for.
pub struct Session {
    /// `None` where a test speaks SFTP without SSH.
    ssh: Option<Handle<Handler>>,
    channels: tokio::sync::Mutex<Vec<Arc<Sftp>>>,
    first: Arc<Sftp>,
    host_key: HostKey,
    negotiated: Negotiated,
    condition: Condition,
    target: Target,
}

/// All that it takes to connect.
#[derive(Clone)]
struct Target {
    endpoint: Endpoint,
    login: Login,
    trusted: TrustedHostKeys,
    options: Options,
}

/// The longest packet that a server may send on a channel.
pub(crate) const PACKET_MAX: usize = 32 * 1024;

/// How many keepalives may go unanswered.
const KEEPALIVES_MAX: u32 = 3;

impl Session {
    /// Connects, checks the host key, logs in and starts SFTP.
    ///
    /// Round trips: TCP, identifications and lists of algorithms, key exchange, service, the offer of the key, its
    /// signature, the channel, the subsystem and SFTP's version: one where the channel takes data at once, two with OpenSSH.
    /// The limits of the server come along with the first request.
    ///
    /// # Errors
    /// `ConnectFailed` with the step and the address, `HostKeyMismatch`, `NoCommonAlgorithm`,
    /// `AuthenticationRejected`.
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

    /// Another connection like this one.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn reconnect(&self) -> Result<Self> {
        Self::open(self.target.clone()).await
    }

    async fn open(target: Target) -> Result<Self> {
        let Target { endpoint, login, trusted, options } = &target;
        let (mut ssh, state) = open(endpoint, trusted, options).await?;
        let logging_in = async {
            authenticate(&mut ssh, &state, endpoint, login, options).await?;
            let started = start_sftp(&ssh, endpoint, &state.condition, options).await;
            started.map_err(|error| {
                crate::Error::from(error.name().error(login.without_password(&error.to_string())))
            })
        };
        let sftp = tokio::time::timeout(options.login_timeout, logging_in).await;
        let sftp = sftp.unwrap_or_else(|_| Err(not_logged_in(endpoint, options).into()));
        let first = Arc::new(sftp.inspect_err(|error| state.note_failure(error))?);
        Ok(Self {
            ssh: Some(ssh),
            channels: tokio::sync::Mutex::new(vec![Arc::clone(&first)]),
            first,
            host_key: state.presented(),
            negotiated: state.negotiated(),
            condition: state.condition,
            target,
        })
    }

    /// A session without SSH, for tests that decide when a request is answered.
    #[cfg(feature = "internals")]
    pub(crate) async fn without_ssh(
        ends: crate::link::Ends,
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
            channels: tokio::sync::Mutex::new(vec![Arc::clone(&first)]),
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

    /// An SFTP channel by its number, from 0; opens the next one if there are not so many.
    ///
    /// # Errors
    /// The server allows no more (OpenSSH's `MaxSessions`); the session goes on without.
    pub async fn channel(&self, number: usize) -> Result<Arc<Sftp>> {
        let mut channels = self.channels.lock().await;
        if let Some(sftp) = channels.get(number) {
            return Ok(Arc::clone(sftp));
        }
        let Target { endpoint, options, .. } = &self.target;
        let ssh = self.ssh.as_ref().ok_or_else(|| starting_sftp(endpoint, &"there is no SSH"))?;
        let starting = start_sftp(ssh, endpoint, &self.condition, options);
        let sftp = tokio::time::timeout(options.login_timeout, starting).await;
        let sftp = Arc::new(sftp.map_err(|_| starting_sftp(endpoint, &"no answer"))??);
        channels.push(Arc::clone(&sftp));
        Ok(sftp)
    }

    /// Begins to open further channels and connections, in the background, for a file with so many bytes to send.
    pub fn spread(self: &Arc<Self>, remaining: u64, caps: Caps) -> Spread {
        Spread::begin(self, remaining, caps)
    }

    /// Prepares to send to a file that is open on the first channel.
    pub fn upload(&self, file: FileHandle) -> UploadBuilder {
        UploadBuilder::new(Lane::new(Arc::clone(&self.first), file))
    }

    /// Whether the server still answers, within `patience`.
    pub async fn is_alive(&self, patience: Duration) -> bool {
        // A path that is there on every server; any answer is a sign of life.
        let answered = tokio::time::timeout(patience, self.first.stat(".")).await;
        matches!(answered, Ok(Ok(_) | Err(crate::Error::Refused(_))))
    }

    /// Nobody is to begin anything on it any more: see [`Sftp::is_poisoned`].
    pub fn poison(&self) {
        self.condition.poison();
    }

    /// Whether the server has acknowledged or sent bytes of a file on it.
    pub fn has_carried_data(&self) -> bool {
        self.condition.has_carried_data()
    }

    /// The fingerprint of the host key that the server presented, `SHA256:…`; it is one of the trusted ones.
    pub fn host_key_fingerprint(&self) -> &str {
        &self.host_key.fingerprint
    }

    /// The host key that the server presented; it is one of the trusted ones.
    pub fn host_key(&self) -> &HostKey {
        &self.host_key
    }

    /// The algorithms in use, and the server's identification.
    pub fn negotiated(&self) -> &Negotiated {
        &self.negotiated
    }

    /// The label of the login that the server took.
    pub fn label(&self) -> Option<&str> {
        self.target.login.label.as_deref()
    }

    /// Says goodbye. A session that is merely dropped is closed, too, but the server logs it as broken.
    pub async fn disconnect(&self) {
        let Some(ssh) = &self.ssh else { return };
        let goodbye = ssh.disconnect(Disconnect::ByApplication, "", "en");
        let _ = tokio::time::timeout(Duration::from_secs(1), goodbye).await;
    }
}

async fn start_sftp(
    ssh: &Handle<Handler>,
    endpoint: &Endpoint,
    condition: &Condition,
    options: &Options,
) -> Result<Sftp> {
    let asked_at = Instant::now();
    let channel = ssh.channel_open_session().await.map_err(|error| match condition.how() {
        Some(words) => starting_sftp(endpoint, &words),
        None => starting_sftp(endpoint, &error),
    })?;
    let round_trip = asked_at.elapsed();
    Sftp::start(channel, condition.clone(), options.stall_timeout, round_trip).await
}

fn starting_sftp(endpoint: &Endpoint, problem: &dyn std::fmt::Display) -> Error {
    ErrorName::ConnectFailed.error(format!("starting SFTP on {endpoint}: {problem}"))
}

pub(crate) fn not_logged_in(endpoint: &Endpoint, options: &Options) -> Error {
    ErrorName::ConnectFailed.error(format!("logging in to {endpoint}: {}", late(options.login_timeout)))
}

/// TCP and key exchange, host key included.
pub(crate) async fn open(
    endpoint: &Endpoint,
    trusted: &TrustedHostKeys,
    options: &Options,
) -> Result<(Handle<Handler>, State)> {
    let mut wanted = Wanted::new(trusted, &options.algorithms);
    let mut refused: Vec<String> = Vec::new();
    let mismatch = |refused: &[String]| {
        ErrorName::HostKeyMismatch.error(format!(
            "{endpoint} presented the host key {}; trusted are {trusted}",
            refused.join(", then ")
        ))
    };
    // Another key of the server may be the pinned one. There are as many turns as there are types of keys at most.
    loop {
        match handshake(endpoint, Trust::In(trusted.clone()), options, wanted.lists()).await {
            Ok(opened) => return Ok(opened),
            Err(Handshake::HostKey(key)) => {
                refused.push(key.to_string());
                if !wanted.rule_out(&key.key) {
                    return Err(mismatch(&refused).into());
                }
            }
            Err(Handshake::NoCommonAlgorithm { .. }) if !refused.is_empty() => {
                return Err(mismatch(&refused).into());
            }
            Err(Handshake::NoCommonAlgorithm { kind, ours, theirs }) => {
                return Err(no_common_algorithm(endpoint, options, kind, &ours, &theirs).await);
            }
            Err(Handshake::Error(error)) => return Err(error.into()),
        }
    }
}

/// Whom to believe to be the server.
#[derive(Clone)]
pub(crate) enum Trust {
    /// Who has a pinned key.
    In(TrustedHostKeys),
    /// Nobody: each handshake ends at the host key, which is what it was made for.
    Nobody,
}

/// Why a handshake failed.
pub(crate) enum Handshake {
    HostKey(Box<Refused>),
    NoCommonAlgorithm { kind: AlgorithmKind, ours: Vec<String>, theirs: Vec<String> },
    Error(Error),
}

/// One connection: TCP and key exchange, asking for host keys and certificates of these algorithms. An address that is
/// silent, or breaks off, is followed by the next one.
pub(crate) async fn handshake(
    endpoint: &Endpoint,
    trust: Trust,
    options: &Options,
    (host_keys, certificates): (Vec<Algorithm>, Vec<Algorithm>),
) -> std::result::Result<(Handle<Handler>, State), Handshake> {
    let preferred = algorithms::preferred(&options.algorithms, host_keys, certificates);
    let config = Arc::new(config(preferred, options));
    let mut addresses = Addresses::look_up(endpoint, options).await.map_err(Handshake::Error)?;
    loop {
        let connected = addresses.connect().await.map_err(Handshake::Error)?;
        let address = connected.address;
        match exchange_keys(endpoint, connected, trust.clone(), options, Arc::clone(&config)).await {
            Err(Handshake::Error(error)) => addresses.failed(address, error.message().to_owned()),
            outcome => {
                addresses::forget_failure(address);
                return outcome;
            }
        }
    }
}

async fn exchange_keys(
    endpoint: &Endpoint,
    Connected { stream, address, share, until }: Connected,
    trust: Trust,
    options: &Options,
    config: Arc<client::Config>,
) -> std::result::Result<(Handle<Handler>, State), Handshake> {
    let state = State { address: Some(address), ..State::default() };
    let mut unused = EndsUnused::new(&stream);
    let handler = Handler { host: endpoint.host.clone(), trust, state: state.clone() };
    let transport =
        Transport::new(stream, options.keepalive_interval * (KEEPALIVES_MAX + 1), &state.condition);
    let connecting = client::connect_stream(config, Greeted::new(transport, &state.condition), handler);
    let failed = |problem: &dyn std::fmt::Display| {
        let greeting = state.condition.greeting();
        let greeting = greeting.map_or_else(String::new, |words| format!("; the server said {words:?}"));
        Handshake::Error(
            ErrorName::ConnectFailed
                .error(format!("SSH key exchange with {endpoint} ({address}): {problem}{greeting}")),
        )
    };
    match timeout_at(until, connecting).await {
        Err(_) => Err(failed(&late(share))),
        Ok(Ok(ssh)) => {
            unused.keep();
            Ok((ssh, state))
        }
        Ok(Err(HandshakeError::HostKey(refused))) => Err(Handshake::HostKey(refused)),
        Ok(Err(HandshakeError::Ssh(russh::Error::NoCommonAlgo { kind, ours, theirs }))) => {
            Err(Handshake::NoCommonAlgorithm { kind, ours, theirs })
        }
        // How the session ended says more than that it has.
        Ok(Err(HandshakeError::Ssh(error))) => match state.lost() {
            Some(words) => Err(failed(&words)),
            None => Err(failed(&error)),
        },
    }
}

/// Ends a connection whose key exchange is given up. russh's task would hold it for as long as the server is silent.
struct EndsUnused(Option<Socket>);

impl EndsUnused {
    fn new(stream: &TcpStream) -> Self {
        Self(SockRef::from(stream).try_clone().ok())
    }

    fn keep(&mut self) {
        self.0 = None;
    }
}

impl Drop for EndsUnused {
    fn drop(&mut self) {
        if let Some(socket) = &self.0 {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

/// Asks the server once more, for all that it offers: one kind of algorithms was found wanting, others may be, too.
async fn no_common_algorithm(
    endpoint: &Endpoint,
    options: &Options,
    kind: AlgorithmKind,
    ours: &[String],
    theirs: &[String],
) -> crate::Error {
    let kind = match kind {
        AlgorithmKind::Kex => "key exchange",
        AlgorithmKind::Key => "host key algorithm",
        AlgorithmKind::Cipher => "cipher",
        AlgorithmKind::Mac => "MAC",
        AlgorithmKind::Compression => "compression",
    };
    let remedy = match probe::offer(endpoint, options).await.map(|offer| offer.preset()) {
        Ok(Some(preset)) => Remedy::Preset(preset),
        Ok(None) => Remedy::NoPreset,
        Err(_) => Remedy::Unknown,
    };
    let error = ErrorName::NoCommonAlgorithm.error(format!(
        "{endpoint} and we share no {kind}: ours are {}; theirs are {}",
        ours.join(" "),
        clipped(&theirs.join(" "))
    ));
    ConnectError::with_remedy(error, remedy)
}

fn config(preferred: Preferred, options: &Options) -> client::Config {
    client::Config {
        nodelay: true,
        keepalive_interval: Some(options.keepalive_interval),
        // It is our transport that ends a session for silence: russh knows of no reason to be patient.
        keepalive_max: 0,
        inactivity_timeout: None,
        preferred,
        gex: algorithms::group_sizes(),
        limits: Limits::new(options.rekey_after, options.rekey_after, Duration::from_secs(3600)),
        // What is asked for governs how much comes back, not the channel's window.
        window_size: 16 * 1024 * 1024,
        maximum_packet_size: PACKET_MAX as u32,
        ..Default::default()
    }
}

/// What the handler learns.
#[derive(Clone, Default)]
pub(crate) struct State {
    presented: Arc<Mutex<HostKey>>,
    negotiated: Arc<Mutex<Negotiated>>,
    pub(crate) condition: Condition,
    dismissed: Arc<AtomicBool>,
    address: Option<SocketAddr>,
}

impl State {
    pub(crate) fn presented(&self) -> HostKey {
        self.presented.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn negotiated(&self) -> Negotiated {
        self.negotiated.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How the session ended, if it has.
    pub(crate) fn lost(&self) -> Option<String> {
        self.condition.how()
    }

    /// The login failed. Unless it was refused, another address may do better the next time.
    pub(crate) fn note_failure(&self, error: &crate::Error) {
        if let Some(address) = self.address
            && error.name() == ErrorName::ConnectFailed
        {
            addresses::remember_failure(address);
        }
    }

    /// Whether it ended because of how we tried to log in.
    pub(crate) fn is_dismissed(&self) -> bool {
        self.dismissed.load(Ordering::Relaxed)
    }
}

pub(crate) struct Handler {
    host: String,
    trust: Trust,
    state: State,
}

#[derive(Debug)]
pub(crate) enum HandshakeError {
    HostKey(Box<Refused>),
    Ssh(russh::Error),
}

impl From<russh::Error> for HandshakeError {
    fn from(error: russh::Error) -> Self {
        Self::Ssh(error)
    }
}

/// Whether a server that says goodbye with this means that it does not let us in. OpenSSH calls too many failures a
/// protocol error.
fn is_dismissal(reason: &Disconnect) -> bool {
    matches!(
        reason,
        Disconnect::ProtocolError
            | Disconnect::AuthCancelledByUser
            | Disconnect::NoMoreAuthMethodsAvailable
            | Disconnect::IllegalUserName
    )
}

/// A server has no channel to open to us. russh takes those that it knows, unless it is told otherwise, and each costs
/// memory. An answer that is dropped is a refusal.
macro_rules! refuses_channels {
    ($($name:ident($($argument:ty),*);)*) => {$(
        async fn $name(
            &mut self,
            _: Channel<Msg>,
            $(_: $argument,)*
            reply: ChannelOpenHandle,
            _: &mut client::Session,
        ) -> std::result::Result<(), Self::Error> {
            drop(reply);
            Ok(())
        }
    )*};
}

impl client::Handler for Handler {
    type Error = HandshakeError;

    async fn check_server_key(
        &mut self,
        presented: &PublicKeyOrCertificate,
    ) -> std::result::Result<bool, Self::Error> {
        let key = match &self.trust {
            Trust::In(trusted) => host_key::check(presented, &self.host, trusted),
            Trust::Nobody => Err(Box::new(Refused { key: HostKey::of(presented), problem: None })),
        };
        let key = key.map_err(HandshakeError::HostKey)?;
        *self.state.presented.lock().unwrap_or_else(PoisonError::into_inner) = key;
        Ok(true)
    }

    async fn kex_done(
        &mut self,
        _: Option<&[u8]>,
        names: &Names,
        session: &mut client::Session,
    ) -> std::result::Result<(), Self::Error> {
        let negotiated = Negotiated::new(names, session.remote_sshid());
        *self.state.negotiated.lock().unwrap_or_else(PoisonError::into_inner) = negotiated;
        Ok(())
    }

    /// Servers say what they like before they answer to a login.
    async fn auth_banner(
        &mut self,
        _: &str,
        _: &mut client::Session,
    ) -> std::result::Result<(), Self::Error> {
        self.state.condition.said();
        Ok(())
    }

    refuses_channels! {
        server_channel_open_session();
        server_channel_open_direct_tcpip(&str, u32, &str, u32);
        server_channel_open_direct_streamlocal(&str);
        server_channel_open_forwarded_tcpip(&str, u32, &str, u32);
        server_channel_open_forwarded_streamlocal(&str);
        server_channel_open_x11(&str, u32);
        server_channel_open_agent_forward();
    }

    async fn disconnected(
        &mut self,
        reason: DisconnectReason<Self::Error>,
    ) -> std::result::Result<(), Self::Error> {
        let words = match &reason {
            DisconnectReason::ReceivedDisconnect(info) => {
                self.state.dismissed.store(is_dismissal(&info.reason_code), Ordering::Relaxed);
                format!("the server disconnected, saying {:?}", clipped(&info.message))
            }
            DisconnectReason::Error(HandshakeError::Ssh(error)) => {
                // The server refused and offers nothing more.
                let refused = matches!(error, russh::Error::NoAuthMethod);
                self.state.dismissed.store(refused, Ordering::Relaxed);
                format!("the connection was lost: {error}")
            }
            DisconnectReason::Error(HandshakeError::HostKey(_)) => "the host key changed".to_owned(),
        };
        self.state.condition.end(words);
        match reason {
            DisconnectReason::ReceivedDisconnect(_) => Ok(()),
            DisconnectReason::Error(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use client::Handler as _;
    use russh::client::RemoteDisconnectInfo;

    use super::*;

    /// They go into the payload of a failure, which is limited.
    #[tokio::test]
    async fn of_what_a_server_has_to_say_only_the_beginning_is_kept() {
        let state = State::default();
        let mut handler = Handler { host: "h".into(), trust: Trust::Nobody, state: state.clone() };
        let info = RemoteDisconnectInfo {
            reason_code: Disconnect::ByApplication,
            message: "ü".repeat(100_000),
            lang_tag: String::new(),
        };
        handler.disconnected(DisconnectReason::ReceivedDisconnect(info)).await.unwrap();
        let words = state.lost().unwrap();
        assert!((1000..1100).contains(&words.len()), "{}", words.len());

        let nowhere = Endpoint { host: "127.0.0.1".into(), port: 1 };
        let theirs: Vec<String> = (0..10_000).map(|number| format!("cipher-{number}")).collect();
        let options = Options::default();
        let error = no_common_algorithm(&nowhere, &options, AlgorithmKind::Cipher, &[], &theirs).await;
        let message = error.to_string();
        assert!(message.contains("cipher-0 cipher-1"), "{message}");
        assert!((1000..1400).contains(&message.len()), "{message}");
    }
}

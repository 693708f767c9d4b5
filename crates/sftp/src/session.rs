//! Connecting: TCP, key exchange, host key, authentication, the SFTP subsystem.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bridge::{Error, ErrorName, TrustedHostKeys};
use russh::client::{self, AuthResult, DisconnectReason, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::{Algorithm, HashAlg, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{Disconnect, Limits, MethodKind, MethodSet, Names, Preferred, cipher, kex};
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::lanes::Lane;
use crate::probe::{HostKey, Negotiated};
use crate::transport::Transport;
use crate::{Caps, FileHandle, Journal, PrivateKey, Result, Sftp, Spread, Upload};

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

/// Who logs in, and with what. Its `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct Login {
    /// The user.
    pub user_name: String,
    /// Tried first, if there.
    pub private_key: Option<PrivateKey>,
    /// Used alone, or after the key where the server asks for both.
    pub password: Option<SecretString>,
}

impl Login {
    /// From what the credential holds, as text.
    ///
    /// # Errors
    /// `InvalidPrivateKey`.
    pub fn new(
        user_name: String,
        private_key: Option<&SecretString>,
        passphrase: Option<&SecretString>,
        password: Option<SecretString>,
    ) -> std::result::Result<Self, Error> {
        let private_key = private_key.map(|text| PrivateKey::parse(text, passphrase)).transpose()?;
        Ok(Self { user_name, private_key, password })
    }
}

/// How long to wait for what.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// For looking the name up, TCP and key exchange together; then once more for logging in.
    pub connect_timeout: Duration,
    /// A keepalive is sent after this much silence; three without an answer end the session.
    pub keepalive_interval: Duration,
    /// Of all that was asked on a session that is otherwise alive, something has to be answered within this.
    pub stall_timeout: Duration,
    /// New keys are agreed on after so many bytes, in either direction (RFC 4253, section 9, recommends each GiB).
    pub rekey_after: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(20),
            keepalive_interval: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(60),
            rekey_after: 1 << 30,
        }
    }
}

/// A connection to a server, logged in, with one SFTP channel; more are opened when they are asked for.
pub struct Session {
    ssh: Handle<Handler>,
    channels: tokio::sync::Mutex<Vec<Arc<Sftp>>>,
    first: Arc<Sftp>,
    host_key: HostKey,
    negotiated: Negotiated,
    lost: Arc<Mutex<Option<String>>>,
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

/// How many keepalives may go unanswered.
const KEEPALIVE_MAX: usize = 3;

impl Session {
    /// Connects, checks the host key, logs in and starts SFTP.
    ///
    /// Round trips: TCP, the two identifications, the two lists of algorithms, key exchange, service, the offer of the
    /// key, its signature, the channel, SFTP. The limits of the server come along with the first request.
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
            options: *options,
        };
        Self::open(target).await
    }

    /// Another connection like this one.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn another(&self) -> Result<Self> {
        Self::open(self.target.clone()).await
    }

    async fn open(target: Target) -> Result<Self> {
        let Target { endpoint, login, trusted, options } = &target;
        let (mut ssh, state) = open(endpoint, trusted, options).await?;
        let logging_in = async {
            authenticate(&mut ssh, endpoint, login).await?;
            start_sftp(&ssh, endpoint, &state.lost, options).await
        };
        let sftp = tokio::time::timeout(options.connect_timeout, logging_in).await.map_err(|_| {
            ErrorName::ConnectFailed.error(format!(
                "logging in to {endpoint}: no answer within {} s",
                options.connect_timeout.as_secs()
            ))
        })??;
        let first = Arc::new(sftp);
        Ok(Self {
            ssh,
            channels: tokio::sync::Mutex::new(vec![Arc::clone(&first)]),
            first,
            host_key: state.presented(),
            negotiated: state.negotiated(),
            lost: state.lost,
            target,
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
        let starting = start_sftp(&self.ssh, endpoint, &self.lost, options);
        let sftp = tokio::time::timeout(options.connect_timeout, starting).await;
        let sftp = Arc::new(sftp.map_err(|_| starting_sftp(endpoint, &"no answer"))??);
        channels.push(Arc::clone(&sftp));
        Ok(sftp)
    }

    /// Begins to open further channels and connections, in the background, for a file with so many bytes to send.
    pub fn spread(self: &Arc<Self>, remaining: u64, caps: Caps) -> Spread {
        Spread::begin(self, remaining, caps)
    }

    /// Sends to a file that is open on the first channel, from `offset` on.
    ///
    /// `size` is what the file held when it was opened, bytes: by growing beyond it, it shows whether what one channel
    /// writes is seen by the others. They stay unused until then.
    pub fn upload<J: Journal>(
        &self,
        file: FileHandle,
        offset: u64,
        size: u64,
        spread: Spread,
        journal: J,
    ) -> Upload<J> {
        Upload::new(Lane::new(Arc::clone(&self.first), file), offset, size, spread, journal)
    }

    /// Whether the server still answers, within `patience`.
    pub async fn is_alive(&self, patience: Duration) -> bool {
        // A path that is there on every server; any answer is a sign of life.
        let answered = tokio::time::timeout(patience, self.first.stat(".")).await;
        matches!(answered, Ok(Ok(_) | Err(crate::Error::Status { .. })))
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

    /// Says goodbye. A session that is merely dropped is closed, too, but the server logs it as broken.
    pub async fn disconnect(&self) {
        let goodbye = self.ssh.disconnect(Disconnect::ByApplication, "", "en");
        let _ = tokio::time::timeout(Duration::from_secs(1), goodbye).await;
    }
}

async fn start_sftp(
    ssh: &Handle<Handler>,
    endpoint: &Endpoint,
    lost: &Arc<Mutex<Option<String>>>,
    options: &Options,
) -> Result<Sftp> {
    let asked_at = Instant::now();
    let channel = ssh.channel_open_session().await.map_err(|error| starting_sftp(endpoint, &error))?;
    let round_trip = asked_at.elapsed();
    Sftp::start(channel, Arc::clone(lost), options.stall_timeout, round_trip).await
}

fn starting_sftp(endpoint: &Endpoint, problem: &dyn std::fmt::Display) -> Error {
    ErrorName::ConnectFailed.error(format!("starting SFTP on {endpoint}: {problem}"))
}

/// TCP and key exchange, host key included.
pub(crate) async fn open(
    endpoint: &Endpoint,
    trusted: &TrustedHostKeys,
    options: &Options,
) -> Result<(Handle<Handler>, State)> {
    let deadline = Instant::now() + options.connect_timeout;
    let failed = |step: &str, problem: &dyn std::fmt::Display| {
        ErrorName::ConnectFailed.error(format!("{step}: {problem}"))
    };
    let late = format!("no answer within {} s", options.connect_timeout.as_secs());

    let step = format!("looking up {}", endpoint.host);
    let addresses =
        timeout_at(deadline, tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port))).await;
    let addresses: Vec<SocketAddr> =
        addresses.map_err(|_| failed(&step, &late))?.map_err(|error| failed(&step, &error))?.collect();

    let (stream, address) = connect_tcp(endpoint, &addresses, deadline, &late).await?;
    stream.set_nodelay(true).map_err(|error| failed("setting TCP_NODELAY", &error))?;

    let state = State::default();
    let handler = Handler { trusted: trusted.clone(), state: state.clone() };
    let handshake =
        client::connect_stream(Arc::new(config(trusted, options)), Transport::new(stream), handler);
    let step = format!("SSH key exchange with {endpoint} ({address})");
    match timeout_at(deadline, handshake).await {
        Err(_) => Err(failed(&step, &late).into()),
        Ok(Ok(ssh)) => Ok((ssh, state)),
        Ok(Err(HandshakeError::HostKey { algorithm, fingerprint })) => Err(ErrorName::HostKeyMismatch
            .error(format!(
                "{endpoint} presented the host key {algorithm} {fingerprint}; trusted are {trusted}"
            ))
            .into()),
        Ok(Err(HandshakeError::Ssh(russh::Error::NoCommonAlgo { kind, ours, theirs }))) => {
            Err(no_common_algorithm(endpoint, &kind, &ours, &theirs).into())
        }
        Ok(Err(HandshakeError::Ssh(error))) => Err(failed(&step, &error).into()),
    }
}

pub(crate) async fn connect_tcp(
    endpoint: &Endpoint,
    addresses: &[SocketAddr],
    deadline: Instant,
    late: &str,
) -> Result<(TcpStream, SocketAddr)> {
    let mut problems = Vec::new();
    for (index, address) in addresses.iter().enumerate() {
        // Each address gets its share of the time, so that a dead one does not use it up for the others.
        let left = deadline.saturating_duration_since(Instant::now()) / (addresses.len() - index) as u32;
        match tokio::time::timeout(left, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok((stream, *address)),
            Ok(Err(error)) => problems.push(format!("{address}: {error}")),
            Err(_) => problems.push(format!("{address}: {late}")),
        }
    }
    let problems = if problems.is_empty() { "the name has no address".into() } else { problems.join("; ") };
    Err(ErrorName::ConnectFailed.error(format!("TCP to {endpoint}: {problems}")).into())
}

fn no_common_algorithm(
    endpoint: &Endpoint,
    kind: &dyn std::fmt::Debug,
    ours: &[String],
    theirs: &[String],
) -> Error {
    ErrorName::NoCommonAlgorithm.error(format!(
        "{endpoint} and we share no {kind:?} algorithm: ours are {}; theirs are {}",
        ours.join(" "),
        theirs.join(" ")
    ))
}

fn config(trusted: &TrustedHostKeys, options: &Options) -> client::Config {
    client::Config {
        nodelay: true,
        keepalive_interval: Some(options.keepalive_interval),
        keepalive_max: KEEPALIVE_MAX,
        // Ends what is left of a session whose owner is gone.
        inactivity_timeout: Some(options.keepalive_interval * (KEEPALIVE_MAX as u32 + 2)),
        preferred: preferred(trusted),
        limits: Limits::new(options.rekey_after, options.rekey_after, Duration::from_secs(3600)),
        // What is asked for governs how much comes back, not the channel's window.
        window_size: 16 * 1024 * 1024,
        ..Default::default()
    }
}

fn preferred(trusted: &TrustedHostKeys) -> Preferred {
    let default = Preferred::DEFAULT;
    // The NIST curves stand behind Curve25519: some appliances offer nothing else.
    let mut kex = default.kex.to_vec();
    let behind = kex.iter().position(|name| *name == kex::DH_GEX_SHA256).unwrap_or(kex.len());
    kex.splice(behind..behind, [kex::ECDH_SHA2_NISTP256, kex::ECDH_SHA2_NISTP384, kex::ECDH_SHA2_NISTP521]);
    // The key types that are pinned come first, or the server would choose one that is not. SHA-1 signatures are out.
    let mut key: Vec<Algorithm> = default
        .key
        .iter()
        .filter(|algorithm| **algorithm != Algorithm::Rsa { hash: None })
        .cloned()
        .collect();
    if let Some(pinned) = trusted.algorithms() {
        key.sort_by_key(|algorithm| !pinned.contains(&plain_name(algorithm)));
    }
    Preferred {
        kex: Cow::Owned(kex),
        key: Cow::Owned(key),
        // AES-GCM first: every Lambda CPU has AES instructions.
        cipher: Cow::Borrowed(&[
            cipher::AES_128_GCM,
            cipher::AES_256_GCM,
            cipher::CHACHA20_POLY1305,
            cipher::AES_256_CTR,
            cipher::AES_192_CTR,
            cipher::AES_128_CTR,
        ]),
        ..default
    }
}

/// The name of the key type: RSA keys are `ssh-rsa` whatever hash signs.
fn plain_name(algorithm: &Algorithm) -> &str {
    if matches!(algorithm, Algorithm::Rsa { .. }) { "ssh-rsa" } else { algorithm.as_str() }
}

/// What the handler learns.
#[derive(Clone, Default)]
pub(crate) struct State {
    presented: Arc<Mutex<HostKey>>,
    negotiated: Arc<Mutex<Negotiated>>,
    lost: Arc<Mutex<Option<String>>>,
}

impl State {
    fn presented(&self) -> HostKey {
        self.presented.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn negotiated(&self) -> Negotiated {
        self.negotiated.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

pub(crate) struct Handler {
    trusted: TrustedHostKeys,
    state: State,
}

#[derive(Debug)]
pub(crate) enum HandshakeError {
    HostKey { algorithm: String, fingerprint: String },
    Ssh(russh::Error),
}

impl From<russh::Error> for HandshakeError {
    fn from(error: russh::Error) -> Self {
        Self::Ssh(error)
    }
}

impl client::Handler for Handler {
    type Error = HandshakeError;

    async fn check_server_key(
        &mut self,
        presented: &PublicKeyOrCertificate,
    ) -> std::result::Result<bool, Self::Error> {
        let key = match presented {
            PublicKeyOrCertificate::PublicKey { key, .. } => HostKey::of(key),
            // Never asked for, so never trusted.
            PublicKeyOrCertificate::Certificate(certificate) => HostKey {
                key_type: certificate.algorithm().to_certificate_type(),
                fingerprint: "(a certificate)".into(),
                public_key: String::new(),
            },
        };
        if !self.trusted.trusts(&key.fingerprint) {
            return Err(HandshakeError::HostKey { algorithm: key.key_type, fingerprint: key.fingerprint });
        }
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

    async fn disconnected(
        &mut self,
        reason: DisconnectReason<Self::Error>,
    ) -> std::result::Result<(), Self::Error> {
        let words = match &reason {
            DisconnectReason::ReceivedDisconnect(info) => {
                format!("the server disconnected, saying {:?}", info.message)
            }
            DisconnectReason::Error(HandshakeError::Ssh(error)) => {
                format!("the connection was lost: {error}")
            }
            DisconnectReason::Error(HandshakeError::HostKey { .. }) => "the host key changed".to_owned(),
        };
        *self.state.lost.lock().unwrap_or_else(PoisonError::into_inner) = Some(words);
        match reason {
            DisconnectReason::ReceivedDisconnect(_) => Ok(()),
            DisconnectReason::Error(error) => Err(error),
        }
    }
}

/// At most two attempts: the key, then the password where the server asks for both or there is no key.
async fn authenticate(
    ssh: &mut Handle<Handler>,
    endpoint: &Endpoint,
    login: &Login,
) -> std::result::Result<(), Error> {
    let failed =
        |error: russh::Error| ErrorName::ConnectFailed.error(format!("logging in to {endpoint}: {error}"));
    let mut tried = Vec::new();
    let mut offered = MethodSet::empty();
    if let Some(key) = &login.private_key {
        tried.push(format!("the public key {} {}", key.algorithm(), key.fingerprint()));
        // Ask which hash the server takes: trying one after the other would count as three failures.
        let hash = match key.key().algorithm().is_rsa() {
            true => ssh.best_supported_rsa_hash().await.map_err(failed)?.unwrap_or(Some(HashAlg::Sha256)),
            false => None,
        };
        let key = PrivateKeyWithHashAlg::new(key.key(), hash);
        match ssh.authenticate_publickey(&login.user_name, key).await.map_err(failed)? {
            AuthResult::Success => return Ok(()),
            AuthResult::Failure { remaining_methods, partial_success } => {
                if !partial_success {
                    return Err(rejected(endpoint, login, &tried, &remaining_methods));
                }
                offered = remaining_methods;
            }
        }
    }
    let Some(password) = &login.password else { return Err(rejected(endpoint, login, &tried, &offered)) };
    let interactive_only =
        offered.contains(&MethodKind::KeyboardInteractive) && !offered.contains(&MethodKind::Password);
    if !interactive_only {
        tried.push("a password".into());
        match ssh.authenticate_password(&login.user_name, password.expose_secret()).await.map_err(failed)? {
            AuthResult::Success => return Ok(()),
            AuthResult::Failure { remaining_methods, .. } => {
                // A server that takes passwords has judged this one; one that doesn't has not seen it.
                let judged = remaining_methods.contains(&MethodKind::Password);
                if judged || !remaining_methods.contains(&MethodKind::KeyboardInteractive) {
                    return Err(rejected(endpoint, login, &tried, &remaining_methods));
                }
                offered = remaining_methods;
            }
        }
    }
    tried.push("the password, keyboard-interactive".into());
    let mut answer = ssh
        .authenticate_keyboard_interactive_start(&login.user_name, None::<String>)
        .await
        .map_err(failed)?;
    let mut answered = false;
    loop {
        match answer {
            KeyboardInteractiveAuthResponse::Success => return Ok(()),
            KeyboardInteractiveAuthResponse::Failure { remaining_methods, .. } => {
                return Err(rejected(endpoint, login, &tried, &remaining_methods));
            }
            // It asks again: the password was wrong, or it wants what we don't have. A second try would count.
            KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. }
                if answered && !prompts.is_empty() =>
            {
                return Err(rejected(endpoint, login, &tried, &offered));
            }
            KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } => {
                answered |= !prompts.is_empty();
                // An empty request wants an empty answer (RFC 4256, section 3.4).
                let answers = prompts.iter().map(|_| password.expose_secret().to_owned()).collect();
                answer = ssh.authenticate_keyboard_interactive_respond(answers).await.map_err(failed)?;
            }
        }
    }
}

fn rejected(endpoint: &Endpoint, login: &Login, tried: &[String], offered: &MethodSet) -> Error {
    let tried =
        if tried.is_empty() { "nothing (no private key, no password)".into() } else { tried.join(", then ") };
    let offered: Vec<String> =
        offered.iter().map(|method| String::from(<&'static str>::from(method))).collect();
    let offered = if offered.is_empty() { "nothing".into() } else { offered.join(", ") };
    ErrorName::AuthenticationRejected.error(format!(
        "{endpoint} refused the user {:?} with {tried}; it still offers {offered}",
        login.user_name
    ))
}

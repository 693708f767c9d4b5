//! What a server is like, for choosing settings: the algorithms that it offers, its host keys and its login methods, all
//! without a credential; and its answer to each method of a login. Transfers do not need this.

use std::time::Duration;

use russh::client::AuthResult;
use russh::keys::Algorithm;
use terms::{Algorithms, ErrorKind, Method, Preset, TrustedHostKeys};

use crate::error::{Error, Result};
use crate::options::{Endpoint, Options};
use crate::ssh::algorithms::{HostKeyAlgorithms, key_type};
use crate::ssh::authentication::{MethodOutcome, authenticate_noting, not_logged_in};
use crate::ssh::connection::Trust;
use crate::ssh::handshake::{self, HandshakeError};
use crate::ssh::login::Login;

pub use crate::ssh::algorithms::Negotiated;
pub use crate::ssh::host_key::{Authority, HostKey};
pub use crate::ssh::offer::{Offer, offer};

/// The host keys that a server presented, when it was asked for each type that it offers.
#[derive(Clone, Debug, Default)]
pub struct HostKeys {
    /// At least one.
    pub keys: Vec<HostKey>,
    /// The types that could not be asked for.
    pub not_asked: Vec<String>,
    /// Why not.
    pub problem: Option<terms::Error>,
}

impl HostKeys {
    /// Which types are missing, and why; `None` if all were asked for.
    pub fn gap(&self) -> Option<String> {
        let problem = self.problem.as_ref()?;
        Some(format!("it could not be asked for {}: {}", self.not_asked.join(", "), problem.message()))
    }
}

/// A type of host key to ask for.
#[derive(PartialEq, Eq)]
struct Kind {
    key_type: String,
    is_certificate: bool,
}

impl Kind {
    fn name(&self) -> String {
        if self.is_certificate { format!("{} certificate", self.key_type) } else { self.key_type.clone() }
    }
}

/// All host keys that a server presents: one for each type, and its certificates. Each takes a connection of its own.
///
/// Nothing is trusted and nobody logs in. Whether the keys are the right ones, the owner of the server has to confirm.
///
/// After the first connection that fails, no further one is opened, since the server may have had enough of us. The
/// keys that were presented before are returned.
///
/// # Errors
/// `ConnectFailed` or `NoCommonAlgorithm` if there is no key at all.
///
/// # Cancel safety
/// If the future is dropped, the connection is closed.
pub async fn host_keys(endpoint: &Endpoint, options: &Options) -> Result<HostKeys> {
    let offer = offer(endpoint, options).await?;
    // No secret is sent on these connections, so old algorithms do no harm.
    let options = Options { algorithms: Algorithms::preset(Preset::Legacy), ..options.clone() };
    let mut asked = Vec::new();
    let mut found = HostKeys::default();
    for name in &offer.host_keys {
        let (plain, is_certificate) = match name.split_once("-cert-v01@") {
            Some((plain, _)) => (plain, true),
            None => (name.as_str(), false),
        };
        let kind = Kind { key_type: key_type(plain).to_owned(), is_certificate };
        if !options.algorithms.host_keys.contains(&plain) || asked.contains(&kind) {
            continue;
        }
        if found.problem.is_some() {
            found.not_asked.push(kind.name());
        } else {
            if !found.keys.is_empty() {
                // Many connections at the same moment look like an attack.
                tokio::time::sleep(PAUSE).await;
            }
            ask_for(endpoint, &options, plain, &kind, &mut found).await?;
        }
        asked.push(kind);
    }
    if found.keys.is_empty() {
        let offered = offer.host_keys.join(" ");
        let problem = format!("{endpoint} has no host key that we can read; it offers {offered}");
        return Err(ErrorKind::NoCommonAlgorithm.error(problem).into());
    }
    Ok(found)
}

const PAUSE: Duration = Duration::from_millis(100);

/// Asks for one type of host key.
async fn ask_for(
    endpoint: &Endpoint,
    options: &Options,
    algorithm: &str,
    kind: &Kind,
    found: &mut HostKeys,
) -> Result<()> {
    let algorithms: Vec<Algorithm> = Algorithm::new(algorithm).into_iter().collect();
    let wanted = if kind.is_certificate {
        HostKeyAlgorithms { certificates: algorithms, ..HostKeyAlgorithms::default() }
    } else {
        HostKeyAlgorithms { keys: algorithms, ..HostKeyAlgorithms::default() }
    };
    match handshake::handshake(endpoint, Trust::Nothing, options, wanted).await {
        Err(HandshakeError::HostKey(untrusted)) => found.keys.push(untrusted.key),
        Err(HandshakeError::Failed(error)) if found.keys.is_empty() => return Err(error.into()),
        Err(HandshakeError::Failed(error)) => {
            found.not_asked.push(kind.name());
            found.problem = Some(error);
        }
        Ok(_) | Err(HandshakeError::NoCommonAlgorithm(_)) => {}
    }
    Ok(())
}

/// What a server shows before a login.
#[derive(Clone, Debug)]
pub struct Greeting {
    /// The server's host key. It is trusted.
    pub host_key: HostKey,
    /// The algorithms in use, and the server's identification.
    pub negotiated: Negotiated,
    /// The login methods that the server offers; empty if it was not asked.
    pub methods: Vec<String>,
}

/// Connects and checks the host key. With a user name, asks how this user may log in. This does not count as an attempt to
/// log in: RFC 4252, section 5.2, has the method `none` for this question.
///
/// # Errors
/// As [`Session::connect`](crate::Session::connect), except `AuthenticationRejected`.
///
/// # Cancel safety
/// If the future is dropped, the connection is closed.
pub async fn greet(
    endpoint: &Endpoint,
    user_name: Option<&str>,
    trusted: &TrustedHostKeys,
    options: &Options,
) -> Result<Greeting> {
    let mut connection = handshake::connect(endpoint, trusted, options).await?;
    let mut methods = Vec::new();
    if let Some(user_name) = user_name {
        let failed = |problem: &dyn std::fmt::Display| {
            ErrorKind::ConnectFailed.error(format!("asking {endpoint} how to log in: {problem}"))
        };
        let asking = connection.ssh.authenticate_none(user_name);
        let answer = tokio::time::timeout(options.login_timeout, asking).await;
        let answer = answer.map_err(|_| failed(&"no answer"))?.map_err(|error| failed(&error))?;
        methods = match answer {
            AuthResult::Success => vec!["none".to_owned()],
            AuthResult::Failure { remaining_methods, .. } => {
                remaining_methods.iter().map(|method| <&str>::from(method).to_owned()).collect()
            }
        };
    }
    connection.disconnect().await;
    let (host_key, negotiated) = (connection.facts.host_key(), connection.facts.negotiated());
    Ok(Greeting { host_key, negotiated, methods })
}

/// The login methods that the server offers to a user (`publickey`, `password`, …), as [`greet`] finds them out.
///
/// # Errors
/// As [`greet`].
///
/// # Cancel safety
/// As [`greet`].
pub async fn methods(
    endpoint: &Endpoint,
    user_name: &str,
    trusted: &TrustedHostKeys,
    options: &Options,
) -> Result<Vec<String>> {
    Ok(greet(endpoint, Some(user_name), trusted, options).await?.methods)
}

/// How a login went.
#[derive(Clone, Debug, Default)]
pub struct Attempted {
    /// The server's answer to each method, in the order in which they were tried.
    pub answers: Vec<(Method, MethodOutcome)>,
    /// Why the login failed, if it did.
    pub problem: Option<Error>,
}

/// Logs in as [`Session::connect`](crate::Session::connect) does, records the server's answers, and disconnects.
///
/// # Errors
/// Those of [`Session::connect`](crate::Session::connect) that occur before a method is tried.
///
/// # Cancel safety
/// If the future is dropped, the connection is closed. An attempt to log in may count as failed on the server.
pub async fn log_in(
    endpoint: &Endpoint,
    login: &Login,
    trusted: &TrustedHostKeys,
    options: &Options,
) -> Result<Attempted> {
    let mut connection = handshake::connect(endpoint, trusted, options).await?;
    let mut answers = Vec::new();
    let note = |method, outcome| answers.push((method, outcome));
    let logging_in = authenticate_noting(&mut connection, endpoint, login, options, note);
    let problem = match tokio::time::timeout(options.login_timeout, logging_in).await {
        Ok(outcome) => outcome.err(),
        Err(_) => Some(not_logged_in(endpoint, options)),
    };
    connection.disconnect().await;
    Ok(Attempted { answers, problem })
}

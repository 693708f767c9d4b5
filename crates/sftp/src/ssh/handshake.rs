//! TCP and the key exchange, with the check of the host key.

use std::sync::Arc;
use std::time::Duration;

use russh::{AlgorithmKind, Limits, Preferred, client};
use terms::{ErrorKind, TrustedHostKeys};
use tokio::time::timeout_at;

use crate::error::{ConnectError, Error, Remedy, Result};
use crate::options::{Endpoint, Options};
use crate::ssh::algorithms::{self, HostKeyAlgorithms};
use crate::ssh::connection::{CHANNEL_PACKET_MAX, Connection, Facts, Handler, HandlerError, Trust};
use crate::ssh::dial::{Addresses, Connected, ShutdownOnDrop, forget_failure};
use crate::ssh::greeting::Greeted;
use crate::ssh::host_key::{UntrustedHostKey, Wanted};
use crate::ssh::offer;
use crate::ssh::transport::Transport;
use crate::words::{clipped, late};

/// Maximum number of keepalives without an answer.
const KEEPALIVES_MAX: u32 = 3;

/// Connects to a server that has a trusted host key.
///
/// A server with several host keys may present one that is not pinned. It is then asked for the other types, each on a
/// connection of its own.
pub(crate) async fn connect(
    endpoint: &Endpoint,
    trusted: &TrustedHostKeys,
    options: &Options,
) -> Result<Connection> {
    let mut wanted = Wanted::new(trusted, &options.algorithms);
    let mut refused: Vec<String> = Vec::new();
    let mismatch = |refused: &[String]| {
        ErrorKind::HostKeyMismatch.error(format!(
            "{endpoint} presented the host key {}; trusted are {trusted}",
            refused.join(", then ")
        ))
    };
    // Each turn rules out a type of keys, so the number of turns is limited.
    loop {
        match handshake(endpoint, Trust::In(trusted.clone()), options, wanted.algorithms()).await {
            Ok(connection) => return Ok(connection),
            Err(HandshakeError::HostKey(key)) => {
                refused.push(key.to_string());
                if !wanted.rule_out(&key.key) {
                    return Err(mismatch(&refused).into());
                }
            }
            Err(HandshakeError::NoCommonAlgorithm(_)) if !refused.is_empty() => {
                return Err(mismatch(&refused).into());
            }
            Err(HandshakeError::NoCommonAlgorithm(lists)) => {
                return Err(no_common_algorithm(endpoint, options, &lists).await);
            }
            Err(HandshakeError::Failed(error)) => return Err(error.into()),
        }
    }
}

/// Why there is no connection.
pub(crate) enum HandshakeError {
    HostKey(Box<UntrustedHostKey>),
    NoCommonAlgorithm(Disjoint),
    /// `ConnectFailed`.
    Failed(terms::Error),
}

/// Two lists of algorithms that have nothing in common.
pub(crate) struct Disjoint {
    kind: AlgorithmKind,
    ours: Vec<String>,
    theirs: Vec<String>,
}

/// One connection, with these host key algorithms. If an address is silent or breaks off, the next one is tried.
pub(crate) async fn handshake(
    endpoint: &Endpoint,
    trust: Trust,
    options: &Options,
    host_keys: HostKeyAlgorithms,
) -> std::result::Result<Connection, HandshakeError> {
    let preferred = algorithms::preferred(&options.algorithms, host_keys);
    let config = Arc::new(config(preferred, options));
    let mut addresses = Addresses::look_up(endpoint, options).await.map_err(HandshakeError::Failed)?;
    loop {
        let connected = addresses.connect_tcp().await.map_err(HandshakeError::Failed)?;
        let address = connected.address;
        match exchange_keys(endpoint, connected, trust.clone(), options, Arc::clone(&config)).await {
            Err(HandshakeError::Failed(error)) => addresses.failed(address, error.message().to_owned()),
            outcome => {
                forget_failure(address);
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
) -> std::result::Result<Connection, HandshakeError> {
    let facts = Facts::of(address);
    let condition = &facts.condition;
    let unused = ShutdownOnDrop::new(&stream);
    let handler = Handler::new(endpoint.host.clone(), trust, facts.clone());
    let silence_max = options.keepalive_interval * (KEEPALIVES_MAX + 1);
    let transport = Greeted::new(Transport::new(stream, silence_max, condition), condition);
    let failed = |problem: &dyn std::fmt::Display| {
        let greeting = condition.greeting();
        let greeting = greeting.map_or_else(String::new, |words| format!("; the server said {words:?}"));
        HandshakeError::Failed(
            ErrorKind::ConnectFailed
                .error(format!("SSH key exchange with {endpoint} ({address}): {problem}{greeting}")),
        )
    };
    match timeout_at(until, client::connect_stream(config, transport, handler)).await {
        Err(_) => Err(failed(&late(share))),
        Ok(Ok(ssh)) => {
            unused.disarm();
            Ok(Connection { ssh, facts })
        }
        Ok(Err(HandlerError::HostKey(untrusted))) => Err(HandshakeError::HostKey(untrusted)),
        Ok(Err(HandlerError::Ssh(russh::Error::NoCommonAlgo { kind, ours, theirs }))) => {
            Err(HandshakeError::NoCommonAlgorithm(Disjoint { kind, ours, theirs }))
        }
        // How the connection ended says more than russh's error.
        Ok(Err(HandlerError::Ssh(error))) => match condition.ended() {
            Some(how) => Err(failed(&how)),
            None => Err(failed(&error)),
        },
    }
}

/// The server is asked a second time, for everything that it offers: more than one kind of algorithms may be disjoint.
async fn no_common_algorithm(endpoint: &Endpoint, options: &Options, lists: &Disjoint) -> Error {
    let kind = match lists.kind {
        AlgorithmKind::Kex => "key exchange",
        AlgorithmKind::Key => "host key algorithm",
        AlgorithmKind::Cipher => "cipher",
        AlgorithmKind::Mac => "MAC",
        AlgorithmKind::Compression => "compression",
    };
    let remedy = match offer::offer(endpoint, options).await.map(|offer| offer.preset()) {
        Ok(Some(preset)) => Remedy::Preset(preset),
        Ok(None) => Remedy::NoPreset,
        Err(_) => Remedy::Unknown,
    };
    let error = ErrorKind::NoCommonAlgorithm.error(format!(
        "{endpoint} and we share no {kind}: ours are {}; theirs are {}",
        lists.ours.join(" "),
        clipped(&lists.theirs.join(" "))
    ));
    ConnectError::with_remedy(error, remedy)
}

fn config(preferred: Preferred, options: &Options) -> client::Config {
    client::Config {
        nodelay: true,
        keepalive_interval: Some(options.keepalive_interval),
        // Our transport ends a silent session. russh would not wait for a server that is at long work.
        keepalive_max: 0,
        inactivity_timeout: None,
        preferred,
        gex: algorithms::group_sizes(),
        limits: Limits::new(options.rekey_after, options.rekey_after, Duration::from_secs(3600)),
        // Our requests limit how much the server sends; the window of the channel need not.
        window_size: 16 * 1024 * 1024,
        maximum_packet_size: CHANNEL_PACKET_MAX as u32,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It goes into the payload of a failure, whose size is limited.
    #[tokio::test]
    async fn only_the_beginning_of_a_servers_list_is_kept() {
        let nowhere = Endpoint { host: "127.0.0.1".into(), port: 1 };
        let theirs: Vec<String> = (0..10_000).map(|number| format!("cipher-{number}")).collect();
        let lists = Disjoint { kind: AlgorithmKind::Cipher, ours: Vec::new(), theirs };
        let error = no_common_algorithm(&nowhere, &Options::default(), &lists).await;
        let message = error.to_string();
        assert!(message.contains("cipher-0 cipher-1"), "{message}");
        assert!((1000..1400).contains(&message.len()), "{message}");
    }
}

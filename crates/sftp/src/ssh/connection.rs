//! A connection after the key exchange: russh's handler, and what it learns.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use russh::client::{self, ChannelOpenHandle, DisconnectReason, Handle, Msg};
use russh::keys::PublicKeyOrCertificate;
use russh::{Channel, Disconnect, Names};
use terms::{ErrorKind, TrustedHostKeys, lock};

use crate::error::Error;
use crate::ssh::algorithms::Negotiated;
use crate::ssh::condition::Condition;
use crate::ssh::dial;
use crate::ssh::host_key::{self, HostKey, UntrustedHostKey};
use crate::words::clipped;

/// Maximum length of a packet that a server may send on a channel, in bytes.
pub(crate) const CHANNEL_PACKET_MAX: usize = 32 * 1024;

/// A connection whose host key was checked. Nobody is logged in yet.
pub(crate) struct Connection {
    pub(crate) ssh: Handle<Handler>,
    pub(crate) facts: Facts,
}

impl Connection {
    /// Tells the server that the connection ends. If it is only dropped, the server logs it as broken.
    pub(crate) async fn disconnect(&self) {
        disconnect(&self.ssh).await;
    }
}

/// See [`Connection::disconnect`].
pub(crate) async fn disconnect(ssh: &Handle<Handler>) {
    let goodbye = ssh.disconnect(Disconnect::ByApplication, "", "en");
    let _ = tokio::time::timeout(Duration::from_secs(1), goodbye).await;
}

/// What the handler learns of a connection.
#[derive(Clone, Default)]
pub(crate) struct Facts {
    host_key: Arc<Mutex<HostKey>>,
    negotiated: Arc<Mutex<Negotiated>>,
    pub(crate) condition: Condition,
    is_dismissed: Arc<AtomicBool>,
    address: Option<SocketAddr>,
}

impl Facts {
    pub(crate) fn of(address: SocketAddr) -> Self {
        Self { address: Some(address), ..Self::default() }
    }

    /// The host key that was presented and accepted.
    pub(crate) fn host_key(&self) -> HostKey {
        lock(&self.host_key).clone()
    }

    pub(crate) fn negotiated(&self) -> Negotiated {
        lock(&self.negotiated).clone()
    }

    /// The login failed. Unless it was refused, the next connection begins with another address.
    pub(crate) fn note_failure(&self, error: &Error) {
        if let Some(address) = self.address
            && error.kind() == ErrorKind::ConnectFailed
        {
            dial::remember_failure(address);
        }
    }

    /// Whether the server ended the connection because of our login attempts.
    pub(crate) fn is_dismissed(&self) -> bool {
        self.is_dismissed.load(Ordering::Relaxed)
    }
}

/// Which host keys to accept.
#[derive(Clone)]
pub(crate) enum Trust {
    /// Pinned keys, and those that a pinned authority has signed.
    In(TrustedHostKeys),
    /// None. Each handshake ends at the host key, to find out which one the server presents.
    Nothing,
}

/// russh calls it for what the server does.
pub(crate) struct Handler {
    host: String,
    trust: Trust,
    facts: Facts,
}

impl Handler {
    pub(crate) fn new(host: String, trust: Trust, facts: Facts) -> Self {
        Self { host, trust, facts }
    }
}

#[derive(Debug)]
pub(crate) enum HandlerError {
    HostKey(Box<UntrustedHostKey>),
    Ssh(russh::Error),
}

impl From<russh::Error> for HandlerError {
    fn from(error: russh::Error) -> Self {
        Self::Ssh(error)
    }
}

/// Whether a server that disconnects with this reason refuses our login. OpenSSH calls too many failures a protocol
/// error.
fn is_dismissal(reason: &Disconnect) -> bool {
    matches!(
        reason,
        Disconnect::ProtocolError
            | Disconnect::AuthCancelledByUser
            | Disconnect::NoMoreAuthMethodsAvailable
            | Disconnect::IllegalUserName
    )
}

/// A server has no reason to open a channel to a client. russh accepts known types by default, and each channel costs
/// memory. Dropping the reply refuses the channel.
macro_rules! refuses_channels {
    ($($name:ident($($argument:ty),*);)*) => {$(
        async fn $name(
            &mut self,
            _: Channel<Msg>,
            $(_: $argument,)*
            reply: ChannelOpenHandle,
            _: &mut client::Session,
        ) -> Result<(), Self::Error> {
            drop(reply);
            Ok(())
        }
    )*};
}

impl client::Handler for Handler {
    type Error = HandlerError;

    async fn check_server_key(&mut self, presented: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let key = match &self.trust {
            Trust::In(trusted) => host_key::check(presented, &self.host, trusted),
            Trust::Nothing => {
                Err(Box::new(UntrustedHostKey { key: HostKey::presented(presented), problem: None }))
            }
        };
        *lock(&self.facts.host_key) = key.map_err(HandlerError::HostKey)?;
        Ok(true)
    }

    async fn kex_done(
        &mut self,
        _: Option<&[u8]>,
        names: &Names,
        session: &mut client::Session,
    ) -> Result<(), Self::Error> {
        *lock(&self.facts.negotiated) = Negotiated::new(names, session.remote_sshid());
        Ok(())
    }

    /// A banner is not an answer to a login attempt.
    async fn auth_banner(&mut self, _: &str, _: &mut client::Session) -> Result<(), Self::Error> {
        self.facts.condition.said();
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

    async fn disconnected(&mut self, reason: DisconnectReason<Self::Error>) -> Result<(), Self::Error> {
        let how = match &reason {
            DisconnectReason::ReceivedDisconnect(info) => {
                self.facts.is_dismissed.store(is_dismissal(&info.reason_code), Ordering::Relaxed);
                format!("the server disconnected, saying {:?}", clipped(&info.message))
            }
            DisconnectReason::Error(HandlerError::Ssh(error)) => {
                // The server refused the login and offers no further method.
                let is_refusal = matches!(error, russh::Error::NoAuthMethod);
                self.facts.is_dismissed.store(is_refusal, Ordering::Relaxed);
                format!("the connection was lost: {error}")
            }
            DisconnectReason::Error(HandlerError::HostKey(_)) => "the host key changed".to_owned(),
        };
        self.facts.condition.end(how);
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

    /// It goes into the payload of a failure, whose size is limited.
    #[tokio::test]
    async fn only_the_beginning_of_a_servers_message_is_kept() {
        let facts = Facts::default();
        let mut handler = Handler::new("h".into(), Trust::Nothing, facts.clone());
        let info = RemoteDisconnectInfo {
            reason_code: Disconnect::ByApplication,
            message: "ü".repeat(100_000),
            lang_tag: String::new(),
        };
        handler.disconnected(DisconnectReason::ReceivedDisconnect(info)).await.unwrap();
        let how = facts.condition.ended().unwrap();
        assert!((1000..1100).contains(&how.len()), "{}", how.len());
    }
}

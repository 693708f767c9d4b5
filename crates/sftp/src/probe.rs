//! Asking a server what it is like, without a credential: what it offers, which host keys it has, how one may log in to
//! it. For finding out what to set; deliveries do not need it.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bridge::{Error, ErrorName, TrustedHostKeys};
use russh::client::{self, AuthResult};
use russh::keys::{Algorithm, HashAlg, PublicKey, PublicKeyOrCertificate};
use russh::{Disconnect, Names, Preferred, cipher, kex, mac};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use crate::session::{connect_tcp, open};
use crate::{Endpoint, Options, Result};

/// The algorithms that a connection uses, as SSH names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Negotiated {
    /// Key exchange.
    pub key_exchange: String,
    /// The host key's signature.
    pub host_key: String,
    /// The cipher, in both directions.
    pub cipher: String,
    /// What protects our packets; `None` where the cipher does it itself.
    pub mac: Option<String>,
    /// What the server calls itself: `SSH-2.0-OpenSSH_9.2p1`.
    pub identification: String,
}

impl Negotiated {
    pub(crate) fn new(names: &Names, identification: &[u8]) -> Self {
        let cipher = names.cipher.as_ref().to_owned();
        let by_itself = cipher.contains("gcm") || cipher.contains("poly1305");
        Self {
            key_exchange: names.kex.as_ref().to_owned(),
            host_key: names.key.as_str().to_owned(),
            mac: (!by_itself).then(|| names.client_mac.as_ref().to_owned()),
            cipher,
            identification: String::from_utf8_lossy(identification).trim().to_owned(),
        }
    }
}

/// A host key as a server presented it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostKey {
    /// Its type: `ssh-ed25519`, `ecdsa-sha2-nistp256`, `ssh-rsa`, …
    pub key_type: String,
    /// `SHA256:…`
    pub fingerprint: String,
    /// The whole key: `ssh-ed25519 AAAA…`
    pub public_key: String,
}

impl HostKey {
    pub(crate) fn of(key: &PublicKey) -> Self {
        Self {
            key_type: key.algorithm().as_str().to_owned(),
            fingerprint: key.fingerprint(HashAlg::Sha256).to_string(),
            public_key: key.to_openssh().unwrap_or_default(),
        }
    }
}

/// What a server offers at the beginning of the key exchange (RFC 4253, section 7.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// What it calls itself: `SSH-2.0-OpenSSH_9.2p1`.
    pub identification: String,
    /// Ways to agree on keys.
    pub key_exchanges: Vec<String>,
    /// Signatures of its host keys; it has a key for each of them.
    pub host_keys: Vec<String>,
    /// Ciphers, from us to it.
    pub ciphers: Vec<String>,
    /// Message authentication codes, from us to it.
    pub macs: Vec<String>,
}

/// What the server offers.
///
/// # Errors
/// `ConnectFailed`.
pub async fn offer(endpoint: &Endpoint, options: &Options) -> Result<Offer> {
    let deadline = Instant::now() + options.connect_timeout;
    let failed = |problem: &dyn std::fmt::Display| {
        ErrorName::ConnectFailed.error(format!("asking {endpoint} for its algorithms: {problem}"))
    };
    let late = format!("no answer within {} s", options.connect_timeout.as_secs());
    let mut stream = BufReader::new(connect(endpoint, options).await?);
    let asking = async {
        stream.write_all(b"SSH-2.0-s3-sftp-bridge\r\n").await?;
        read_offer(&mut stream).await
    };
    let offer = timeout_at(deadline, asking).await;
    Ok(offer.map_err(|_| failed(&late))?.map_err(|error| failed(&error))?)
}

async fn connect(endpoint: &Endpoint, options: &Options) -> Result<TcpStream> {
    let Endpoint { host, port } = endpoint;
    let deadline = Instant::now() + options.connect_timeout;
    let late = format!("no answer within {} s", options.connect_timeout.as_secs());
    let failed = |problem: &dyn std::fmt::Display| {
        ErrorName::ConnectFailed.error(format!("looking up {host}: {problem}"))
    };
    let addresses = timeout_at(deadline, tokio::net::lookup_host((host.as_str(), *port))).await;
    let addresses: Vec<_> = addresses.map_err(|_| failed(&late))?.map_err(|error| failed(&error))?.collect();
    Ok(connect_tcp(endpoint, &addresses, deadline, &late).await?.0)
}

async fn read_offer(stream: &mut BufReader<TcpStream>) -> std::io::Result<Offer> {
    // A server may say other things before it identifies itself (RFC 4253, section 4.2).
    const LINES_MAX: usize = 50;
    const LINE_MAX: u64 = 8 * 1024;
    const PACKET_MAX: u32 = 64 * 1024;
    let mut identification = None;
    for _ in 0..LINES_MAX {
        let mut line = Vec::new();
        if (&mut *stream).take(LINE_MAX).read_until(b'\n', &mut line).await? == 0 {
            break;
        }
        if line.starts_with(b"SSH-") {
            identification = Some(String::from_utf8_lossy(line.trim_ascii()).into_owned());
            break;
        }
    }
    let invalid = |problem: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, problem);
    let identification = identification.ok_or_else(|| invalid("it does not say that it speaks SSH"))?;
    let length = stream.read_u32().await?;
    let no_list = || invalid("its first packet is no list of algorithms");
    if length > PACKET_MAX {
        return Err(no_list());
    }
    let mut packet = vec![0; length as usize];
    stream.read_exact(&mut packet).await?;
    parse_offer(identification, &packet).ok_or_else(no_list)
}

/// `byte padding_length, byte SSH_MSG_KEXINIT, byte cookie[16]`, ten lists of names, and more.
fn parse_offer(identification: String, packet: &[u8]) -> Option<Offer> {
    const KEXINIT: u8 = 20;
    let mut rest = packet.get(1..).filter(|payload| payload.first() == Some(&KEXINIT))?.get(17..)?;
    let mut list = || {
        let (length, tail) = rest.split_first_chunk::<4>()?;
        let (list, tail) = tail.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        rest = tail;
        let names = String::from_utf8_lossy(list);
        Some(names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect::<Vec<_>>())
    };
    let (key_exchanges, host_keys, ciphers) = (list()?, list()?, list()?);
    let _from_server = list()?;
    Some(Offer { identification, key_exchanges, host_keys, ciphers, macs: list()? })
}

/// Every host key that the server presents, one for each type, each on a connection of its own. Nothing is trusted and
/// nothing logged in to: whether the keys are the right ones, somebody has to say who knows.
///
/// # Errors
/// `ConnectFailed`.
pub async fn host_keys(endpoint: &Endpoint, options: &Options) -> Result<Vec<HostKey>> {
    let offered = offer(endpoint, options).await?.host_keys;
    let known = Preferred::DEFAULT.key;
    let kinds = known.iter().filter(|kind| offered.iter().any(|name| name == kind.as_str()));
    let mut found: Vec<HostKey> = Vec::new();
    let mut problem = ErrorName::ConnectFailed.error(format!("{endpoint} offers no host key that we know"));
    for kind in kinds {
        // One RSA key signs with several hashes.
        if matches!(kind, Algorithm::Rsa { .. }) && found.iter().any(|key| key.key_type == "ssh-rsa") {
            continue;
        }
        match host_key(endpoint, kind, options).await {
            Ok(key) => found.push(key),
            Err(error) => problem = error,
        }
    }
    if found.is_empty() { Err(problem.into()) } else { Ok(found) }
}

async fn host_key(
    endpoint: &Endpoint,
    kind: &Algorithm,
    options: &Options,
) -> std::result::Result<HostKey, Error> {
    let stream = connect(endpoint, options).await?;
    let config = client::Config { preferred: preferred(kind), ..client::Config::default() };
    let seen = Arc::new(Mutex::new(None));
    let handshake = client::connect_stream(Arc::new(config), stream, OnlyLooks(Arc::clone(&seen)));
    let problem = match timeout(options.connect_timeout, handshake).await {
        Ok(Ok(_)) => "no host key was presented".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer".to_owned(),
    };
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner).take();
    seen.ok_or_else(|| ErrorName::ConnectFailed.error(format!("SSH key exchange with {endpoint}: {problem}")))
}

/// This kind of host key, by whatever means: nothing is said that would need protection.
fn preferred(kind: &Algorithm) -> Preferred {
    fn with<T: Copy + PartialEq + AsRef<str>>(first: &[T], others: &[&T]) -> Cow<'static, [T]>
    where
        [T]: ToOwned<Owned = Vec<T>>,
    {
        let is_one = |name: &T| !matches!(name.as_ref(), "none" | "clear") && !first.contains(name);
        Cow::Owned(first.iter().copied().chain(others.iter().map(|name| **name).filter(is_one)).collect())
    }
    let default = Preferred::DEFAULT;
    Preferred {
        kex: with(&default.kex, kex::ALL_KEX_ALGORITHMS),
        cipher: with(&default.cipher, cipher::ALL_CIPHERS),
        mac: with(&default.mac, mac::ALL_MAC_ALGORITHMS),
        key: Cow::Owned(vec![kind.clone()]),
        ..default
    }
}

/// Takes note of the host key, and refuses it.
struct OnlyLooks(Arc<Mutex<Option<HostKey>>>);

impl client::Handler for OnlyLooks {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        presented: &PublicKeyOrCertificate,
    ) -> std::result::Result<bool, Self::Error> {
        if let PublicKeyOrCertificate::PublicKey { key, .. } = presented {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(HostKey::of(key));
        }
        Ok(false)
    }
}

/// The ways to log in that the server offers to a user who has proved nothing yet (`publickey`, `password`, …). The host
/// key is checked first. No attempt to log in is made: asking is what RFC 4252, section 5.2, has the method `none` for.
///
/// # Errors
/// Those of [`Session::connect`](crate::Session::connect) but `AuthenticationRejected`.
pub async fn methods(
    endpoint: &Endpoint,
    user_name: &str,
    trusted: &TrustedHostKeys,
    options: &Options,
) -> Result<Vec<String>> {
    let (mut ssh, _) = open(endpoint, trusted, options).await?;
    let failed = |problem: &dyn std::fmt::Display| {
        ErrorName::ConnectFailed.error(format!("asking {endpoint} how to log in: {problem}"))
    };
    let answer = timeout(options.connect_timeout, ssh.authenticate_none(user_name)).await;
    let answer = answer.map_err(|_| failed(&"no answer"))?.map_err(|error| failed(&error))?;
    let goodbye = ssh.disconnect(Disconnect::ByApplication, "", "en");
    let _ = timeout(Duration::from_secs(1), goodbye).await;
    match answer {
        AuthResult::Success => Ok(vec!["none".to_owned()]),
        AuthResult::Failure { remaining_methods, .. } => {
            Ok(remaining_methods.iter().map(|method| <&str>::from(method).to_owned()).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_is_read_and_garbage_is_none() {
        let mut packet = vec![4, 20];
        packet.extend([7; 16]);
        for list in ["k1,k2", "ssh-ed25519", "c1,c2", "c3", "m1", "m2", "none", "none", "", ""] {
            packet.extend((list.len() as u32).to_be_bytes());
            packet.extend(list.as_bytes());
        }
        let offer = parse_offer("SSH-2.0-x".into(), &packet).unwrap();
        assert_eq!((offer.key_exchanges.len(), offer.host_keys), (2, vec!["ssh-ed25519".to_owned()]));
        assert_eq!((offer.ciphers.len(), offer.macs), (2, vec!["m1".to_owned()]));
        for end in 0..40 {
            assert_eq!(parse_offer(String::new(), &packet[..end]), None);
        }
        packet[1] = 21;
        assert_eq!(parse_offer(String::new(), &packet), None);
    }
}

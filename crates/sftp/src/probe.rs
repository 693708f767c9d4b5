//! What can be learned of a server before anyone logs in to it. Nothing here leads to a session.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bridge::{Error, ErrorName, TrustedHostKeys};
use bytes::{Buf, Bytes};
use russh::client::{self, AuthResult};
use russh::keys::{Algorithm, HashAlg, PublicKeyOrCertificate};
use russh::{Disconnect, Names, Preferred, cipher, kex, mac};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::session::{connect_tcp, open};
use crate::{Endpoint, Options, Result, codec};

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
    /// The server's identification, `SSH-2.0-…`.
    pub software: String,
}

impl Negotiated {
    pub(crate) fn new(names: &Names, software: &[u8]) -> Self {
        let cipher = names.cipher.as_ref().to_owned();
        let by_itself = cipher.contains("gcm") || cipher.contains("poly1305");
        Self {
            key_exchange: names.kex.as_ref().to_owned(),
            host_key: names.key.as_str().to_owned(),
            mac: (!by_itself).then(|| names.client_mac.as_ref().to_owned()),
            cipher,
            software: String::from_utf8_lossy(software).trim().to_owned(),
        }
    }
}

/// What a server offers, in its own order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// Key exchange.
    pub key_exchange: Vec<String>,
    /// Signatures by a host key.
    pub host_key: Vec<String>,
    /// Ciphers for what we send.
    pub cipher: Vec<String>,
    /// Authentication codes for what we send.
    pub mac: Vec<String>,
}

/// The addresses of a name.
///
/// # Errors
/// `ConnectFailed`.
pub async fn look_up(endpoint: &Endpoint, patience: Duration) -> Result<Vec<SocketAddr>> {
    let Endpoint { host, port } = endpoint;
    let failed = |problem: String| ErrorName::ConnectFailed.error(format!("looking up {host}: {problem}"));
    let addresses = timeout(patience, tokio::net::lookup_host((host.as_str(), *port))).await;
    let addresses: Vec<SocketAddr> = addresses
        .map_err(|_| failed(no_answer(patience)))?
        .map_err(|error| failed(error.to_string()))?
        .collect();
    if addresses.is_empty() { Err(failed("the name has no address".into()).into()) } else { Ok(addresses) }
}

/// A TCP connection, before a word was said.
pub struct Reached {
    stream: TcpStream,
    /// Where to.
    pub address: SocketAddr,
}

/// Connects to one of the addresses.
///
/// # Errors
/// `ConnectFailed` with the reason for each address.
pub async fn reach(endpoint: &Endpoint, addresses: &[SocketAddr], patience: Duration) -> Result<Reached> {
    let deadline = Instant::now() + patience;
    let (stream, address) = connect_tcp(endpoint, addresses, deadline, &no_answer(patience)).await?;
    Ok(Reached { stream, address })
}

impl Reached {
    /// Hears the server's identification and, if it says it unasked, as it should, what it offers. Ends the connection.
    ///
    /// # Errors
    /// `ConnectFailed`: it says nothing, or is no SSH server.
    pub async fn offer(mut self, patience: Duration) -> Result<(String, Option<Offer>)> {
        let address = self.address;
        let failed = |problem: String| {
            ErrorName::ConnectFailed.error(format!("the identification of the server at {address}: {problem}"))
        };
        let greeting = async {
            self.stream.write_all(b"SSH-2.0-s3_sftp_bridge\r\n").await?;
            let mut reader = BufReader::new(self.stream);
            let software = identification(&mut reader).await?;
            Ok::<_, std::io::Error>((reader, software))
        };
        let (mut reader, software) = timeout(patience, greeting)
            .await
            .map_err(|_| failed(no_answer(patience)))?
            .map_err(|error| failed(error.to_string()))?;
        // One that waits for our list first has said enough: the key exchange will tell.
        let offer = timeout(patience.min(Duration::from_secs(5)), offer(&mut reader)).await;
        Ok((software, offer.ok().flatten()))
    }
}

fn no_answer(patience: Duration) -> String {
    format!("no answer within {} s", patience.as_secs())
}

/// The line that begins with `SSH-`; a server may say other things before it (RFC 4253, section 4.2).
async fn identification(reader: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    const LINES_MAX: usize = 64;
    const LENGTH_MAX: u64 = 1024;
    for _ in 0..LINES_MAX {
        let mut line = Vec::new();
        reader.take(LENGTH_MAX).read_until(b'\n', &mut line).await?;
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        match line.is_empty() {
            false if line.starts_with("SSH-") => return Ok(line),
            false => {}
            true => return Err(std::io::Error::other("it closed the connection without a word")),
        }
    }
    Err(std::io::Error::other("it does not speak SSH"))
}

/// Reads SSH_MSG_KEXINIT, which is not encrypted (RFC 4253, sections 6 and 7.1).
async fn offer(reader: &mut BufReader<TcpStream>) -> Option<Offer> {
    const PACKET_MAX: u32 = 35_000;
    let length = reader.read_u32().await.ok().filter(|length| *length <= PACKET_MAX)?;
    let mut packet = vec![0; length as usize];
    reader.read_exact(&mut packet).await.ok()?;
    parse_offer(packet.into())
}

fn parse_offer(mut packet: Bytes) -> Option<Offer> {
    const KEXINIT: u8 = 20;
    const COOKIE: usize = 16;
    let _padding = packet.try_get_u8().ok()?;
    if packet.try_get_u8().ok()? != KEXINIT || packet.len() < COOKIE {
        return None;
    }
    packet.advance(COOKIE);
    let mut names = || {
        let list = codec::string_of(&mut packet).ok()?;
        Some(String::from_utf8_lossy(&list).split(',').map(str::to_owned).collect::<Vec<_>>())
    };
    let [key_exchange, host_key, cipher, _, mac] = [names()?, names()?, names()?, names()?, names()?];
    Some(Offer { key_exchange, host_key, cipher, mac })
}

/// A host key that a server presents; nothing says yet whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentedHostKey {
    /// `ssh-ed25519 AAAA…`
    pub line: String,
    /// `SHA256:…`
    pub fingerprint: String,
}

/// Asks the server for its host keys, one connection for each kind that it offers. Logs in to nothing.
///
/// # Errors
/// `ConnectFailed`, if none could be had.
pub async fn host_keys(
    endpoint: &Endpoint,
    offered: &[String],
    patience: Duration,
) -> Result<Vec<PresentedHostKey>> {
    let kinds: Vec<Algorithm> = Preferred::DEFAULT
        .key
        .iter()
        .filter(|kind| offered.iter().any(|name| name == kind.as_str()))
        .cloned()
        .collect();
    let mut found: Vec<PresentedHostKey> = Vec::new();
    let mut problem = ErrorName::ConnectFailed.error(format!("{endpoint} offers no host key that we know"));
    for kind in kinds {
        // One RSA key signs with several hashes.
        if matches!(kind, Algorithm::Rsa { .. }) && found.iter().any(|key| key.line.starts_with("ssh-rsa ")) {
            continue;
        }
        match timeout(patience, host_key(endpoint, kind, patience)).await {
            Ok(Ok(key)) if !found.contains(&key) => found.push(key),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => problem = error,
            Err(_) => {
                let words = format!("SSH key exchange with {endpoint}: {}", no_answer(patience));
                problem = ErrorName::ConnectFailed.error(words);
            }
        }
    }
    if found.is_empty() { Err(problem.into()) } else { Ok(found) }
}

async fn host_key(
    endpoint: &Endpoint,
    kind: Algorithm,
    patience: Duration,
) -> std::result::Result<PresentedHostKey, Error> {
    let addresses = look_up(endpoint, patience).await?;
    let Reached { stream, .. } = reach(endpoint, &addresses, patience).await?;
    let config = client::Config { preferred: preferred(kind), ..client::Config::default() };
    let seen = Arc::new(Mutex::new(None));
    let outcome = client::connect_stream(Arc::new(config), stream, OnlyLooks(Arc::clone(&seen))).await;
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner).take();
    seen.ok_or_else(|| {
        let problem = outcome.err().map_or_else(|| "no host key was presented".into(), |error| error.to_string());
        ErrorName::ConnectFailed.error(format!("SSH key exchange with {endpoint}: {problem}"))
    })
}

/// This kind of host key, by whatever means: nothing is said that would need protection.
fn preferred(kind: Algorithm) -> Preferred {
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
        key: Cow::Owned(vec![kind]),
        ..default
    }
}

/// Takes note of the host key, and refuses it.
struct OnlyLooks(Arc<Mutex<Option<PresentedHostKey>>>);

impl client::Handler for OnlyLooks {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        presented: &PublicKeyOrCertificate,
    ) -> std::result::Result<bool, Self::Error> {
        if let PublicKeyOrCertificate::PublicKey { key, .. } = presented
            && let Ok(line) = key.to_openssh()
        {
            let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(PresentedHostKey { line, fingerprint });
        }
        Ok(false)
    }
}

/// How the server lets this user log in (`publickey`, `password`, …), asked as RFC 4252, section 5.2, has it: with the
/// method `none`, which does not count as a failed attempt. Only a server whose host key is trusted is told the name.
///
/// # Errors
/// As for connecting.
pub async fn methods(
    endpoint: &Endpoint,
    user_name: &str,
    trusted: &TrustedHostKeys,
    options: &Options,
) -> Result<Vec<String>> {
    let (mut ssh, _) = open(endpoint, trusted, options).await?;
    let failed = |problem: String| {
        ErrorName::ConnectFailed.error(format!("asking {endpoint} how to log in: {problem}"))
    };
    let answer = timeout(options.connect_timeout, ssh.authenticate_none(user_name)).await;
    let _ = timeout(Duration::from_secs(1), ssh.disconnect(Disconnect::ByApplication, "", "en")).await;
    match answer {
        Ok(Ok(AuthResult::Success)) => Ok(vec!["none".into()]),
        Ok(Ok(AuthResult::Failure { remaining_methods, .. })) => {
            Ok(remaining_methods.iter().map(|method| <&'static str>::from(method).to_owned()).collect())
        }
        Ok(Err(error)) => Err(failed(error.to_string()).into()),
        Err(_) => Err(failed(no_answer(options.connect_timeout)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_is_read_and_garbage_is_none() {
        let string = |text: &str| [&(text.len() as u32).to_be_bytes()[..], text.as_bytes()].concat();
        let mut packet = vec![4, 20];
        packet.extend([7; 16]);
        for list in ["k1,k2", "ssh-ed25519", "c1,c2", "c3", "m1", "m2", "none", "none", "", ""] {
            packet.extend(string(list));
        }
        let offer = parse_offer(packet.clone().into()).unwrap();
        assert_eq!((offer.key_exchange.len(), offer.host_key), (2, vec!["ssh-ed25519".to_owned()]));
        assert_eq!((offer.cipher, offer.mac), (vec!["c1".into(), "c2".into()], vec!["m1".to_owned()]));
        for end in 0..40 {
            assert_eq!(parse_offer(Bytes::copy_from_slice(&packet[..end])), None);
        }
        packet[1] = 21;
        assert_eq!(parse_offer(packet.into()), None);
    }
}

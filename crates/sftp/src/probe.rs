//! Asking a server what it is like: what it offers, which host keys it has, how one may log in to it, all without a
//! credential; and what it says to each method of a login. For finding out what to set; deliveries do not need it.

use std::time::Duration;

use bridge::{Algorithms, ErrorName, Method, Preset, TrustedHostKeys};
use russh::Names;
use russh::client::{AuthResult, Handle};
use russh::keys::Algorithm;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use crate::addresses::{Addresses, Connected, late};
use crate::algorithms::{self, key_type};
use crate::authentication::authenticate_noting;
use crate::codec::words;
pub use crate::host_key::{Authority, HostKey};
use crate::session::{self, Handshake, Trust};
use crate::{Endpoint, Error, Login, MethodOutcome, Options, Result};

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

impl Offer {
    /// The first preset that connects to this server.
    pub fn preset(&self) -> Option<Preset> {
        algorithms::connecting_preset(self)
    }
}

/// Longer than any list of algorithms.
const PACKET_MAX: usize = 64 * 1024;
/// Lines that a server may send before it identifies itself.
const LINES_MAX: usize = 50;
const LINE_MAX: u64 = 8 * 1024;

/// What the server offers.
///
/// # Errors
/// `ConnectFailed`.
pub async fn offer(endpoint: &Endpoint, options: &Options) -> Result<Offer> {
    let mut addresses = Addresses::look_up(endpoint, options).await?;
    loop {
        let Connected { stream, address, share, until } = addresses.connect().await?;
        let mut stream = BufReader::new(stream);
        let asking = async {
            stream.write_all(b"SSH-2.0-s3-sftp-bridge\r\n").await?;
            read_offer(&mut stream).await
        };
        let problem = match tokio::time::timeout_at(until, asking).await {
            Ok(Ok(offer)) => return Ok(offer),
            Ok(Err(error)) => error.to_string(),
            Err(_) => late(share),
        };
        let step = format!("asking {endpoint} ({address}) for its algorithms");
        addresses.failed(address, format!("{step}: {problem}"));
    }
}

async fn read_offer(stream: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Offer> {
    let (mut identification, mut text) = (None, Vec::new());
    for _ in 0..LINES_MAX {
        let mut line = Vec::new();
        if (&mut *stream).take(LINE_MAX).read_until(b'\n', &mut line).await? == 0 {
            break;
        }
        if line.starts_with(b"SSH-") {
            identification = Some(String::from_utf8_lossy(line.trim_ascii()).into_owned());
            break;
        }
        text.extend(line);
    }
    let identification = identification.ok_or_else(|| match words(text.trim_ascii()) {
        words if words.is_empty() => invalid("it does not say that it speaks SSH"),
        words => invalid(&format!("it does not say that it speaks SSH, but {words:?}")),
    })?;
    // uint32 packet_length, byte padding_length, payload: byte SSH_MSG_KEXINIT, 16 bytes, ten name-lists.
    let length = stream.read_u32().await? as usize;
    if !(32..=PACKET_MAX).contains(&length) {
        return Err(invalid("its first packet is no list of algorithms"));
    }
    let mut packet = vec![0; length];
    stream.read_exact(&mut packet).await?;
    let offer = parse_offer(identification, &packet);
    offer.ok_or_else(|| invalid("its first packet is no list of algorithms"))
}

fn invalid(problem: &str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, problem)
}

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

/// What a server presented when it was asked for each type of host key that it has.
#[derive(Clone, Debug, Default)]
pub struct HostKeys {
    /// At least one.
    pub keys: Vec<HostKey>,
    /// The types that it could not be asked for any more.
    pub not_asked: Vec<String>,
    /// Why not.
    pub problem: Option<bridge::Error>,
}

impl HostKeys {
    /// What is missing, if anything is, and why.
    pub fn gap(&self) -> Option<String> {
        let problem = self.problem.as_ref()?;
        Some(format!("it could not be asked for {}: {}", self.not_asked.join(", "), problem.message()))
    }
}

/// Every host key that the server presents, one for each type, and every certificate; each on a connection of its own.
/// Nothing is trusted and nothing logged in to: whether the keys are the right ones, somebody has to say who knows.
///
/// The first connection that fails is the last one: a server that has enough of us is not asked on. What it has
/// presented until then stands.
///
/// # Errors
/// `ConnectFailed`, `NoCommonAlgorithm`, if there is no key at all.
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
        let kind = (key_type(plain).to_owned(), is_certificate);
        let is_known = options.algorithms.host_keys.contains(&plain);
        if !is_known || asked.contains(&kind) {
            continue;
        }
        let name = if is_certificate { format!("{} certificate", kind.0) } else { kind.0.clone() };
        asked.push(kind);
        if found.problem.is_some() {
            found.not_asked.push(name);
            continue;
        }
        let algorithm = Algorithm::new(plain).into_iter().collect::<Vec<_>>();
        let lists = if is_certificate { (Vec::new(), algorithm) } else { (algorithm, Vec::new()) };
        if !found.keys.is_empty() {
            // Many connections at one moment look like an attack.
            tokio::time::sleep(PAUSE).await;
        }
        match session::handshake(endpoint, Trust::Nobody, &options, lists).await {
            Err(Handshake::HostKey(refused)) => found.keys.push(refused.key),
            Err(Handshake::Error(error)) if found.keys.is_empty() => return Err(error.into()),
            Err(Handshake::Error(error)) => {
                found.not_asked.push(name);
                found.problem = Some(error);
            }
            Ok(_) | Err(Handshake::NoCommonAlgorithm { .. }) => {}
        }
    }
    match found.keys.is_empty() {
        false => Ok(found),
        true => Err(ErrorName::NoCommonAlgorithm
            .error(format!(
                "{endpoint} has no host key that we can read; it offers {}",
                offer.host_keys.join(" ")
            ))
            .into()),
    }
}

const PAUSE: Duration = Duration::from_millis(100);

/// What a server is like to somebody who has not logged in.
#[derive(Clone, Debug)]
pub struct Greeting {
    /// The host key that it presented; it is one of the trusted ones.
    pub host_key: HostKey,
    /// The algorithms in use, and the server's identification.
    pub negotiated: Negotiated,
    /// The ways to log in that it offers; none if it was not asked.
    pub methods: Vec<String>,
}

/// Connects and checks the host key; with a user name, asks how this user may log in. No attempt to log in is made: asking is
/// what RFC 4252, section 5.2, has the method `none` for.
///
/// # Errors
/// Those of [`Session::connect`](crate::Session::connect) but `AuthenticationRejected`.
pub async fn greet(
    endpoint: &Endpoint,
    user_name: Option<&str>,
    trusted: &TrustedHostKeys,
    options: &Options,
) -> Result<Greeting> {
    let (mut ssh, state) = session::open(endpoint, trusted, options).await?;
    let (host_key, negotiated) = (state.presented(), state.negotiated());
    let mut methods = Vec::new();
    if let Some(user_name) = user_name {
        let failed = |problem: &dyn std::fmt::Display| {
            ErrorName::ConnectFailed.error(format!("asking {endpoint} how to log in: {problem}"))
        };
        let answer = tokio::time::timeout(options.login_timeout, ssh.authenticate_none(user_name)).await;
        let answer = answer.map_err(|_| failed(&"no answer"))?.map_err(|error| failed(&error))?;
        methods = match answer {
            AuthResult::Success => vec!["none".to_owned()],
            AuthResult::Failure { remaining_methods, .. } => {
                remaining_methods.iter().map(|method| <&str>::from(method).to_owned()).collect()
            }
        };
    }
    goodbye(&ssh).await;
    Ok(Greeting { host_key, negotiated, methods })
}

/// The ways to log in that the server offers to a user who has proved nothing yet (`publickey`, `password`, …), as
/// [`greet`] finds them out.
///
/// # Errors
/// Those of [`greet`].
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
    /// What the server said to each method, in the order in which they were tried.
    pub answers: Vec<(Method, MethodOutcome)>,
    /// Why the login failed, if it did.
    pub problem: Option<Error>,
}

/// Logs in as [`Session::connect`](crate::Session::connect) does, for what the server says on the way, and leaves again.
///
/// # Errors
/// Those of [`Session::connect`](crate::Session::connect) that come before any method was tried.
pub async fn log_in(
    endpoint: &Endpoint,
    login: &Login,
    trusted: &TrustedHostKeys,
    options: &Options,
) -> Result<Attempted> {
    let (mut ssh, state) = session::open(endpoint, trusted, options).await?;
    let mut answers = Vec::new();
    let note = |method, answer| answers.push((method, answer));
    let logging_in = authenticate_noting(&mut ssh, &state, endpoint, login, options, note);
    let problem = match tokio::time::timeout(options.login_timeout, logging_in).await {
        Ok(outcome) => outcome.err(),
        Err(_) => Some(session::not_logged_in(endpoint, options).into()),
    };
    goodbye(&ssh).await;
    Ok(Attempted { answers, problem })
}

async fn goodbye(ssh: &Handle<session::Handler>) {
    let goodbye = ssh.disconnect(russh::Disconnect::ByApplication, "", "en");
    let _ = tokio::time::timeout(Duration::from_secs(1), goodbye).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet() -> Vec<u8> {
        let mut packet = vec![4, 20];
        packet.extend([7; 16]);
        for list in ["k1,k2", "h1", "c1,c2", "other", "m1", "m2", "none", "none", "", ""] {
            packet.extend((list.len() as u32).to_be_bytes());
            packet.extend(list.as_bytes());
        }
        packet.extend([0; 9]);
        packet
    }

    async fn read(bytes: &[u8]) -> std::io::Result<Offer> {
        read_offer(&mut BufReader::new(bytes)).await
    }

    #[tokio::test]
    async fn an_offer_is_read_behind_a_greeting() {
        let mut bytes = b"Welcome\r\nto this server\nSSH-2.0-test software\r\n".to_vec();
        bytes.extend((packet().len() as u32).to_be_bytes());
        bytes.extend(packet());
        let offer = read(&bytes).await.unwrap();
        assert_eq!(offer.identification, "SSH-2.0-test software");
        assert_eq!(
            (offer.key_exchanges.len(), offer.host_keys, offer.ciphers.len()),
            (2, vec!["h1".into()], 2)
        );
        assert_eq!(offer.macs, ["m1"]);
    }

    #[tokio::test]
    async fn what_is_no_offer_is_an_error() {
        let cut = packet()[..40].to_vec();
        for packet in [cut, vec![0; 40], vec![0xff; 40]] {
            let mut bytes = b"SSH-2.0-x\r\n".to_vec();
            bytes.extend((packet.len() as u32).to_be_bytes());
            bytes.extend(packet);
            assert!(read(&bytes).await.is_err());
        }
        for bytes in [
            &b""[..],
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            b"SSH-2.0-x\r\n\xff\xff\xff\xff",
            b"SSH-2.0-x\r\n",
        ] {
            assert!(read(bytes).await.is_err());
        }
    }
}

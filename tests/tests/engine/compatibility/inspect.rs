//! What a server says of itself.

use std::sync::Arc;

use bridge::{Settings, Variables};
use integration_tests::partner::Partner;
use integration_tests::wire::{kind, packet, string};
use russh::keys::{PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{Preferred, cipher, client, kex, mac};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::support::Delivery;

/// What the page shows: key exchange, host key, cipher and MAC; extensions; limits.
pub(super) async fn facts(delivery: &Delivery) -> [String; 3] {
    let partner = &delivery.partner;
    let (extensions, limits) = sftp(partner).await;
    [agreed(&ours(delivery).await, &theirs(partner.port).await.1), extensions, limits]
}

/// By what name the server greets.
pub(super) async fn identification(partner: &Partner) -> String {
    let (identification, _) = theirs(partner.port).await;
    identification.trim().trim_start_matches("SSH-2.0-").replace('_', " ")
}

/// The first lists of a KEXINIT (RFC 4253, section 7.1): key exchange, host key, cipher to the server and back, MAC to the
/// server.
type Lists = [Vec<String>; 5];

/// Takes the other side's identification and first packet off a connection.
async fn key_exchange_init(stream: TcpStream) -> (String, Lists) {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"SSH-2.0-inspection\r\n").await.unwrap();
    let mut line = String::new();
    while !line.starts_with("SSH-") {
        line.clear();
        assert!(stream.read_line(&mut line).await.unwrap() > 0, "no identification");
    }
    let length = stream.read_u32().await.unwrap();
    let mut packet = vec![0; length as usize];
    stream.read_exact(&mut packet).await.unwrap();
    // Length of the padding, message number, cookie.
    let mut rest = &packet[1 + 1 + 16..];
    let lists = std::array::from_fn(|_| {
        let (length, tail) = rest.split_first_chunk::<4>().unwrap();
        let (names, tail) = tail.split_at(u32::from_be_bytes(*length) as usize);
        rest = tail;
        String::from_utf8(names.to_vec()).unwrap().split(',').map(str::to_owned).collect()
    });
    (line, lists)
}

async fn theirs(port: u16) -> (String, Lists) {
    key_exchange_init(TcpStream::connect(("127.0.0.1", port)).await.unwrap()).await
}

/// What the bridge offers to this partner, as it is set.
async fn ours(delivery: &Delivery) -> Lists {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let endpoint = sftp::Endpoint { host: "127.0.0.1".into(), port: listener.local_addr().unwrap().port() };
    let login = sftp::Login { user_name: "x".into(), ..sftp::Login::default() };
    let variables = delivery.variables.clone().into_iter().collect::<Variables>();
    let Settings { trusted_host_keys: trusted, login: set, .. } = Settings::parse(&variables).unwrap();
    let options = sftp::Options { algorithms: set.algorithms, ..sftp::Options::default() };
    tokio::select! {
        _ = sftp::Session::connect(&endpoint, &login, &trusted, &options) => unreachable!(),
        lists = async { key_exchange_init(listener.accept().await.unwrap().0).await } => lists.1,
    }
}

/// The first of ours that is one of theirs, as the protocol has it.
fn agreed(ours: &Lists, theirs: &Lists) -> String {
    let first = |index: usize| {
        let real =
            ours[index].iter().filter(|name| !name.starts_with("ext-info") && !name.contains("strict"));
        real.filter(|name| theirs[index].contains(name)).map(String::as_str).next()
    };
    let cipher = first(2);
    // These ciphers authenticate by themselves.
    let mac = match cipher {
        Some(cipher) if cipher.contains("gcm") || cipher.contains("poly1305") => None,
        _ => Some(first(4)),
    };
    let chosen: Vec<&str> = [Some(first(0)), Some(first(1)), Some(cipher), mac]
        .into_iter()
        .flatten()
        .map(|name| name.unwrap_or("**none**"))
        .collect();
    chosen.join(", ")
}

struct AnyHostKey;

impl client::Handler for AnyHostKey {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        Ok(true)
    }
}

/// Extensions and limits, asked for with a client that is not ours.
async fn sftp(partner: &Partner) -> (String, String) {
    let preferred = Preferred {
        kex: [Preferred::DEFAULT.kex.as_ref(), &[kex::DH_G14_SHA1]].concat().into(),
        cipher: [Preferred::DEFAULT.cipher.as_ref(), &[cipher::AES_128_CBC]].concat().into(),
        mac: [Preferred::DEFAULT.mac.as_ref(), &[mac::HMAC_SHA1]].concat().into(),
        ..Preferred::DEFAULT
    };
    let config = Arc::new(client::Config { preferred, ..Default::default() });
    let mut session = client::connect(config, ("127.0.0.1", partner.port), AnyHostKey).await.unwrap();
    let key = Arc::new(PrivateKey::from_openssh(&partner.client_key.private).unwrap());
    let key = PrivateKeyWithHashAlg::new(key, None);
    assert!(session.authenticate_publickey(&partner.user, key).await.unwrap().success());
    let channel = session.channel_open_session().await.unwrap();
    channel.request_subsystem(true, "sftp").await.unwrap();
    let mut stream = channel.into_stream();
    stream.write_all(&packet(1, 3, &[])).await.unwrap();
    let (number, version) = reply(&mut stream).await;
    assert_eq!(number, kind::VERSION);
    let mut rest = &version[4..];
    let mut extensions = Vec::new();
    while !rest.is_empty() {
        let name = take(&mut rest);
        take(&mut rest);
        extensions.push(String::from_utf8(name).unwrap());
    }
    let mut limits = String::from("not told");
    if extensions.iter().any(|name| name == "limits@openssh.com") {
        stream.write_all(&packet(kind::EXTENDED, 1, &[&string(b"limits@openssh.com")])).await.unwrap();
        let (_, body) = reply(&mut stream).await;
        let number = |index: usize| u64::from_be_bytes(body[4 + 8 * index..][..8].try_into().unwrap());
        limits = format!("{} and {} bytes", number(1), number(2));
    }
    let shown: Vec<String> = extensions.iter().map(|name| format!("`{name}`")).collect();
    (if shown.is_empty() { "none".to_owned() } else { shown.join(" ") }, limits)
}

async fn reply(stream: &mut (impl AsyncReadExt + Unpin)) -> (u8, Vec<u8>) {
    let length = stream.read_u32().await.unwrap();
    let kind = stream.read_u8().await.unwrap();
    let mut body = vec![0; length as usize - 1];
    stream.read_exact(&mut body).await.unwrap();
    (kind, body)
}

fn take(rest: &mut &[u8]) -> Vec<u8> {
    let (length, tail) = rest.split_first_chunk::<4>().unwrap();
    let (string, tail) = tail.split_at(u32::from_be_bytes(*length) as usize);
    *rest = tail;
    string.to_vec()
}

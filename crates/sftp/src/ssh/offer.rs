//! The algorithms that a server offers, read from the first packet of the key exchange, without a credential.

use terms::{Algorithms, Preset};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use crate::error::Result;
use crate::options::{Endpoint, Options};
use crate::ssh::algorithms::authenticates;
use crate::ssh::dial::{Addresses, Connected};
use crate::words::{late, words};

/// The algorithms that a server offers at the beginning of the key exchange (RFC 4253, section 7.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// The server's identification, such as `SSH-2.0-OpenSSH_9.2p1`.
    pub identification: String,
    /// Key exchanges.
    pub key_exchanges: Vec<String>,
    /// Signatures of its host keys; it has a key for each of them.
    pub host_keys: Vec<String>,
    /// Ciphers, from client to server.
    pub ciphers: Vec<String>,
    /// Message authentication codes, from client to server.
    pub macs: Vec<String>,
}

impl Offer {
    /// The first preset that connects to this server. Safer presets come first.
    pub fn preset(&self) -> Option<Preset> {
        Preset::ALL.into_iter().find(|preset| self.connects(&Algorithms::preset(*preset)))
    }

    /// Whether both sides have an algorithm of each kind in common.
    fn connects(&self, ours: &Algorithms) -> bool {
        let first = |ours: &[&'static str], theirs: &[String]| -> Option<&'static str> {
            ours.iter().copied().find(|name| theirs.iter().any(|it| it == name))
        };
        let cipher = first(&ours.ciphers, &self.ciphers);
        let needs_mac = cipher.is_none_or(|name| !authenticates(name));
        cipher.is_some()
            && first(&ours.key_exchanges, &self.key_exchanges).is_some()
            && first(&ours.host_keys, &self.host_keys).is_some()
            && (!needs_mac || first(&ours.macs, &self.macs).is_some())
    }
}

/// Maximum length of the packet with the lists of algorithms, in bytes.
const KEXINIT_MAX: usize = 64 * 1024;
/// Maximum number of lines that a server may send before its identification.
const LINES_MAX: usize = 50;
/// Maximum length of such a line, in bytes.
const LINE_MAX: u64 = 8 * 1024;

/// Asks the server for the algorithms that it offers.
///
/// # Errors
/// `ConnectFailed`.
///
/// # Cancel safety
/// Dropping the future ends the connection; nothing else was changed.
pub async fn offer(endpoint: &Endpoint, options: &Options) -> Result<Offer> {
    let mut addresses = Addresses::look_up(endpoint, options).await?;
    loop {
        let Connected { stream, address, share, until } = addresses.connect_tcp().await?;
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
        words if words.is_empty() => invalid("it does not identify itself as an SSH server"),
        words => invalid(&format!("it does not identify itself as an SSH server; it sent {words:?}")),
    })?;
    // uint32 packet_length, byte padding_length, payload: byte SSH_MSG_KEXINIT, 16 bytes, ten name-lists.
    let length = stream.read_u32().await? as usize;
    if !(32..=KEXINIT_MAX).contains(&length) {
        return Err(invalid("its first packet does not list algorithms"));
    }
    let mut packet = vec![0; length];
    stream.read_exact(&mut packet).await?;
    let offer = parse_offer(identification, &packet);
    offer.ok_or_else(|| invalid("its first packet does not list algorithms"))
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

    #[test]
    fn the_safer_preset_that_connects() {
        let offer = |kex: &str, host_key: &str, cipher: &str, mac: &str| Offer {
            identification: "SSH-2.0-test".into(),
            key_exchanges: vec![kex.into()],
            host_keys: vec![host_key.into()],
            ciphers: vec![cipher.into()],
            macs: vec![mac.into()],
        };
        let modern = offer("curve25519-sha256", "ssh-ed25519", "aes256-gcm@openssh.com", "none");
        assert_eq!(modern.preset(), Some(Preset::Modern));
        let old = offer("diffie-hellman-group1-sha1", "ssh-dss", "3des-cbc", "hmac-sha1");
        assert_eq!(old.preset(), Some(Preset::Legacy));
        let mac = offer("curve25519-sha256", "ssh-ed25519", "aes256-ctr", "hmac-md5");
        assert_eq!(mac.preset(), None);
    }
}

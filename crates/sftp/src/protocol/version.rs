//! The start of SFTP: both sides tell the version of the protocol that they speak.

use std::collections::HashSet;
use std::pin::pin;

use russh::ChannelMsg;
use terms::ErrorKind;

use crate::error::{Error, Result};
use crate::protocol::decode::{Decoder, Reply};
use crate::protocol::encode;
use crate::protocol::extensions::CHECK_FILE;
use crate::protocol::link::{Reader, Writer};
use crate::ssh::condition::Condition;
use crate::words::{WORDS_MAX, words};

/// Starts SFTP, and returns the names of the server's extensions.
///
/// The request for the subsystem and the first packet are sent together if the channel accepts data before it has a
/// subsystem. OpenSSH's does not.
pub(super) async fn negotiate(
    reader: &mut Reader,
    writer: &Writer,
    decoder: &mut Decoder,
    condition: &Condition,
) -> Result<HashSet<String>> {
    let asking = async {
        writer.request_sftp().await?;
        writer.data_bytes(encode::init()).await
    };
    let (mut asking, mut version) = (pin!(asking), pin!(read_version(reader, decoder, condition)));
    // If the channel is refused, or the session has ended, the window for our first packet never opens.
    tokio::select! {
        version = &mut version => {
            let extensions = version?;
            asking.await.map_err(|error| Error::Lost(format!("starting SFTP: {error}")))?;
            Ok(extensions)
        }
        // If the packet could not be sent, the session has ended, and the reader knows how.
        _ = &mut asking => version.await,
    }
}

async fn read_version(
    reader: &mut Reader,
    decoder: &mut Decoder,
    condition: &Condition,
) -> Result<HashSet<String>> {
    let mut said = Said::default();
    let problem = loop {
        match decoder.next() {
            Ok(Some((_, Reply::Version { version, extensions }))) if version >= encode::VERSION => {
                return Ok(extensions.iter().map(|(name, data)| announced(name, data)).collect());
            }
            Ok(Some((_, Reply::Version { version, .. }))) => {
                break format!("it speaks only version {version}");
            }
            Ok(Some(_)) => break "its first packet was not a version".to_owned(),
            Err(malformed) => break malformed.to_string(),
            Ok(None) => {}
        }
        match reader.wait().await {
            Some(ChannelMsg::Data { data }) => {
                keep(&mut said.output, &data);
                decoder.push(data);
            }
            Some(ChannelMsg::ExtendedData { data, .. }) => keep(&mut said.errors, &data),
            Some(ChannelMsg::Failure) => break "it offers no SFTP to this account".to_owned(),
            Some(ChannelMsg::Eof | ChannelMsg::Close) => {
                break "it closed the channel; is the account allowed to use SFTP?".to_owned();
            }
            None => break condition.ended().unwrap_or_else(|| "the connection was lost".to_owned()),
            Some(_) => {}
        }
    };
    Err(not_sftp(&problem, &said))
}

/// The beginning of what a server sends instead of SFTP.
#[derive(Default)]
struct Said {
    /// Standard output.
    output: Vec<u8>,
    /// Standard error.
    errors: Vec<u8>,
}

fn keep(kept: &mut Vec<u8>, bytes: &[u8]) {
    let room = WORDS_MAX - kept.len().min(WORDS_MAX);
    kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

/// The name of an extension. `check-file` belongs to later drafts of the protocol. A server that speaks those as well may
/// support it and not announce it to a client of version 3, as ProFTPD does. Whether it does is found out when a file
/// has to be hashed.
fn announced(name: &[u8], data: &[u8]) -> String {
    let is_later = |version: &[u8]| matches!(version, b"5" | b"6");
    let speaks_later = name == b"versions" && data.split(|byte| *byte == b',').any(is_later);
    if speaks_later { CHECK_FILE.to_owned() } else { words(name) }
}

/// The usual cause of an invalid length is a login script that prints something. Why an account is refused is often
/// said only on standard error.
fn not_sftp(problem: &str, said: &Said) -> Error {
    // A packet begins with its length, which is not text.
    let begins_with_text =
        said.output.iter().take(4).all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
    let text = if said.errors.is_empty() { &said.output } else { &said.errors };
    let text = text.trim_ascii();
    let shown = if text.is_empty() || said.errors.is_empty() && !begins_with_text {
        String::new()
    } else {
        format!("; it said {:?}", words(text))
    };
    ErrorKind::ConnectFailed
        .error(format!("starting SFTP: the server did not speak SFTP: {problem}{shown}"))
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_speaks_later_versions_may_know_how_to_hash() {
        assert_eq!(announced(b"versions", b"2,3,4,5,6"), CHECK_FILE);
        assert_eq!(announced(b"versions", b"2,3,4"), "versions");
        assert_eq!(announced(b"newline", b"6"), "newline");
        assert_eq!(announced(b"\xff", b""), "\u{fffd}");
    }
}

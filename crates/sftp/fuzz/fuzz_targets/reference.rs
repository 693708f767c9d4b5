//! A simple reader of replies, written from the draft: it has the whole stream, and copies everything.

use bytes::Bytes;
use sftp::internals::{BODY_MAX, Broken, HANDLE_MAX, REPLY_MAX, Seen, WORDS_MAX};
use sftp::{Attributes, DirectoryEntry};

/// A reply with the id of its request.
pub type Outcome = Result<(u32, Seen), Broken>;

/// The replies in a stream, each with the number of bytes after which it is complete.
pub fn replies(stream: &[u8]) -> Vec<(usize, Outcome)> {
    let mut replies = Vec::new();
    let mut rest = stream;
    while let Some(length) = number(&mut rest, 4) {
        let length = length as usize;
        if length > REPLY_MAX {
            replies.push((stream.len() - rest.len(), Err(Broken::TooLong(length))));
            break;
        }
        let Some((body, tail)) = rest.split_at_checked(length) else { break };
        rest = tail;
        let reply = match reply(body).ok_or(Broken::Short) {
            Ok((_, Seen::Handle(handle))) if handle.len() > HANDLE_MAX => {
                Err(Broken::LongHandle(handle.len()))
            }
            other => other,
        };
        let is_broken = reply.is_err();
        replies.push((stream.len() - rest.len(), reply));
        if is_broken {
            break;
        }
    }
    replies
}

fn reply(mut body: &[u8]) -> Option<(u32, Seen)> {
    let body = &mut body;
    let kind = number(body, 1)? as u8;
    // In a VERSION, this is not an id.
    let id = number(body, 4)? as u32;
    let seen = match kind {
        2 => {
            let pair = || Some((string(body)?, string(body)?));
            return Some((0, Seen::Version { version: id, extensions: std::iter::from_fn(pair).collect() }));
        }
        101 => {
            let code = number(body, 4)? as u32;
            let message = string(body).unwrap_or_default();
            Seen::Status { code, message: beginning(&String::from_utf8_lossy(&message)) }
        }
        102 => Seen::Handle(string(body)?),
        103 => Seen::Data(vec![string(body)?]),
        104 => {
            let count = number(body, 4)?;
            Seen::Names((0..count).map(|_| entry(body)).collect::<Option<_>>()?)
        }
        105 => Seen::Attributes(attributes(body)?),
        201 => Seen::Extended(body.iter().copied().take(BODY_MAX).collect()),
        other => Seen::Other(other),
    };
    Some((id, seen))
}

/// As many characters as fit into the maximum length.
fn beginning(words: &str) -> String {
    let mut length = 0;
    words
        .chars()
        .take_while(|character| {
            length += character.len_utf8();
            length <= WORDS_MAX
        })
        .collect()
}

/// Name, line of `ls -l`, attributes; and pairs of strings, if the flags say so.
fn entry(body: &mut &[u8]) -> Option<DirectoryEntry> {
    let name = string(body)?;
    let _line = string(body)?;
    let has_pairs = body.first()? >> 7 == 1;
    let attributes = attributes(body)?;
    let pairs = if has_pairs { number(body, 4)? } else { 0 };
    for _ in 0..2 * pairs {
        string(body)?;
    }
    Some(DirectoryEntry { name, attributes })
}

fn attributes(body: &mut &[u8]) -> Option<Attributes> {
    let flags = number(body, 4)?;
    let mut part = |flag: u64, length: usize| {
        if flags & flag == 0 { Some(None) } else { number(body, length).map(Some) }
    };
    let size = part(1, 8)?;
    let _user_and_group = part(2, 8)?;
    let permissions = part(4, 4)?.map(|mode| mode as u32);
    let accessed_and_modified = part(8, 8)?;
    Some(Attributes { size, permissions, modified: accessed_and_modified.map(|times| times as u32) })
}

/// Length of the data in one READ and in one WRITE: between 1 KiB and 255 KiB, with room for the head of the packet.
pub fn data_lengths(mut limits: &[u8]) -> Option<(u32, u32)> {
    let [packet, read, write] = [(); 3].map(|()| number(&mut limits, 8).map(i128::from));
    let unlimited = |number: i128| if number == 0 { i128::MAX } else { number };
    let packet = unlimited(packet?);
    let data = |length: i128| unlimited(length).min(packet - 1024).clamp(1024, 255 * 1024) as u32;
    Some((data(read?), data(write?)))
}

/// The second number times the fifth.
pub fn available(mut fields: &[u8]) -> Option<u64> {
    let numbers = [(); 5].map(|()| number(&mut fields, 8).map(u128::from));
    let [_, fragment, _, _, available] = numbers;
    (fragment? * available?).try_into().ok()
}

/// The name of the hash and the hash. Some servers put the name of the extension before them.
pub fn server_hash(mut reply: &[u8]) -> Option<[u8; 32]> {
    let extension = b"\0\0\0\x0acheck-file";
    reply = reply.strip_prefix(extension).unwrap_or(reply);
    reply.strip_prefix(b"\0\0\0\x06sha256")?.try_into().ok()
}

fn number(rest: &mut &[u8], length: usize) -> Option<u64> {
    let (number, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(number.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn string(rest: &mut &[u8]) -> Option<Bytes> {
    let mut tail = *rest;
    let length = number(&mut tail, 4)? as usize;
    let (string, tail) = tail.split_at_checked(length)?;
    *rest = tail;
    Some(Bytes::copy_from_slice(string))
}

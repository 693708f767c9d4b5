//! Replies from the byte stream of a channel. Source: draft-ietf-secsh-filexfer-02. This code is fuzzed: see `fuzz/`.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};

use crate::protocol::attributes::{Attributes, DirectoryEntry};
use crate::protocol::packet;
use crate::words::words;

/// Maximum length of a reply, in bytes. Requests ask for at most 255 KiB of data; a server that announces more than this
/// is broken or hostile.
pub(crate) const REPLY_MAX: usize = 512 * 1024;

/// Maximum length of a handle, in bytes (draft 02, section 7). Each READ and WRITE repeats the handle.
pub(crate) const HANDLE_MAX: usize = 256;

/// Maximum length that is kept of an extended reply, in bytes. The replies that this client reads are a few numbers, or a
/// hash.
pub(crate) const BODY_MAX: usize = 1024;

/// Maximum number of pieces that are kept. A reply usually comes in a few pieces of 32 KiB.
pub(crate) const PIECES_MAX: usize = 1024;

/// Minimum length of an entry of a directory, in bytes: two empty strings, and flags without attributes.
const ENTRY_MIN: usize = 12;

/// SSH_FILEXFER_ATTR_EXTENDED: attributes of the server's own follow, as pairs of strings.
const EXTENDED_ATTRIBUTES: u32 = 0x8000_0000;

/// A reply of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Version {
        version: u32,
        extensions: Vec<(Bytes, Bytes)>,
    },
    Status {
        code: u32,
        message: String,
    },
    Handle(Bytes),
    /// In the pieces in which it was received, without copying.
    Data(Vec<Bytes>),
    Attributes(Attributes),
    /// Entries of a directory.
    Names(Vec<DirectoryEntry>),
    Extended(Bytes),
    /// A reply of an unknown type, or to a request that this client never sends.
    Other(u8),
}

impl Reply {
    /// The type of the packet, for error messages.
    pub(crate) fn type_name(&self) -> String {
        match self {
            Self::Version { .. } => "VERSION".into(),
            Self::Status { .. } => "STATUS".into(),
            Self::Handle(_) => "HANDLE".into(),
            Self::Data(_) => "DATA".into(),
            Self::Attributes(_) => "ATTRS".into(),
            Self::Names(_) => "NAME".into(),
            Self::Extended(_) => "EXTENDED_REPLY".into(),
            Self::Other(kind) => format!("type {kind}"),
        }
    }
}

/// The server sent something that cannot be decoded. The session is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("the server announced a packet of {0} bytes, more than was asked for")]
    TooLong(usize),
    #[error("a handle has {0} bytes; the maximum is {HANDLE_MAX}")]
    LongHandle(usize),
    #[error("a packet ended early")]
    Short,
}

/// Cuts the byte stream of a channel into replies, without copying the contents of files. It keeps at most one reply and
/// the rest of the piece in which the reply ended.
#[derive(Default)]
pub(crate) struct Decoder {
    pieces: VecDeque<Bytes>,
    length: usize,
}

impl Decoder {
    /// Adds received bytes.
    pub(crate) fn push(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.length += bytes.len();
            self.pieces.push_back(bytes);
        }
        // A server that sends single bytes must not cost a hundred times the memory of what it sends.
        if self.pieces.len() > PIECES_MAX {
            let length = self.length;
            let joined = self.take(length).concat();
            self.length = length;
            self.pieces.push_back(joined.into());
        }
    }

    /// The next whole reply and the id of its request. A VERSION has no id: 0.
    pub(crate) fn next(&mut self) -> Result<Option<(u32, Reply)>, Malformed> {
        let Some(length) = self.peek::<4>().map(|head| u32::from_be_bytes(head) as usize) else {
            return Ok(None);
        };
        if length > REPLY_MAX {
            return Err(Malformed::TooLong(length));
        }
        if self.length < 4 + length {
            return Ok(None);
        }
        self.take(4);
        const DATA_HEAD: usize = 9;
        match self.peek::<DATA_HEAD>() {
            Some([packet::DATA, i0, i1, i2, i3, l0, l1, l2, l3]) if length >= DATA_HEAD => {
                let data = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
                let rest = length - DATA_HEAD;
                if data > rest {
                    return Err(Malformed::Short);
                }
                self.take(DATA_HEAD);
                let pieces = self.take(data);
                // Some servers append an end-of-file flag, as in later versions of the protocol.
                self.take(rest - data);
                Ok(Some((u32::from_be_bytes([i0, i1, i2, i3]), Reply::Data(pieces))))
            }
            _ => {
                let mut pieces = self.take(length);
                let whole = if pieces.len() == 1 { pieces.pop() } else { None };
                reply(whole.unwrap_or_else(|| pieces.concat().into())).map(Some)
            }
        }
    }

    /// Number of bytes that are kept, and of their pieces.
    #[cfg(any(feature = "internals", test))]
    pub(crate) fn kept(&self) -> (usize, usize) {
        (self.length, self.pieces.len())
    }

    /// The next bytes, without removing them.
    fn peek<const N: usize>(&self) -> Option<[u8; N]> {
        let mut head = [0; N];
        let mut bytes = self.pieces.iter().flat_map(|piece| piece.iter());
        for slot in &mut head {
            *slot = *bytes.next()?;
        }
        Some(head)
    }

    /// Removes the next `length` bytes. There must be as many.
    fn take(&mut self, mut length: usize) -> Vec<Bytes> {
        self.length -= length;
        let mut taken = Vec::new();
        while length > 0 {
            let Some(mut piece) = self.pieces.pop_front() else { break };
            if piece.len() > length {
                self.pieces.push_front(piece.split_off(length));
            }
            length -= piece.len();
            taken.push(piece);
        }
        taken
    }
}

fn reply(mut packet: Bytes) -> Result<(u32, Reply), Malformed> {
    let kind = u8_of(&mut packet)?;
    if kind == packet::VERSION {
        let version = u32_of(&mut packet)?;
        let mut extensions = Vec::new();
        // Extensions that cannot be decoded are ignored.
        while let (Ok(name), Ok(data)) = (string_of(&mut packet), string_of(&mut packet)) {
            extensions.push((name, data));
        }
        return Ok((0, Reply::Version { version, extensions }));
    }
    let id = u32_of(&mut packet)?;
    let reply = match kind {
        packet::STATUS => {
            let code = u32_of(&mut packet)?;
            // Some servers leave out the two strings.
            let message = string_of(&mut packet).unwrap_or_default();
            Reply::Status { code, message: words(&message) }
        }
        packet::HANDLE => {
            let handle = string_of(&mut packet)?;
            if handle.len() > HANDLE_MAX {
                return Err(Malformed::LongHandle(handle.len()));
            }
            // A copy, because the handle outlives the piece in which it was received.
            Reply::Handle(Bytes::copy_from_slice(&handle))
        }
        packet::ATTRS => Reply::Attributes(attributes_of(&mut packet)?),
        packet::NAME => Reply::Names(names_of(&mut packet)?),
        packet::EXTENDED_REPLY => {
            Reply::Extended(Bytes::copy_from_slice(&packet[..packet.len().min(BODY_MAX)]))
        }
        packet::DATA => return Err(Malformed::Short),
        other => Reply::Other(other),
    };
    Ok((id, reply))
}

pub(crate) fn u8_of(packet: &mut Bytes) -> Result<u8, Malformed> {
    packet.try_get_u8().map_err(|_| Malformed::Short)
}

pub(crate) fn u32_of(packet: &mut Bytes) -> Result<u32, Malformed> {
    packet.try_get_u32().map_err(|_| Malformed::Short)
}

pub(crate) fn u64_of(packet: &mut Bytes) -> Result<u64, Malformed> {
    packet.try_get_u64().map_err(|_| Malformed::Short)
}

pub(crate) fn string_of(packet: &mut Bytes) -> Result<Bytes, Malformed> {
    let length = u32_of(packet)? as usize;
    if length > packet.len() {
        return Err(Malformed::Short);
    }
    Ok(packet.split_to(length))
}

fn attributes_of(packet: &mut Bytes) -> Result<Attributes, Malformed> {
    let flags = u32_of(packet)?;
    let mut attributes = Attributes::default();
    if flags & 0x01 != 0 {
        attributes.size = Some(u64_of(packet)?);
    }
    if flags & 0x02 != 0 {
        u64_of(packet)?; // uid, gid
    }
    if flags & 0x04 != 0 {
        attributes.permissions = Some(u32_of(packet)?);
    }
    if flags & 0x08 != 0 {
        u32_of(packet)?; // atime
        attributes.modified = Some(u32_of(packet)?);
    }
    Ok(attributes)
}

/// The entries of a NAME. Bytes behind them are ignored: later versions of the protocol append a flag.
fn names_of(packet: &mut Bytes) -> Result<Vec<DirectoryEntry>, Malformed> {
    let count = u32_of(packet)? as usize;
    // More than fit into the packet do not come, whatever the count says.
    let mut entries = Vec::with_capacity(count.min(packet.len() / ENTRY_MIN));
    for _ in 0..count {
        entries.push(entry_of(packet)?);
    }
    Ok(entries)
}

fn entry_of(packet: &mut Bytes) -> Result<DirectoryEntry, Malformed> {
    // A copy, because a name may be kept for longer than the packet.
    let name = Bytes::copy_from_slice(&string_of(packet)?);
    // The line of `ls -l` is for people. Its time is in a zone that nobody tells, and its format is the server's own.
    string_of(packet)?;
    let flags = u32_of(&mut packet.clone())?;
    let attributes = attributes_of(packet)?;
    if flags & EXTENDED_ATTRIBUTES != 0 {
        for _ in 0..u32_of(packet)? {
            string_of(packet)?;
            string_of(packet)?;
        }
    }
    Ok(DirectoryEntry { name, attributes })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;
    use crate::words::WORDS_MAX;

    fn framed(body: &[u8]) -> Vec<u8> {
        [&(body.len() as u32).to_be_bytes(), body].concat()
    }

    fn decode(bytes: &[u8]) -> Result<Option<(u32, Reply)>, Malformed> {
        let mut decoder = Decoder::default();
        decoder.push(Bytes::copy_from_slice(bytes));
        decoder.next()
    }

    #[test]
    fn story_19_a_status_without_its_strings_is_an_answer() {
        let bare = framed(&[101, 0, 0, 0, 7, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(decode(&bare), Ok(Some((7, Reply::Status { code: u32::MAX, message: String::new() }))));
        let latin = framed(&[101, 0, 0, 0, 7, 0, 0, 0, 4, 0, 0, 0, 2, b'a', 0xe4]);
        assert_eq!(decode(&latin), Ok(Some((7, Reply::Status { code: 4, message: "a\u{fffd}".into() }))));
    }

    #[test]
    fn story_19_handles_are_opaque_bytes() {
        let handle = framed(&[102, 0, 0, 0, 1, 0, 0, 0, 3, 0xff, 0x00, 0xfe]);
        assert_eq!(decode(&handle), Ok(Some((1, Reply::Handle(Bytes::from_static(&[0xff, 0, 0xfe]))))));
    }

    #[test]
    fn a_handle_that_is_too_long_is_refused() {
        let handle = |length: usize| {
            decode(&framed(
                &[&[102, 0, 0, 0, 1][..], &(length as u32).to_be_bytes(), &vec![7; length]].concat(),
            ))
        };
        assert_eq!(handle(HANDLE_MAX), Ok(Some((1, Reply::Handle(vec![7; HANDLE_MAX].into())))));
        assert_eq!(handle(HANDLE_MAX + 1), Err(Malformed::LongHandle(HANDLE_MAX + 1)));
    }

    #[test]
    fn of_long_words_and_bodies_only_the_beginning_is_kept() {
        let kept = |words: &[u8]| {
            let length = (words.len() as u32).to_be_bytes();
            match decode(&framed(&[&[101, 0, 0, 0, 1, 0, 0, 0, 4][..], &length, words].concat())) {
                Ok(Some((1, Reply::Status { message, .. }))) => message,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(kept(&vec![b'x'; 500_000]), "x".repeat(WORDS_MAX));
        // Characters are not cut.
        assert_eq!(kept(format!("x{}", "ä".repeat(WORDS_MAX)).as_bytes()).len(), WORDS_MAX - 1);
        assert_eq!(kept(&vec![0xff; 500_000]).len(), WORDS_MAX / 3 * 3);
        let body = [&[201, 0, 0, 0, 1][..], &vec![7; 500_000]].concat();
        assert_eq!(decode(&framed(&body)), Ok(Some((1, Reply::Extended(vec![7; BODY_MAX].into())))));
    }

    #[test]
    fn a_hostile_length_is_refused_before_it_is_allocated() {
        assert_eq!(decode(&u32::MAX.to_be_bytes()), Err(Malformed::TooLong(u32::MAX as usize)));
        assert_eq!(decode(&(REPLY_MAX as u32 + 1).to_be_bytes()), Err(Malformed::TooLong(REPLY_MAX + 1)));
        assert_eq!(decode(&(REPLY_MAX as u32).to_be_bytes()), Ok(None));
        assert_eq!(decode(&framed(&[102, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff])), Err(Malformed::Short));
        assert_eq!(decode(&framed(&[])), Err(Malformed::Short));
    }

    #[test]
    fn data_is_not_copied_and_may_come_in_any_pieces() {
        let head = [103, 0, 0, 0, 5, 0, 0, 0, 6];
        let whole = framed(&[&head[..], b"abcdef", &[1]].concat());
        let data = |decoder: &mut Decoder| match decoder.next() {
            Ok(Some((5, Reply::Data(pieces)))) => pieces.concat(),
            other => panic!("{other:?}"),
        };
        let bytes = Bytes::from(whole.clone());
        let mut decoder = Decoder::default();
        decoder.push(bytes.clone());
        let Ok(Some((5, Reply::Data(pieces)))) = decoder.next() else { panic!() };
        assert_eq!(pieces, [bytes.slice(13..19)]);
        assert_eq!(pieces[0].as_ptr(), bytes[13..].as_ptr());
        let mut decoder = Decoder::default();
        for _ in 0..1000 {
            for byte in &whole {
                decoder.push(Bytes::copy_from_slice(&[*byte]));
            }
        }
        assert!(decoder.kept().1 <= PIECES_MAX);
        for _ in 0..1000 {
            assert_eq!(data(&mut decoder), b"abcdef");
        }
        assert_eq!(decoder.next(), Ok(None));
        assert_eq!(decode(&framed(&[103, 0, 0, 0, 5, 0, 0, 0, 1])), Err(Malformed::Short));
        assert_eq!(decode(&framed(&head[..8])), Err(Malformed::Short));
    }

    #[test]
    fn attributes_that_are_left_out_stay_unknown() {
        let size_and_times =
            framed(&[105, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2]);
        let expected = Attributes { size: Some(5), permissions: None, modified: Some(2) };
        assert_eq!(decode(&size_and_times), Ok(Some((1, Reply::Attributes(expected)))));
    }

    /// A NAME with this count, and these entries: name, line of `ls -l`, and attributes.
    fn names(count: u32, entries: &[(&[u8], &[u8], &[u8])]) -> Vec<u8> {
        let entries = entries
            .iter()
            .flat_map(|(name, line, attributes)| [string(name), string(line), attributes.to_vec()].concat());
        framed(&[&[104, 0, 0, 0, 1][..], &count.to_be_bytes(), &entries.collect::<Vec<_>>()].concat())
    }

    #[test]
    fn names_are_opaque_bytes_and_attributes_may_be_missing() {
        let all = [0x80, 0, 0, 0x0f, 0, 0, 0, 2, 0, 0, 0, 5, 0, 0, 3, 0xe8, 0, 0, 3, 0xe8, 0, 0, 0x81, 0xa4];
        let all = [
            &all[..],
            &[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff],
            &[0, 0, 0, 1],
            &string(b"acl"),
            &string(b"none"),
        ];
        let all = all.concat();
        let decoded = decode(&names(
            3,
            &[
                (b"\xff/../\0", b"", &[0; 4]),
                (b"", b"-rw-r--r-- 1 a a 7 Jan 1 00:00 x", &all),
                (b"b", b"", &[0, 0, 0, 4, 0, 0, 1, 0xa4]),
            ],
        ));
        let entry = |name: &'static [u8], size, permissions, modified| DirectoryEntry {
            name: Bytes::from_static(name),
            attributes: Attributes { size, permissions, modified },
        };
        let expected = vec![
            entry(b"\xff/../\0", None, None, None),
            entry(b"", Some((2 << 32) + 5), Some(0o100_644), Some(u32::MAX)),
            entry(b"b", None, Some(0o644), None),
        ];
        assert_eq!(decoded, Ok(Some((1, Reply::Names(expected)))));
    }

    /// What `ls -l` shows has a time in the zone of the server, in the server's own words.
    #[test]
    fn story_270_the_time_comes_from_the_attributes_only() {
        let modified =
            |line: &[u8]| match decode(&names(1, &[(b"a", line, &[0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 2])])) {
                Ok(Some((1, Reply::Names(entries)))) => entries[0].attributes.modified,
                other => panic!("{other:?}"),
            };
        for line in [&b"-rw-r--r-- 1 a a 7 Jan 1 00:00 a"[..], b"12-31-69 11:00PM 7 a", b"\xff", b""] {
            assert_eq!(modified(line), Some(2));
        }
    }

    #[test]
    fn a_count_of_names_that_is_not_true_is_refused_before_it_is_allocated() {
        let none = &[0; 4][..];
        assert_eq!(decode(&names(u32::MAX, &[(b"a", b"", none)])), Err(Malformed::Short));
        assert_eq!(decode(&names(u32::MAX, &[])), Err(Malformed::Short));
        let pairs = [0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(decode(&names(1, &[(b"a", b"", &pairs)])), Err(Malformed::Short));
        assert_eq!(decode(&names(0, &[])), Ok(Some((1, Reply::Names(Vec::new())))));
        // A count that is too small.
        let Ok(Some((1, Reply::Names(entries)))) = decode(&names(1, &[(b"a", b"", none), (b"b", b"", none)]))
        else {
            panic!()
        };
        assert_eq!(entries.len(), 1);
    }

    /// A name must not keep the whole packet in memory.
    #[test]
    fn names_are_copied_out_of_the_packet() {
        let packet = Bytes::from(names(1, &[(b"name", &[b'x'; 1000], &[0; 4])]));
        let mut decoder = Decoder::default();
        decoder.push(packet.clone());
        let Ok(Some((1, Reply::Names(entries)))) = decoder.next() else { panic!() };
        assert!(!packet.as_ptr_range().contains(&entries[0].name.as_ptr()));
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(
            replies in prop::collection::vec(any_reply(), 1..8),
            mutations in prop_oneof![Just(Vec::new()), prop::collection::vec(any::<(Index, u8)>(), 1..4)],
            cuts in prop::collection::vec(any::<Index>(), 0..60),
        ) {
            let mut stream = replies.concat();
            for (place, byte) in &mutations {
                *place.get_mut(&mut stream) = *byte;
            }
            let whole = read_all(&stream, &[]);
            if mutations.is_empty() {
                prop_assert_eq!(whole.len(), replies.len());
                prop_assert!(whole.iter().all(Result::is_ok));
            }
            prop_assert_eq!(read_all(&stream, &cuts), whole);
        }

        #[test]
        fn garbage_never_panics_and_cuts_do_not_matter(
            bytes in prop::collection::vec(any::<u8>(), 1..600),
            cuts in prop::collection::vec(any::<Index>(), 0..60),
        ) {
            prop_assert_eq!(read_all(&bytes, &cuts), read_all(&bytes, &[]));
        }
    }

    fn string(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u32).to_be_bytes(), bytes].concat()
    }

    fn any_attributes() -> impl Strategy<Value = Vec<u8>> {
        any::<(bool, bool, bool, bool, [u8; 28])>().prop_map(|(size, owner, mode, times, rest)| {
            let flags =
                [size, owner, mode, times].iter().rev().fold(0, |flags, set| flags << 1 | u32::from(*set));
            let length = 8 * [size, owner, times].iter().filter(|set| **set).count() + 4 * usize::from(mode);
            [&flags.to_be_bytes(), &rest[..length]].concat()
        })
    }

    /// The body of a NAME: entries, some of them with attributes of the server's own.
    fn any_names() -> impl Strategy<Value = Vec<u8>> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..=40).prop_map(|bytes| string(&bytes));
        let pairs = prop::collection::vec((bytes(), bytes()), 0..3);
        let entry =
            (bytes(), bytes(), any_attributes(), pairs).prop_map(|(name, line, mut attributes, pairs)| {
                if let Some((first, rest)) = pairs.split_first() {
                    attributes[0] |= 0x80;
                    attributes.extend((1 + rest.len() as u32).to_be_bytes());
                    for (name, value) in [first].into_iter().chain(rest) {
                        attributes.extend([&name[..], value].concat());
                    }
                }
                [name, line, attributes].concat()
            });
        prop::collection::vec(entry, 0..6)
            .prop_map(|entries| [&(entries.len() as u32).to_be_bytes()[..], &entries.concat()].concat())
    }

    /// Any reply of a server.
    fn any_reply() -> impl Strategy<Value = Vec<u8>> {
        let bytes = |max: usize| prop::collection::vec(any::<u8>(), 0..=max);
        let strings = |max: usize| {
            let strings = prop::collection::vec(bytes(40).prop_map(|bytes| string(&bytes)), 0..=max);
            strings.prop_map(|strings| strings.concat())
        };
        let joined = |(head, tail): (Vec<u8>, Vec<u8>)| [head, tail].concat();
        let body = prop_oneof![
            strings(5).prop_map(|body| (packet::VERSION, body)),
            (any::<[u8; 4]>().prop_map(Vec::from), strings(2))
                .prop_map(joined)
                .prop_map(|body| (packet::STATUS, body)),
            bytes(HANDLE_MAX).prop_map(|handle| (packet::HANDLE, string(&handle))),
            // Some append a flag.
            (bytes(3000).prop_map(|data| string(&data)), bytes(1))
                .prop_map(joined)
                .prop_map(|body| (packet::DATA, body)),
            (any_attributes(), strings(2)).prop_map(joined).prop_map(|body| (packet::ATTRS, body)),
            bytes(1500).prop_map(|body| (packet::EXTENDED_REPLY, body)),
            // Some append a flag.
            (any_names(), bytes(1)).prop_map(joined).prop_map(|body| (packet::NAME, body)),
            (106..=106_u8, bytes(100)),
        ];
        (any::<[u8; 4]>(), body).prop_map(|(id, (kind, body))| framed(&[&[kind][..], &id, &body].concat()))
    }

    /// The replies of a stream that is received in pieces. The pieces of data are joined.
    fn read_all(stream: &[u8], cuts: &[Index]) -> Vec<Result<(u32, Reply), Malformed>> {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let mut decoder = Decoder::default();
        let mut replies = Vec::new();
        for cut in cuts.windows(2) {
            decoder.push(Bytes::copy_from_slice(&stream[cut[0]..cut[1]]));
            loop {
                match decoder.next() {
                    Ok(Some((id, Reply::Data(pieces)))) => {
                        replies.push(Ok((id, Reply::Data(vec![pieces.concat().into()]))));
                    }
                    Ok(Some(reply)) => replies.push(Ok(reply)),
                    Ok(None) => break,
                    Err(error) => {
                        replies.push(Err(error));
                        return replies;
                    }
                }
            }
        }
        replies
    }
}

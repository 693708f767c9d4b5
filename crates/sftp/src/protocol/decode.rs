//! The packets of SFTP version 3, as values: no I/O. Source: draft-ietf-secsh-filexfer-02. The replies are fuzzed: see
//! `fuzz/`.

use std::collections::VecDeque;

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The protocol version that we speak.
pub(crate) const VERSION: u32 = 3;

/// A reply is never longer than what we asked for (255 KiB of data) and its head; a server that announces more is
/// broken or hostile.
pub(crate) const REPLY_MAX: usize = 512 * 1024;

/// A handle is never longer (draft 02, section 7). Each READ and WRITE repeats it.
pub(crate) const HANDLE_MAX: usize = 256;

/// So much is kept of an extended reply: what we ask for are a few numbers, or a hash.
pub(crate) const BODY_MAX: usize = 1024;

/// So much of what a server has to say is kept: it goes into errors, and they into payloads.
pub(crate) const WORDS_MAX: usize = 1024;

/// A reply comes in a few pieces of 32 KiB.
pub(crate) const PIECES_MAX: usize = 1024;

mod packet {
    pub(crate) const INIT: u8 = 1;
    pub(crate) const VERSION: u8 = 2;
    pub(crate) const OPEN: u8 = 3;
    pub(crate) const CLOSE: u8 = 4;
    pub(crate) const READ: u8 = 5;
    pub(crate) const WRITE: u8 = 6;
    pub(crate) const FSTAT: u8 = 8;
    pub(crate) const SETSTAT: u8 = 9;
    pub(crate) const FSETSTAT: u8 = 10;
    pub(crate) const REMOVE: u8 = 13;
    pub(crate) const MKDIR: u8 = 14;
    pub(crate) const RMDIR: u8 = 15;
    pub(crate) const STAT: u8 = 17;
    pub(crate) const RENAME: u8 = 18;
    pub(crate) const STATUS: u8 = 101;
    pub(crate) const HANDLE: u8 = 102;
    pub(crate) const DATA: u8 = 103;
    pub(crate) const ATTRS: u8 = 105;
    pub(crate) const EXTENDED: u8 = 200;
    pub(crate) const EXTENDED_REPLY: u8 = 201;
}

/// How a file is opened (`pflags`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFlags(u32);

impl OpenFlags {
    /// SSH_FXF_READ
    pub const READ: Self = Self(0x01);
    /// SSH_FXF_WRITE
    pub const WRITE: Self = Self(0x02);
    /// SSH_FXF_CREAT
    pub const CREATE: Self = Self(0x08);
    /// SSH_FXF_TRUNC
    pub const TRUNCATE: Self = Self(0x10);
}

impl std::ops::BitOr for OpenFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What the server says of a file, or is to set; each part may be missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Bytes.
    pub size: Option<u64>,
    /// POSIX mode, with the file type.
    pub permissions: Option<u32>,
    /// Seconds since 1970.
    pub modified: Option<u32>,
}

impl Attributes {
    /// Whether it is a directory; `None` if the server doesn't say.
    pub fn is_directory(&self) -> Option<bool> {
        self.permissions.map(|mode| mode & 0o170_000 == 0o040_000)
    }

    /// On the wire. The protocol has the two times together or not at all: whoever sets one sets the other.
    fn encoded(&self) -> Bytes {
        let flag = |given: bool, flag: u32| if given { flag } else { 0 };
        let flags = flag(self.size.is_some(), 0x01)
            | flag(self.permissions.is_some(), 0x04)
            | flag(self.modified.is_some(), 0x08);
        let mut body = Body::default().u32(flags);
        if let Some(size) = self.size {
            body = body.u64(size);
        }
        if let Some(permissions) = self.permissions {
            body = body.u32(permissions);
        }
        if let Some(modified) = self.modified {
            body = body.u32(modified).u32(modified);
        }
        body.finish()
    }
}

/// What a server answers.
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
    /// As it lies in the packets of the channel, uncopied.
    Data(Vec<Bytes>),
    Attributes(Attributes),
    Extended(Bytes),
    /// A reply to a request that we never send, or of an unknown type.
    Other(u8),
}

/// The server said something that cannot be read: the session is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("a packet of {0} bytes was announced, more than was asked for")]
    TooLong(usize),
    #[error("a handle of {0} bytes, where {HANDLE_MAX} are the most")]
    LongHandle(usize),
    #[error("a packet ended early")]
    Short,
}

/// The beginning of what a server has to say.
pub(crate) fn clipped(words: &str) -> &str {
    &words[..words.floor_char_boundary(WORDS_MAX)]
}

/// The same, as it came. Some servers do not speak UTF-8.
pub(crate) fn words(bytes: &[u8]) -> String {
    clipped(&String::from_utf8_lossy(bytes)).to_owned()
}

// Requests. Each writes the packet's length first, so that the parts can be sent as they are.

fn request(kind: u8, id: u32, body_length: usize) -> BytesMut {
    let mut packet = BytesMut::with_capacity(9 + body_length);
    packet.put_u32((5 + body_length) as u32);
    packet.put_u8(kind);
    packet.put_u32(id);
    packet
}

fn put_string(packet: &mut BytesMut, string: &[u8]) {
    packet.put_u32(string.len() as u32);
    packet.put_slice(string);
}

pub(crate) fn init() -> Bytes {
    let mut packet = BytesMut::with_capacity(9);
    packet.put_u32(5);
    packet.put_u8(packet::INIT);
    packet.put_u32(VERSION);
    packet.freeze()
}

pub(crate) fn open(id: u32, path: &str, flags: OpenFlags) -> Bytes {
    let mut packet = request(packet::OPEN, id, 4 + path.len() + 4 + 4);
    put_string(&mut packet, path.as_bytes());
    packet.put_u32(flags.0);
    packet.put_u32(0); // no attributes: the server's own mode
    packet.freeze()
}

pub(crate) fn close(id: u32, handle: &[u8]) -> Bytes {
    with_string(packet::CLOSE, id, handle)
}

pub(crate) fn fstat(id: u32, handle: &[u8]) -> Bytes {
    with_string(packet::FSTAT, id, handle)
}

pub(crate) fn stat(id: u32, path: &str) -> Bytes {
    with_string(packet::STAT, id, path.as_bytes())
}

pub(crate) fn setstat(id: u32, path: &str, attributes: &Attributes) -> Bytes {
    with_attributes(packet::SETSTAT, id, path.as_bytes(), attributes)
}

pub(crate) fn fsetstat(id: u32, handle: &[u8], attributes: &Attributes) -> Bytes {
    with_attributes(packet::FSETSTAT, id, handle, attributes)
}

fn with_attributes(kind: u8, id: u32, string: &[u8], attributes: &Attributes) -> Bytes {
    let attributes = attributes.encoded();
    let mut packet = request(kind, id, 4 + string.len() + attributes.len());
    put_string(&mut packet, string);
    packet.put_slice(&attributes);
    packet.freeze()
}

pub(crate) fn rmdir(id: u32, path: &str) -> Bytes {
    with_string(packet::RMDIR, id, path.as_bytes())
}

pub(crate) fn remove(id: u32, path: &str) -> Bytes {
    with_string(packet::REMOVE, id, path.as_bytes())
}

fn with_string(kind: u8, id: u32, string: &[u8]) -> Bytes {
    let mut packet = request(kind, id, 4 + string.len());
    put_string(&mut packet, string);
    packet.freeze()
}

pub(crate) fn mkdir(id: u32, path: &str) -> Bytes {
    let mut packet = request(packet::MKDIR, id, 4 + path.len() + 4);
    put_string(&mut packet, path.as_bytes());
    packet.put_u32(0);
    packet.freeze()
}

pub(crate) fn rename(id: u32, from: &str, to: &str) -> Bytes {
    let mut packet = request(packet::RENAME, id, 8 + from.len() + to.len());
    put_string(&mut packet, from.as_bytes());
    put_string(&mut packet, to.as_bytes());
    packet.freeze()
}

pub(crate) fn read(id: u32, handle: &[u8], offset: u64, length: u32) -> Bytes {
    let mut packet = request(packet::READ, id, 4 + handle.len() + 12);
    put_string(&mut packet, handle);
    packet.put_u64(offset);
    packet.put_u32(length);
    packet.freeze()
}

/// A WRITE of the data in `parts`, uncopied.
pub(crate) fn write(id: u32, handle: &[u8], offset: u64, parts: Vec<Bytes>) -> Vec<Bytes> {
    let length = parts.iter().map(Bytes::len).sum::<usize>() as u32;
    let mut packet = Vec::with_capacity(1 + parts.len());
    packet.push(write_head(id, handle, offset, length));
    packet.extend(parts);
    packet
}

fn write_head(id: u32, handle: &[u8], offset: u64, length: u32) -> Bytes {
    let head_length = 4 + handle.len() + 12;
    let mut packet = BytesMut::with_capacity(9 + head_length);
    packet.put_u32(5 + head_length as u32 + length);
    packet.put_u8(packet::WRITE);
    packet.put_u32(id);
    put_string(&mut packet, handle);
    packet.put_u64(offset);
    packet.put_u32(length);
    packet.freeze()
}

/// An extended request; `body` is what follows its name.
pub(crate) fn extended(id: u32, name: &str, body: &[u8]) -> Bytes {
    let mut packet = request(packet::EXTENDED, id, 4 + name.len() + body.len());
    put_string(&mut packet, name.as_bytes());
    packet.put_slice(body);
    packet.freeze()
}

/// The body of an extended request, from strings and numbers.
#[derive(Default)]
pub(crate) struct Body(BytesMut);

impl Body {
    pub(crate) fn string(mut self, string: &[u8]) -> Self {
        put_string(&mut self.0, string);
        self
    }

    pub(crate) fn u64(mut self, number: u64) -> Self {
        self.0.put_u64(number);
        self
    }

    pub(crate) fn u32(mut self, number: u32) -> Self {
        self.0.put_u32(number);
        self
    }

    pub(crate) fn finish(self) -> Bytes {
        self.0.freeze()
    }
}

/// Cuts the byte stream of a channel into replies, without copying what a file holds. It never keeps more than one
/// reply and what came in the same piece.
#[derive(Default)]
pub(crate) struct Decoder {
    pieces: VecDeque<Bytes>,
    length: usize,
}

impl Decoder {
    /// Adds bytes as they came.
    pub(crate) fn push(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.length += bytes.len();
            self.pieces.push_back(bytes);
        }
        // A server that sends byte by byte must not cost a hundred times what it sends.
        if self.pieces.len() > PIECES_MAX {
            let length = self.length;
            let joined = self.take(length).concat();
            self.length = length;
            self.pieces.push_back(joined.into());
        }
    }

    /// The next whole reply and the id of its request (a VERSION has none: 0).
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
                // Some servers append an end-of-file flag, as later versions have it.
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

    /// How many bytes are kept, and in how many pieces.
    #[cfg(any(feature = "internals", test))]
    pub(crate) fn kept(&self) -> (usize, usize) {
        (self.length, self.pieces.len())
    }

    /// The next bytes, left where they are.
    fn peek<const N: usize>(&self) -> Option<[u8; N]> {
        let mut head = [0; N];
        let mut bytes = self.pieces.iter().flat_map(|piece| piece.iter());
        for slot in &mut head {
            *slot = *bytes.next()?;
        }
        Some(head)
    }

    /// Removes the next `length` bytes; there must be as many.
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
        // Extensions that cannot be read are as good as none.
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
            // It outlives the piece that it came in.
            Reply::Handle(Bytes::copy_from_slice(&handle))
        }
        packet::ATTRS => Reply::Attributes(attributes_of(&mut packet)?),
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

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
        // Not a part of a character.
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

    #[test]
    fn a_write_is_its_head_and_its_data() {
        let head = write_head(9, b"h", 1 << 33, 5);
        assert_eq!(head.len(), 4 + 1 + 4 + 5 + 8 + 4);
        assert_eq!(u32::from_be_bytes(head[..4].try_into().unwrap()) as usize, head.len() - 4 + 5);
    }

    /// Reads a request as a server does: its type, its id, and its fields, which are strings (`s`) or numbers of so
    /// many bytes. `None` if they are not the whole packet.
    fn fields(packet: &[u8], layout: &str) -> Option<(u8, u32, Vec<Vec<u8>>)> {
        let (length, rest) = packet.split_first_chunk::<4>()?;
        if u32::from_be_bytes(*length) as usize != rest.len() {
            return None;
        }
        let (kind, rest) = rest.split_first()?;
        let (id, mut rest) = rest.split_first_chunk::<4>()?;
        let mut fields = Vec::new();
        for field in layout.chars() {
            let length = match field.to_digit(10) {
                Some(length) => length,
                None => {
                    let length;
                    (length, rest) = rest.split_first_chunk::<4>()?;
                    u32::from_be_bytes(*length)
                }
            };
            let value;
            (value, rest) = rest.split_at_checked(length as usize)?;
            fields.push(value.to_vec());
        }
        rest.is_empty().then_some((*kind, u32::from_be_bytes(*id), fields))
    }

    proptest! {
        #[test]
        fn a_server_reads_what_was_asked(
            id: u32, path: String, to: String, handle: Vec<u8>, data: Vec<u8>, offset: u64, length: u32,
        ) {
            let (path_bytes, to_bytes) = (path.as_bytes(), to.as_bytes());
            let (offset_bytes, length_bytes) = (&offset.to_be_bytes()[..], &length.to_be_bytes()[..]);
            let flags = OpenFlags::WRITE | OpenFlags::CREATE;
            let (front, back) = data.split_at(data.len() / 2);
            let parts = [front, back].map(Bytes::copy_from_slice);
            let write = write(id, &handle, offset, parts.into()).concat();
            let body = Body::default().string(&handle).u64(offset).u32(length).finish();
            let reads = |packet: &[u8], kind: u8, layout: &str, expected: &[&[u8]]| {
                let expected = expected.iter().map(|field| field.to_vec()).collect();
                assert_eq!(fields(packet, layout), Some((kind, id, expected)));
            };
            reads(&open(id, &path, flags), 3, "s44", &[path_bytes, &[0, 0, 0, 0x0a], &[0; 4]]);
            reads(&close(id, &handle), 4, "s", &[&handle]);
            reads(&read(id, &handle, offset, length), 5, "s84", &[&handle, offset_bytes, length_bytes]);
            reads(&write, 6, "s8s", &[&handle, offset_bytes, &data]);
            reads(&fstat(id, &handle), 8, "s", &[&handle]);
            let (mode, time) = (Some(length), Some(length));
            let attributes = Attributes { permissions: mode, ..Attributes::default() };
            reads(&setstat(id, &path, &attributes), 9, "s44", &[path_bytes, &[0, 0, 0, 4], length_bytes]);
            let attributes = Attributes { modified: time, ..Attributes::default() };
            let expected = [path_bytes, &[0, 0, 0, 8], length_bytes, length_bytes];
            reads(&setstat(id, &path, &attributes), 9, "s444", &expected);
            let attributes = Attributes { size: Some(offset), permissions: mode, modified: time };
            let expected = [&handle[..], &[0, 0, 0, 13], offset_bytes, length_bytes, length_bytes, length_bytes];
            reads(&fsetstat(id, &handle, &attributes), 10, "s48444", &expected);
            reads(&rmdir(id, &path), 15, "s", &[path_bytes]);
            reads(&remove(id, &path), 13, "s", &[path_bytes]);
            reads(&mkdir(id, &path), 14, "s4", &[path_bytes, &[0; 4]]);
            reads(&stat(id, &path), 17, "s", &[path_bytes]);
            reads(&rename(id, &path, &to), 18, "ss", &[path_bytes, to_bytes]);
            reads(&extended(id, "a@b", &body), 200, "ss84", &[b"a@b", &handle, offset_bytes, length_bytes]);
        }

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

    /// A reply of any kind, as servers send them.
    fn any_reply() -> impl Strategy<Value = Vec<u8>> {
        let bytes = |max: usize| prop::collection::vec(any::<u8>(), 0..=max);
        let strings = |max: usize| {
            let strings = prop::collection::vec(bytes(40).prop_map(|bytes| string(&bytes)), 0..=max);
            strings.prop_map(|strings| strings.concat())
        };
        let joined = |(head, tail): (Vec<u8>, Vec<u8>)| [head, tail].concat();
        let attributes =
            any::<(bool, bool, bool, bool, [u8; 28])>().prop_map(|(size, owner, mode, times, rest)| {
                let flags = [size, owner, mode, times]
                    .iter()
                    .rev()
                    .fold(0, |flags, set| flags << 1 | u32::from(*set));
                let length =
                    8 * [size, owner, times].iter().filter(|set| **set).count() + 4 * usize::from(mode);
                [&flags.to_be_bytes(), &rest[..length]].concat()
            });
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
            (attributes, strings(2)).prop_map(joined).prop_map(|body| (packet::ATTRS, body)),
            bytes(1500).prop_map(|body| (packet::EXTENDED_REPLY, body)),
            (104..=104_u8, bytes(100)),
        ];
        (any::<[u8; 4]>(), body).prop_map(|(id, (kind, body))| framed(&[&[kind][..], &id, &body].concat()))
    }

    /// What is to be read from a stream that comes in pieces. Data is put together.
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

//! Requests as packets. Source: draft-ietf-secsh-filexfer-02. Each packet begins with its length.

use bytes::{BufMut, Bytes, BytesMut};

use crate::protocol::attributes::{Attributes, OpenFlags};
use crate::protocol::packet;

/// The protocol version of this client.
pub(crate) const VERSION: u32 = 3;

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
    packet.put_u32(0); // No attributes: the server chooses the mode.
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

/// As [`stat`], but of a link itself.
pub(crate) fn lstat(id: u32, path: &str) -> Bytes {
    with_string(packet::LSTAT, id, path.as_bytes())
}

pub(crate) fn opendir(id: u32, path: &str) -> Bytes {
    with_string(packet::OPENDIR, id, path.as_bytes())
}

pub(crate) fn readdir(id: u32, handle: &[u8]) -> Bytes {
    with_string(packet::READDIR, id, handle)
}

pub(crate) fn setstat(id: u32, path: &str, attributes: &Attributes) -> Bytes {
    with_attributes(packet::SETSTAT, id, path.as_bytes(), attributes)
}

pub(crate) fn fsetstat(id: u32, handle: &[u8], attributes: &Attributes) -> Bytes {
    with_attributes(packet::FSETSTAT, id, handle, attributes)
}

fn with_attributes(kind: u8, id: u32, string: &[u8], attributes: &Attributes) -> Bytes {
    let attributes = encoded(attributes);
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

/// A WRITE of the data in `parts`, without copying it.
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

/// An extended request. `body` follows its name.
pub(crate) fn extended(id: u32, name: &str, body: &[u8]) -> Bytes {
    let mut packet = request(packet::EXTENDED, id, 4 + name.len() + body.len());
    put_string(&mut packet, name.as_bytes());
    packet.put_slice(body);
    packet.freeze()
}

/// Builds the body of a request from strings and numbers.
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

/// Attributes on the wire. The protocol has both times or neither, so setting one sets the other.
fn encoded(attributes: &Attributes) -> Bytes {
    let flag = |given: bool, flag: u32| if given { flag } else { 0 };
    let flags = flag(attributes.size.is_some(), 0x01)
        | flag(attributes.permissions.is_some(), 0x04)
        | flag(attributes.modified.is_some(), 0x08);
    let mut body = Body::default().u32(flags);
    if let Some(size) = attributes.size {
        body = body.u64(size);
    }
    if let Some(permissions) = attributes.permissions {
        body = body.u32(permissions);
    }
    if let Some(modified) = attributes.modified {
        body = body.u32(modified).u32(modified);
    }
    body.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_write_is_its_head_and_its_data() {
        let head = write_head(9, b"h", 1 << 33, 5);
        assert_eq!(head.len(), 4 + 1 + 4 + 5 + 8 + 4);
        assert_eq!(u32::from_be_bytes(head[..4].try_into().unwrap()) as usize, head.len() - 4 + 5);
    }

    /// Reads a request as a server does: its type, its id, and its fields. A field is a string (`s`) or a number of this
    /// many bytes. `None` if the fields are not the whole packet.
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
            reads(&lstat(id, &path), 7, "s", &[path_bytes]);
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
            reads(&opendir(id, &path), 11, "s", &[path_bytes]);
            reads(&readdir(id, &handle), 12, "s", &[&handle]);
            reads(&rmdir(id, &path), 15, "s", &[path_bytes]);
            reads(&remove(id, &path), 13, "s", &[path_bytes]);
            reads(&mkdir(id, &path), 14, "s4", &[path_bytes, &[0; 4]]);
            reads(&stat(id, &path), 17, "s", &[path_bytes]);
            reads(&rename(id, &path, &to), 18, "ss", &[path_bytes, to_bytes]);
            reads(&extended(id, "a@b", &body), 200, "ss84", &[b"a@b", &handle, offset_bytes, length_bytes]);
        }
    }
}

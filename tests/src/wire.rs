//! SFTP packets made by hand, for servers that follow a script: the answers of a well-behaved server, and any others.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The types of packets that scripts use.
pub mod kind {
    #![allow(missing_docs, reason = "the names are those of the draft")]
    pub const INIT: u8 = 1;
    pub const VERSION: u8 = 2;
    pub const OPEN: u8 = 3;
    pub const CLOSE: u8 = 4;
    pub const READ: u8 = 5;
    pub const WRITE: u8 = 6;
    pub const LSTAT: u8 = 7;
    pub const FSTAT: u8 = 8;
    pub const OPENDIR: u8 = 11;
    pub const READDIR: u8 = 12;
    pub const STAT: u8 = 17;
    pub const STATUS: u8 = 101;
    pub const HANDLE: u8 = 102;
    pub const DATA: u8 = 103;
    pub const NAME: u8 = 104;
    pub const ATTRS: u8 = 105;
    pub const EXTENDED: u8 = 200;
}

/// A client's request.
#[derive(Clone, Debug)]
pub struct Request {
    /// The packet's type.
    pub kind: u8,
    /// The request's number; the version in an INIT.
    pub id: u32,
    /// The rest.
    pub body: Vec<u8>,
}

impl Request {
    /// The next one; `None` when the client is gone.
    pub async fn read(from: &mut (impl AsyncRead + Unpin)) -> Option<Self> {
        let length = from.read_u32().await.ok()?;
        let kind = from.read_u8().await.ok()?;
        let id = from.read_u32().await.ok()?;
        let mut body = vec![0; length as usize - 5];
        from.read_exact(&mut body).await.ok()?;
        Some(Self { kind, id, body })
    }

    /// A reply to it.
    pub fn reply(&self, kind: u8, body: &[&[u8]]) -> Vec<u8> {
        packet(kind, self.id, body)
    }

    /// A STATUS in reply to it.
    pub fn status(&self, code: u32, message: &str) -> Vec<u8> {
        self.reply(kind::STATUS, &[&code.to_be_bytes(), &string(message.as_bytes()), &string(b"en")])
    }

    /// DATA in reply to it.
    pub fn data(&self, data: &[u8]) -> Vec<u8> {
        self.reply(kind::DATA, &[&string(data)])
    }

    /// A NAME in reply to it: names, each with its attributes.
    pub fn names(&self, entries: impl IntoIterator<Item = (impl AsRef<[u8]>, Vec<u8>)>) -> Vec<u8> {
        let mut count = 0_u32;
        let mut body = Vec::new();
        for (name, attributes) in entries {
            count += 1;
            let line = [b"-rw-r--r--    1 acme     acme            7 Jan  1 00:00 ", name.as_ref()].concat();
            body.extend([string(name.as_ref()), string(&line), attributes].concat());
        }
        self.reply(kind::NAME, &[&count.to_be_bytes(), &body])
    }

    /// Offset and length of a READ or WRITE.
    pub fn range(&self) -> (u64, u32) {
        let handle = u32::from_be_bytes(self.body[..4].try_into().unwrap()) as usize;
        let rest = &self.body[4 + handle..];
        let offset = u64::from_be_bytes(rest[..8].try_into().unwrap());
        (offset, u32::from_be_bytes(rest[8..12].try_into().unwrap()))
    }
}

/// A packet, with its length in front.
pub fn packet(kind: u8, id: u32, body: &[&[u8]]) -> Vec<u8> {
    let body = body.concat();
    [&(body.len() as u32 + 5).to_be_bytes()[..], &[kind], &id.to_be_bytes(), &body].concat()
}

/// A string, with its length in front.
pub fn string(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes(), bytes].concat()
}

/// Attributes: size, mode with the type of the file, and time of the last modification.
pub fn attributes(size: u64, mode: u32, modified: u32) -> Vec<u8> {
    let [flags, mode, modified] = [0x0d, mode, modified].map(u32::to_be_bytes);
    [&flags[..], &size.to_be_bytes(), &mode, &modified, &modified].concat()
}

/// Serves a channel. Sends what `answer` returns. If it returns `None`, answers like a server with a single file of zeros.
pub async fn serve(
    mut channel: impl AsyncRead + AsyncWrite + Unpin,
    mut answer: impl FnMut(&Request) -> Option<Vec<u8>>,
) {
    let mut size = None;
    while let Some(request) = Request::read(&mut channel).await {
        let reply = answer(&request).unwrap_or_else(|| ordinary(&request, &mut size));
        if channel.write_all(&reply).await.is_err() {
            return;
        }
    }
}

fn ordinary(request: &Request, size: &mut Option<u64>) -> Vec<u8> {
    let ok = || request.status(0, "");
    match request.kind {
        kind::INIT => packet(kind::VERSION, 3, &[]),
        kind::OPEN => {
            size.get_or_insert(0);
            request.reply(kind::HANDLE, &[&string(&[0xff, 0, 0xfe])])
        }
        kind::WRITE => {
            let (offset, length) = request.range();
            *size = (*size).max(Some(offset + u64::from(length)));
            ok()
        }
        kind::READ => {
            let (offset, length) = request.range();
            let left = size.unwrap_or_default().saturating_sub(offset);
            match left.min(length.into()) {
                0 => request.status(1, "the end"),
                some => request.data(&vec![0; some as usize]),
            }
        }
        kind::STAT | kind::FSTAT => match size {
            Some(size) => request.reply(kind::ATTRS, &[&1_u32.to_be_bytes(), &size.to_be_bytes()]),
            None => request.status(2, "no such file"),
        },
        kind if kind >= kind::EXTENDED => request.status(8, "no such extension"),
        _ => ok(),
    }
}

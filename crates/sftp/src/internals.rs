//! Private parts of the crate that `fuzz/`, `benches/` and the race tests in `tests/` need. They are not part of the API:
//! they exist only with the feature `internals`, and change without notice.

use std::time::{Duration, Instant};

use bytes::Bytes;
use terms::TrustedHostKeys;

use crate::error::Result as SftpResult;
use crate::options::{Endpoint, Options};
use crate::protocol::attributes::{Attributes, DirectoryEntry};
use crate::protocol::decode::{self, Malformed, Reply};
use crate::protocol::{encode, extensions, pieces};
use crate::session::Session;
use crate::transfer::window;
use crate::words;

pub use crate::protocol::link::Ends;

/// A session on a pair of queues, without SSH and without a login.
///
/// # Errors
/// The other end does not start SFTP correctly.
pub async fn session(
    ends: Ends,
    endpoint: Endpoint,
    trusted: TrustedHostKeys,
    options: Options,
) -> SftpResult<Session> {
    Session::without_ssh(ends, endpoint, trusted, options).await
}

/// Maximum length of a reply, in bytes.
pub const REPLY_MAX: usize = decode::REPLY_MAX;
/// Maximum length of a handle, in bytes.
pub const HANDLE_MAX: usize = decode::HANDLE_MAX;
/// Maximum length that is kept of an extended reply, in bytes.
pub const BODY_MAX: usize = decode::BODY_MAX;
/// Maximum length that is kept of a server's text, in bytes.
pub const WORDS_MAX: usize = words::WORDS_MAX;
/// Maximum number of pieces that are kept.
pub const PIECES_MAX: usize = decode::PIECES_MAX;

/// A reply of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Seen {
    Version { version: u32, extensions: Vec<(Bytes, Bytes)> },
    Status { code: u32, message: String },
    Handle(Bytes),
    Data(Vec<Bytes>),
    Attributes(Attributes),
    Names(Vec<DirectoryEntry>),
    Extended(Bytes),
    Other(u8),
}

/// Why there are no more replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Broken {
    TooLong(usize),
    LongHandle(usize),
    Short,
}

/// Cuts a byte stream into replies.
#[derive(Default)]
#[allow(missing_debug_implementations)]
pub struct Decoder(decode::Decoder);

impl Decoder {
    /// Adds received bytes.
    pub fn push(&mut self, bytes: Bytes) {
        self.0.push(bytes);
    }

    /// The next whole reply and the id of its request.
    #[allow(clippy::should_implement_trait, missing_docs)]
    pub fn next(&mut self) -> Result<Option<(u32, Seen)>, Broken> {
        match self.0.next() {
            Ok(reply) => Ok(reply.map(|(id, reply)| (id, seen(reply)))),
            Err(Malformed::TooLong(length)) => Err(Broken::TooLong(length)),
            Err(Malformed::LongHandle(length)) => Err(Broken::LongHandle(length)),
            Err(Malformed::Short) => Err(Broken::Short),
        }
    }

    /// Number of bytes that are kept, and of their pieces.
    pub fn kept(&self) -> (usize, usize) {
        self.0.kept()
    }
}

fn seen(reply: Reply) -> Seen {
    match reply {
        Reply::Version { version, extensions } => Seen::Version { version, extensions },
        Reply::Status { code, message } => Seen::Status { code, message },
        Reply::Handle(handle) => Seen::Handle(handle),
        Reply::Data(pieces) => Seen::Data(pieces),
        Reply::Attributes(attributes) => Seen::Attributes(attributes),
        Reply::Names(entries) => Seen::Names(entries),
        Reply::Extended(body) => Seen::Extended(body),
        Reply::Other(kind) => Seen::Other(kind),
    }
}

/// Length of the data in one READ and in one WRITE, from the answer to `limits@openssh.com`.
pub fn data_lengths(limits: Bytes) -> Option<(u32, u32)> {
    extensions::data_lengths(limits).map(|lengths| (lengths.read, lengths.write))
}

/// Free bytes, from the answer to `statvfs@openssh.com`.
pub fn available(fields: Bytes) -> Option<u64> {
    extensions::available(fields)
}

/// The SHA-256, from the answer to `check-file-handle`.
pub fn server_hash(reply: Bytes) -> Option<[u8; 32]> {
    extensions::server_hash(reply)
}

/// A WRITE of the data in `parts`, as it is sent.
pub fn write(id: u32, handle: &[u8], offset: u64, parts: Vec<Bytes>) -> Vec<Bytes> {
    encode::write(id, handle, offset, parts)
}

/// Small pieces copied together, as they are sent.
pub fn join_small(pieces: impl IntoIterator<Item = Bytes>) -> Vec<Bytes> {
    pieces::join_small(pieces)
}

/// Limits the bytes in flight.
#[derive(Debug)]
pub struct Window(window::Window);

impl Window {
    /// For a server with this round trip.
    pub fn new(round_trip: Duration) -> Self {
        Self(window::Window::new(round_trip))
    }

    /// A request of `bytes`, sent at `sent_at`, was answered at `now`. Returns the new maximum in flight.
    pub fn answered(&mut self, sent_at: Instant, now: Instant, bytes: usize) -> usize {
        self.0.answered(sent_at, now, bytes);
        self.0.size()
    }
}

//! What is private to the crate, as far as `fuzz/`, `benches/` and the search for races in `tests/` need it. No part of the API: it is built with the
//! feature `internals` only, and changes without notice.

use std::time::{Duration, Instant};

use bridge::TrustedHostKeys;
use bytes::Bytes;

use crate::codec::{self, Malformed, Reply};
use crate::{Attributes, Endpoint, Options, Result as SftpResult, Session, client, pieces, window};

pub use crate::link::Ends;

/// A session on a pair of queues, without SSH and without logging in.
///
/// # Errors
/// What the other end does wrong when SFTP starts.
pub async fn session(
    ends: Ends,
    endpoint: Endpoint,
    trusted: TrustedHostKeys,
    options: Options,
) -> SftpResult<Session> {
    Session::without_ssh(ends, endpoint, trusted, options).await
}

/// A longer reply is refused.
pub const REPLY_MAX: usize = codec::REPLY_MAX;
/// A longer handle is refused.
pub const HANDLE_MAX: usize = codec::HANDLE_MAX;
/// So much is kept of an extended reply.
pub const BODY_MAX: usize = codec::BODY_MAX;
/// So much of what a server has to say is kept.
pub const WORDS_MAX: usize = codec::WORDS_MAX;
/// More pieces are joined.
pub const PIECES_MAX: usize = codec::PIECES_MAX;

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Seen {
    Version { version: u32, extensions: Vec<(Bytes, Bytes)> },
    Status { code: u32, message: String },
    Handle(Bytes),
    Data(Vec<Bytes>),
    Attributes(Attributes),
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
pub struct Decoder(codec::Decoder);

impl Decoder {
    /// Adds bytes as they came.
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

    /// How many bytes are kept, and in how many pieces.
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
        Reply::Extended(body) => Seen::Extended(body),
        Reply::Other(kind) => Seen::Other(kind),
    }
}

/// Data in one READ and in one WRITE, of the answer to `limits@openssh.com`.
pub fn data_lengths(limits: Bytes) -> Option<(u32, u32)> {
    client::data_lengths(limits)
}

/// Free bytes, of the answer to `statvfs@openssh.com`.
pub fn available(fields: Bytes) -> Option<u64> {
    client::available(fields)
}

/// The SHA-256, of the answer to `check-file-handle`.
pub fn server_hash(reply: Bytes) -> Option<[u8; 32]> {
    client::server_hash(reply)
}

/// A WRITE of the data in `parts`, as it is sent.
pub fn write(id: u32, handle: &[u8], offset: u64, parts: Vec<Bytes>) -> Vec<Bytes> {
    codec::write(id, handle, offset, parts)
}

/// Small pieces copied together, as they are sent.
pub fn join_small(pieces: impl IntoIterator<Item = Bytes>) -> Vec<Bytes> {
    pieces::join_small(pieces)
}

/// How many bytes may be in flight.
#[derive(Debug)]
pub struct Window(window::Window);

impl Window {
    /// For a server that answers within `round_trip`.
    pub fn new(round_trip: Duration) -> Self {
        Self(window::Window::new(round_trip))
    }

    /// A request of `bytes`, sent at `sent_at`, was answered at `now`; returns what may be in flight from then on.
    pub fn answered(&mut self, sent_at: Instant, now: Instant, bytes: usize) -> usize {
        self.0.answered(sent_at, now, bytes);
        self.0.size()
    }
}

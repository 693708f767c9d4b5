//! One SFTP channel: how it starts, and how its requests wait for their replies.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use russh::Channel;
use russh::client::Msg;
use tokio::sync::{mpsc, watch};

use crate::error::{Error, Result, Status, StatusCode};
use crate::protocol::attributes::Attributes;
use crate::protocol::decode::{Decoder, Reply};
use crate::protocol::encode;
use crate::protocol::extensions::{DATA_DEFAULT, LIMITS, data_lengths};
use crate::protocol::handle::FileHandle;
use crate::protocol::line::{Line, NumberedReplies, NumberedReply, Pending};
use crate::protocol::link::{Reader, Writer};
use crate::protocol::tasks::{self, Running};
use crate::protocol::version;
use crate::ssh::condition::Condition;

/// CLOSE and RENAME may take this many times the stall timeout: some servers commit, or copy, a whole file then.
/// A server with a single thread sends nothing meanwhile, so its silence does not mean that the connection is dead.
pub(super) const COMMIT: u32 = 10;

/// One SFTP channel. Several requests may be made at the same time; the replies may come in any order.
///
/// Requests go out in the order in which their futures are first polled. So `tokio::join!(biased; a, b)` sends `a`, and `b`
/// behind it in the same flight. In which order the server carries them out is another matter: it owes an order only to
/// requests for the same file (draft-ietf-secsh-filexfer-02, section 6.1), and not every server keeps to that.
///
/// Requests fail with [`Error::Refused`] if the server refuses them, and with another error if the session is lost.
///
/// # Cancel safety
/// A request is sent as a whole when its future is first polled. If the future is dropped after that, the server still
/// carries out the request, the reply is ignored, and the channel can be used for other requests. A file that was
/// opened for a dropped future is closed.
pub struct Sftp {
    pub(super) line: Arc<Line>,
    lost: watch::Receiver<Option<String>>,
    pub(super) condition: Condition,
    pub(super) extensions: HashSet<String>,
    /// The request for the limits. It is sent at the start and read with the first open file, so that it costs no round
    /// trip of its own.
    limits: tokio::sync::Mutex<Option<Pending>>,
    /// Length of the data in one READ, in bytes.
    read_length: AtomicU32,
    /// Length of the data in one WRITE, in bytes.
    write_length: AtomicU32,
    /// The shortest time that a request has taken, in microseconds.
    round_trip: AtomicU64,
    pub(super) stall_timeout: Duration,
    /// Whether a file that was opened a second time was left as it was.
    pub(crate) reopens_harmlessly: AtomicBool,
    /// Number of files opened so far.
    pub(super) opened: AtomicU64,
    /// Servers hash one file after the other. Each hash gets its time limit for itself.
    pub(super) hashing: tokio::sync::Mutex<()>,
}

impl Sftp {
    /// Starts SFTP on a channel that took `round_trip` to open.
    pub(crate) async fn start(
        channel: Channel<Msg>,
        condition: Condition,
        stall_timeout: Duration,
        round_trip: Duration,
    ) -> Result<Self> {
        let (reader, writer) = channel.split();
        let (reader, writer) = (Reader::Channel(reader), Writer::Channel(writer));
        Self::start_on(reader, writer, condition, stall_timeout, round_trip).await
    }

    pub(crate) async fn start_on(
        mut reader: Reader,
        writer: Writer,
        condition: Condition,
        stall_timeout: Duration,
        round_trip: Duration,
    ) -> Result<Self> {
        let asked_at = Instant::now();
        let mut decoder = Decoder::default();
        let extensions = version::negotiate(&mut reader, &writer, &mut decoder, &condition).await?;
        let round_trip = round_trip.min(asked_at.elapsed());
        let Running { line, lost } = tasks::spawn(reader, writer, decoder, condition.clone());
        let limits =
            extensions.contains(LIMITS).then(|| line.begin("limits", |id| encode::extended(id, LIMITS, &[])));
        Ok(Self {
            line,
            lost,
            condition,
            extensions,
            limits: tokio::sync::Mutex::new(limits),
            read_length: AtomicU32::new(DATA_DEFAULT),
            write_length: AtomicU32::new(DATA_DEFAULT),
            round_trip: AtomicU64::new(microseconds(round_trip)),
            stall_timeout,
            reopens_harmlessly: AtomicBool::new(false),
            opened: AtomicU64::new(0),
            hashing: tokio::sync::Mutex::default(),
        })
    }

    /// Reads the limits, once. Their reply comes before that of any later request.
    pub(super) async fn learn_limits(&self) {
        let Some(pending) = self.limits.lock().await.take() else { return };
        if let Ok(Reply::Extended(limits)) = self.settle(pending).await
            && let Some(lengths) = data_lengths(limits)
        {
            self.read_length.store(lengths.read, Ordering::Relaxed);
            self.write_length.store(lengths.write, Ordering::Relaxed);
        }
    }

    /// Length of the data in one WRITE, in bytes.
    pub(crate) fn write_length(&self) -> usize {
        self.write_length.load(Ordering::Relaxed) as usize
    }

    /// Length of the data in one READ, in bytes.
    pub(crate) fn read_length(&self) -> u32 {
        self.read_length.load(Ordering::Relaxed)
    }

    #[cfg(all(test, feature = "internals"))]
    pub(crate) fn set_read_length(&self, length: u32) {
        self.read_length.store(length, Ordering::Relaxed);
    }

    /// Number of bytes of requests that the channel has not taken yet.
    pub(crate) fn unsent(&self) -> usize {
        self.line.unsent()
    }

    /// The shortest time that a request has taken so far.
    pub fn round_trip(&self) -> Duration {
        Duration::from_micros(self.round_trip.load(Ordering::Relaxed))
    }

    /// Time limit for a request on a session that is otherwise alive.
    pub fn stall_timeout(&self) -> Duration {
        self.stall_timeout
    }

    /// Whether no new work may begin on this session: it has ended, the server did not answer a request, or it answered
    /// with a reply of the wrong type. A refused request does not poison a session.
    pub fn is_poisoned(&self) -> bool {
        self.lost.borrow().is_some() || self.condition.is_poisoned()
    }

    pub(super) async fn request(
        &self,
        operation: &'static str,
        packet: impl FnOnce(u32) -> Bytes,
    ) -> Result<Reply> {
        let asked_at = Instant::now();
        let reply = self.settle(self.line.begin(operation, packet)).await?;
        self.round_trip.fetch_min(microseconds(asked_at.elapsed()), Ordering::Relaxed);
        Ok(reply)
    }

    /// A request that may take long, and during which the server may be silent.
    pub(super) async fn commit(
        &self,
        operation: &'static str,
        packet: impl FnOnce(u32) -> Bytes,
    ) -> Result<Reply> {
        let _at_work = self.condition.at_long_work();
        self.settle_long_work(self.stall_timeout * COMMIT, self.line.begin(operation, packet)).await
    }

    /// The time limit of long work does not depend on what else the server is doing.
    pub(super) async fn settle_long_work(
        &self,
        patience: Duration,
        Pending { reply, operation }: Pending,
    ) -> Result<Reply> {
        match tokio::time::timeout(patience, reply).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(_)) => Err(self.lost_error().await),
            Err(_) => Err(self.stalled(operation, patience)),
        }
    }

    /// Sends a READ. The reply goes to `replies`, with `number`.
    pub(crate) fn send_read(
        &self,
        file: &FileHandle,
        offset: u64,
        length: u32,
        replies: &NumberedReplies,
        number: u64,
    ) {
        let packet = |id| encode::read(id, &file.handle, offset, length);
        self.line.begin_read(length as usize, packet, replies, number);
    }

    /// Asks for the attributes of an open file, without waiting for the answer.
    pub(crate) fn ask_attributes(&self, file: &FileHandle) -> Pending {
        self.line.begin("fstat", |id| encode::fstat(id, &file.handle))
    }

    /// The answer to [`ask_attributes`](Self::ask_attributes); `None` if the server does not tell.
    pub(crate) async fn told_attributes(
        &self,
        file: &FileHandle,
        asked: Pending,
    ) -> Result<Option<Attributes>> {
        match self.settle(asked).await? {
            Reply::Attributes(attributes) => Ok(Some(attributes)),
            other => match self.refused("fstat", &file.path, other) {
                Error::Refused(_) => Ok(None),
                error => Err(error),
            },
        }
    }

    /// Sends a WRITE of the data in `parts`, without copying it. The reply goes to `replies`, with `number`.
    pub(crate) fn send_write(
        &self,
        file: &FileHandle,
        offset: u64,
        parts: Vec<Bytes>,
        replies: &NumberedReplies,
        number: u64,
    ) {
        self.line.begin_write(&file.handle, offset, parts, replies, number);
    }

    pub(crate) async fn settle(&self, mut pending: Pending) -> Result<Reply> {
        self.settled(&mut pending).await
    }

    /// The reply to a request, once. If the future is dropped before that, the reply can still be waited for.
    pub(super) async fn settled(&self, pending: &mut Pending) -> Result<Reply> {
        match self.wait(pending.operation, self.stall_timeout, &mut pending.reply).await? {
            Ok(reply) => Ok(reply),
            Err(_) => Err(self.lost_error().await),
        }
    }

    /// Waits for one of the replies to many WRITEs.
    pub(crate) async fn write_reply(
        &self,
        replies: &mut mpsc::UnboundedReceiver<NumberedReply>,
    ) -> Result<Option<NumberedReply>> {
        let reply = self.wait("write", self.stall_timeout, replies.recv()).await?;
        if let Some(NumberedReply { reply: Some(Reply::Status { code: 0, .. }), .. }) = &reply {
            self.condition.carried_data();
        }
        Ok(reply)
    }

    /// Bytes of a file were read.
    pub(crate) fn carried_data(&self) {
        self.condition.carried_data();
    }

    /// Waits for one of the replies to many READs. `None` if there was none in time: one of the servers, or of their
    /// channels, is silent.
    pub(crate) async fn read_reply(
        &self,
        replies: &mut mpsc::UnboundedReceiver<NumberedReply>,
    ) -> Option<NumberedReply> {
        self.in_time(self.stall_timeout, replies.recv()).await.flatten()
    }

    /// Waits for a reply. The time limit begins again while the server is at long work for another request, and once that
    /// work has ended.
    async fn wait<T>(
        &self,
        operation: &str,
        patience: Duration,
        reply: impl Future<Output = T>,
    ) -> Result<T> {
        self.in_time(patience, reply).await.ok_or_else(|| self.stalled(operation, patience))
    }

    /// See [`wait`](Self::wait). `None` when the time is over.
    async fn in_time<T>(&self, patience: Duration, reply: impl Future<Output = T>) -> Option<T> {
        let mut reply = pin!(reply);
        loop {
            let was_at_work = self.condition.is_at_long_work();
            match tokio::time::timeout(patience, &mut reply).await {
                Ok(reply) => return Some(reply),
                Err(_) if was_at_work || self.condition.is_at_long_work() => {}
                Err(_) => return None,
            }
        }
    }

    pub(crate) fn stalled(&self, operation: &str, patience: Duration) -> Error {
        self.condition.poison();
        Error::Lost(format!("the server did not finish {operation} within {} s", patience.as_secs()))
    }

    pub(crate) async fn lost_error(&self) -> Error {
        let mut lost = self.lost.clone();
        // The reader gives the reason within moments, if it still runs.
        let reason = tokio::time::timeout(Duration::from_secs(1), lost.wait_for(Option::is_some)).await;
        let reason = reason.ok().and_then(|reason| reason.ok().and_then(|reason| reason.clone()));
        Error::Lost(reason.unwrap_or_else(|| "the connection was lost".into()))
    }

    /// For requests that succeed with the status OK.
    pub(crate) fn done(&self, operation: &'static str, path: &str, reply: Reply) -> Result<()> {
        match reply {
            Reply::Status { code: 0, .. } => Ok(()),
            other => Err(self.refused(operation, path, other)),
        }
    }

    /// The error for a reply that is not a success.
    pub(crate) fn refused(&self, operation: &'static str, path: &str, reply: Reply) -> Error {
        let path = path.to_owned();
        match reply {
            Reply::Status { code, message } => {
                Error::Refused(Status { operation, path, code: StatusCode(code), message })
            }
            other => {
                self.condition.poison();
                Error::UnexpectedReply { operation, path, reply: other.type_name() }
            }
        }
    }
}

impl std::fmt::Debug for Sftp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sftp")
            .field("extensions", &self.extensions)
            .field("round_trip", &self.round_trip())
            .field("opened", &self.opened)
            .field("is_poisoned", &self.is_poisoned())
            .finish_non_exhaustive()
    }
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

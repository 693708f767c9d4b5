//! Requests and their replies over one SFTP channel.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use bridge::ErrorName;
use bytes::Bytes;
use russh::client::Msg;
use russh::{Channel, ChannelMsg};
use tokio::sync::{mpsc, oneshot, watch};

use crate::codec::{self, Attributes, Body, Decoder, OpenFlags, Reply};
use crate::condition::Condition;
use crate::download::Download;
use crate::link::{Reader, Writer};
use crate::pieces::join_small;
use crate::session::PACKET_MAX;
use crate::{Error, Result, Status, StatusCode};

/// Data in one READ or WRITE unless the server says that it takes more (draft 02, section 3: all servers take 34,000
/// byte packets).
const DATA_DEFAULT: u32 = 32 * 1024;
/// OpenSSH takes 255 KiB; nobody is asked for more.
const DATA_MAX: u32 = 255 * 1024;

/// So many requests are sent at once, at most.
const AT_ONCE: usize = 64;

/// A request may be answered twice, and some of the first ones more often.
const SURPLUS: u64 = 16;

/// CLOSE and RENAME may take so many times the stall timeout: there are servers that commit, or copy, a whole file then.
/// Servers of a single thread say nothing else meanwhile, so that silence is no sign of a dead connection then.
const COMMIT: u32 = 10;

const POSIX_RENAME: &str = "posix-rename@openssh.com";
const LIMITS: &str = "limits@openssh.com";
const STATVFS: &str = "statvfs@openssh.com";
const CHECK_FILE: &str = "check-file";
const FSYNC: &str = "fsync@openssh.com";

/// An open file on the server: opaque bytes. One that is dropped is closed without waiting for the answer, so that a
/// session can go on after whatever kept its file from its end.
#[derive(Debug)]
pub struct FileHandle {
    handle: Bytes,
    pub(crate) path: String,
    /// Nowhere once it is closed.
    open_on: Weak<Line>,
}

impl FileHandle {
    /// Where to close a file is to publish it, one that was dropped is not to be closed: the session has to end then.
    pub fn leave_open_if_dropped(&mut self) {
        self.open_on = Weak::new();
    }
}

impl Drop for FileHandle {
    fn drop(&mut self) {
        if let Some(line) = self.open_on.upgrade() {
            line.close(&self.handle);
        }
    }
}

/// What the server said of a file as it was closed.
#[derive(Debug)]
pub struct Closed {
    /// Its attributes just before: some servers take a file away when it is closed.
    pub attributes: Option<Attributes>,
    /// Whether it was written to the disk; `None` if that was not asked for.
    pub synced: Option<Result<()>>,
}

/// What a server says that it takes (`limits@openssh.com`); 0: it sets no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// Bytes in one packet.
    pub packet: u64,
    /// Bytes in one READ.
    pub read: u64,
    /// Bytes in one WRITE.
    pub write: u64,
    /// Files open at once.
    pub handles: u64,
}

/// One SFTP channel. Requests may be made side by side; each gets its own reply, in whatever order they come.
pub struct Sftp {
    line: Arc<Line>,
    lost: watch::Receiver<Option<String>>,
    condition: Condition,
    extensions: HashSet<String>,
    /// The answer to a question that is not worth a round trip of its own: asked at start, read when a file is open.
    limits: tokio::sync::Mutex<Option<Pending>>,
    /// Data in one READ and one WRITE, bytes.
    read_length: AtomicU32,
    write_length: AtomicU32,
    /// The shortest a request has taken, microseconds.
    round_trip: AtomicU64,
    stall_timeout: Duration,
    /// A file that was opened a second time was left as it was.
    pub(crate) reopens_harmlessly: AtomicBool,
    /// Files opened so far.
    opened: AtomicU64,
    /// Servers hash one file after the other: the time that one takes is not the other's.
    hashing: tokio::sync::Mutex<()>,
}

/// The way out for requests.
struct Line {
    /// To the task that owns the channel's writing half: a packet is sent whole, whatever becomes of its sender.
    outgoing: mpsc::UnboundedSender<Vec<Bytes>>,
    waiting: Arc<Waiting>,
}

/// The requests that wait for their reply, by id.
#[derive(Default)]
struct Waiting(Mutex<Requests>);

#[derive(Default)]
struct Requests {
    last_id: u32,
    made: u64,
    /// Answers to what was answered before.
    surplus: u64,
    by_id: HashMap<u32, Waiter>,
    closed: bool,
}

enum Waiter {
    /// For one reply, with so many bytes of data at most.
    One(oneshot::Sender<Reply>, usize),
    /// For the replies to many requests, of this and of other channels.
    Of(WriteReplies, u64),
}

/// Where the answers to many requests go.
pub(crate) type WriteReplies = mpsc::UnboundedSender<WriteReply>;

/// The answer to one of many requests.
pub(crate) struct WriteReply {
    /// The number that the request was given.
    pub(crate) number: u64,
    /// `None`: the session is lost.
    pub(crate) reply: Option<Reply>,
}

impl Waiter {
    /// Returns the reply to one request if whoever made it gave up waiting.
    fn tell(self, reply: Reply) -> Option<Reply> {
        match self {
            Self::One(sender, data_max) => sender.send(kept(reply, data_max)).err(),
            Self::Of(answers, number) => {
                drop(answers.send(WriteReply { number, reply: Some(kept(reply, 0)) }));
                None
            }
        }
    }

    fn give_up(self) {
        if let Self::Of(answers, number) = self {
            drop(answers.send(WriteReply { number, reply: None }));
        }
    }
}

/// What is kept of a reply until its turn comes. A server that answers out of order, with more than was asked for or in
/// tiny pieces, does not fill our memory.
fn kept(reply: Reply, data_max: usize) -> Reply {
    match reply {
        // Nothing is wrong for every READ, as too much is.
        Reply::Data(pieces) if length(&pieces) > data_max => Reply::Data(Vec::new()),
        Reply::Data(pieces) => Reply::Data(join_small(pieces)),
        other => other,
    }
}

fn length(pieces: &[Bytes]) -> usize {
    pieces.iter().map(Bytes::len).sum()
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, Requests> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the id for the request.
    fn register(&self, waiter: Waiter) -> u32 {
        let mut requests = self.lock();
        requests.last_id = requests.last_id.wrapping_add(1);
        requests.made += 1;
        let id = requests.last_id;
        if requests.closed {
            drop(requests);
            waiter.give_up();
        } else {
            requests.by_id.insert(id, waiter);
        }
        id
    }

    /// Who waits for the answer to this request; nobody if it was answered before, as some servers do with a CLOSE.
    ///
    /// # Errors
    /// Why such an answer ends the session.
    fn answered(&self, id: u32) -> std::result::Result<Option<Waiter>, String> {
        let mut requests = self.lock();
        if let Some(waiter) = requests.by_id.remove(&id) {
            return Ok(Some(waiter));
        }
        if u64::from(requests.last_id.wrapping_sub(id)) >= requests.made {
            return Err(format!("the server answered a request {id} that was not made"));
        }
        requests.surplus += 1;
        match requests.surplus > requests.made + SURPLUS {
            true => Err("the server gives more answers than there are requests".to_owned()),
            false => Ok(None),
        }
    }

    /// Wakes everyone who waits.
    fn close(&self) {
        let waiters = {
            let mut requests = self.lock();
            requests.closed = true;
            std::mem::take(&mut requests.by_id)
        };
        for waiter in waiters.into_values() {
            waiter.give_up();
        }
    }
}

/// A request on its way.
pub(crate) struct Pending {
    reply: oneshot::Receiver<Reply>,
    operation: &'static str,
}

impl Line {
    /// Sends a request without waiting for its reply.
    fn begin(&self, operation: &'static str, packet: impl FnOnce(u32) -> Bytes) -> Pending {
        self.begin_for(0, operation, packet)
    }

    /// Sends a request for so many bytes of data.
    fn begin_for(
        &self,
        data_max: usize,
        operation: &'static str,
        packet: impl FnOnce(u32) -> Bytes,
    ) -> Pending {
        let (sender, reply) = oneshot::channel();
        let id = self.waiting.register(Waiter::One(sender, data_max));
        self.send(vec![packet(id)]);
        Pending { reply, operation }
    }

    /// Closes a file for which nobody is left to hear the answer.
    fn close(&self, handle: &[u8]) {
        self.begin("close", |id| codec::close(id, handle));
    }

    /// If the session is over, whoever waits for the reply hears of it.
    fn send(&self, packet: Vec<Bytes>) {
        let _ = self.outgoing.send(packet);
    }
}

impl Sftp {
    /// Starts SFTP on a channel that was opened within `round_trip`. The request for the subsystem and the first packet
    /// travel together, if the channel takes data before it has one; OpenSSH's does not.
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
        let extensions = {
            let asking = async {
                writer.request_sftp().await?;
                writer.data_bytes(codec::init()).await
            };
            let (mut asking, mut version) =
                (pin!(asking), pin!(read_version(&mut reader, &mut decoder, &condition)));
            // A channel that is refused, or whose session has ended, never gets the window for our first packet.
            tokio::select! {
                version = &mut version => {
                    let extensions = version?;
                    asking.await.map_err(|error| Error::lost(format!("starting SFTP: {error}")))?;
                    extensions
                }
                // Where it could not be sent, the session has ended, and the reader knows how.
                _ = &mut asking => version.await?,
            }
        };
        let round_trip = round_trip.min(asked_at.elapsed());
        let waiting = Arc::new(Waiting::default());
        let (lost_sender, lost) = watch::channel(None);
        let (outgoing, packets) = mpsc::unbounded_channel::<Vec<Bytes>>();
        let line = Arc::new(Line { outgoing, waiting: Arc::clone(&waiting) });
        let (for_reader, ended) = (Arc::downgrade(&line), condition.clone());
        let reading = tokio::spawn(async move {
            let reason = read_replies(&mut reader, &mut decoder, &waiting, &for_reader).await;
            lost_sender.send_replace(Some(ended.how().unwrap_or(reason)));
            waiting.close();
        });
        let mut over = lost.clone();
        tokio::spawn(async move {
            let abandoned = tokio::select! {
                abandoned = send_packets(&writer, packets) => abandoned,
                // A channel whose session has ended never gets window again.
                () = async { drop(over.wait_for(Option::is_some).await) } => false,
            };
            let _ = writer.close().await;
            // What the server still says is of no interest where nobody is left to hear it. Elsewhere it is the reader
            // who tells everyone that the session has ended, even if the writer was the first to see it.
            if abandoned {
                reading.abort();
            }
        });
        let sftp = Self {
            line,
            lost,
            condition,
            extensions,
            limits: tokio::sync::Mutex::default(),
            read_length: AtomicU32::new(DATA_DEFAULT),
            write_length: AtomicU32::new(DATA_DEFAULT),
            round_trip: AtomicU64::new(microseconds(round_trip)),
            stall_timeout,
            reopens_harmlessly: AtomicBool::new(false),
            opened: AtomicU64::new(0),
            hashing: tokio::sync::Mutex::default(),
        };
        if sftp.extensions.contains(LIMITS) {
            let limits = sftp.line.begin("limits", |id| codec::extended(id, LIMITS, &[]));
            *sftp.limits.lock().await = Some(limits);
        }
        Ok(sftp)
    }

    /// Reads the limits, once; they came before anything that was asked after them.
    async fn learn_limits(&self) {
        let Some(pending) = self.limits.lock().await.take() else { return };
        if let Ok(Reply::Extended(limits)) = self.settle(pending).await
            && let Some((read, write)) = data_lengths(limits)
        {
            self.read_length.store(read, Ordering::Relaxed);
            self.write_length.store(write, Ordering::Relaxed);
        }
    }

    /// Data in one WRITE, bytes.
    pub(crate) fn write_length(&self) -> usize {
        self.write_length.load(Ordering::Relaxed) as usize
    }

    /// Data asked for in one READ, bytes.
    pub(crate) fn read_length(&self) -> usize {
        self.read_length.load(Ordering::Relaxed) as usize
    }

    /// The shortest time that a request has taken so far.
    pub fn round_trip(&self) -> Duration {
        Duration::from_micros(self.round_trip.load(Ordering::Relaxed))
    }

    /// How long any request may take on a session that is otherwise alive.
    pub fn stall_timeout(&self) -> Duration {
        self.stall_timeout
    }

    /// Whether the session had better not be used any more: it is over, or the server did not answer a request, or not
    /// with what was asked for. A status is an answer.
    pub fn is_poisoned(&self) -> bool {
        self.lost.borrow().is_some() || self.condition.is_poisoned()
    }

    /// Whether the server can hash a file itself (`check-file`, draft-ietf-secsh-filexfer-extensions-00).
    pub fn can_hash(&self) -> bool {
        self.extensions.contains(CHECK_FILE) || self.extensions.contains("check-file-handle")
    }

    /// Whether the server renames onto an existing name in one step.
    pub fn can_replace(&self) -> bool {
        self.extensions.contains(POSIX_RENAME)
    }

    /// Opens a file. Ask for writing or for reading: some servers refuse both at once.
    ///
    /// # Errors
    /// A status, or the loss of the session; so for all requests.
    pub async fn open(&self, path: &str, flags: OpenFlags) -> Result<FileHandle> {
        let opened = match self.request("open", |id| codec::open(id, path, flags)).await? {
            Reply::Handle(handle) => {
                self.opened.fetch_add(1, Ordering::Relaxed);
                Ok(FileHandle { handle, path: path.to_owned(), open_on: Arc::downgrade(&self.line) })
            }
            other => Err(self.refused("open", path, other)),
        };
        self.learn_limits().await;
        opened
    }

    /// The number of files that were opened so far on this channel.
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Closes a file. Some servers commit it only now: an error here means that it may not be there.
    pub async fn close(&self, mut file: FileHandle) -> Result<()> {
        file.open_on = Weak::new();
        let reply = self.commit("close", |id| codec::close(id, &file.handle)).await?;
        self.done("close", &file.path, reply)
    }

    /// Whether the server can write a file to its disk on request.
    pub fn can_sync(&self) -> bool {
        self.extensions.contains(FSYNC)
    }

    /// Closes a file. The requests before it travel in the same flight: for its attributes and, if `sync` asks for it, to
    /// write it to the disk.
    ///
    /// # Errors
    /// As [`close`](Self::close).
    pub async fn close_with(&self, file: FileHandle, sync: bool) -> Result<Closed> {
        let path = file.path.clone();
        // A server of a single thread says nothing else while it writes to its disk.
        let at_work = self.condition.at_long_work();
        let sync = (sync && self.can_sync()).then(|| {
            let body = Body::default().string(&file.handle).finish();
            self.line.begin("fsync", |id| codec::extended(id, FSYNC, &body))
        });
        let attributes = self.line.begin("fstat", |id| codec::fstat(id, &file.handle));
        self.close(file).await?;
        let synced = match sync {
            None => None,
            Some(pending) => {
                let reply = self.settle_long_work(self.stall_timeout * COMMIT, pending).await?;
                Some(self.done("fsync", &path, reply))
            }
        };
        let synced = match synced {
            Some(Err(error)) if !matches!(error, Error::Refused(_)) => return Err(error),
            synced => synced,
        };
        drop(at_work);
        let attributes = match self.settle(attributes).await {
            Ok(Reply::Attributes(attributes)) => Some(attributes),
            Ok(other) => match self.refused("fstat", &path, other) {
                Error::Refused(_) => None,
                error => return Err(error),
            },
            // The file is closed, whatever became of the session since.
            Err(_) => None,
        };
        Ok(Closed { attributes, synced })
    }

    /// What the server says of an open file.
    pub async fn fstat(&self, file: &FileHandle) -> Result<Attributes> {
        match self.request("fstat", |id| codec::fstat(id, &file.handle)).await? {
            Reply::Attributes(attributes) => Ok(attributes),
            other => Err(self.refused("fstat", &file.path, other)),
        }
    }

    /// What the server says of a path, or `None` if there is nothing.
    pub async fn stat(&self, path: &str) -> Result<Option<Attributes>> {
        match self.request("stat", |id| codec::stat(id, path)).await? {
            Reply::Attributes(attributes) => Ok(Some(attributes)),
            other => match self.refused("stat", path, other) {
                error if error.is_not_found() => Ok(None),
                error => Err(error),
            },
        }
    }

    /// Sets what is given of a path's attributes. What was set is told by [`stat`](Self::stat): servers say OK to what
    /// they ignore.
    pub async fn setstat(&self, path: &str, attributes: &Attributes) -> Result<()> {
        self.done("setstat", path, self.request("setstat", |id| codec::setstat(id, path, attributes)).await?)
    }

    /// Sets what is given of an open file's attributes, as [`setstat`](Self::setstat) does.
    pub async fn fsetstat(&self, file: &FileHandle, attributes: &Attributes) -> Result<()> {
        let reply = self.request("fsetstat", |id| codec::fsetstat(id, &file.handle, attributes)).await?;
        self.done("fsetstat", &file.path, reply)
    }

    /// Removes a file.
    pub async fn remove(&self, path: &str) -> Result<()> {
        self.done("remove", path, self.request("remove", |id| codec::remove(id, path)).await?)
    }

    /// Makes one directory.
    pub async fn mkdir(&self, path: &str) -> Result<()> {
        self.done("mkdir", path, self.request("mkdir", |id| codec::mkdir(id, path)).await?)
    }

    /// Removes one directory, which must be empty.
    pub async fn rmdir(&self, path: &str) -> Result<()> {
        self.done("rmdir", path, self.request("rmdir", |id| codec::rmdir(id, path)).await?)
    }

    /// Renames, onto an existing file in one step where the server offers `posix-rename@openssh.com`. Elsewhere it is
    /// up to the server whether an existing name is replaced; version 3 says that it is an error.
    pub async fn rename(&self, from: &str, to: &str) -> Result<()> {
        if !self.can_replace() {
            return self.rename_noreplace(from, to).await;
        }
        let body = Body::default().string(from.as_bytes()).string(to.as_bytes()).finish();
        self.done("rename", from, self.commit("rename", |id| codec::extended(id, POSIX_RENAME, &body)).await?)
    }

    /// Renames to a name that is to be new. Version 3 says that an existing one is an error, and most servers keep to it.
    pub async fn rename_noreplace(&self, from: &str, to: &str) -> Result<()> {
        self.done("rename", from, self.commit("rename", |id| codec::rename(id, from, to)).await?)
    }

    /// The extensions that the server offers, by name.
    pub fn extensions(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.extensions.iter().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// The limits that the server tells, if it does.
    pub async fn limits(&self) -> Result<Option<ServerLimits>> {
        if !self.extensions.contains(LIMITS) {
            return Ok(None);
        }
        match self.request("limits", |id| codec::extended(id, LIMITS, &[])).await? {
            Reply::Extended(limits) => Ok(server_limits(limits)),
            _ => Ok(None),
        }
    }

    /// Free bytes on the file system of `path`, as far as the server says (`statvfs@openssh.com`).
    pub async fn free_bytes(&self, path: &str) -> Option<u64> {
        if !self.extensions.contains(STATVFS) {
            return None;
        }
        let body = Body::default().string(path.as_bytes()).finish();
        match self.extended("statvfs", path, STATVFS, body).await {
            Ok(Reply::Extended(fields)) => available(fields),
            _ => None,
        }
    }

    /// The SHA-256 of the first `length` bytes, made by the server; `None` if it answers with another hash.
    ///
    /// It may take `patience`, in which the server need not give any other sign of life: one of a single thread does not
    /// even answer keepalives while it hashes.
    pub async fn sha256(
        &self,
        file: &FileHandle,
        length: u64,
        patience: Duration,
    ) -> Result<Option<[u8; 32]>> {
        let body = Body::default().string(&file.handle).string(b"sha256").u64(0).u64(length).u32(0).finish();
        let _turn = self.hashing.lock().await;
        let _at_work = self.condition.at_long_work();
        let hash = self.line.begin("check-file", |id| codec::extended(id, "check-file-handle", &body));
        match self.settle_long_work(patience, hash).await? {
            Reply::Extended(reply) => Ok(server_hash(reply)),
            other => Err(self.refused("check-file", &file.path, other)),
        }
    }

    /// Writes a little, in one request: no more than 32 KiB, which every server takes.
    pub async fn write(&self, file: &FileHandle, offset: u64, data: Bytes) -> Result<()> {
        let (answers, mut answer) = mpsc::unbounded_channel();
        self.send_write(file, offset, vec![data], &answers, 0);
        match self.answer(&mut answer).await? {
            Some(WriteReply { reply: Some(reply), .. }) => self.done("write", &file.path, reply),
            _ => Err(self.lost_error().await),
        }
    }

    /// Reads an open file from `offset` up to `end`.
    pub fn download<'a>(&'a self, file: &'a FileHandle, offset: u64, end: u64) -> Download<'a> {
        Download::new(self, file, offset, end)
    }

    async fn extended(&self, operation: &'static str, path: &str, name: &str, body: Bytes) -> Result<Reply> {
        tracing::debug!(operation, path, extension = name);
        self.request(operation, |id| codec::extended(id, name, &body)).await
    }

    async fn request(&self, operation: &'static str, packet: impl FnOnce(u32) -> Bytes) -> Result<Reply> {
        let asked_at = Instant::now();
        let reply = self.settle(self.line.begin(operation, packet)).await?;
        self.round_trip.fetch_min(microseconds(asked_at.elapsed()), Ordering::Relaxed);
        Ok(reply)
    }

    /// A request that may take long, and during which a server may say nothing else.
    async fn commit(&self, operation: &'static str, packet: impl FnOnce(u32) -> Bytes) -> Result<Reply> {
        let _at_work = self.condition.at_long_work();
        self.settle_long_work(self.stall_timeout * COMMIT, self.line.begin(operation, packet)).await
    }

    /// Long work has an end of its own, whatever else the server is at work on.
    async fn settle_long_work(
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

    pub(crate) fn send_read(&self, file: &FileHandle, offset: u64, length: u32) -> Pending {
        self.line.begin_for(length as usize, "read", |id| codec::read(id, &file.handle, offset, length))
    }

    /// Sends a WRITE whose data is `parts`, uncopied. The answer goes to `answers`, with `number`.
    pub(crate) fn send_write(
        &self,
        file: &FileHandle,
        offset: u64,
        parts: Vec<Bytes>,
        answers: &WriteReplies,
        number: u64,
    ) {
        let id = self.line.waiting.register(Waiter::Of(answers.clone(), number));
        self.line.send(codec::write(id, &file.handle, offset, parts));
    }

    pub(crate) async fn settle(&self, Pending { reply, operation }: Pending) -> Result<Reply> {
        match self.wait(operation, self.stall_timeout, reply).await? {
            Ok(reply) => Ok(reply),
            Err(_) => Err(self.lost_error().await),
        }
    }

    /// Waits for one of the answers to many WRITEs.
    pub(crate) async fn answer(
        &self,
        answers: &mut mpsc::UnboundedReceiver<WriteReply>,
    ) -> Result<Option<WriteReply>> {
        let answer = self.wait("write", self.stall_timeout, answers.recv()).await?;
        if let Some(WriteReply { reply: Some(Reply::Status { code: 0, .. }), .. }) = &answer {
            self.condition.carried_data();
        }
        Ok(answer)
    }

    /// Bytes of a file were read.
    pub(crate) fn carried_data(&self) {
        self.condition.carried_data();
    }

    /// Waits for an answer: for as long as this, and then for as long as the server is known to be at work for another.
    async fn wait<T>(
        &self,
        operation: &str,
        patience: Duration,
        answer: impl Future<Output = T>,
    ) -> Result<T> {
        let mut answer = pin!(answer);
        loop {
            match tokio::time::timeout(patience, &mut answer).await {
                Ok(answer) => return Ok(answer),
                Err(_) if self.condition.is_at_long_work() => {}
                Err(_) => return Err(self.stalled(operation, patience)),
            }
        }
    }

    fn stalled(&self, operation: &str, patience: Duration) -> Error {
        self.condition.poison();
        Error::lost(format!("the server did not finish {operation} within {} s", patience.as_secs()))
    }

    pub(crate) async fn lost_error(&self) -> Error {
        let mut lost = self.lost.clone();
        // The reader says why within moments, if it is still there to say it.
        let reason = tokio::time::timeout(Duration::from_secs(1), lost.wait_for(Option::is_some)).await;
        let reason = reason.ok().and_then(|reason| reason.ok().and_then(|reason| reason.clone()));
        Error::lost(reason.unwrap_or_else(|| "the connection was lost".into()))
    }

    /// For requests whose only good answer is the status OK.
    pub(crate) fn done(&self, operation: &'static str, path: &str, reply: Reply) -> Result<()> {
        match reply {
            Reply::Status { code: 0, .. } => Ok(()),
            other => Err(self.refused(operation, path, other)),
        }
    }

    pub(crate) fn refused(&self, operation: &'static str, path: &str, reply: Reply) -> Error {
        match reply {
            Reply::Status { code, message } => {
                Error::Refused(Status { operation, path: path.to_owned(), code: StatusCode(code), message })
            }
            other => {
                self.condition.poison();
                Error::UnexpectedReply { operation, path: path.to_owned(), reply: kind(&other) }
            }
        }
    }
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Until there is nobody left to send for, which is `true`, or the session has ended.
async fn send_packets(writer: &Writer, mut packets: mpsc::UnboundedReceiver<Vec<Bytes>>) -> bool {
    let mut ready = Vec::new();
    // The small parts of all requests that are ready travel together; each of them has its price, in SSH and on the server.
    while packets.recv_many(&mut ready, AT_ONCE).await > 0 {
        for part in join_small(ready.drain(..).flatten()) {
            if writer.data_bytes(part).await.is_err() {
                return false;
            }
        }
    }
    true
}

async fn read_version(
    reader: &mut Reader,
    decoder: &mut Decoder,
    condition: &Condition,
) -> Result<HashSet<String>> {
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let problem = loop {
        match decoder.next() {
            Ok(Some((_, Reply::Version { version, extensions }))) if version >= codec::VERSION => {
                return Ok(extensions.iter().map(|(name, data)| announced(name, data)).collect());
            }
            Ok(Some((_, Reply::Version { version, .. }))) => {
                break format!("it speaks version {version} only");
            }
            Ok(Some(_)) => break "its first packet was not a version".to_owned(),
            Err(malformed) => break malformed.to_string(),
            Ok(None) => {}
        }
        match reader.wait().await {
            Some(ChannelMsg::Data { data }) => {
                keep(&mut output, &data);
                decoder.push(data);
            }
            Some(ChannelMsg::ExtendedData { data, .. }) => keep(&mut errors, &data),
            Some(ChannelMsg::Failure) => break "it offers no SFTP to this account".to_owned(),
            Some(ChannelMsg::Eof | ChannelMsg::Close) => {
                break "it closed the channel; is the account allowed to use SFTP?".to_owned();
            }
            None => break condition.how().unwrap_or_else(|| "the connection was lost".to_owned()),
            Some(_) => {}
        }
    };
    Err(not_sftp(&problem, &output, &errors))
}

/// Keeps the beginning of what a server says instead of SFTP.
fn keep(kept: &mut Vec<u8>, words: &[u8]) {
    let room = codec::WORDS_MAX - kept.len().min(codec::WORDS_MAX);
    kept.extend_from_slice(&words[..words.len().min(room)]);
}

/// The name of an extension. `check-file` comes from the later drafts of the protocol; a server that speaks those, too,
/// may know it and keep silent of it to us. ProFTPD does. Whether it does, is asked when there is a file to hash.
fn announced(name: &[u8], data: &[u8]) -> String {
    let is_later = |version: &[u8]| matches!(version, b"5" | b"6");
    let speaks_later = name == b"versions" && data.split(|byte| *byte == b',').any(is_later);
    if speaks_later { CHECK_FILE.to_owned() } else { codec::words(name) }
}

/// A login script that prints something is the usual cause of a nonsensical length, and why an account is refused is
/// often said on the standard error output alone.
fn not_sftp(problem: &str, output: &[u8], errors: &[u8]) -> Error {
    // A packet begins with its length, which is no text.
    let is_text = output.iter().take(4).all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
    let words = [errors, output][usize::from(errors.is_empty())].trim_ascii();
    let said = match words.is_empty() || errors.is_empty() && !is_text {
        true => String::new(),
        false => format!("; it said {:?}", codec::words(words)),
    };
    ErrorName::ConnectFailed
        .error(format!("starting SFTP: the server did not answer as one: {problem}{said}"))
        .into()
}

/// Hands replies to those who wait, until there are no more; says why.
async fn read_replies(
    reader: &mut Reader,
    decoder: &mut Decoder,
    waiting: &Waiting,
    line: &Weak<Line>,
) -> String {
    loop {
        loop {
            match decoder.next() {
                Ok(Some((id, reply))) => {
                    let waiter = match waiting.answered(id) {
                        Ok(Some(waiter)) => waiter,
                        Ok(None) => continue,
                        Err(reason) => return reason,
                    };
                    if let (Some(Reply::Handle(handle)), Some(line)) = (waiter.tell(reply), line.upgrade()) {
                        line.close(&handle);
                    }
                }
                Ok(None) => break,
                Err(malformed) => return format!("the server sent what is not SFTP: {malformed}"),
            }
        }
        match reader.wait().await {
            // A piece of a packet keeps the whole packet: none is to be longer than we have said.
            Some(ChannelMsg::Data { data }) if data.len() > PACKET_MAX => {
                data.chunks(PACKET_MAX).for_each(|chunk| decoder.push(Bytes::copy_from_slice(chunk)));
            }
            Some(ChannelMsg::Data { data }) => decoder.push(data),
            Some(ChannelMsg::Eof | ChannelMsg::Close) => return "the server closed the SFTP channel".into(),
            None => return "the connection was lost".into(),
            Some(_) => {}
        }
    }
}

/// Data in one READ and in one WRITE. `uint64 max-packet-length, max-read-length, max-write-length, max-open-handles`;
/// 0: not limited.
pub(crate) fn data_lengths(mut limits: Bytes) -> Option<(u32, u32)> {
    let [Ok(packet), Ok(read), Ok(write)] = [(); 3].map(|()| codec::u64_of(&mut limits)) else { return None };
    let data = |length: u64| {
        let head = 1024;
        let longest = if packet == 0 { u64::MAX } else { packet.saturating_sub(head) };
        let length = if length == 0 { longest } else { length.min(longest) };
        u32::try_from(length).unwrap_or(DATA_MAX).clamp(1024, DATA_MAX)
    };
    Some((data(read), data(write)))
}

fn server_limits(mut limits: Bytes) -> Option<ServerLimits> {
    match [(); 4].map(|()| codec::u64_of(&mut limits)) {
        [Ok(packet), Ok(read), Ok(write), Ok(handles)] => Some(ServerLimits { packet, read, write, handles }),
        _ => None,
    }
}

/// Free bytes. `uint64 f_bsize, f_frsize, f_blocks, f_bfree, f_bavail` and more.
pub(crate) fn available(mut fields: Bytes) -> Option<u64> {
    match [(); 5].map(|()| codec::u64_of(&mut fields)) {
        [Ok(_), Ok(fragment), Ok(_), Ok(_), Ok(available)] => fragment.checked_mul(available),
        _ => None,
    }
}

/// `string hash-algorithm, byte hash[]`, as ProFTPD answers; Paramiko puts the name of the extension before it.
pub(crate) fn server_hash(mut reply: Bytes) -> Option<[u8; 32]> {
    let mut algorithm = codec::string_of(&mut reply).ok()?;
    if algorithm == CHECK_FILE {
        algorithm = codec::string_of(&mut reply).ok()?;
    }
    if algorithm != "sha256" {
        return None;
    }
    reply.as_ref().try_into().ok()
}

fn kind(reply: &Reply) -> String {
    match reply {
        Reply::Version { .. } => "VERSION".into(),
        Reply::Status { .. } => "STATUS".into(),
        Reply::Handle(_) => "HANDLE".into(),
        Reply::Data(_) => "DATA".into(),
        Reply::Attributes(_) => "ATTRS".into(),
        Reply::Extended(_) => "EXTENDED_REPLY".into(),
        Reply::Other(kind) => format!("type {kind}"),
    }
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

    #[test]
    fn no_more_data_is_kept_than_was_asked_for() {
        let data = |lengths: &[usize]| {
            Reply::Data(lengths.iter().map(|length| Bytes::from(vec![7; *length])).collect())
        };
        assert_eq!(kept(data(&[30_000, 2]), 30_001), data(&[]));
        assert_eq!(kept(data(&[30_000, 1]), 30_001), data(&[30_000, 1]));
        assert_eq!(kept(data(&[1; 1000]), 1000), data(&[1000]), "in one piece");
        assert_eq!(kept(data(&[1]), 0), data(&[]), "to what is no READ");
        // A little of a packet would keep all of it.
        let packet = Bytes::from(vec![7; 30_000]);
        let Reply::Data(pieces) = kept(Reply::Data(vec![packet.slice(..9)]), 9) else { panic!() };
        assert_eq!(pieces, [&packet[..9]]);
        assert_ne!(pieces[0].as_ptr(), packet.as_ptr());
    }

    #[test]
    fn a_hash_follows_its_algorithm_with_or_without_the_name_of_the_extension() {
        let hash: [u8; 32] = std::array::from_fn(|index| index as u8);
        let reply = |strings: &[&str], hash: &[u8]| {
            let head = strings.iter().fold(Body::default(), |body, one| body.string(one.as_bytes())).finish();
            server_hash([&head, hash].concat().into())
        };
        assert_eq!(reply(&["sha256"], &hash), Some(hash));
        assert_eq!(reply(&["check-file", "sha256"], &hash), Some(hash));
        assert_eq!(reply(&["md5"], &hash), None);
        assert_eq!(reply(&["sha256"], &hash[1..]), None);
        assert_eq!(reply(&["check-file"], &hash), None);
    }
}

//! Requests and their replies over one SFTP channel.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bridge::ErrorName;
use bytes::Bytes;
use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::sync::{oneshot, watch};

use crate::codec::{self, Attributes, Body, Decoder, OpenFlags, Reply};
use crate::transfer::{Download, Upload};
use crate::{Error, Result, StatusCode};

/// Data in one READ or WRITE unless the server says that it takes more (draft 02, section 3: all servers take 34,000
/// byte packets).
const DATA_DEFAULT: u32 = 32 * 1024;
/// OpenSSH takes 255 KiB; nobody is asked for more.
const DATA_MAX: u32 = 255 * 1024;

const POSIX_RENAME: &str = "posix-rename@openssh.com";
const LIMITS: &str = "limits@openssh.com";
const STATVFS: &str = "statvfs@openssh.com";
const CHECK_FILE: &str = "check-file";

/// An open file on the server: opaque bytes.
#[derive(Clone, Debug)]
pub struct FileHandle {
    pub(crate) handle: Bytes,
    pub(crate) path: String,
}

/// One SFTP channel. Requests may be made side by side; each gets its own reply, in whatever order they come.
///
/// A future of this type that is dropped while it sends may leave half a packet on the wire: after a time-out of your
/// own, drop the whole [`Session`](crate::Session).
pub struct Sftp {
    // Packets are sent whole, one after the other.
    writer: tokio::sync::Mutex<ChannelWriteHalf<Msg>>,
    waiting: Arc<Waiting>,
    lost: watch::Receiver<Option<String>>,
    extensions: HashSet<String>,
    /// Data in one READ and one WRITE, bytes.
    read_length: u32,
    write_length: u32,
    /// Bytes in flight.
    pub(crate) window: usize,
    stall_timeout: Duration,
}

/// The requests that wait for their reply, by id.
#[derive(Default)]
struct Waiting(Mutex<Requests>);

#[derive(Default)]
struct Requests {
    last_id: u32,
    by_id: HashMap<u32, oneshot::Sender<Reply>>,
    closed: bool,
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, Requests> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn register(&self) -> (u32, oneshot::Receiver<Reply>) {
        let (sender, receiver) = oneshot::channel();
        let mut requests = self.lock();
        requests.last_id = requests.last_id.wrapping_add(1);
        let id = requests.last_id;
        if !requests.closed {
            requests.by_id.insert(id, sender);
        }
        (id, receiver)
    }

    /// Dropping the senders wakes everyone who waits.
    fn close(&self) {
        let mut requests = self.lock();
        requests.closed = true;
        requests.by_id.clear();
    }
}

/// A request on its way.
pub(crate) struct Pending {
    reply: oneshot::Receiver<Reply>,
    operation: &'static str,
}

impl Sftp {
    /// Starts SFTP on a channel whose `sftp` subsystem runs.
    pub(crate) async fn start(
        channel: Channel<Msg>,
        lost_reason: Arc<Mutex<Option<String>>>,
        window: usize,
        stall_timeout: Duration,
    ) -> Result<Self> {
        let (mut reader, writer) = channel.split();
        writer
            .data_bytes(codec::init())
            .await
            .map_err(|error| Error::lost(format!("starting SFTP: {error}")))?;
        let mut decoder = Decoder::default();
        let extensions = read_version(&mut reader, &mut decoder).await?;
        let waiting = Arc::new(Waiting::default());
        let (lost_sender, lost) = watch::channel(None);
        let for_reader = Arc::clone(&waiting);
        tokio::spawn(async move {
            let reason = read_replies(&mut reader, &mut decoder, &for_reader).await;
            let disconnected = lost_reason.lock().unwrap_or_else(PoisonError::into_inner).take();
            lost_sender.send_replace(Some(disconnected.unwrap_or(reason)));
            for_reader.close();
        });
        let mut sftp = Self {
            writer: tokio::sync::Mutex::new(writer),
            waiting,
            lost,
            extensions,
            read_length: DATA_DEFAULT,
            write_length: DATA_DEFAULT,
            window,
            stall_timeout,
        };
        sftp.ask_limits().await?;
        Ok(sftp)
    }

    async fn ask_limits(&mut self) -> Result<()> {
        if !self.extensions.contains(LIMITS) {
            return Ok(());
        }
        // uint64 max-packet-length, max-read-length, max-write-length, max-open-handles; 0: not limited.
        if let Ok(Reply::Extended(mut limits)) = self.extended("limits", "", LIMITS, Bytes::new()).await {
            let numbers = [(); 3].map(|()| codec::u64_of(&mut limits));
            if let [Ok(packet), Ok(read), Ok(write)] = numbers {
                let data = |length: u64| {
                    let head = 1024;
                    let longest = if packet == 0 { u64::MAX } else { packet.saturating_sub(head) };
                    let length = if length == 0 { longest } else { length.min(longest) };
                    u32::try_from(length).unwrap_or(DATA_MAX).clamp(1024, DATA_MAX)
                };
                (self.read_length, self.write_length) = (data(read), data(write));
            }
        }
        Ok(())
    }

    /// Data in one WRITE, bytes.
    pub(crate) fn write_length(&self) -> usize {
        self.write_length as usize
    }

    /// Data asked for in one READ, bytes.
    pub(crate) fn read_length(&self) -> usize {
        self.read_length as usize
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
        match self.request("open", |id| codec::open(id, path, flags)).await? {
            Reply::Handle(handle) => Ok(FileHandle { handle, path: path.to_owned() }),
            other => Err(refused("open", path, other)),
        }
    }

    /// Closes a file. Some servers commit it only now: an error here means that it may not be there.
    pub async fn close(&self, file: FileHandle) -> Result<()> {
        done("close", &file.path, self.request("close", |id| codec::close(id, &file.handle)).await?)
    }

    /// What the server says of an open file.
    pub async fn fstat(&self, file: &FileHandle) -> Result<Attributes> {
        match self.request("fstat", |id| codec::fstat(id, &file.handle)).await? {
            Reply::Attributes(attributes) => Ok(attributes),
            other => Err(refused("fstat", &file.path, other)),
        }
    }

    /// What the server says of a path, or `None` if there is nothing.
    pub async fn stat(&self, path: &str) -> Result<Option<Attributes>> {
        match self.request("stat", |id| codec::stat(id, path)).await? {
            Reply::Attributes(attributes) => Ok(Some(attributes)),
            other => match refused("stat", path, other) {
                error if error.is_not_found() => Ok(None),
                error => Err(error),
            },
        }
    }

    /// Removes a file.
    pub async fn remove(&self, path: &str) -> Result<()> {
        done("remove", path, self.request("remove", |id| codec::remove(id, path)).await?)
    }

    /// Makes one directory.
    pub async fn mkdir(&self, path: &str) -> Result<()> {
        done("mkdir", path, self.request("mkdir", |id| codec::mkdir(id, path)).await?)
    }

    /// Renames, onto an existing file in one step where the server offers `posix-rename@openssh.com`. Elsewhere it is
    /// up to the server whether an existing name is replaced; version 3 says that it is an error.
    pub async fn rename(&self, from: &str, to: &str) -> Result<()> {
        let reply = if self.can_replace() {
            let body = Body::default().string(from.as_bytes()).string(to.as_bytes()).finish();
            self.extended("rename", from, POSIX_RENAME, body).await?
        } else {
            self.request("rename", |id| codec::rename(id, from, to)).await?
        };
        done("rename", from, reply)
    }

    /// Free bytes on the file system of `path`, as far as the server says (`statvfs@openssh.com`).
    pub async fn free_bytes(&self, path: &str) -> Option<u64> {
        if !self.extensions.contains(STATVFS) {
            return None;
        }
        let body = Body::default().string(path.as_bytes()).finish();
        match self.extended("statvfs", path, STATVFS, body).await {
            Ok(Reply::Extended(mut fields)) => {
                // f_bsize, f_frsize, f_blocks, f_bfree, f_bavail
                let numbers = [(); 5].map(|()| codec::u64_of(&mut fields));
                match numbers {
                    [Ok(_), Ok(fragment), Ok(_), Ok(_), Ok(available)] => fragment.checked_mul(available),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// The SHA-256 of the first `length` bytes, made by the server; `None` if it answers with another hash.
    pub async fn sha256(&self, file: &FileHandle, length: u64) -> Result<Option<[u8; 32]>> {
        let body = Body::default().string(&file.handle).string(b"sha256").u64(0).u64(length).u32(0).finish();
        match self.extended("check-file", &file.path, "check-file-handle", body).await? {
            Reply::Extended(reply) => Ok(server_hash(reply)),
            other => Err(refused("check-file", &file.path, other)),
        }
    }

    /// Sends to an open file from `offset` on. `on_acknowledged` sees the bytes in order, each once, when the server
    /// has acknowledged all up to them.
    pub fn upload<'a, F: FnMut(&[u8])>(
        &'a self,
        file: &'a FileHandle,
        offset: u64,
        on_acknowledged: F,
    ) -> Upload<'a, F> {
        Upload::new(self, file, offset, on_acknowledged)
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
        let (id, reply) = self.waiting.register();
        self.send(&[packet(id)]).await?;
        self.settle(Pending { reply, operation }).await
    }

    pub(crate) async fn send_read(&self, file: &FileHandle, offset: u64, length: u32) -> Result<Pending> {
        let (id, reply) = self.waiting.register();
        self.send(&[codec::read(id, &file.handle, offset, length)]).await?;
        Ok(Pending { reply, operation: "read" })
    }

    /// Sends a WRITE whose data is `parts`, uncopied.
    pub(crate) async fn send_write(
        &self,
        file: &FileHandle,
        offset: u64,
        parts: &[Bytes],
    ) -> Result<Pending> {
        let (id, reply) = self.waiting.register();
        let length = parts.iter().map(Bytes::len).sum::<usize>() as u32;
        let mut packet = Vec::with_capacity(1 + parts.len());
        packet.push(codec::write_head(id, &file.handle, offset, length));
        packet.extend_from_slice(parts);
        self.send(&packet).await?;
        Ok(Pending { reply, operation: "write" })
    }

    async fn send(&self, parts: &[Bytes]) -> Result<()> {
        let sending = async {
            let writer = self.writer.lock().await;
            for part in parts {
                writer.data_bytes(part.clone()).await?;
            }
            Ok::<(), russh::Error>(())
        };
        let mut lost = self.lost.clone();
        tokio::select! {
            sent = tokio::time::timeout(self.stall_timeout, sending) => match sent {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(self.lost_error().await),
                Err(_) => Err(self.stalled("taking data")),
            },
            // A channel whose session has ended never gets window again.
            _ = lost.wait_for(Option::is_some) => Err(self.lost_error().await),
        }
    }

    pub(crate) async fn settle(&self, pending: Pending) -> Result<Reply> {
        match tokio::time::timeout(self.stall_timeout, pending.reply).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(_)) => Err(self.lost_error().await),
            Err(_) => Err(self.stalled(pending.operation)),
        }
    }

    fn stalled(&self, operation: &str) -> Error {
        Error::lost(format!(
            "the server did not finish {operation} within {} s",
            self.stall_timeout.as_secs()
        ))
    }

    async fn lost_error(&self) -> Error {
        let mut lost = self.lost.clone();
        // The reader says why within moments, if it is still there to say it.
        let reason = tokio::time::timeout(Duration::from_secs(1), lost.wait_for(Option::is_some)).await;
        let reason = reason.ok().and_then(|reason| reason.ok().and_then(|reason| reason.clone()));
        Error::lost(reason.unwrap_or_else(|| "the connection was lost".into()))
    }
}

async fn read_version(reader: &mut ChannelReadHalf, decoder: &mut Decoder) -> Result<HashSet<String>> {
    loop {
        match decoder.next().map_err(|malformed| not_sftp(&malformed.to_string()))? {
            Some((_, Reply::Version { version, extensions })) if version >= codec::VERSION => {
                let names =
                    extensions.into_iter().map(|(name, _)| String::from_utf8_lossy(&name).into_owned());
                return Ok(names.collect());
            }
            Some((_, Reply::Version { version, .. })) => {
                return Err(not_sftp(&format!("it speaks version {version} only")));
            }
            Some(_) => return Err(not_sftp("its first packet was not a version")),
            None => match reader.wait().await {
                Some(ChannelMsg::Data { data }) => decoder.push(&data),
                Some(ChannelMsg::Eof | ChannelMsg::Close) | None => {
                    return Err(not_sftp("it closed the channel; is the account allowed to use SFTP?"));
                }
                Some(_) => {}
            },
        }
    }
}

/// A login script that prints something is the usual cause of a nonsensical length.
fn not_sftp(problem: &str) -> Error {
    Error::Named(
        ErrorName::ConnectFailed.error(format!("starting SFTP: the server did not answer as one: {problem}")),
    )
}

/// Hands replies to those who wait, until there are no more; says why.
async fn read_replies(reader: &mut ChannelReadHalf, decoder: &mut Decoder, waiting: &Waiting) -> String {
    loop {
        loop {
            match decoder.next() {
                Ok(Some((id, reply))) => match waiting.lock().by_id.remove(&id) {
                    // Nobody waits any more: the request was given up.
                    Some(sender) => drop(sender.send(reply)),
                    None => return format!("the server answered a request {id} that was not made"),
                },
                Ok(None) => break,
                Err(malformed) => return format!("the server sent what is not SFTP: {malformed}"),
            }
        }
        match reader.wait().await {
            Some(ChannelMsg::Data { data }) => decoder.push(&data),
            Some(ChannelMsg::Eof | ChannelMsg::Close) => return "the server closed the SFTP channel".into(),
            None => return "the connection was lost".into(),
            Some(_) => {}
        }
    }
}

/// `string "check-file", string hash-algorithm, byte hash[]`
fn server_hash(mut reply: Bytes) -> Option<[u8; 32]> {
    let name = codec::string_of(&mut reply).ok()?;
    let algorithm = codec::string_of(&mut reply).ok()?;
    // Some servers leave the leading name out.
    let (algorithm, hash) = if name == "check-file" { (algorithm, reply) } else { (name, algorithm) };
    if algorithm != "sha256" {
        return None;
    }
    hash.as_ref().try_into().ok()
}

/// For requests whose only good answer is the status OK.
pub(crate) fn done(operation: &'static str, path: &str, reply: Reply) -> Result<()> {
    match reply {
        Reply::Status { code: 0, .. } => Ok(()),
        other => Err(refused(operation, path, other)),
    }
}

pub(crate) fn refused(operation: &'static str, path: &str, reply: Reply) -> Error {
    match reply {
        Reply::Status { code, message } => {
            Error::Status { operation, path: path.to_owned(), code: StatusCode(code), message }
        }
        other => Error::Named(ErrorName::RemoteFailure.error(format!(
            "{operation} {path:?}: the server's answer fits another request: {}",
            kind(&other)
        ))),
    }
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

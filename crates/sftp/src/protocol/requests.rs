//! The client's methods: one for each kind of request.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::error::{Error, Result};
use crate::protocol::attributes::{Attributes, OpenFlags};
use crate::protocol::channel::{COMMIT, Sftp};
use crate::protocol::decode::Reply;
use crate::protocol::encode::{self, Body};
use crate::protocol::extensions::{
    CHECK_FILE, CHECK_FILE_HANDLE, FSYNC, LIMITS, POSIX_RENAME, STATVFS, ServerLimits, available,
    server_hash, server_limits,
};
use crate::protocol::handle::FileHandle;
use crate::protocol::line::{NumberedReplies, NumberedReply};

/// What is known of a file after it was closed.
#[derive(Debug)]
pub struct Closed {
    /// Its attributes, if the server told them: just before the CLOSE, since some servers move a file away when it is closed;
    /// or behind it ([`Upload::finish_at_once`](crate::Upload::finish_at_once)).
    pub attributes: Option<Attributes>,
    /// Whether the server wrote the file to its disk; `None` if it was not asked to.
    pub synced: Option<Result<()>>,
}

/// The requests that close a file, and a look at its path behind them.
pub(crate) struct Closing {
    /// The number of the reply to FSYNC, if it was sent.
    pub(crate) fsync: Option<u64>,
    /// That of the reply to CLOSE.
    pub(crate) close: u64,
    /// That of the reply to the look.
    pub(crate) look: u64,
}

fn fsync(id: u32, file: &FileHandle) -> Bytes {
    encode::extended(id, FSYNC, &Body::default().string(&file.handle).finish())
}

/// What the server can do.
impl Sftp {
    /// The extensions that the server announces, by name.
    pub fn extensions(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.extensions.iter().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// Whether the server can hash a file (`check-file`, draft-ietf-secsh-filexfer-extensions-00).
    pub fn can_hash(&self) -> bool {
        self.extensions.contains(CHECK_FILE) || self.extensions.contains(CHECK_FILE_HANDLE)
    }

    /// Whether the server can rename onto an existing name in one step.
    pub fn can_replace(&self) -> bool {
        self.extensions.contains(POSIX_RENAME)
    }

    /// Whether the server can write a file to its disk on request.
    pub fn can_sync(&self) -> bool {
        self.extensions.contains(FSYNC)
    }

    /// The limits that the server announces, if it does.
    pub async fn limits(&self) -> Result<Option<ServerLimits>> {
        if !self.extensions.contains(LIMITS) {
            return Ok(None);
        }
        match self.request("limits", |id| encode::extended(id, LIMITS, &[])).await? {
            Reply::Extended(limits) => Ok(server_limits(limits)),
            _ => Ok(None),
        }
    }

    /// Free bytes on the file system of `path` (`statvfs@openssh.com`); `None` if the server does not say.
    pub async fn free_bytes(&self, path: &str) -> Option<u64> {
        if !self.extensions.contains(STATVFS) {
            return None;
        }
        let body = Body::default().string(path.as_bytes()).finish();
        match self.request("statvfs", |id| encode::extended(id, STATVFS, &body)).await {
            Ok(Reply::Extended(fields)) => available(fields),
            _ => None,
        }
    }
}

/// Requests for open files.
impl Sftp {
    /// Opens a file. Ask for either writing or reading: some servers refuse both at once.
    ///
    /// # Cancel safety
    /// If the future is dropped, the file may have been created or truncated. It is closed when the reply arrives.
    pub async fn open(&self, path: &str, flags: OpenFlags) -> Result<FileHandle> {
        let opened = match self.request("open", |id| encode::open(id, path, flags)).await? {
            Reply::Handle(handle) => {
                self.opened.fetch_add(1, Ordering::Relaxed);
                Ok(FileHandle::new(handle, path, &self.line))
            }
            other => Err(self.refused("open", path, other)),
        };
        self.learn_limits().await;
        opened
    }

    /// Number of files opened so far on this channel.
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Closes a file. Some servers commit the file only now: after an error it may be missing.
    ///
    /// # Cancel safety
    /// The file is closed even if the future is dropped, but whether the server committed it stays unknown.
    pub async fn close(&self, mut file: FileHandle) -> Result<()> {
        file.leave_open_if_dropped();
        let reply = self.commit("close", |id| encode::close(id, &file.handle)).await?;
        self.done("close", &file.path, reply)
    }

    /// Closes a file, as [`close`](Self::close) does. Its attributes are asked for just before. With `sync`, the server is
    /// asked first to write the file to its disk. All requests travel together.
    ///
    /// # Cancel safety
    /// As [`close`](Self::close).
    pub async fn close_with(&self, file: FileHandle, sync: bool) -> Result<Closed> {
        let path = file.path.clone();
        // A server with a single thread sends nothing while it writes to its disk.
        let at_work = self.condition.at_long_work();
        let sync = (sync && self.can_sync()).then(|| self.line.begin("fsync", |id| fsync(id, &file)));
        let attributes = self.line.begin("fstat", |id| encode::fstat(id, &file.handle));
        self.close(file).await?;
        let synced = match sync {
            None => None,
            Some(pending) => {
                let reply = self.settle_long_work(self.stall_timeout * COMMIT, pending).await?;
                match self.done("fsync", &path, reply) {
                    Err(error) if !matches!(error, Error::Refused(_)) => return Err(error),
                    outcome => Some(outcome),
                }
            }
        };
        drop(at_work);
        let attributes = match self.settle(attributes).await {
            Ok(Reply::Attributes(attributes)) => Some(attributes),
            Ok(other) => match self.refused("fstat", &path, other) {
                Error::Refused(_) => None,
                error => return Err(error),
            },
            // The file is closed, even if the session was lost after that.
            Err(_) => None,
        };
        Ok(Closed { attributes, synced })
    }

    /// Sends what closes a file, behind its WRITEs: FSYNC, if it is wanted, and CLOSE. Their replies go to `replies`, from
    /// `number` on. A look at the path travels along, and ahead of it the request to set `attributes`, whose answer nobody
    /// reads: the look tells.
    pub(crate) fn send_close(
        &self,
        file: &mut FileHandle,
        sync: bool,
        attributes: Option<&Attributes>,
        replies: &NumberedReplies,
        number: u64,
    ) -> Closing {
        file.leave_open_if_dropped();
        let syncs = sync && self.can_sync();
        if syncs {
            self.line.begin_among_writes(|id| fsync(id, file), replies, number);
        }
        let close = number + u64::from(syncs);
        self.line.begin_among_writes(|id| encode::close(id, &file.handle), replies, close);
        if let Some(attributes) = attributes {
            self.line.begin("setstat", |id| encode::setstat(id, &file.path, attributes));
        }
        let look = close + 1;
        self.line.begin_among_writes(|id| encode::stat(id, &file.path), replies, look);
        Closing { fsync: syncs.then_some(number), close, look }
    }

    /// Waits for a reply to what [`send_close`](Self::send_close) sent, once every WRITE is answered.
    pub(crate) async fn closing_reply(
        &self,
        replies: &mut mpsc::UnboundedReceiver<NumberedReply>,
    ) -> Result<Option<NumberedReply>> {
        // A server with a single thread sends nothing while it writes to its disk.
        let _at_work = self.condition.at_long_work();
        let patience = self.stall_timeout * COMMIT;
        let reply = tokio::time::timeout(patience, replies.recv()).await;
        reply.map_err(|_| self.stalled("close", patience))
    }

    /// Attributes of an open file.
    pub async fn fstat(&self, file: &FileHandle) -> Result<Attributes> {
        match self.request("fstat", |id| encode::fstat(id, &file.handle)).await? {
            Reply::Attributes(attributes) => Ok(attributes),
            other => Err(self.refused("fstat", &file.path, other)),
        }
    }

    /// Sets attributes of an open file, as [`setstat`](Self::setstat) does.
    pub async fn fsetstat(&self, file: &FileHandle, attributes: &Attributes) -> Result<()> {
        let reply = self.request("fsetstat", |id| encode::fsetstat(id, &file.handle, attributes)).await?;
        self.done("fsetstat", &file.path, reply)
    }

    /// Writes at most 32 KiB in one request. Every server accepts this length. For whole files, see
    /// [`Session::upload`](crate::Session::upload).
    pub async fn write(&self, file: &FileHandle, offset: u64, data: Bytes) -> Result<()> {
        let (replies, mut reply) = mpsc::unbounded_channel();
        self.send_write(file, offset, vec![data], &replies, 0);
        match self.write_reply(&mut reply).await? {
            Some(NumberedReply { reply: Some(reply), .. }) => self.done("write", &file.path, reply),
            _ => Err(self.lost_error().await),
        }
    }

    /// The SHA-256 of the first `length` bytes of a file, computed by the server; `None` if it answers with another hash.
    ///
    /// `patience` is the time limit. During it, the server may be silent: a server with a single thread does not even
    /// answer keepalives while it hashes.
    ///
    /// # Cancel safety
    /// As for all requests (see [`Sftp`]). A server that is still hashing after the future was dropped counts as silent.
    pub async fn sha256(
        &self,
        file: &FileHandle,
        length: u64,
        patience: Duration,
    ) -> Result<Option<[u8; 32]>> {
        let body = Body::default().string(&file.handle).string(b"sha256").u64(0).u64(length).u32(0).finish();
        let _turn = self.hashing.lock().await;
        let _at_work = self.condition.at_long_work();
        let hash = self.line.begin("check-file", |id| encode::extended(id, CHECK_FILE_HANDLE, &body));
        match self.settle_long_work(patience, hash).await? {
            Reply::Extended(reply) => Ok(server_hash(reply)),
            other => Err(self.refused("check-file", &file.path, other)),
        }
    }
}

/// Requests for paths.
impl Sftp {
    /// Attributes of a path; `None` if nothing exists there.
    pub async fn stat(&self, path: &str) -> Result<Option<Attributes>> {
        match self.request("stat", |id| encode::stat(id, path)).await? {
            Reply::Attributes(attributes) => Ok(Some(attributes)),
            other => match self.refused("stat", path, other) {
                error if error.is_not_found() => Ok(None),
                error => Err(error),
            },
        }
    }

    /// Attributes of a path, as [`stat`](Self::stat), but those of a symbolic link itself.
    pub async fn lstat(&self, path: &str) -> Result<Option<Attributes>> {
        match self.request("lstat", |id| encode::lstat(id, path)).await? {
            Reply::Attributes(attributes) => Ok(Some(attributes)),
            other => match self.refused("lstat", path, other) {
                error if error.is_not_found() => Ok(None),
                error => Err(error),
            },
        }
    }

    /// Sets attributes of a path. Servers answer OK to attributes that they ignore; [`stat`](Self::stat) tells what was
    /// set.
    pub async fn setstat(&self, path: &str, attributes: &Attributes) -> Result<()> {
        let reply = self.request("setstat", |id| encode::setstat(id, path, attributes)).await?;
        self.done("setstat", path, reply)
    }

    /// Removes a file.
    pub async fn remove(&self, path: &str) -> Result<()> {
        self.done("remove", path, self.request("remove", |id| encode::remove(id, path)).await?)
    }

    /// Creates one directory.
    pub async fn mkdir(&self, path: &str) -> Result<()> {
        self.done("mkdir", path, self.request("mkdir", |id| encode::mkdir(id, path)).await?)
    }

    /// Removes one directory, which must be empty.
    pub async fn rmdir(&self, path: &str) -> Result<()> {
        self.done("rmdir", path, self.request("rmdir", |id| encode::rmdir(id, path)).await?)
    }

    /// Renames a file. If the server announces `posix-rename@openssh.com`, an existing file under the new name is replaced
    /// in one step. Otherwise the server decides; in version 3 of the protocol, an existing name is an error.
    ///
    /// # Cancel safety
    /// If the future is dropped, look at both names to find out whether the file was renamed. A server that is still
    /// renaming counts as silent.
    pub async fn rename(&self, from: &str, to: &str) -> Result<()> {
        if !self.can_replace() {
            return self.rename_noreplace(from, to).await;
        }
        let body = Body::default().string(from.as_bytes()).string(to.as_bytes()).finish();
        let reply = self.commit("rename", |id| encode::extended(id, POSIX_RENAME, &body)).await?;
        self.done("rename", from, reply)
    }

    /// Renames a file to a name that must not exist. In version 3 of the protocol, an existing name is an error, and most
    /// servers comply.
    ///
    /// # Cancel safety
    /// As [`rename`](Self::rename).
    pub async fn rename_noreplace(&self, from: &str, to: &str) -> Result<()> {
        self.done("rename", from, self.commit("rename", |id| encode::rename(id, from, to)).await?)
    }
}

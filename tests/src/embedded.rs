//! An SFTP server inside this process: russh and russh-sftp's server over a real folder. It stands in where
//! OpenSSH is not available, and plays partners with quirks.

mod cut;
mod disguise;
mod late;
mod ways;

use std::collections::HashMap;
use std::fs::{File, FileTimes, OpenOptions, Permissions};
use std::io::{ErrorKind, Result as IoResult, Seek, SeekFrom, copy};
use std::net::Shutdown;
use std::ops::Range;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::Result;
use russh::keys::{PrivateKey, PublicKey};
use russh::server::{Auth, ChannelOpenHandle, Msg, PublicKeyOffer, Response, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, ChannelStream, MethodKind};
use russh_sftp::protocol::{
    Attrs, Data, ExtendedReply, File as Entry, FileAttributes, Handle, Name, OpenFlags, Packet, Status,
    StatusCode, Version,
};
use russh_sftp::server::StatusReply;
use sha2::{Digest as _, Sha256};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use crate::door::{Door, Start};

pub use cut::{Cut, Moment};
pub use late::Late;
pub use ways::{Lock, Names, Sizes, Truncation, Ways};

/// How the server differs from a well-behaved one.
#[derive(Clone, Debug, Default)]
pub struct Quirks {
    /// Renames onto an existing name are impossible: the extension is missing.
    pub no_posix_rename: bool,
    /// Files cannot grow beyond this many bytes: the disk is full.
    pub capacity: Option<u64>,
    /// A drop box: STAT and READ are refused.
    pub write_only: bool,
    /// Files are hashed on the server (`check-file`, as ProFTPD does).
    pub check_file: bool,
    /// Each open of a file is an upload of its own, and the one that ends last wins. Gateways to object stores work like
    /// this.
    pub apart: bool,
    /// With `apart`: each upload is a whole object. It begins empty, and is discarded unless it is closed.
    pub whole_objects: bool,
    /// A second channel on a connection ends the connection.
    pub one_channel: bool,
    /// What happens to requests to set mode or time.
    pub setstat: Setstat,
    /// Logins and algorithms.
    pub door: Door,
    /// Files cannot be removed.
    pub no_delete: bool,
    /// Nothing can be written.
    pub read_only: bool,
    /// Nothing can be renamed: the request is unknown.
    pub no_rename: bool,
    /// Nothing may be renamed, until this is changed.
    pub rename_refused: Arc<AtomicBool>,
    /// The plain rename replaces what is there, as it does on many servers.
    pub rename_replaces: bool,
    /// How long CLOSE of a written file takes.
    pub slow_close: Duration,
    /// One answer that is never sent.
    pub lost_answer: Option<LostAnswer>,
    /// Maximum number of connections; further ones are closed at once.
    pub connections_max: Option<usize>,
    /// Handles are random bytes, a STATUS of OK has no strings, and status codes come from later drafts: 9, 11, 18.
    pub later_codes: bool,
    /// A file cannot be opened for reading and writing at the same time.
    pub no_mixed_open: bool,
    /// Files can be read, but STAT is refused.
    pub no_stat: bool,
    /// What can be read.
    pub reading: Reading,
    /// Where the connection is cut.
    pub cut: Option<Cut>,
    /// Maximum number of WRITEs for a file.
    pub writes_max: Option<u64>,
    /// A file must be written from its start to its end, without gaps and without resuming, as for gateways to object
    /// stores.
    pub in_one_go: bool,
    /// WRITEs that begin in this range are acknowledged and lost.
    pub loses: Option<Range<u64>>,
    /// Maximum size of a file, in bytes; CLOSE of a larger one is refused.
    pub capacity_at_close: Option<u64>,
    /// When the server moves files away.
    pub sweep: Option<Sweep>,
    /// One READ fails.
    pub hiccup: Option<Hiccup>,
    /// Each directory is a file system of its own: renames between directories fail.
    pub file_systems: bool,
    /// Renames that do something else than their answer says.
    pub renaming: Renaming,
    /// For some time after a file was closed, it cannot be seen.
    pub seen_late: Option<Late>,
    /// A file whose session was cut cannot be opened for writing for some time.
    pub held_after_cut: Option<Late>,
    /// `fsync@openssh.com` is announced.
    pub fsync: Fsync,
    /// Answers that differ from those of other servers.
    pub ways: Ways,
    /// Maximum number of open files in a session. The server does not announce it.
    pub files_max: Option<usize>,
}

/// What a rename does besides renaming.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Renaming {
    /// Nothing.
    #[default]
    Honest,
    /// It is carried out, and answered with FAILURE.
    FailsAfterwards,
    /// It is answered with OK, and the file has `.in` behind its name.
    Elsewhere,
    /// A file that begins with `infected` is taken into quarantine instead, and the answer is FAILURE.
    Quarantined,
}

/// Whether the server writes files to its disk on request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fsync {
    /// The request is unknown.
    #[default]
    Unknown,
    /// It does.
    Done,
    /// It is announced and refused.
    Refused,
}

/// A READ that fails once, from this byte of a file on.
#[derive(Clone, Debug)]
pub struct Hiccup {
    from: u64,
    over: Arc<AtomicBool>,
}

impl Hiccup {
    /// From this byte on.
    pub fn from(from: u64) -> Self {
        Self { from, over: Arc::default() }
    }
}

/// What happens to a request to set mode or time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Setstat {
    /// It is done.
    #[default]
    Done,
    /// It is refused.
    Refused,
    /// It is answered with OK, and nothing is done.
    Ignored,
    /// It is refused with the message that there is no such file.
    NotFound,
}

/// How reading a file fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reading {
    /// It can be read.
    #[default]
    Allowed,
    /// It cannot be opened.
    NotOpened,
    /// It can be opened, but not read.
    NothingRead,
}

/// The first request of a kind is carried out, and then the channel falls silent.
#[derive(Clone, Debug)]
pub struct LostAnswer {
    to: &'static str,
    lost: Arc<AtomicBool>,
}

impl LostAnswer {
    /// To a `close` of what was written, to a `rename`, or to a `check-file`.
    pub fn to(request: &'static str) -> Self {
        Self { to: request, lost: Arc::default() }
    }
}

/// When a drop box moves a file to [`TAKEN`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sweep {
    /// As soon as it was written, whatever its name.
    AtClose,
    /// As soon as it was renamed.
    AfterRename,
    /// As soon as it was written or renamed, unless its name begins with a dot. The file is deleted.
    Visible,
}

/// The folder for files that a drop box has taken, below the folder that is served.
pub const TAKEN: &str = ".taken";

/// A server that follows a script instead of keeping files: what it does on a channel with SFTP.
#[derive(Clone)]
pub struct Script(Arc<dyn Fn(ChannelStream<Msg>) -> BoxFuture + Send + Sync>);

type BoxFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Script {
    /// For each channel.
    pub fn new<F: Future<Output = ()> + Send + 'static>(
        script: impl Fn(ChannelStream<Msg>) -> F + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(move |channel| Box::pin(script(channel))))
    }
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Script")
    }
}

/// The account of the server.
#[derive(Debug)]
pub struct Account<'a> {
    /// The server's private key.
    pub host_key: &'a str,
    /// The user's name.
    pub user: &'a str,
    /// The user's public key.
    pub client_public_key: &'a str,
}

/// The running server; its connections end with it.
#[derive(Debug)]
pub struct Embedded {
    accepting: JoinHandle<()>,
}

impl Embedded {
    /// Serves `root` as `/` on a port of the loopback interface, to one user with one key.
    pub async fn start(port: u16, root: &Path, account: Account<'_>, quirks: Quirks) -> Result<Self> {
        let (one_channel, connections_max) = (quirks.one_channel, quirks.connections_max);
        let (root, door) = (root.to_owned(), quirks.door.clone());
        let files = Files { root, quirks, open: HashMap::new(), opened: 0, written: HashMap::new() };
        Self::serve(port, account, Service::Files(Box::new(files)), one_channel, connections_max, door).await
    }

    /// Runs the script on each channel.
    pub async fn start_scripted(port: u16, account: Account<'_>, script: Script) -> Result<Self> {
        Self::serve(port, account, Service::Script(script), false, None, Door::default()).await
    }

    async fn serve(
        port: u16,
        Account { host_key, user, client_public_key }: Account<'_>,
        service: Service,
        one_channel: bool,
        connections_max: Option<usize>,
        door: Door,
    ) -> Result<Self> {
        let config = Arc::new(door.config(russh::server::Config {
            keys: vec![PrivateKey::from_openssh(host_key)?],
            auth_rejection_time: Duration::ZERO,
            nodelay: true,
            ..Default::default()
        })?);
        let session = SshSession {
            user: user.to_owned(),
            client: PublicKey::from_openssh(client_public_key)?,
            service,
            one_channel,
            door,
            proved: Vec::new(),
            asked: 0,
            opened: 0,
            channels: HashMap::new(),
            socket: None,
        };
        // A former server on this port is gone only after the runtime has dropped it.
        let mut tries = 0;
        let listener = loop {
            match TcpListener::bind(("127.0.0.1", port)).await {
                Err(error) if error.kind() == ErrorKind::AddrInUse && tries < 100 => tries += 1,
                bound => break bound?,
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let room = Arc::new(Semaphore::new(connections_max.unwrap_or(Semaphore::MAX_PERMITS)));
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(permit) = Arc::clone(&room).try_acquire_owned() else { continue };
                let (config, mut session) = (config.clone(), session.another());
                // russh runs the session in a task of its own. Only its socket can end it.
                let Ok(stream) = stream.into_std() else { continue };
                let Ok(cut) = stream.try_clone().map(Arc::new).map(CutOnDrop) else { continue };
                session.socket = Some(Arc::clone(&cut.0));
                let Ok(stream) = TcpStream::from_std(stream) else { continue };
                connections.spawn(async move {
                    let (_cut, _permit) = (cut, permit);
                    if let Ok(running) = russh::server::run_stream(config, stream, session).await {
                        let _ = running.await;
                    }
                });
            }
        });
        Ok(Self { accepting })
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

struct CutOnDrop(Arc<std::net::TcpStream>);

impl Drop for CutOnDrop {
    fn drop(&mut self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

enum Service {
    Files(Box<Files>),
    Script(Script),
}

impl Service {
    fn another(&self) -> Self {
        match self {
            Self::Files(files) => Self::Files(Box::new(files.another())),
            Self::Script(script) => Self::Script(script.clone()),
        }
    }
}

struct SshSession {
    user: String,
    client: PublicKey,
    service: Service,
    one_channel: bool,
    door: Door,
    /// What this connection has proved so far.
    proved: Vec<MethodKind>,
    /// Rounds of questions on this connection so far.
    asked: usize,
    /// Channels so far.
    opened: u32,
    channels: HashMap<ChannelId, Channel<Msg>>,
    /// The connection that it runs on.
    socket: Option<Arc<std::net::TcpStream>>,
}

impl SshSession {
    fn another(&self) -> Self {
        Self {
            user: self.user.clone(),
            client: self.client.clone(),
            service: self.service.another(),
            one_channel: self.one_channel,
            door: self.door.clone(),
            proved: Vec::new(),
            asked: 0,
            opened: 0,
            channels: HashMap::new(),
            socket: None,
        }
    }
}

impl SshSession {
    fn judge(&mut self, method: MethodKind, known: bool) -> Auth {
        self.door.judge(method, known, &mut self.proved)
    }
}

impl russh::server::Handler for SshSession {
    type Error = russh::Error;

    async fn authentication_banner(&mut self) -> Result<Option<String>, Self::Error> {
        Ok(self.door.banner.map(str::to_owned))
    }

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        if self.door.hangs_up {
            return Err(russh::Error::Disconnect);
        }
        let known = user == self.user && offer.public_key.key_data() == self.client.key_data();
        Ok(if known { Auth::Accept } else { self.judge(MethodKind::PublicKey, false) })
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        let known = user == self.user && key.public_key.key_data() == self.client.key_data();
        tokio::time::sleep(self.door.slow).await;
        Ok(self.judge(MethodKind::PublicKey, known))
    }

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, Self::Error> {
        let known = user == self.user && self.door.is_password(password);
        tokio::time::sleep(self.door.slow).await;
        Ok(self.judge(MethodKind::Password, known))
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        user: &str,
        _: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, Self::Error> {
        let answers: Vec<String> = response
            .into_iter()
            .flatten()
            .map(|answer| String::from_utf8_lossy(&answer).into_owned())
            .collect();
        self.door.answers.lock().unwrap().extend(answers.clone());
        self.asked += 1;
        if let Some(questions) = self.door.questions(self.asked - 1) {
            return Ok(questions);
        }
        let known = user == self.user && answers.len() == 1 && self.door.is_password(&answers[0]);
        Ok(self.judge(MethodKind::KeyboardInteractive, known))
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.opened += 1;
        if self.one_channel && self.opened > 1 {
            return Err(russh::Error::Disconnect);
        }
        self.channels.insert(channel.id(), channel);
        reply.accept().await;
        Ok(())
    }

    async fn channel_eof(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        session.close(channel)
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        name: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        match self.channels.remove(&id) {
            Some(channel) if name == "sftp" => {
                match self.door.start {
                    Start::Sftp => {}
                    Start::Cut => return Err(russh::Error::Disconnect),
                    Start::Refused => return session.channel_failure(id),
                    Start::Words(words) => {
                        session.channel_success(id)?;
                        session.extended_data(id, 1, words.as_bytes().to_vec())?;
                        return session.close(id);
                    }
                }
                session.channel_success(id)?;
                self.door.open_channels(session.handle());
                match &self.service {
                    Service::Files(files) => {
                        let (inside, outside) = tokio::io::duplex(1024 * 1024);
                        match (&files.quirks.cut, self.socket.clone()) {
                            _ if files.quirks.later_codes => {
                                tokio::spawn(disguise::run(channel.into_stream(), outside));
                                russh_sftp::server::run(inside, files.another()).await;
                            }
                            (Some(cut), Some(socket)) => {
                                tokio::spawn(cut.clone().run(channel.into_stream(), outside, socket));
                                russh_sftp::server::run(inside, files.another()).await;
                            }
                            _ => russh_sftp::server::run(channel.into_stream(), files.another()).await,
                        }
                    }
                    Service::Script(script) => drop(tokio::spawn(script.0(channel.into_stream()))),
                }
                Ok(())
            }
            _ => session.channel_failure(id),
        }
    }
}

/// One SFTP session.
struct Files {
    root: PathBuf,
    quirks: Quirks,
    open: HashMap<String, Open>,
    opened: u64,
    /// The paths of the files that are being written, by handle.
    written: HashMap<String, PathBuf>,
}

enum Open {
    File(File),
    /// A file that is being written.
    Upload(Upload),
    /// An upload of its own. When it ends, it replaces the file at its path if the flag is set.
    Apart(File, PathBuf, bool),
    /// The entries that READDIR has not returned yet.
    Directory(Vec<Entry>),
}

/// The number of WRITEs of 32 KiB that a file of this size takes.
fn blocks(file: &File) -> u64 {
    file.metadata().map_or(0, |metadata| metadata.len().div_ceil(32 * 1024))
}

struct Upload {
    file: File,
    writes: u64,
    /// Number of bytes written through this handle.
    end: u64,
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Self::Apart(content, path, true) = self {
            let _ = content.seek(SeekFrom::Start(0)).and_then(|_| copy(content, &mut File::create(path)?));
        }
    }
}

/// The initial contents of an open file of a store.
fn apart(path: &Path, flags: OpenFlags, whole: bool) -> IoResult<Open> {
    let mut content = tempfile::tempfile()?;
    if whole {
        return Ok(Open::Apart(content, path.to_owned(), false));
    }
    match File::open(path) {
        Ok(mut former) if !flags.contains(OpenFlags::TRUNCATE) => drop(copy(&mut former, &mut content)?),
        Err(error) if error.kind() != ErrorKind::NotFound || !flags.contains(OpenFlags::CREATE) => {
            return Err(error);
        }
        _ => {}
    }
    Ok(Open::Apart(content, path.to_owned(), true))
}

impl Files {
    fn another(&self) -> Self {
        let (root, quirks) = (self.root.clone(), self.quirks.clone());
        Self { root, quirks, open: HashMap::new(), opened: 0, written: HashMap::new() }
    }

    /// Resolves `.` and `..` in the client's path. Nothing is above the root.
    fn normal(path: &str) -> String {
        let mut parts = Vec::new();
        for part in path.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        format!("/{}", parts.join("/"))
    }

    fn local(&self, path: &str) -> PathBuf {
        self.root.join(&Self::normal(path)[1..])
    }

    fn remember(&mut self, id: u32, open: Open) -> Handle {
        self.opened += 1;
        let handle = self.opened.to_string();
        self.open.insert(handle.clone(), open);
        Handle { id, handle }
    }

    /// The file is complete: a drop box moves it away.
    /// The request was carried out. Its answer may be lost.
    async fn answered(&self, request: &str) {
        if let Some(LostAnswer { to, lost }) = &self.quirks.lost_answer
            && *to == request
            && !lost.swap(true, Ordering::Relaxed)
        {
            std::future::pending::<()>().await;
        }
    }

    async fn renamed(&self, old: &str, new: &str) -> Result<(), StatusReply> {
        if self.quirks.rename_refused.load(Ordering::Relaxed) {
            return Err(StatusCode::PermissionDenied.with_message("renaming is not allowed"));
        }
        let (from, to) = (self.local(old), self.local(new));
        if self.quirks.file_systems && from.parent() != to.parent() {
            return Err(StatusCode::Failure.with_message("Invalid cross-device link"));
        }
        let to = match self.quirks.renaming {
            Renaming::Elsewhere => to.with_file_name(format!("{}.in", to.file_name().unwrap().display())),
            Renaming::Honest | Renaming::FailsAfterwards => to,
            Renaming::Quarantined if std::fs::read(&from).is_ok_and(|file| file.starts_with(b"infected")) => {
                std::fs::remove_file(from).map_err(refuse)?;
                return Err(StatusCode::Failure.with_message("infected"));
            }
            Renaming::Quarantined => to,
        };
        std::fs::rename(from, to).map_err(refuse)?;
        if self.quirks.renaming == Renaming::FailsAfterwards {
            return Err(StatusCode::Failure.with_message("something else went wrong"));
        }
        self.swept(&self.local(new), Sweep::AfterRename).map_err(refuse)?;
        self.answered("rename").await;
        Ok(())
    }

    fn look(&self) -> Result<(), StatusReply> {
        if self.quirks.write_only { Err(StatusCode::PermissionDenied.into()) } else { Ok(()) }
    }

    fn stat_is_allowed(&self) -> Result<(), StatusReply> {
        if self.quirks.no_stat { Err(StatusCode::PermissionDenied.into()) } else { self.look() }
    }

    /// Moves a file away, if the drop box does that now.
    fn swept(&self, path: &Path, now: Sweep) -> IoResult<()> {
        let visible = path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.'));
        let takes = self.quirks.sweep.is_some_and(|sweep| sweep == now || sweep == Sweep::Visible && visible);
        if !takes {
            return Ok(());
        }
        let to = self.root.join(TAKEN).join(path.strip_prefix(&self.root).unwrap_or(path));
        if self.quirks.sweep == Some(Sweep::Visible) {
            return std::fs::remove_file(path);
        }
        std::fs::create_dir_all(to.parent().unwrap_or(&self.root))?;
        std::fs::rename(path, to)
    }

    fn file(&self, handle: &str) -> Result<&File, StatusReply> {
        match self.open.get(handle) {
            Some(Open::File(file) | Open::Apart(file, ..) | Open::Upload(Upload { file, .. })) => Ok(file),
            _ => Err(StatusCode::Failure.with_message("no such handle")),
        }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        if let Some(held) = &self.quirks.held_after_cut {
            self.written.values().for_each(|path| held.begins(path));
        }
    }
}

fn refuse(error: std::io::Error) -> StatusReply {
    let code = match error.kind() {
        ErrorKind::NotFound => StatusCode::NoSuchFile,
        ErrorKind::PermissionDenied => StatusCode::PermissionDenied,
        _ => StatusCode::Failure,
    };
    code.with_message(error.to_string())
}

fn answer(id: u32, result: IoResult<()>) -> Result<Status, StatusReply> {
    result.map_err(refuse)?;
    Ok(Status {
        id,
        status_code: StatusCode::Ok,
        error_message: "Success".to_owned(),
        language_tag: "en".to_owned(),
    })
}

fn set(file: &File, attributes: &FileAttributes) -> IoResult<()> {
    if let Some(size) = attributes.size {
        file.set_len(size)?;
    }
    if let Some(mode) = attributes.permissions {
        file.set_permissions(Permissions::from_mode(mode & 0o7777))?;
    }
    if let Some(seconds) = attributes.mtime {
        let time = UNIX_EPOCH + Duration::from_secs(seconds.into());
        file.set_times(FileTimes::new().set_modified(time))?;
    }
    Ok(())
}

impl russh_sftp::server::Handler for Files {
    type Error = StatusReply;

    fn unimplemented(&self) -> Self::Error {
        StatusCode::OpUnsupported.into()
    }

    async fn init(&mut self, _: u32, _: HashMap<String, String>) -> Result<Version, Self::Error> {
        let mut version = Version::new();
        if !self.quirks.no_posix_rename && !self.quirks.no_rename {
            version.extensions.insert("posix-rename@openssh.com".to_owned(), "1".to_owned());
        }
        if self.quirks.check_file {
            version.extensions.insert("check-file".to_owned(), String::new());
        }
        if self.quirks.fsync != Fsync::Unknown {
            version.extensions.insert("fsync@openssh.com".to_owned(), "1".to_owned());
        }
        if let Some(name) = self.quirks.ways.announces {
            version.extensions.insert(name.to_owned(), "1".to_owned());
        }
        Ok(version)
    }

    async fn open(
        &mut self,
        id: u32,
        path: String,
        flags: OpenFlags,
        _: FileAttributes,
    ) -> Result<Handle, Self::Error> {
        if self.quirks.files_max.is_some_and(|most| self.open.len() >= most) {
            return Err(StatusCode::Failure.with_message("too many open files"));
        }
        if flags.contains(OpenFlags::READ) {
            self.look()?;
            if self.quirks.reading == Reading::NotOpened {
                return Err(StatusCode::PermissionDenied.with_message("reading is not allowed"));
            }
        }
        if flags.contains(OpenFlags::WRITE) && self.quirks.read_only {
            return Err(StatusCode::PermissionDenied.into());
        }
        if self.quirks.no_mixed_open && flags.contains(OpenFlags::READ | OpenFlags::WRITE) {
            return Err(StatusCode::PermissionDenied.with_message("READ and WRITE exclude each other"));
        }
        let path = self.local(&path);
        let writes = flags.contains(OpenFlags::WRITE);
        if writes && self.quirks.held_after_cut.as_ref().is_some_and(|held| held.is_on(&path)) {
            return Err(StatusCode::Failure.with_message("the file is in use"));
        }
        let ways = self.quirks.ways.clone();
        let flags = ways.open(&path, flags).map_err(|refused| ways.refuse_open(refused))?;
        let open = match self.quirks.apart && writes {
            true => apart(&path, flags, self.quirks.whole_objects),
            false => OpenOptions::from(flags).open(&path).map(|file| match writes {
                true => Open::Upload(Upload { writes: blocks(&file), file, end: 0 }),
                false => Open::File(file),
            }),
        };
        let handle = self.remember(id, open.map_err(|error| ways.refuse_open(refuse(error)))?);
        if writes {
            self.written.insert(handle.handle.clone(), path);
        }
        Ok(handle)
    }

    async fn close(&mut self, id: u32, handle: String) -> Result<Status, Self::Error> {
        let mut open = self.open.remove(&handle);
        if let Some(path) = self.written.remove(&handle) {
            tokio::time::sleep(self.quirks.slow_close).await;
            if let Some(Open::Upload(Upload { file, .. }) | Open::Apart(file, ..)) = &open {
                let length = file.metadata().map_err(refuse)?.len();
                if self.quirks.capacity_at_close.is_some_and(|capacity| length > capacity) {
                    return Err(StatusCode::Failure.with_message("Disk quota exceeded"));
                }
            }
            if let Some(Open::Apart(_, _, stays)) = &mut open {
                *stays = true;
            }
            drop(open);
            if let Some(late) = &self.quirks.seen_late {
                late.begins(&path);
            }
            self.swept(&path, Sweep::AtClose).map_err(refuse)?;
            self.answered("close").await;
            return answer(id, Ok(()));
        }
        answer(id, open.map(drop).ok_or_else(|| ErrorKind::InvalidInput.into()))
    }

    async fn read(&mut self, id: u32, handle: String, offset: u64, len: u32) -> Result<Data, Self::Error> {
        if let Some(Hiccup { from, over }) = &self.quirks.hiccup
            && offset >= *from
            && !over.swap(true, Ordering::Relaxed)
        {
            return Err(StatusCode::Failure.with_message("Input/output error"));
        }
        if self.quirks.reading == Reading::NothingRead {
            return Err(StatusCode::PermissionDenied.with_message("reading is not allowed"));
        }
        let mut data = vec![0; len.min(256 * 1024) as usize];
        let read = self.file(&handle)?.read_at(&mut data, offset).map_err(refuse)?;
        if read == 0 && len > 0 {
            return Err(StatusCode::Eof.into());
        }
        data.truncate(read);
        Ok(Data { id, data })
    }

    async fn write(
        &mut self,
        id: u32,
        handle: String,
        offset: u64,
        data: Vec<u8>,
    ) -> Result<Status, Self::Error> {
        if self.quirks.capacity.is_some_and(|capacity| offset + data.len() as u64 > capacity) {
            return Err(StatusCode::Failure.with_message("No space left on device"));
        }
        if self.quirks.loses.as_ref().is_some_and(|range| range.contains(&offset)) {
            return answer(id, Ok(()));
        }
        if let Some(Open::Upload(upload)) = self.open.get_mut(&handle) {
            upload.writes += 1;
            if self.quirks.in_one_go && offset != upload.end {
                return Err(StatusCode::Failure.with_message("Illegal seek"));
            }
            upload.end = offset + data.len() as u64;
            if self.quirks.writes_max.is_some_and(|most| upload.writes > most) {
                let words = "The committed block count cannot exceed the maximum limit";
                return Err(StatusCode::Failure.with_message(words));
            }
        }
        answer(id, self.file(&handle)?.write_all_at(&data, offset))
    }

    async fn stat(&mut self, id: u32, path: String) -> Result<Attrs, Self::Error> {
        self.stat_is_allowed()?;
        let path = self.local(&path);
        let metadata = std::fs::metadata(&path).map_err(refuse)?;
        if self.quirks.seen_late.as_ref().is_some_and(|late| late.is_on(&path)) {
            return Err(StatusCode::NoSuchFile.into());
        }
        Ok(self.quirks.ways.told(&path, Attrs { id, attrs: (&metadata).into() }))
    }

    async fn lstat(&mut self, id: u32, path: String) -> Result<Attrs, Self::Error> {
        self.stat_is_allowed()?;
        let metadata = std::fs::symlink_metadata(self.local(&path)).map_err(refuse)?;
        Ok(Attrs { id, attrs: (&metadata).into() })
    }

    async fn fstat(&mut self, id: u32, handle: String) -> Result<Attrs, Self::Error> {
        self.stat_is_allowed()?;
        let metadata = self.file(&handle)?.metadata().map_err(refuse)?;
        let attributes = Attrs { id, attrs: (&metadata).into() };
        Ok(match self.written.get(&handle) {
            Some(path) => self.quirks.ways.told(path, attributes),
            None => attributes,
        })
    }

    async fn setstat(&mut self, id: u32, path: String, attrs: FileAttributes) -> Result<Status, Self::Error> {
        match self.quirks.setstat {
            Setstat::Done => {}
            Setstat::Refused => return Err(StatusCode::PermissionDenied.into()),
            Setstat::Ignored => return answer(id, Ok(())),
            Setstat::NotFound => return Err(StatusCode::NoSuchFile.into()),
        }
        let path = self.local(&path);
        // A directory cannot be opened for writing. Only setting a size needs that.
        let file = OpenOptions::new().read(true).write(attrs.size.is_some()).open(path);
        answer(id, file.and_then(|file| set(&file, &attrs)))
    }

    async fn fsetstat(
        &mut self,
        id: u32,
        handle: String,
        attrs: FileAttributes,
    ) -> Result<Status, Self::Error> {
        answer(id, set(self.file(&handle)?, &attrs))
    }

    async fn opendir(&mut self, id: u32, path: String) -> Result<Handle, Self::Error> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(self.local(&path)).map_err(refuse)?.flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            entries.push(Entry::new(entry.file_name().to_string_lossy(), (&metadata).into()));
        }
        Ok(self.remember(id, Open::Directory(entries)))
    }

    async fn readdir(&mut self, id: u32, handle: String) -> Result<Name, Self::Error> {
        match self.open.get_mut(&handle) {
            Some(Open::Directory(entries)) if !entries.is_empty() => {
                let rest = entries.split_off(entries.len().min(100));
                Ok(Name { id, files: std::mem::replace(entries, rest) })
            }
            Some(Open::Directory(_)) => Err(StatusCode::Eof.into()),
            _ => Err(StatusCode::Failure.with_message("no such handle")),
        }
    }

    async fn remove(&mut self, id: u32, path: String) -> Result<Status, Self::Error> {
        if self.quirks.no_delete {
            return Err(StatusCode::PermissionDenied.into());
        }
        answer(id, std::fs::remove_file(self.local(&path)))
    }

    async fn mkdir(&mut self, id: u32, path: String, _: FileAttributes) -> Result<Status, Self::Error> {
        answer(id, std::fs::create_dir(self.local(&path)))
    }

    async fn rmdir(&mut self, id: u32, path: String) -> Result<Status, Self::Error> {
        answer(id, std::fs::remove_dir(self.local(&path)))
    }

    async fn realpath(&mut self, id: u32, path: String) -> Result<Name, Self::Error> {
        Ok(Name { id, files: vec![Entry::dummy(Self::normal(&path))] })
    }

    async fn rename(&mut self, id: u32, old: String, new: String) -> Result<Status, Self::Error> {
        if self.quirks.no_rename {
            return Err(self.unimplemented());
        }
        // Version 3 of the protocol forbids overwriting.
        if !self.quirks.rename_replaces && self.local(&new).symlink_metadata().is_ok() {
            return Err(StatusCode::Failure.with_message("the new name exists"));
        }
        self.quirks.ways.rename(&self.local(&new), false)?;
        self.renamed(&old, &new).await?;
        answer(id, Ok(()))
    }

    async fn extended(&mut self, id: u32, request: String, data: Vec<u8>) -> Result<Packet, Self::Error> {
        let mut rest = &data[..];
        match request.as_str() {
            "posix-rename@openssh.com" if !self.quirks.no_posix_rename && !self.quirks.no_rename => {
                let (Some(old), Some(new)) = (string(&mut rest), string(&mut rest)) else {
                    return Err(StatusCode::BadMessage.into());
                };
                self.quirks.ways.rename(&self.local(&new), true)?;
                self.renamed(&old, &new).await?;
                Ok(answer(id, Ok(()))?.into())
            }
            "fsync@openssh.com" if self.quirks.fsync == Fsync::Done => {
                let Some(handle) = string(&mut rest) else { return Err(StatusCode::BadMessage.into()) };
                Ok(answer(id, self.file(&handle)?.sync_all())?.into())
            }
            "fsync@openssh.com" if self.quirks.fsync == Fsync::Refused => {
                Err(StatusCode::Failure.with_message("the disk does not answer"))
            }
            // string handle, string algorithms, uint64 offset, uint64 length, uint32 block size
            "check-file-handle" if self.quirks.check_file => {
                self.answered("check-file").await;
                let Some(handle) = string(&mut rest) else { return Err(StatusCode::BadMessage.into()) };
                let length = self.file(&handle)?.metadata().map_err(refuse)?.len();
                let mut content = vec![0; length as usize];
                self.file(&handle)?.read_exact_at(&mut content, 0).map_err(refuse)?;
                let mut data = Vec::new();
                for string in ["check-file", "sha256"] {
                    data.extend((string.len() as u32).to_be_bytes());
                    data.extend(string.as_bytes());
                }
                data.extend(Sha256::digest(content));
                Ok(Packet::ExtendedReply(ExtendedReply { id, data }))
            }
            _ => Err(self.unimplemented()),
        }
    }
}

/// Takes one string from an SFTP packet.
fn string(rest: &mut &[u8]) -> Option<String> {
    let (length, tail) = rest.split_first_chunk::<4>()?;
    let (string, tail) = tail.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *rest = tail;
    String::from_utf8(string.to_owned()).ok()
}

//! An SFTP server inside this process: russh and russh-sftp's server over a real folder. It stands in where
//! OpenSSH is not to be had, and is what partners with quirks are made of.

use std::collections::HashMap;
use std::fs::{File, FileTimes, OpenOptions, Permissions};
use std::io::{ErrorKind, Result as IoResult, Seek, SeekFrom, copy};
use std::net::Shutdown;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::Result;
use russh::keys::{PrivateKey, PublicKey};
use russh::server::{Auth, ChannelOpenHandle, Msg, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, ChannelStream};
use russh_sftp::protocol::{
    Attrs, Data, ExtendedReply, File as Entry, FileAttributes, Handle, Name, OpenFlags, Packet, Status,
    StatusCode, Version,
};
use russh_sftp::server::StatusReply;
use sha2::{Digest as _, Sha256};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// In what the server differs from a well-behaved one.
#[derive(Clone, Debug, Default)]
pub struct Quirks {
    /// Renames onto an existing name are impossible: the extension for it is missing.
    pub no_posix_rename: bool,
    /// Files cannot grow beyond this many bytes: the disk is full.
    pub capacity: Option<u64>,
    /// A drop box: nothing can be looked at or read.
    pub write_only: bool,
    /// Files are hashed on the server (`check-file`, as ProFTPD does).
    pub check_file: bool,
    /// A file that is opened twice is kept apart: each open file is an upload of its own, and the one that ends last is
    /// what stays. So are gateways to object stores made.
    pub apart: bool,
    /// A second channel on a connection is the connection's end.
    pub one_channel: bool,
    /// Nothing can be renamed.
    pub no_rename: bool,
    /// Modes and times cannot be set.
    pub no_setstat: bool,
    /// What was written stays.
    pub no_delete: bool,
    /// Nothing can be written.
    pub read_only: bool,
    /// The user may also log in with this password.
    pub password: Option<&'static str>,
    /// How many attempts to log in were refused.
    pub refused: Arc<AtomicU32>,
}

/// A server that follows a script instead of keeping files: what it does with a channel on which SFTP was asked for.
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

/// Who may log in, and to what.
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
        let one_channel = quirks.one_channel;
        let files = Files { root: root.to_owned(), quirks, open: HashMap::new(), opened: 0 };
        Self::serve(port, account, Service::Files(files), one_channel).await
    }

    /// Does with each channel what the script says.
    pub async fn start_scripted(port: u16, account: Account<'_>, script: Script) -> Result<Self> {
        Self::serve(port, account, Service::Script(script), false).await
    }

    async fn serve(
        port: u16,
        Account { host_key, user, client_public_key }: Account<'_>,
        service: Service,
        one_channel: bool,
    ) -> Result<Self> {
        let config = Arc::new(russh::server::Config {
            keys: vec![PrivateKey::from_openssh(host_key)?],
            auth_rejection_time: Duration::ZERO,
            nodelay: true,
            ..Default::default()
        });
        let session = SshSession {
            user: user.to_owned(),
            client: PublicKey::from_openssh(client_public_key)?,
            service,
            one_channel,
            opened: 0,
            channels: HashMap::new(),
        };
        // A predecessor on this port is gone only when the runtime has got round to dropping it.
        let mut tries = 0;
        let listener = loop {
            match TcpListener::bind(("127.0.0.1", port)).await {
                Err(error) if error.kind() == ErrorKind::AddrInUse && tries < 100 => tries += 1,
                bound => break bound?,
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (config, session) = (config.clone(), session.another());
                // russh runs the session in a task of its own, out of reach: what ends it is its socket.
                let Ok(stream) = stream.into_std() else { continue };
                let Ok(cut) = stream.try_clone().map(CutOnDrop) else { continue };
                let Ok(stream) = TcpStream::from_std(stream) else { continue };
                connections.spawn(async move {
                    let _cut = cut;
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

struct CutOnDrop(std::net::TcpStream);

impl Drop for CutOnDrop {
    fn drop(&mut self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

enum Service {
    Files(Files),
    Script(Script),
}

impl Service {
    fn another(&self) -> Self {
        match self {
            Self::Files(files) => Self::Files(files.another()),
            Self::Script(script) => Self::Script(script.clone()),
        }
    }
}

struct SshSession {
    user: String,
    client: PublicKey,
    service: Service,
    one_channel: bool,
    /// Channels so far.
    opened: u32,
    channels: HashMap<ChannelId, Channel<Msg>>,
}

impl SshSession {
    fn another(&self) -> Self {
        Self {
            user: self.user.clone(),
            client: self.client.clone(),
            service: self.service.another(),
            one_channel: self.one_channel,
            opened: 0,
            channels: HashMap::new(),
        }
    }
}

impl SshSession {
    fn judged(&self, known: bool) -> Auth {
        if let (false, Service::Files(files)) = (known, &self.service) {
            files.quirks.refused.fetch_add(1, Ordering::Relaxed);
        }
        if known { Auth::Accept } else { Auth::reject() }
    }
}

impl russh::server::Handler for SshSession {
    type Error = russh::Error;

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        let known = user == self.user && key.public_key.key_data() == self.client.key_data();
        Ok(self.judged(known))
    }

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, Self::Error> {
        let known = match &self.service {
            Service::Files(files) => files.quirks.password == Some(password) && user == self.user,
            Service::Script(_) => false,
        };
        Ok(self.judged(known))
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
                session.channel_success(id)?;
                match &self.service {
                    Service::Files(files) => {
                        russh_sftp::server::run(channel.into_stream(), files.another()).await;
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
}

enum Open {
    File(File),
    /// An upload of its own, which takes the place of what the path holds as soon as it ends.
    Apart(File, PathBuf),
    /// What READDIR has still to tell.
    Directory(Vec<Entry>),
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Self::Apart(content, path) = self {
            let _ = content.seek(SeekFrom::Start(0)).and_then(|_| copy(content, &mut File::create(path)?));
        }
    }
}

/// What an open file of a store begins with.
fn apart(path: &Path, flags: OpenFlags) -> IoResult<Open> {
    let mut content = tempfile::tempfile()?;
    match File::open(path) {
        Ok(mut former) if !flags.contains(OpenFlags::TRUNCATE) => drop(copy(&mut former, &mut content)?),
        Err(error) if error.kind() != ErrorKind::NotFound || !flags.contains(OpenFlags::CREATE) => {
            return Err(error);
        }
        _ => {}
    }
    Ok(Open::Apart(content, path.to_owned()))
}

impl Files {
    fn another(&self) -> Self {
        Self { root: self.root.clone(), quirks: self.quirks.clone(), open: HashMap::new(), opened: 0 }
    }

    /// The client's path without its detours; nothing lies above the root.
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

    fn look(&self) -> Result<(), StatusReply> {
        if self.quirks.write_only { Err(StatusCode::PermissionDenied.into()) } else { Ok(()) }
    }

    fn file(&self, handle: &str) -> Result<&File, StatusReply> {
        match self.open.get(handle) {
            Some(Open::File(file) | Open::Apart(file, _)) => Ok(file),
            _ => Err(StatusCode::Failure.with_message("no such handle")),
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
        Ok(version)
    }

    async fn open(
        &mut self,
        id: u32,
        path: String,
        flags: OpenFlags,
        _: FileAttributes,
    ) -> Result<Handle, Self::Error> {
        if flags.contains(OpenFlags::READ) {
            self.look()?;
        }
        if flags.contains(OpenFlags::WRITE) && self.quirks.read_only {
            return Err(StatusCode::PermissionDenied.into());
        }
        let path = self.local(&path);
        let open = match self.quirks.apart && flags.contains(OpenFlags::WRITE) {
            true => apart(&path, flags),
            false => OpenOptions::from(flags).open(path).map(Open::File),
        };
        Ok(self.remember(id, open.map_err(refuse)?))
    }

    async fn close(&mut self, id: u32, handle: String) -> Result<Status, Self::Error> {
        let open = self.open.remove(&handle);
        answer(id, open.map(drop).ok_or_else(|| ErrorKind::InvalidInput.into()))
    }

    async fn read(&mut self, id: u32, handle: String, offset: u64, len: u32) -> Result<Data, Self::Error> {
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
        answer(id, self.file(&handle)?.write_all_at(&data, offset))
    }

    async fn stat(&mut self, id: u32, path: String) -> Result<Attrs, Self::Error> {
        self.look()?;
        let metadata = std::fs::metadata(self.local(&path)).map_err(refuse)?;
        Ok(Attrs { id, attrs: (&metadata).into() })
    }

    async fn lstat(&mut self, id: u32, path: String) -> Result<Attrs, Self::Error> {
        self.look()?;
        let metadata = std::fs::symlink_metadata(self.local(&path)).map_err(refuse)?;
        Ok(Attrs { id, attrs: (&metadata).into() })
    }

    async fn fstat(&mut self, id: u32, handle: String) -> Result<Attrs, Self::Error> {
        self.look()?;
        let metadata = self.file(&handle)?.metadata().map_err(refuse)?;
        Ok(Attrs { id, attrs: (&metadata).into() })
    }

    async fn setstat(&mut self, id: u32, path: String, attrs: FileAttributes) -> Result<Status, Self::Error> {
        if self.quirks.no_setstat {
            return Err(StatusCode::OpUnsupported.into());
        }
        let path = self.local(&path);
        // A directory cannot be opened for writing, and only a size needs it.
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
            return Err(StatusCode::OpUnsupported.into());
        }
        // Version 3 of the protocol forbids to overwrite.
        if self.local(&new).symlink_metadata().is_ok() {
            return Err(StatusCode::Failure.with_message("the new name exists"));
        }
        answer(id, std::fs::rename(self.local(&old), self.local(&new)))
    }

    async fn extended(&mut self, id: u32, request: String, data: Vec<u8>) -> Result<Packet, Self::Error> {
        let mut rest = &data[..];
        match request.as_str() {
            "posix-rename@openssh.com" if !self.quirks.no_posix_rename => {
                let (Some(old), Some(new)) = (string(&mut rest), string(&mut rest)) else {
                    return Err(StatusCode::BadMessage.into());
                };
                Ok(answer(id, std::fs::rename(self.local(&old), self.local(&new)))?.into())
            }
            // string handle, string algorithms, uint64 offset, uint64 length, uint32 block size
            "check-file-handle" if self.quirks.check_file => {
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

/// Takes one string off an SFTP packet.
fn string(rest: &mut &[u8]) -> Option<String> {
    let (length, tail) = rest.split_first_chunk::<4>()?;
    let (string, tail) = tail.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *rest = tail;
    String::from_utf8(string.to_owned()).ok()
}

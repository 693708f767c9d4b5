//! Opening the partial file.

use bridge::{DeliveryPolicy, ErrorName, Mode, Publish, Result, Route, other_partial_names};
use sftp::{ErrorKind, FileHandle, OpenFlags, Sftp, Status};

use super::directories::{Directories, make_directories};
use super::look::{Seen, look};
use super::reply::Reply;

/// How to open the partial file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenAs {
    /// Truncate it: the whole object is sent.
    Fresh,
    /// Keep what it holds and continue it.
    Resume,
}

impl OpenAs {
    /// The flags of OPEN.
    pub fn flags(self) -> OpenFlags {
        let flags = OpenFlags::WRITE | OpenFlags::CREATE;
        match self {
            Self::Fresh => flags | OpenFlags::TRUNCATE,
            Self::Resume => flags,
        }
    }
}

/// A partial file that is to be opened; with `SFTP_PUBLISH=direct`, the final file.
#[derive(Clone, Copy)]
pub struct PartialFile<'a> {
    /// The session to open it on.
    pub sftp: &'a Sftp,
    /// Its path, and the final one.
    pub remote: &'a Route,
    /// Whether missing directories are made, and which ones.
    pub policy: &'a DeliveryPolicy,
    /// The mode of the directories that are made.
    pub dir_mode: Option<Mode>,
}

impl PartialFile<'_> {
    /// Opens the file, and makes missing directories. The status of a refused OPEN says little about its reason, so what
    /// the server shows decides what to try next.
    ///
    /// # Errors
    /// The server refused the file or its directories, or the session was lost.
    pub async fn open(&self, open_as: OpenAs, mut warn: impl FnMut(String)) -> Result<FileHandle> {
        if matches!(&self.policy.publish, Publish::Rename { staging_directory: Some(_), .. }) {
            // The partial file is elsewhere: that it can be opened says nothing about the directory of the final name.
            self.make_directories(&self.remote.directories(), &mut warn).await?;
        }
        let opened = open(self.sftp, self.remote.upload_path(), open_as).await?;
        self.open_after(opened, open_as, warn).await
    }

    /// Asks once for a new file, and makes nothing that is missing.
    ///
    /// # Errors
    /// Neither directories nor names are the reason of a refusal, or the session was lost.
    pub async fn open_at_once(&self) -> Result<Reply<FileHandle>> {
        open(self.sftp, self.remote.upload_path(), OpenAs::Fresh).await
    }

    /// As [`open`](Self::open), after the server has answered as `opened` says.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_after(
        &self,
        mut opened: Reply<FileHandle>,
        open_as: OpenAs,
        mut warn: impl FnMut(String),
    ) -> Result<FileHandle> {
        if let Reply::Refused(_) = opened
            && let Directories::Made =
                self.make_directories(&self.remote.upload_directories(), &mut warn).await?
        {
            opened = open(self.sftp, self.remote.upload_path(), open_as).await?;
        }
        match (opened, open_as) {
            (Reply::Done(file), _) => Ok(file),
            (Reply::Refused(refusal), OpenAs::Resume) => Err(refused(refusal)),
            (Reply::Refused(refusal), OpenAs::Fresh) => self.open_otherwise(refusal).await,
        }
    }

    async fn make_directories(
        &self,
        directories: &[&str],
        warn: &mut impl FnMut(String),
    ) -> Result<Directories> {
        let create = self.policy.create_directories;
        make_directories(self.sftp, directories, create, self.dir_mode, warn).await
    }

    /// Some servers refuse the flag TRUNC, and some refuse the name.
    async fn open_otherwise(&self, refusal: Status) -> Result<FileHandle> {
        let Self { sftp, remote, .. } = *self;
        // Without TRUNC, the end of a longer file would stay behind the new contents.
        let may_be_there = match Reply::of(sftp.remove(remote.upload_path()).await)? {
            Reply::Done(()) => false,
            Reply::Refused(status) => !status.is_not_found(),
        };
        if may_be_there && holds_something(sftp, remote.upload_path()).await? {
            // The server has accepted the name before.
            return Err(refused(refusal));
        }
        match open(sftp, remote.upload_path(), OpenAs::Resume).await? {
            Reply::Done(file) => Ok(file),
            Reply::Refused(_) if remote.is_direct() => Err(refused(refusal)),
            Reply::Refused(_) => self.open_unless_it_is_the_name(refusal).await,
        }
    }

    /// Some servers refuse names that begin with a dot, names of more than 143 bytes, or all but certain endings. If the
    /// server accepts another name where it refuses this one, the error says which.
    async fn open_unless_it_is_the_name(&self, refusal: Status) -> Result<FileHandle> {
        let Self { sftp, remote, .. } = *self;
        let opened_before = sftp.opened();
        let Some(other) = find_name(sftp, remote).await? else { return Err(refused(refusal)) };
        // A lock passes, and a server that limits the number of open files also refuses one name and accepts the next.
        for _ in 0..CONFIRMATIONS {
            if let Reply::Done(file) = unless_final(open_fresh(sftp, remote.upload_path()).await?)? {
                return Ok(file);
            }
            if !other.is_accepted(sftp).await? {
                return Err(refused(refusal));
            }
        }
        if sftp.opened() != opened_before + 1 + u64::from(CONFIRMATIONS) {
            // Other files were opened meanwhile: the reason may be their number.
            return Err(refused(refusal));
        }
        let left = match look(sftp, &other.path).await {
            Ok(Seen::File(_) | Seen::Directory) => {
                format!(". {:?} was made to find this out, and could not be removed", other.path)
            }
            _ => String::new(),
        };
        Err(ErrorName::InvalidConfig.error(format!(
            "the server refuses the name of the partial file and accepts others: {refusal}; nothing was sent. Set SFTP_PARTIAL_NAME={}{left}",
            other.template
        )))
    }
}

/// Opens a file of ours to write it from its start: with the flag TRUNC, and without if the server refuses that. Of two
/// refusals the first one says more about a name or a directory.
///
/// # Errors
/// The session was lost.
pub async fn open_fresh(sftp: &Sftp, path: &str) -> sftp::Result<Reply<FileHandle>> {
    let refusal = match Reply::of(sftp.open(path, OpenAs::Fresh.flags()).await)? {
        Reply::Refused(status) if !is_final(&status) => status,
        reply => return Ok(reply),
    };
    match Reply::of(sftp.open(path, OpenAs::Resume.flags()).await)? {
        Reply::Refused(status) if !is_final(&status) => Ok(Reply::Refused(refusal)),
        reply => Ok(reply),
    }
}

async fn open(sftp: &Sftp, path: &str, open_as: OpenAs) -> Result<Reply<FileHandle>> {
    unless_final(Reply::of(sftp.open(path, open_as.flags()).await)?)
}

fn unless_final(reply: Reply<FileHandle>) -> Result<Reply<FileHandle>> {
    match reply {
        Reply::Refused(status) if is_final(&status) => Err(refused(status)),
        reply => Ok(reply),
    }
}

/// Whether neither directories nor names are the reason: the disk is full, or the server says that it has lost its own
/// connection.
fn is_final(status: &Status) -> bool {
    let kind = sftp::Error::from(status.clone()).kind();
    matches!(kind, ErrorKind::RemoteFull | ErrorKind::ConnectionLost)
}

/// Whether the server shows something other than an empty file.
async fn holds_something(sftp: &Sftp, path: &str) -> Result<bool> {
    Ok(match look(sftp, path).await? {
        Seen::File(size) => size != Some(0),
        Seen::Directory => true,
        Seen::Nothing | Seen::Hidden => false,
    })
}

/// How often the refusal of one name and the acceptance of the other are confirmed.
const CONFIRMATIONS: u32 = 3;

/// Another name for the partial file, and the path that it stands for.
struct OtherName {
    template: String,
    path: String,
}

async fn find_name(sftp: &Sftp, remote: &Route) -> Result<Option<OtherName>> {
    let name = remote.path().rsplit('/').next().unwrap_or_default();
    let directory = remote.upload_path().rfind('/').map_or("", |slash| &remote.upload_path()[..=slash]);
    // At least as long as that of a delivery.
    let id = format!("{:032x}", fastrand::u128(..));
    for template in other_partial_names(name) {
        let path = format!("{directory}{}", template.replace("{id}", &id).replace("{name}", name));
        let other = OtherName { template, path };
        if other.is_accepted(sftp).await? {
            return Ok(Some(other));
        }
    }
    Ok(None)
}

impl OtherName {
    /// Makes an empty file of the name, and removes it.
    async fn is_accepted(&self, sftp: &Sftp) -> Result<bool> {
        let opened = unless_final(open_fresh(sftp, &self.path).await?)?;
        let Reply::Done(file) = opened else { return Ok(false) };
        Reply::of(sftp.close(file).await)?;
        Reply::of(sftp.remove(&self.path).await)?;
        Ok(true)
    }
}

fn refused(refusal: Status) -> bridge::Error {
    sftp::Error::from(refusal).into()
}

/// Explains a refused write: OpenSSH answers only `Failure` when the disk is full, so the free space is asked for.
pub async fn explain(sftp: &Sftp, remote: &Route, error: bridge::Error) -> bridge::Error {
    /// Less free space than this counts as a full disk, in bytes.
    const ALMOST_NOTHING: u64 = 64 * 1024;
    match sftp.free_bytes(remote.upload_path()).await {
        Some(free) if free < ALMOST_NOTHING => {
            ErrorName::RemoteFull.error(format!("{}; {free} bytes are free there", error.message()))
        }
        _ => error,
    }
}

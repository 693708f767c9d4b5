//! The files of an SFTP session, with the quirks that concern them.

use std::collections::HashMap;
use std::fs::{File, FileTimes, Permissions};
use std::io::{ErrorKind, Result as IoResult, Seek, SeekFrom, copy};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, UNIX_EPOCH};

use russh_sftp::protocol::{File as Entry, FileAttributes, Handle, OpenFlags, Status, StatusCode};
use russh_sftp::server::StatusReply;

use super::quirks::{LostAnswer, Quirks, Renaming, Sweep, TAKEN};

/// One SFTP session.
pub(super) struct Files {
    pub(super) root: PathBuf,
    pub(super) quirks: Quirks,
    pub(super) open: HashMap<String, Open>,
    opened: u64,
    /// The paths of the files that are open for writing, by handle.
    pub(super) written: HashMap<String, PathBuf>,
}

pub(super) enum Open {
    /// Open for reading.
    File(File),
    /// Open for writing.
    Upload(Upload),
    /// Open for writing, apart from the file.
    Apart(Apart),
    /// What READDIR has not sent yet.
    Directory(Vec<Entry>),
}

/// A file that is open for writing.
pub(super) struct Upload {
    pub(super) file: File,
    /// The number of WRITEs to the file.
    pub(super) writes: u64,
    /// Where the last WRITE through this handle ended.
    pub(super) end: u64,
}

impl Upload {
    pub(super) fn new(file: File) -> Self {
        let writes = file.metadata().map_or(0, |metadata| metadata.len().div_ceil(32 * 1024));
        Self { file, writes, end: 0 }
    }
}

/// An upload of its own. It replaces the file when it is dropped, if `stays` says so.
pub(super) struct Apart {
    pub(super) content: File,
    path: PathBuf,
    pub(super) stays: bool,
}

impl Apart {
    /// With the content of the file, unless an upload is a `whole` object.
    pub(super) fn open(path: &Path, flags: OpenFlags, whole: bool) -> IoResult<Self> {
        let mut content = tempfile::tempfile()?;
        if whole {
            return Ok(Self { content, path: path.to_owned(), stays: false });
        }
        match File::open(path) {
            Ok(mut former) if !flags.contains(OpenFlags::TRUNCATE) => drop(copy(&mut former, &mut content)?),
            Err(error) if error.kind() != ErrorKind::NotFound || !flags.contains(OpenFlags::CREATE) => {
                return Err(error);
            }
            _ => {}
        }
        Ok(Self { content, path: path.to_owned(), stays: true })
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        if self.stays {
            let start = self.content.seek(SeekFrom::Start(0));
            let _ = start.and_then(|_| copy(&mut self.content, &mut File::create(&self.path)?));
        }
    }
}

impl Files {
    /// Whether the file is open in this session.
    pub(super) fn has_open(&self, path: &Path) -> bool {
        let Ok(there) = std::fs::metadata(path) else { return false };
        self.open.values().any(|open| match open {
            Open::File(file) | Open::Upload(Upload { file, .. }) => {
                file.metadata().is_ok_and(|it| (it.dev(), it.ino()) == (there.dev(), there.ino()))
            }
            Open::Apart(_) | Open::Directory(_) => false,
        })
    }

    pub(super) fn new(root: PathBuf, quirks: Quirks) -> Self {
        Self { root, quirks, open: HashMap::new(), opened: 0, written: HashMap::new() }
    }

    /// A session for the next channel.
    pub(super) fn another(&self) -> Self {
        Self::new(self.root.clone(), self.quirks.clone())
    }

    /// The client's path without `.` and `..`. Nothing is above the root.
    pub(super) fn normal(path: &str) -> String {
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

    pub(super) fn local(&self, path: &str) -> PathBuf {
        self.root.join(&Self::normal(path)[1..])
    }

    pub(super) fn remember(&mut self, id: u32, open: Open) -> Handle {
        self.opened += 1;
        let handle = self.opened.to_string();
        self.open.insert(handle.clone(), open);
        Handle { id, handle }
    }

    /// Never returns if the answer to this request is the one that is lost.
    pub(super) async fn answered(&self, request: &str) {
        if let Some(LostAnswer { to, lost }) = &self.quirks.lost_answer
            && *to == request
            && !lost.swap(true, Ordering::Relaxed)
        {
            std::future::pending::<()>().await;
        }
    }

    pub(super) async fn renamed(&self, old: &str, new: &str) -> Result<(), StatusReply> {
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

    pub(super) fn look(&self) -> Result<(), StatusReply> {
        if self.quirks.write_only { Err(StatusCode::PermissionDenied.into()) } else { Ok(()) }
    }

    pub(super) fn stat_is_allowed(&self) -> Result<(), StatusReply> {
        if self.quirks.no_stat { Err(StatusCode::PermissionDenied.into()) } else { self.look() }
    }

    /// Moves a file away if a drop box does so now.
    pub(super) fn swept(&self, path: &Path, now: Sweep) -> IoResult<()> {
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

    pub(super) fn file(&self, handle: &str) -> Result<&File, StatusReply> {
        match self.open.get(handle) {
            Some(
                Open::File(file)
                | Open::Apart(Apart { content: file, .. })
                | Open::Upload(Upload { file, .. }),
            ) => Ok(file),
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

pub(super) fn refuse(error: std::io::Error) -> StatusReply {
    let code = match error.kind() {
        ErrorKind::NotFound => StatusCode::NoSuchFile,
        ErrorKind::PermissionDenied => StatusCode::PermissionDenied,
        _ => StatusCode::Failure,
    };
    code.with_message(error.to_string())
}

pub(super) fn answer(id: u32, result: IoResult<()>) -> Result<Status, StatusReply> {
    result.map_err(refuse)?;
    Ok(Status {
        id,
        status_code: StatusCode::Ok,
        error_message: "Success".to_owned(),
        language_tag: "en".to_owned(),
    })
}

pub(super) fn set(file: &File, attributes: &FileAttributes) -> IoResult<()> {
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

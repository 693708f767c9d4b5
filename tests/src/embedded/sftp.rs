//! The requests of SFTP.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, PermissionsExt as _};
use std::sync::atomic::Ordering;

use russh_sftp::protocol::{
    Attrs, Data, ExtendedReply, File as Entry, FileAttributes, Handle, Name, OpenFlags, Packet, Status,
    StatusCode, Version,
};
use russh_sftp::server::StatusReply;
use sha2::{Digest as _, Sha256};

use super::files::{Apart, Files, Open, Upload, answer, refuse, set};
use super::quirks::{FilesMax, Fsync, Reading, Setstat, Sweep};

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
        if let Some(FilesMax::Announced(_)) = self.quirks.files_max {
            version.extensions.insert("limits@openssh.com".to_owned(), "1".to_owned());
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
        if self.quirks.files_max.is_some_and(|most| self.open.len() >= most.number()) {
            return Err(StatusCode::Failure.with_message("too many open files"));
        }
        if flags.contains(OpenFlags::READ) {
            self.look()?;
            if self.quirks.reading == Reading::NotOpened || self.quirks.open_refused.load(Ordering::Relaxed) {
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
        // The tests' user may be root, who reads every file. A partner's user does not.
        let is_closed = |it: std::fs::Metadata| it.is_file() && it.permissions().mode() & 0o444 == 0;
        if flags.contains(OpenFlags::READ) && std::fs::metadata(&path).is_ok_and(is_closed) {
            return Err(StatusCode::PermissionDenied.into());
        }
        let writes = flags.contains(OpenFlags::WRITE);
        if writes && self.quirks.held_after_cut.as_ref().is_some_and(|held| held.is_on(&path)) {
            return Err(StatusCode::Failure.with_message("the file is in use"));
        }
        let ways = self.quirks.ways.clone();
        let flags = ways.open(&path, flags).map_err(|refused| ways.refuse_open(refused))?;
        let open = if self.quirks.apart && writes {
            Apart::open(&path, flags, self.quirks.whole_objects).map(Open::Apart)
        } else {
            let file = OpenOptions::from(flags).open(&path);
            file.map(|file| if writes { Open::Upload(Upload::new(file)) } else { Open::File(file) })
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
            if let Some(Open::Upload(Upload { file, .. }) | Open::Apart(Apart { content: file, .. })) = &open
            {
                let length = file.metadata().map_err(refuse)?.len();
                if self.quirks.capacity_at_close.is_some_and(|capacity| length > capacity) {
                    return Err(StatusCode::Failure.with_message("Disk quota exceeded"));
                }
            }
            if let Some(Open::Apart(upload)) = &mut open {
                upload.stays = true;
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
        if self.quirks.hiccup.as_ref().is_some_and(|hiccup| hiccup.fails(offset)) {
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
        let path = self.local(&path);
        if self.quirks.open_files_stay && self.has_open(&path) {
            return Err(StatusCode::Failure.with_message("The process cannot access the file"));
        }
        let removed = std::fs::remove_file(path);
        self.answered("remove").await;
        answer(id, removed)
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
        // Version 3 of the protocol does not let RENAME overwrite.
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
            "limits@openssh.com" => {
                let Some(FilesMax::Announced(number)) = self.quirks.files_max else {
                    return Err(self.unimplemented());
                };
                let data = [0, 0, 0, number as u64].map(u64::to_be_bytes).concat();
                Ok(Packet::ExtendedReply(ExtendedReply { id, data }))
            }
            // string handle, string algorithms, uint64 offset, uint64 length, uint32 block size
            "check-file-handle" if self.quirks.check_file => {
                let Some(handle) = string(&mut rest) else { return Err(StatusCode::BadMessage.into()) };
                self.check_file(id, &handle).await
            }
            _ => Err(self.unimplemented()),
        }
    }
}

impl Files {
    /// The SHA-256 of a whole file.
    async fn check_file(&self, id: u32, handle: &str) -> Result<Packet, StatusReply> {
        self.answered("check-file").await;
        let length = self.file(handle)?.metadata().map_err(refuse)?.len();
        let mut content = vec![0; length as usize];
        self.file(handle)?.read_exact_at(&mut content, 0).map_err(refuse)?;
        let mut data = Vec::new();
        for string in ["check-file", "sha256"] {
            data.extend((string.len() as u32).to_be_bytes());
            data.extend(string.as_bytes());
        }
        data.extend(Sha256::digest(content));
        Ok(Packet::ExtendedReply(ExtendedReply { id, data }))
    }
}

/// Takes one string off an SFTP packet.
fn string(rest: &mut &[u8]) -> Option<String> {
    let (length, tail) = rest.split_first_chunk::<4>()?;
    let (string, tail) = tail.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *rest = tail;
    String::from_utf8(string.to_owned()).ok()
}

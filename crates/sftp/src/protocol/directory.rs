//! Reading a directory, one packet of names after the other.

use crate::error::{Error, Result, StatusCode};
use crate::protocol::attributes::DirectoryEntry;
use crate::protocol::channel::Sftp;
use crate::protocol::decode::Reply;
use crate::protocol::encode;
use crate::protocol::handle::FileHandle;
use crate::protocol::line::Pending;

/// Maximum number of packets without a name, one after the other. Servers that look for the next names, or that send `.`
/// and `..` apart, need a few. A server that sends more of them would keep a listing busy forever.
const EMPTY_MAX: u32 = 100;

/// An open directory on the server. It holds no names.
///
/// One READDIR is in flight at a time. With two, a directory would take half as many round trips; but servers may carry out
/// requests in parallel, and a READDIR does not say where in the directory it goes on. A server that serves two of them
/// for one handle at once may send the same names twice, or leave some out.
///
/// Dropping it sends a CLOSE without waiting for the answer.
pub struct Directory<'a> {
    sftp: &'a Sftp,
    path: String,
    /// `None` after the end.
    handle: Option<FileHandle>,
    /// The READDIR in flight.
    asked: Option<Pending>,
}

impl Sftp {
    /// Opens a directory in order to read its entries. The empty path is the directory in which the session starts.
    ///
    /// # Errors
    /// The server refuses it: the directory does not exist ([`Error::is_not_found`]), is none, or may not be read.
    ///
    /// # Cancel safety
    /// Cancel safe. A directory that was opened for a dropped future is closed.
    pub async fn read_directory(&self, path: &str) -> Result<Directory<'_>> {
        // Not every server takes the empty path, although the draft names it.
        let path = if path.is_empty() { "." } else { path };
        match self.request("opendir", |id| encode::opendir(id, path)).await? {
            Reply::Handle(handle) => {
                let handle = Some(FileHandle::new(handle, path, &self.line));
                Ok(Directory { sftp: self, path: path.to_owned(), handle, asked: None })
            }
            other => Err(self.refused("opendir", path, other)),
        }
    }
}

impl Directory<'_> {
    /// The entries of the next packet, at least one, without `.` and `..`; `None` at the end. The server decides how many
    /// entries a packet has. It may send them without end, so the caller needs a limit.
    ///
    /// # Errors
    /// The server refused to go on, so entries may be missing; or the session was lost.
    ///
    /// # Cancel safety
    /// Cancel safe: no entry is lost.
    pub async fn next(&mut self) -> Result<Option<Vec<DirectoryEntry>>> {
        for _ in 0..EMPTY_MAX {
            let Some(handle) = &self.handle else { return Ok(None) };
            let ask = || self.sftp.line.begin_listing("readdir", |id| encode::readdir(id, &handle.handle));
            let reply = self.sftp.settled(self.asked.get_or_insert_with(ask)).await;
            self.asked = None;
            match reply? {
                Reply::Names(mut entries) => {
                    entries.retain(|entry| !matches!(&entry.name[..], b"." | b".."));
                    if !entries.is_empty() {
                        return Ok(Some(entries));
                    }
                }
                Reply::Status { code, .. } if StatusCode(code) == StatusCode::EOF => self.handle = None,
                other => return Err(self.sftp.refused("readdir", &self.path, other)),
            }
        }
        self.sftp.condition.poison();
        let (path, reply) = (self.path.clone(), format!("NAME without a name, {EMPTY_MAX} times"));
        Err(Error::UnexpectedReply { operation: "readdir", path, reply })
    }
}

impl std::fmt::Debug for Directory<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Directory")
            .field("path", &self.path)
            .field("is_at_end", &self.handle.is_none())
            .finish_non_exhaustive()
    }
}

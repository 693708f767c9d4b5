//! Whether a file that we have just moved is the one that was collected.

use bridge::Result;
use bridge::collect::RemoteFile;
use bridge::{ChecksumAlgorithm, RunningChecksum};
use partner::files::Reply;
use sftp::{FileHandle, OpenFlags};

use crate::show::{Shown, show};
use crate::work::{Collected, Contents, Work};

/// What a file that we have moved is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// The file that was collected.
    Collected,
    /// It has the contents that were collected, and another time: the server gave it one when it was renamed.
    SameContents,
    /// The partner put it into the place of that file. It was never collected.
    Another,
    /// Nobody can tell; says why.
    Unknown(String),
}

impl Work<'_> {
    /// What the file at `path` is, which the server shows like this. Nobody else uses that name.
    ///
    /// Some servers give a file a new time when it is renamed. So another time says nothing, and the contents decide:
    /// reading them is slow, and rarely needed.
    pub(crate) async fn identify(
        &self,
        collected: Collected<'_>,
        path: &str,
        shown: &Shown,
    ) -> Result<Identity> {
        let file = collected.file;
        match shown {
            Shown::File { size, .. } if size.is_some_and(|size| size != file.size) => Ok(Identity::Another),
            Shown::File { size, modified } => match collected.contents {
                Contents::MarkerOf(marked) => {
                    self.identify_marker(marked, file.is_same(*size, *modified)).await
                }
                // Without a time, a file of the same size may be another one.
                Contents::Checksum(_) if modified.is_some() && file.is_same(*size, *modified) => {
                    Ok(Identity::Collected)
                }
                Contents::Checksum(checksum) => self.compare_contents(file.size, &checksum.value, path).await,
            },
            Shown::Other(_) => Ok(Identity::Another),
            Shown::Nothing => Ok(Identity::Unknown("the server shows nothing there".into())),
            Shown::Hidden(refusal) => {
                Ok(Identity::Unknown(format!("the server does not show it: {refusal}")))
            }
        }
    }

    /// If there is a file again that the marker belongs to, it is the marker of that one.
    async fn identify_marker(&self, marked: &RemoteFile, is_same: bool) -> Result<Identity> {
        Ok(match show(self.sftp, &marked.remote_path()).await? {
            Shown::File { .. } | Shown::Other(_) => Identity::Another,
            Shown::Nothing | Shown::Hidden(_) if is_same => Identity::Collected,
            Shown::Nothing | Shown::Hidden(_) => Identity::SameContents,
        })
    }

    async fn compare_contents(&self, size: u64, checksum: &str, path: &str) -> Result<Identity> {
        let file = match Reply::of(self.sftp.open(path, OpenFlags::READ).await)? {
            Reply::Done(file) => file,
            Reply::Refused(refusal) => return Ok(Identity::Unknown(format!("it cannot be read: {refusal}"))),
        };
        let identity = self.read_and_compare(size, checksum, &file).await?;
        // That the CLOSE is refused does not matter.
        Reply::of(self.sftp.close(file).await)?;
        Ok(identity)
    }

    async fn read_and_compare(&self, size: u64, checksum: &str, file: &FileHandle) -> Result<Identity> {
        let mut read = RunningChecksum::new(ChecksumAlgorithm::Crc64Nvme);
        // A byte behind the end shows that the file has become longer.
        let (mut length, mut download) = (0, self.sftp.download(file, 0, size.saturating_add(1)));
        while length <= size {
            if self.call.stop.has_passed() {
                return Ok(Identity::Unknown("there is not enough time to read it".into()));
            }
            match Reply::of(download.next().await)? {
                Reply::Done(Some(bytes)) => {
                    length += bytes.len() as u64;
                    read.update(&bytes);
                }
                Reply::Done(None) => break,
                Reply::Refused(refusal) => {
                    return Ok(Identity::Unknown(format!("it cannot be read: {refusal}")));
                }
            }
        }
        let is_same = length == size && read.checksum().value == checksum;
        Ok(if is_same { Identity::SameContents } else { Identity::Another })
    }
}

//! Whether a file that we have just moved is the one that was collected.

use bridge::Result;
use bridge::{ChecksumAlgorithm, RunningChecksum};
use partner::files::Reply;
use sftp::{FileHandle, OpenFlags};

use crate::show::Shown;
use crate::work::{Collected, Work};

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
            Shown::File { size, modified } if file.is_same(*size, *modified) => Ok(Identity::Collected),
            Shown::File { .. } => match collected.checksum {
                // A marker: it says no more than its name.
                None => Ok(Identity::SameContents),
                Some(checksum) => self.compare_contents(file.size, &checksum.value, path).await,
            },
            Shown::Other(_) => Ok(Identity::Another),
            Shown::Nothing => Ok(Identity::Unknown("the server shows nothing there".into())),
            Shown::Hidden(refusal) => {
                Ok(Identity::Unknown(format!("the server does not show it: {refusal}")))
            }
        }
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
        let (mut length, mut download) = (0, self.sftp.download(file, 0, size));
        while length < size {
            if self.call.stop.has_passed() {
                return Ok(Identity::Unknown("there is not enough time to read it".into()));
            }
            match Reply::of(download.next().await)? {
                Reply::Done(Some(bytes)) => {
                    length += bytes.len() as u64;
                    read.update(&bytes);
                }
                Reply::Done(None) => return Ok(Identity::Another),
                Reply::Refused(refusal) => {
                    return Ok(Identity::Unknown(format!("it cannot be read: {refusal}")));
                }
            }
        }
        Ok(if read.checksum().value == checksum { Identity::SameContents } else { Identity::Another })
    }
}

//! Proof by reading the file back.

use bridge::{Checkpoint, Error, ErrorName, Proof, ReadBack, Result, RunningChecksum};
use partner::files::Reply;
use sftp::FileHandle;

use crate::prove::attempt::Attempt;
use crate::subject::Subject;
use crate::work::Work;

/// Which of the checkpoint's cursors says how far the file was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cursor {
    /// That of the phase: the file that is to be published.
    Proving,
    /// That of the name in question: a file that may stay as it is.
    Comparing,
}

impl Cursor {
    fn of(self, checkpoint: &mut Checkpoint) -> Result<&mut Option<ReadBack>> {
        match self {
            Self::Comparing => Ok(&mut checkpoint.name.compared),
            Self::Proving => match checkpoint.phase.reading() {
                Some(reading) => Ok(&mut reading.read_back),
                None => Err(ErrorName::Internal.error("a file is read back that is not to be proved")),
            },
        }
    }
}

/// How often the cursor is moved on, in bytes.
const RECORD_AFTER: u64 = 4 * 1024 * 1024;

/// How far reading came.
enum Read {
    /// To the end of the file, or of the object.
    Whole(Box<ReadBack>),
    Refused(String),
    OutOfTime,
}

impl Work<'_> {
    /// Continues at the cursor, and keeps it up to date: this future may be dropped at any moment. A file that is proved is
    /// still open.
    pub(super) async fn read_back(
        &self,
        subject: &mut Subject,
        checkpoint: &mut Checkpoint,
        cursor: Cursor,
    ) -> Result<Attempt> {
        let file = match self.open_to_read(subject).await? {
            Reply::Done(file) => file,
            Reply::Refused(refusal) => return Ok(Attempt::Refused(refusal.to_string())),
        };
        let (size, expected) = (checkpoint.object.size, checkpoint.sent.digests.checksum.clone());
        let cursor = cursor.of(checkpoint)?;
        let read = match self.read(&file, size, &expected, cursor).await? {
            Read::Whole(read) => read,
            Read::Refused(why) => return Ok(Attempt::Refused(why)),
            Read::OutOfTime => return Ok(Attempt::OutOfTime),
        };
        if read.offset == size && read.checksum == expected {
            subject.open = Some(file);
            return Ok(Attempt::proved(Proof::ReadBack));
        }
        // If it comes to reading again, it begins at the start.
        *cursor = None;
        Err(differs(subject, size, &read, &expected))
    }

    async fn read(
        &self,
        file: &FileHandle,
        size: u64,
        expected: &RunningChecksum,
        cursor: &mut Option<ReadBack>,
    ) -> Result<Read> {
        let empty = || ReadBack { offset: 0, checksum: RunningChecksum::new(expected.checksum().algorithm) };
        let mut read = cursor.clone().unwrap_or_else(empty);
        let mut download = self.sftp.download(file, read.offset, size);
        loop {
            let next = download.next().await;
            if let Ok(Some(bytes)) = &next {
                read.checksum.update(bytes);
                read.offset += bytes.len() as u64;
                (self.call.deps.on_progress)(read.offset, size);
            }
            let recorded = cursor.as_ref().map_or(0, |recorded| recorded.offset);
            let goes_on = matches!(next, Ok(Some(_))) && !self.call.stop.has_passed();
            if read.offset > recorded && (!goes_on || read.offset - recorded >= RECORD_AFTER) {
                *cursor = Some(read.clone());
            }
            match next {
                Ok(Some(_)) if !goes_on && read.offset < size => return Ok(Read::OutOfTime),
                Ok(Some(_)) => {}
                Ok(None) => return Ok(Read::Whole(Box::new(read))),
                // A server that has let a part be read does not refuse the file.
                Err(sftp::Error::Refused(refusal)) if read.offset == 0 => {
                    return Ok(Read::Refused(refusal.to_string()));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn differs(subject: &Subject, size: u64, read: &ReadBack, expected: &RunningChecksum) -> Error {
    let (ours, expected) = (read.checksum.checksum().value, expected.checksum().value);
    ErrorName::RemoteMismatch.error(format!(
        "{:?}: {} of {size} bytes were read back, with the checksum {ours}; that of the bytes sent is {expected}",
        subject.path, read.offset
    ))
}

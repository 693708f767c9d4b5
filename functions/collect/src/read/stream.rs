//! One session's share: look, open, read, look again.

use std::sync::Arc;

use aws::Unwritten;
use bridge::{ErrorName, Result};
use partner::files::Reply;
use sftp::{Caps, Download, FileHandle, OpenFlags, Session, Sftp};

use crate::read::collecting::{Collecting, unwritten};
use crate::read::look::Look;
use crate::read::outcome::Read;
use crate::read::unreadable::refused;

/// How far reading has come.
enum Streamed {
    ToTheEnd,
    /// The file ended here.
    EndedAt(u64),
    UploadGone(Unwritten),
    OutOfTime,
}

impl Collecting<'_> {
    /// Reads in this session what is left.
    pub(super) async fn read(&mut self, session: &Arc<Session>, caps: Caps) -> Result<Read> {
        let sftp = session.sftp();
        // If every byte was read in an earlier session, the next look is the last one.
        let was_read = self.was_open && self.writer.wanted().is_none();
        if was_read {
            let settled = self.settle().await?;
            if !matches!(settled, Read::Whole) {
                return Ok(settled);
            }
        }
        match self.look(sftp).await? {
            Look::Ended(ending) => return Ok(Read::Ended(ending)),
            Look::Same if was_read => return Ok(Read::Whole),
            Look::Same => {}
        }
        let path = self.file().remote_path();
        let file = match Reply::of(sftp.open(&path, OpenFlags::READ).await)? {
            Reply::Done(file) => file,
            Reply::Refused(status) => return self.not_opened(sftp, status).await,
        };
        let mut download = self.download(session, &file, caps);
        let read = self.read_open(sftp, &file, &mut download).await;
        // Only now: a server may move a file away when it is closed after it was read.
        download.close().await;
        read
    }

    /// Begins to read. Over several connections, if the server tells the file's time.
    fn download<'f>(&self, session: &'f Arc<Session>, file: &'f FileHandle, caps: Caps) -> Download<'f> {
        let (position, size) = (self.writer.position(), self.file().size);
        let wanted = self.writer.wanted().unwrap_or(position..position);
        let mut download = session.sftp().download(file, wanted.start, wanted.end);
        download.begin();
        match self.modified() {
            Some(modified) => download.spread(session.spread(size - position, caps), size, modified),
            None => download,
        }
    }

    async fn read_open(
        &mut self,
        sftp: &Sftp,
        file: &FileHandle,
        download: &mut Download<'_>,
    ) -> Result<Read> {
        if let Look::Ended(ending) = self.look_into(sftp, file).await? {
            return Ok(Read::Ended(ending));
        }
        self.was_open = true;
        match self.stream(download).await? {
            Streamed::ToTheEnd => {}
            Streamed::EndedAt(offset) => return self.ended_early(sftp, offset).await,
            Streamed::UploadGone(gone) => return Ok(Read::UploadGone(gone)),
            Streamed::OutOfTime => return Ok(Read::OutOfTime),
        }
        let settled = self.settle().await?;
        if !matches!(settled, Read::Whole) {
            return Ok(settled);
        }
        self.look_again(sftp, file, download).await
    }

    /// A file that is not opened may be gone.
    async fn not_opened(&mut self, sftp: &Sftp, status: sftp::Status) -> Result<Read> {
        match self.look(sftp).await? {
            Look::Ended(ending) => Ok(Read::Ended(ending)),
            Look::Same => Err(refused(status, "")),
        }
    }

    /// A file that ends before its size may have changed.
    async fn ended_early(&mut self, sftp: &Sftp, offset: u64) -> Result<Read> {
        match self.look(sftp).await? {
            Look::Ended(ending) => Ok(Read::Ended(ending)),
            Look::Same => Err(ErrorName::RemoteUnreadable.error(format!(
                "reading {:?} ended at byte {offset}, although the server shows {} bytes",
                self.file().remote_path(),
                self.file().size
            ))),
        }
    }

    /// Waits until S3 has what was read, and looks at what it would replace.
    async fn settle(&mut self) -> Result<Read> {
        match self.writer.settle().await {
            Ok(()) => self.look_at_key().await,
            Err(gone @ Unwritten::UploadGone(_)) => Ok(Read::UploadGone(gone)),
            Err(error) => Err(unwritten(error)),
        }
    }

    async fn stream(&mut self, download: &mut Download<'_>) -> Result<Streamed> {
        let (call, size) = (self.call, self.file().size);
        while let Some(wanted) = self.writer.wanted() {
            download.turn_to(wanted.clone());
            while self.writer.position() < wanted.end {
                let bytes = match Reply::of(download.next().await)? {
                    Reply::Done(Some(bytes)) => bytes,
                    Reply::Done(None) => return Ok(Streamed::EndedAt(self.writer.position())),
                    Reply::Refused(status) => {
                        return Err(refused(status, &format!(" at byte {}", self.writer.position())));
                    }
                };
                self.report.bytes_read += bytes.len() as u64;
                match self.writer.push(&bytes).await {
                    Ok(()) => {}
                    Err(gone @ Unwritten::UploadGone(_)) => return Ok(Streamed::UploadGone(gone)),
                    Err(error) => return Err(unwritten(error)),
                }
                self.tell();
                (call.deps.on_progress)(self.writer.position(), size);
                if call.stop.has_passed() && self.writer.wanted().is_some() {
                    tracing::info!("the deadline is near");
                    return Ok(Streamed::OutOfTime);
                }
            }
        }
        Ok(Streamed::ToTheEnd)
    }
}

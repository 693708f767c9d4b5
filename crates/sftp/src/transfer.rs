//! Many requests in flight, in both directions; only what is acknowledged without a gap counts.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::client::{FileHandle, Pending, Sftp, done, refused};
use crate::codec::Reply;
use crate::{Result, StatusCode};

/// Sends a file. Push bytes as they come, then [`flush`](Self::flush).
pub struct Upload<'a, F> {
    sftp: &'a Sftp,
    file: &'a FileHandle,
    /// Bytes that came but don't fill a WRITE yet.
    staged: Vec<Bytes>,
    staged_length: usize,
    /// Where the next WRITE goes.
    offset: u64,
    in_flight: VecDeque<(Pending, Vec<Bytes>)>,
    in_flight_length: usize,
    acknowledged: u64,
    on_acknowledged: F,
}

impl<'a, F: FnMut(&[u8])> Upload<'a, F> {
    pub(crate) fn new(sftp: &'a Sftp, file: &'a FileHandle, offset: u64, on_acknowledged: F) -> Self {
        Self {
            sftp,
            file,
            staged: Vec::new(),
            staged_length: 0,
            offset,
            in_flight: VecDeque::new(),
            in_flight_length: 0,
            acknowledged: offset,
            on_acknowledged,
        }
    }

    /// Up to where the server has acknowledged every byte. Valid after an error, too.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Up to where bytes were sent, acknowledged or not.
    pub fn sent(&self) -> u64 {
        self.offset
    }

    /// Adds bytes; waits while the window is full.
    ///
    /// # Errors
    /// The answer to an earlier WRITE, or the loss of the session.
    pub async fn push(&mut self, mut bytes: Bytes) -> Result<()> {
        while !bytes.is_empty() {
            let room = self.sftp.write_length() - self.staged_length;
            let part = bytes.split_to(room.min(bytes.len()));
            self.staged_length += part.len();
            self.staged.push(part);
            if self.staged_length == self.sftp.write_length() {
                self.send_staged().await?;
            }
        }
        Ok(())
    }

    /// Sends what is left and waits until every byte is acknowledged.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub async fn flush(&mut self) -> Result<()> {
        self.send_staged().await?;
        while !self.in_flight.is_empty() {
            self.settle_oldest().await?;
        }
        Ok(())
    }

    async fn send_staged(&mut self) -> Result<()> {
        if self.staged.is_empty() {
            return Ok(());
        }
        while self.in_flight_length > 0 && self.in_flight_length + self.staged_length > self.sftp.window {
            self.settle_oldest().await?;
        }
        let parts = std::mem::take(&mut self.staged);
        let length = std::mem::take(&mut self.staged_length);
        let pending = self.sftp.send_write(self.file, self.offset, &parts).await?;
        self.offset += length as u64;
        self.in_flight_length += length;
        self.in_flight.push_back((pending, parts));
        Ok(())
    }

    async fn settle_oldest(&mut self) -> Result<()> {
        let Some((pending, parts)) = self.in_flight.pop_front() else { return Ok(()) };
        done("write", &self.file.path, self.sftp.settle(pending).await?)?;
        for part in parts {
            self.in_flight_length -= part.len();
            self.acknowledged += part.len() as u64;
            (self.on_acknowledged)(&part);
        }
        Ok(())
    }
}

/// Reads a file, in order.
pub struct Download<'a> {
    sftp: &'a Sftp,
    file: &'a FileHandle,
    /// Where the next READ is asked for.
    ask: u64,
    end: u64,
    in_flight: VecDeque<(Pending, u64, u32)>,
    in_flight_length: usize,
}

impl<'a> Download<'a> {
    pub(crate) fn new(sftp: &'a Sftp, file: &'a FileHandle, offset: u64, end: u64) -> Self {
        Self { sftp, file, ask: offset, end, in_flight: VecDeque::new(), in_flight_length: 0 }
    }

    /// The next bytes; `None` at `end`, or before it where the file ends early.
    ///
    /// # Errors
    /// The server's answer, or the loss of the session.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        while self.ask < self.end && self.in_flight_length < self.sftp.window {
            let length = (self.end - self.ask).min(self.sftp.read_length() as u64) as u32;
            let pending = self.sftp.send_read(self.file, self.ask, length).await?;
            self.in_flight.push_back((pending, self.ask, length));
            self.in_flight_length += length as usize;
            self.ask += u64::from(length);
        }
        let Some((pending, offset, length)) = self.in_flight.pop_front() else { return Ok(None) };
        self.in_flight_length -= length as usize;
        match self.sftp.settle(pending).await? {
            Reply::Data(bytes) if bytes.len() <= length as usize && !bytes.is_empty() => {
                let rest = length - bytes.len() as u32;
                if rest > 0 {
                    // A short answer: ask for the rest before anything behind it is handed out.
                    let offset = offset + bytes.len() as u64;
                    let pending = self.sftp.send_read(self.file, offset, rest).await?;
                    self.in_flight.push_front((pending, offset, rest));
                    self.in_flight_length += rest as usize;
                }
                Ok(Some(bytes))
            }
            Reply::Status { code, .. } if StatusCode(code) == StatusCode::EOF => Ok(None),
            other => Err(refused("read", &self.file.path, other)),
        }
    }
}

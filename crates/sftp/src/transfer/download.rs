//! Reading a file in order, with many READs in flight.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use crate::error::{Result, StatusCode};
use crate::protocol::channel::Sftp;
use crate::protocol::decode::Reply;
use crate::protocol::handle::FileHandle;
use crate::protocol::line::Pending;
use crate::transfer::window::Window;

impl Sftp {
    /// Reads an open file from `offset` up to `end`.
    pub fn download<'a>(&'a self, file: &'a FileHandle, offset: u64, end: u64) -> Download<'a> {
        Download {
            sftp: self,
            file,
            ask: offset,
            end,
            window: Window::new(self.round_trip()),
            in_flight: VecDeque::new(),
            in_flight_length: 0,
            pieces: VecDeque::new(),
        }
    }
}

/// Reads a file in order.
pub struct Download<'a> {
    sftp: &'a Sftp,
    file: &'a FileHandle,
    /// Offset of the next READ.
    ask: u64,
    end: u64,
    window: Window,
    in_flight: VecDeque<Read>,
    in_flight_length: usize,
    /// Received, and not yet returned.
    pieces: VecDeque<Bytes>,
}

struct Read {
    pending: Pending,
    asked_at: Instant,
    offset: u64,
    length: u32,
}

impl Download<'_> {
    /// The next bytes; `None` at `end`, or before it if the file ends early.
    ///
    /// # Errors
    /// The server refused a READ, or the session was lost.
    ///
    /// # Cancel safety
    /// Not cancel safe: after the future was dropped, bytes may be missing. Begin a new download instead.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                return Ok(Some(piece));
            }
            while self.ask < self.end && self.in_flight_length < self.window.size() {
                let length = (self.end - self.ask).min(self.sftp.read_length() as u64) as u32;
                let read = self.ask_for(self.ask, length);
                self.in_flight.push_back(read);
                self.ask += u64::from(length);
            }
            let Some(Read { pending, asked_at, offset, length }) = self.in_flight.pop_front() else {
                return Ok(None);
            };
            self.in_flight_length -= length as usize;
            match self.sftp.settle(pending).await? {
                Reply::Data(pieces) => {
                    let got = pieces.iter().map(Bytes::len).sum::<usize>();
                    if got == 0 || got > length as usize {
                        return Err(self.sftp.refused("read", &self.file.path, Reply::Data(pieces)));
                    }
                    self.sftp.carried_data();
                    self.window.answered(asked_at, Instant::now(), got);
                    let rest = length - got as u32;
                    if rest > 0 {
                        // A short answer: the rest is read before the bytes that follow it are returned.
                        let read = self.ask_for(offset + got as u64, rest);
                        self.in_flight.push_front(read);
                    }
                    self.pieces.extend(pieces);
                }
                Reply::Status { code, .. } if StatusCode(code) == StatusCode::EOF => return Ok(None),
                other => return Err(self.sftp.refused("read", &self.file.path, other)),
            }
        }
    }

    fn ask_for(&mut self, offset: u64, length: u32) -> Read {
        self.in_flight_length += length as usize;
        let pending = self.sftp.send_read(self.file, offset, length);
        Read { pending, asked_at: Instant::now(), offset, length }
    }
}

impl std::fmt::Debug for Download<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Download")
            .field("file", self.file)
            .field("asked_up_to", &self.ask)
            .field("end", &self.end)
            .field("in_flight", &self.in_flight_length)
            .finish_non_exhaustive()
    }
}

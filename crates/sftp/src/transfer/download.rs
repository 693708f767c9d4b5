//! Reading a file in order, with many READs in flight.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use crate::client::{FileHandle, Pending, Sftp};
use crate::codec::Reply;
use crate::window::Window;
use crate::{Result, StatusCode};

/// Reads a file, in order.
pub struct Download<'a> {
    sftp: &'a Sftp,
    file: &'a FileHandle,
    /// Where the next READ is asked for.
    ask: u64,
    end: u64,
    window: Window,
    in_flight: VecDeque<Read>,
    in_flight_length: usize,
    /// Answered, not yet handed out.
    pieces: VecDeque<Bytes>,
}

struct Read {
    pending: Pending,
    asked_at: Instant,
    offset: u64,
    length: u32,
}

impl<'a> Download<'a> {
    pub(crate) fn new(sftp: &'a Sftp, file: &'a FileHandle, offset: u64, end: u64) -> Self {
        Self {
            sftp,
            file,
            ask: offset,
            end,
            window: Window::new(sftp.round_trip()),
            in_flight: VecDeque::new(),
            in_flight_length: 0,
            pieces: VecDeque::new(),
        }
    }

    /// The next bytes; `None` at `end`, or before it where the file ends early.
    ///
    /// # Errors
    /// The server's answer, or the loss of the session.
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
                        // A short answer: ask for the rest before anything behind it is handed out.
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

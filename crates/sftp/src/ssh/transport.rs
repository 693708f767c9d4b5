//! The TCP stream under SSH.

use std::io::{Error, ErrorKind, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use crate::ssh::condition::Condition;

/// Size of the buffer, in bytes. russh reads a packet in two pieces; with a buffer, the second costs no system call.
const BUFFER: usize = 128 * 1024;

/// Reads through a buffer, and acknowledges the messages of a dialogue at once: see [`Acknowledging`].
///
/// A server that has been silent for too long is taken for dead: reads and writes then return an error.
pub(crate) struct Transport {
    stream: BufReader<TcpStream>,
    silence: Silence,
    acknowledging: Acknowledging,
}

impl Transport {
    /// `silence_max` does not apply while the server is at long work.
    pub(crate) fn new(stream: TcpStream, silence_max: Duration, condition: &Condition) -> Self {
        let silence = Silence {
            max: silence_max,
            heard_at: Instant::now(),
            over: Box::pin(sleep(silence_max)),
            condition: condition.clone(),
        };
        let stream = BufReader::with_capacity(BUFFER, stream);
        Self { stream, silence, acknowledging: Acknowledging::default() }
    }

    /// A pending read or write becomes an error once the server has been silent for too long.
    fn unless_silent<T>(&mut self, context: &mut Context<'_>, poll: Poll<Result<T>>) -> Poll<Result<T>> {
        if poll.is_ready() {
            return poll;
        }
        self.silence.poll_over(context).map(Err)
    }
}

/// Decides when TCP is told to acknowledge at once what was received.
///
/// In a dialogue of small messages, a server with Nagle's algorithm waits 40 ms for a delayed acknowledgement before it
/// sends the next message. OpenSSH's is such a server until its session is open. Linux may reset the option at any time, so
/// it is set again whenever there is nothing to read. While much is sent or received, acknowledgements travel anyway, and
/// setting it would only cost a system call and a packet each time.
#[derive(Default)]
struct Acknowledging {
    /// Bytes in both directions. It is halved whenever there is nothing to read: while much is sent, many small replies
    /// come for each large request.
    moved: usize,
}

/// What is sent or received from here on, in bytes, is no dialogue: more than a key exchange takes.
const BULK: usize = 16 * 1024;

impl Acknowledging {
    fn moved(&mut self, bytes: usize) {
        self.moved = self.moved.saturating_add(bytes);
    }

    /// Called when there is nothing to read. Whether TCP is to acknowledge at once what was received.
    fn is_due(&mut self) -> bool {
        let is_due = self.moved < BULK;
        self.moved /= 2;
        is_due
    }
}

struct Silence {
    max: Duration,
    heard_at: Instant,
    over: Pin<Box<Sleep>>,
    condition: Condition,
}

impl Silence {
    /// Ready with the error once the silence has lasted too long.
    fn poll_over(&mut self, context: &mut Context<'_>) -> Poll<Error> {
        loop {
            ready!(self.over.as_mut().poll(context));
            let now = Instant::now();
            let since = if self.condition.is_at_long_work() { now } else { self.heard_at };
            if now >= since + self.max {
                let words = format!("the server sent nothing for {} s", self.max.as_secs());
                return Poll::Ready(Error::new(ErrorKind::TimedOut, words));
            }
            self.over.as_mut().reset(since + self.max);
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let this = self.get_mut();
        let Poll::Ready(filled) = Pin::new(&mut this.stream).poll_fill_buf(context) else {
            if this.acknowledging.is_due() {
                #[cfg(target_os = "linux")]
                let _ = this.stream.get_ref().set_quickack(true);
            }
            return this.unless_silent(context, Poll::Pending);
        };
        let available = filled?;
        let length = available.len().min(buffer.remaining());
        buffer.put_slice(&available[..length]);
        Pin::new(&mut this.stream).consume(length);
        this.acknowledging.moved(length);
        this.silence.heard_at = Instant::now();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        if let Poll::Ready(Ok(length)) = &written {
            this.acknowledging.moved(*length);
        }
        this.unless_silent(context, written)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(context);
        this.unless_silent(context, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dialogue_is_acknowledged_at_once_and_a_bulk_is_not() {
        let mut acknowledging = Acknowledging::default();
        assert!(acknowledging.is_due(), "before the first message");
        for _ in 0..10 {
            acknowledging.moved(BULK / 4);
            assert!(acknowledging.is_due(), "a key exchange");
        }
        for _ in 0..10 {
            acknowledging.moved(255 * 1024);
            for _ in 0..3 {
                acknowledging.moved(64);
                assert!(!acknowledging.is_due(), "replies between two WRITEs");
            }
        }
        let replies = (0..10).find(|_| {
            acknowledging.moved(64);
            acknowledging.is_due()
        });
        assert_eq!(replies, Some(2), "the last replies");
    }
}

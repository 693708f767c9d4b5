//! The TCP stream under SSH.

use std::io::Result;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio::net::TcpStream;

/// russh reads a packet in two pieces; from here the second costs no system call.
const BUFFER: usize = 128 * 1024;

/// Reads through a buffer, and acknowledges what comes at once: until its session is open, sshd runs with Nagle's
/// algorithm and would wait 40 ms for a delayed acknowledgement. Linux forgets the option as it sees fit, so that it is
/// set anew whenever there is nothing to read.
pub(crate) struct Transport(BufReader<TcpStream>);

impl Transport {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self(BufReader::with_capacity(BUFFER, stream))
    }

    fn stream(self: Pin<&mut Self>) -> Pin<&mut BufReader<TcpStream>> {
        Pin::new(&mut self.get_mut().0)
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let stream = &mut self.get_mut().0;
        let Poll::Ready(filled) = Pin::new(&mut *stream).poll_fill_buf(context) else {
            #[cfg(target_os = "linux")]
            let _ = stream.get_ref().set_quickack(true);
            return Poll::Pending;
        };
        let available = filled?;
        let length = available.len().min(buffer.remaining());
        buffer.put_slice(&available[..length]);
        Pin::new(stream).consume(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        self.stream().poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.stream().poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.stream().poll_shutdown(context)
    }
}

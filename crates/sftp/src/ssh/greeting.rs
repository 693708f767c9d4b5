//! Text that a server sends before the SSH protocol begins. RFC 4253, section 4.2, allows lines of text before the
//! identification. russh accepts 20 of them, of at most 255 bytes, and does not report them.

use std::io::{Error, ErrorKind, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::ssh::condition::Condition;
use crate::words::WORDS_MAX;

/// A stream without the text before the identification. The beginning of that text is kept for error messages.
///
/// It also records which side sent something last: see [`Condition::has_last_word`].
pub(crate) struct Greeted<S> {
    stream: S,
    condition: Condition,
    phase: Phase,
}

enum Phase {
    /// Before the identification.
    Text {
        unread: Vec<u8>,
        length: usize,
    },
    /// The identification, and the bytes that were received with it.
    Identification {
        bytes: Vec<u8>,
        handed_on: usize,
    },
    Protocol,
}

/// Maximum length of an identification, in bytes.
const IDENTIFICATION_MAX: usize = 255;
/// Maximum length of the text, in bytes. A server that sends more does not speak SSH.
const TEXT_MAX: usize = 64 * 1024;

impl<S> Greeted<S> {
    pub(crate) fn new(stream: S, condition: &Condition) -> Self {
        let phase = Phase::Text { unread: Vec::new(), length: 0 };
        Self { stream, condition: condition.clone(), phase }
    }

    /// Takes received bytes, and enters the next phase once the identification is complete.
    fn take(&mut self, piece: &[u8]) -> Result<()> {
        let Phase::Text { unread, length } = &mut self.phase else { return Ok(()) };
        *length += piece.len();
        unread.extend_from_slice(piece);
        while !unread.starts_with(b"SSH-") {
            let Some(end) = unread.iter().position(|byte| *byte == b'\n') else { break };
            let line: Vec<u8> = unread.drain(..=end).collect();
            self.condition.greeted(&line, WORDS_MAX);
        }
        let is_whole = unread.contains(&b'\n') || unread.len() > IDENTIFICATION_MAX;
        if unread.starts_with(b"SSH-") && is_whole {
            let bytes = std::mem::take(unread);
            let identification = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
            if identification.len() > IDENTIFICATION_MAX {
                self.condition.greeted(identification, WORDS_MAX);
            }
            self.phase = Phase::Identification { bytes, handed_on: 0 };
        } else if *length > TEXT_MAX {
            self.condition.greeted(unread, WORDS_MAX);
            let words = format!("the server sent more than {TEXT_MAX} bytes and did not identify itself");
            return Err(Error::new(ErrorKind::InvalidData, words));
        }
        Ok(())
    }

    /// The stream has ended.
    fn ended(&mut self) {
        if let Phase::Text { unread, .. } = &self.phase {
            self.condition.greeted(unread, WORDS_MAX);
        }
        self.phase = Phase::Protocol;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Greeted<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let this = self.get_mut();
        loop {
            match &mut this.phase {
                Phase::Protocol => {
                    let before = buffer.filled().len();
                    ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
                    if buffer.filled().len() > before {
                        this.condition.heard();
                    }
                    return Poll::Ready(Ok(()));
                }
                Phase::Identification { bytes, handed_on } => {
                    let rest = &bytes[*handed_on..];
                    let length = rest.len().min(buffer.remaining());
                    buffer.put_slice(&rest[..length]);
                    *handed_on += length;
                    if *handed_on == bytes.len() {
                        this.phase = Phase::Protocol;
                    }
                    return Poll::Ready(Ok(()));
                }
                Phase::Text { .. } => {
                    let mut piece = [0; 1024];
                    let mut piece = ReadBuf::new(&mut piece);
                    ready!(Pin::new(&mut this.stream).poll_read(context, &mut piece))?;
                    match piece.filled() {
                        [] => this.ended(),
                        piece => this.take(piece)?,
                    }
                    if matches!(this.phase, Phase::Protocol) {
                        return Poll::Ready(Ok(()));
                    }
                }
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Greeted<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let this = self.get_mut();
        this.condition.said();
        Pin::new(&mut this.stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, duplex};

    use super::*;

    /// What russh reads of this greeting in pieces of `piece` bytes, and the text that is kept.
    async fn read(greeting: &[u8], piece: usize) -> (Result<Vec<u8>>, Option<String>) {
        let condition = Condition::default();
        let (mut server, client) = duplex(piece);
        let mut greeted = Greeted::new(client, &condition);
        let greeting = greeting.to_vec();
        let saying = tokio::spawn(async move {
            let _ = tokio::io::AsyncWriteExt::write_all(&mut server, &greeting).await;
        });
        let mut bytes = Vec::new();
        let read = greeted.read_to_end(&mut bytes).await;
        drop(greeted);
        saying.await.unwrap();
        (read.map(|_| bytes), condition.greeting())
    }

    #[tokio::test]
    async fn the_text_before_the_identification_is_kept_and_not_handed_on() {
        for piece in [1, 7, 4096] {
            let (bytes, words) = read(b"SSH-2.0-x\r\n\0\n\x01", piece).await;
            assert_eq!((bytes.unwrap(), words), (b"SSH-2.0-x\r\n\0\n\x01".to_vec(), None), "{piece}");
            let (bytes, words) = read(b"Welcome\r\n\nto SSH-\nSSH-2.0-x\n\0rest", piece).await;
            assert_eq!(bytes.unwrap(), b"SSH-2.0-x\n\0rest", "{piece}");
            assert_eq!(words.as_deref(), Some("Welcome\r\n\nto SSH-"), "{piece}");
            let (bytes, words) = read(b"No more", piece).await;
            assert_eq!((bytes.unwrap(), words.as_deref()), (vec![], Some("No more")), "{piece}");
        }
    }

    #[tokio::test]
    async fn what_is_too_long_is_an_error_or_russhs_business() {
        let long = format!("SSH-2.0-{}\r\n", "x".repeat(2000));
        let (bytes, words) = read(long.as_bytes(), 100).await;
        assert_eq!(bytes.unwrap(), long.as_bytes());
        assert!(words.unwrap().starts_with("SSH-2.0-xxx"));
        for endless in [b"x".repeat(TEXT_MAX + 1), b"x\n".repeat(TEXT_MAX)] {
            let (bytes, words) = read(&endless, 4096).await;
            assert!(bytes.unwrap_err().to_string().contains("did not identify itself"));
            assert!((WORDS_MAX - 1..=WORDS_MAX).contains(&words.unwrap().len()));
        }
    }
}

//! What all checks share: the session, our names on the server, and what is known so far.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bridge::Method;
use bytes::Bytes;
use partner::files::{Reply, open_fresh};
use sftp::probe::Greeting;
use sftp::{Attributes, FileHandle, Login, MethodOutcome, OpenFlags, Session, Sftp};

use super::configuration::Configuration;
use super::facts::Facts;
use super::report::{Finding, Report};
use super::scratch::Scratch;

/// The run of the checks.
pub(super) struct Doctor {
    pub(super) configuration: Configuration,
    pub(super) report: Report,
    pub(super) facts: Facts,
    /// Addresses of the server's name.
    pub(super) addresses: Vec<SocketAddr>,
    /// All methods that the settings permit and the credential supports.
    pub(super) credential: Option<Login>,
    /// The same, without the methods that the server refused.
    pub(super) login: Option<Login>,
    /// What the server said before anyone logged in.
    pub(super) greeting: Option<Greeting>,
    /// The server's answer to each method, if there are several.
    pub(super) answers: Vec<(Method, MethodOutcome)>,
    /// Attempts to log in that were refused, or may have been; at most two.
    pub(super) refused: u32,
    pub(super) session: Option<Arc<Session>>,
    pub(super) scratch: Scratch,
    /// The file that the checks work on, while it is open for the first time.
    pub(super) open: Option<FileHandle>,
    /// Path of the file that the checks work on.
    pub(super) file: String,
    /// Path of a directory that the checks have made.
    pub(super) directory: Option<String>,
    /// Some files of the directory that is collected, as they were listed.
    pub(super) sample: Vec<(String, Attributes)>,
}

/// Why the remaining checks are not run.
pub(super) enum Stopped {
    /// This finding of the current check.
    Here(Finding),
    /// The report says it already.
    Earlier,
}

/// Result of a part of the examination.
pub(super) type Step<T = ()> = Result<T, Stopped>;

/// Some servers show a file, or its size, only some time after it was closed: maximum time to wait for that.
const LATE_MAX: Duration = Duration::from_secs(3);
/// Pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// What our file contains. If a server translates line endings, Control-Z or umlauts, it shows.
pub(super) fn content() -> Vec<u8> {
    let line_endings = b"\r\nline\nline\r\r\n\x1a\xc3\xa4";
    (0..=255).chain(line_endings.iter().copied()).collect()
}

/// The answer of the server, or the end of the checks if the session is lost.
pub(super) fn answer<T>(outcome: sftp::Result<T>) -> Step<Reply<T>> {
    Reply::of(outcome).map_err(|error| lost(error.into()))
}

/// The end of the checks: the session was lost.
pub(super) fn lost(error: bridge::Error) -> Stopped {
    let hint = "the session ended during this request, and so would the session of a delivery that makes it. Ask the partner what the server's log says";
    Stopped::Here(Finding::fail(error.message(), hint))
}

impl Doctor {
    pub(super) fn new(configuration: Configuration, report: Report, scratch: Scratch) -> Self {
        Self {
            configuration,
            report,
            facts: Facts::default(),
            addresses: Vec::new(),
            credential: None,
            login: None,
            greeting: None,
            answers: Vec::new(),
            refused: 0,
            session: None,
            scratch,
            open: None,
            file: String::new(),
            directory: None,
            sample: Vec::new(),
        }
    }

    /// Runs a check and reports what it finds.
    pub(super) async fn run(
        &mut self,
        name: &'static str,
        check: impl AsyncFnOnce(&mut Self) -> Step<Finding>,
    ) -> Step {
        match check(self).await {
            Ok(finding) => {
                self.report.add(name, finding);
                Ok(())
            }
            Err(Stopped::Here(finding)) => {
                self.report.add(name, finding);
                Err(Stopped::Earlier)
            }
            Err(Stopped::Earlier) => Err(Stopped::Earlier),
        }
    }

    /// The session of the checks.
    pub(super) fn sftp(&self) -> Step<Arc<Sftp>> {
        self.session.as_ref().map(|session| Arc::clone(session.sftp())).ok_or(Stopped::Earlier)
    }

    pub(super) async fn disconnect(&mut self) {
        if let Some(session) = self.session.take() {
            session.disconnect().await;
        }
    }

    /// Writes a file from its start, whether it exists or not, as a delivery does.
    pub(super) async fn write(&self, path: &str, content: &[u8]) -> Step<Reply<()>> {
        let opened = open_fresh(&*self.sftp()?, path).await;
        match opened.map_err(|error| lost(error.into()))? {
            Reply::Done(file) => self.fill(file, 0, content).await,
            Reply::Refused(status) => Ok(Reply::Refused(status)),
        }
    }

    /// Writes from `offset` on, as a delivery does, and closes the file.
    pub(super) async fn fill(&self, file: FileHandle, offset: u64, content: &[u8]) -> Step<Reply<()>> {
        let Some(session) = &self.session else { return Err(Stopped::Earlier) };
        let mut upload = session.upload(file).offset(offset).held(offset).start();
        let sent = async {
            upload.push(Bytes::copy_from_slice(content)).await?;
            upload.flush().await
        };
        let sent = sent.await;
        let closed = upload.finish(false).await;
        answer(sent.and(closed.map(drop)))
    }

    /// Reads the first `length` bytes of a file.
    pub(super) async fn read(&self, path: &str, length: u64) -> Step<Reply<Vec<u8>>> {
        answer(read(&*self.sftp()?, path, length).await)
    }

    /// What the server tells about a file of ours of `length` bytes, as soon as the size is right or was wrong for some
    /// seconds.
    pub(super) async fn told(&self, path: &str, length: u64) -> Step<Told> {
        let sftp = self.sftp()?;
        let started = Instant::now();
        let mut late = Duration::ZERO;
        loop {
            let reply = answer(sftp.stat(path).await)?;
            let is_right = match &reply {
                Reply::Done(Some(attributes)) => attributes.size.is_none_or(|size| size == length),
                Reply::Done(None) => false,
                Reply::Refused(_) => true,
            };
            if is_right || late >= LATE_MAX {
                return Ok(Told { reply, late });
            }
            tokio::time::sleep(LOOK_AGAIN).await;
            late = started.elapsed();
        }
    }

    /// Removes a file of ours, and forgets it when it is gone.
    pub(super) async fn remove(&mut self, path: &str) -> Step<Reply<()>> {
        let reply = answer(self.sftp()?.remove(path).await)?;
        if reply.refusal().is_none_or(sftp::Status::is_not_found) {
            self.scratch.forget(path);
        }
        Ok(reply)
    }
}

/// What the server tells about a file.
pub(super) struct Told {
    pub(super) reply: Reply<Option<Attributes>>,
    /// How long its size was wrong; zero if it was right at once.
    pub(super) late: Duration,
}

async fn read(sftp: &Sftp, path: &str, length: u64) -> sftp::Result<Vec<u8>> {
    let file = sftp.open(path, OpenFlags::READ).await?;
    let mut content = Vec::new();
    let mut download = sftp.download(&file, 0, length);
    let outcome = loop {
        match download.next().await {
            Ok(Some(bytes)) => content.extend_from_slice(&bytes),
            Ok(None) => break Ok(content),
            Err(error) => break Err(error),
        }
    };
    let _ = sftp.close(file).await;
    outcome
}

/// An amount of bytes for people.
pub(super) fn bytes_in_words(bytes: f64) -> String {
    let mut amount = bytes;
    let mut unit = "bytes";
    for larger in ["kB", "MB", "GB", "TB", "PB"] {
        if amount < 1000.0 {
            break;
        }
        amount /= 1000.0;
        unit = larger;
    }
    let digits = if amount < 10.0 && unit != "bytes" { 1 } else { 0 };
    format!("{amount:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_readable() {
        for (bytes, words) in [
            (17.0, "17 bytes"),
            (1500.0, "1.5 kB"),
            (45_000_000.0, "45 MB"),
            (2e12, "2.0 TB"),
            (2e19, "20000 PB"),
        ] {
            assert_eq!(bytes_in_words(bytes), words);
        }
    }

    #[test]
    fn a_translation_of_any_byte_shows() {
        for byte in 0..=255 {
            assert!(content().contains(&byte));
        }
    }
}

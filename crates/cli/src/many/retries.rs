//! The retries of the files of a run, and when none can succeed any more.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bridge::{Error, ErrorName, Result};

use super::open_files::OpenFiles;

/// Maximum number of retries of one file after a lost connection.
pub(super) const RETRIES_MAX: u32 = 4;
/// The longest pause before the first retry. It doubles with each retry.
const PAUSE: Duration = Duration::from_secs(1);

/// The work on one file. A second call resumes.
pub(crate) trait Attempt {
    /// How it ended.
    type Done;

    /// Runs to the end, or to an error.
    fn run(&mut self) -> impl Future<Output = Result<Self::Done>> + Send;
}

/// What all files of a run share.
pub(crate) struct Retries {
    open_files: Arc<OpenFiles>,
    /// The number of files that succeeded. A file that fails compares it with the number at its start.
    successes: AtomicUsize,
    /// The error that no other file would escape.
    fatal: Mutex<Option<Error>>,
}

impl Retries {
    /// With at most this many open files on the server.
    pub(crate) fn new(open_files_max: usize) -> Self {
        let open_files = OpenFiles::new(open_files_max);
        Self { open_files, successes: AtomicUsize::default(), fatal: Mutex::default() }
    }

    /// # Errors
    /// The error that no other file would escape, if there was one.
    pub(crate) fn ensure_hope(&self) -> Result<()> {
        self.fatal().clone().map_or(Ok(()), Err)
    }

    fn give_up(&self, error: &Error) {
        self.fatal().get_or_insert_with(|| error.clone());
    }

    fn fatal(&self) -> MutexGuard<'_, Option<Error>> {
        bridge::lock(&self.fatal)
    }

    /// Retries what may pass: one lost connection must not fail all files in progress.
    pub(crate) async fn run<A: Attempt>(&self, attempt: &mut A) -> Result<A::Done> {
        let mut retries = 0;
        let successes = self.successes.load(Ordering::Relaxed);
        loop {
            let permit = self.open_files.acquire().await;
            let error = match attempt.run().await {
                Ok(done) => {
                    self.successes.fetch_add(1, Ordering::Relaxed);
                    return Ok(done);
                }
                Err(error) => error,
            };
            if is_fatal(error.name) {
                self.give_up(&error);
                return Err(error);
            }
            if error.name.is_connection_failure() {
                drop(permit);
                if retries == RETRIES_MAX {
                    // In all that time, no file succeeded.
                    if self.successes.load(Ordering::Relaxed) == successes {
                        self.give_up(&error);
                    }
                    return Err(error);
                }
                // Another file may have given up in the meantime.
                self.ensure_hope()?;
                pause(retries).await;
                retries += 1;
            } else if is_refused_open(&error) && permit.lower_limit() {
                tracing::warn!(%error, "the server may limit the number of open files: trying with fewer");
            } else {
                return Err(error);
            }
        }
    }
}

/// Whether every file would fail with this error, whatever is retried.
fn is_fatal(name: ErrorName) -> bool {
    matches!(
        name,
        ErrorName::AuthenticationRejected | ErrorName::HostKeyMismatch | ErrorName::NoCommonAlgorithm
    )
}

/// Whether the server refused to open a file, as servers do that have too many files open.
fn is_refused_open(error: &Error) -> bool {
    matches!(error.name, ErrorName::RemoteFailure | ErrorName::RemoteUnreadable)
        && error.message().contains("open \"")
}

pub(super) async fn pause(retries: u32) {
    let longest = PAUSE * 2u32.pow(retries);
    tokio::time::sleep(longest.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
}

//! The deliveries of a run: their retries, and when none can succeed any more.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bridge::{Error, ErrorName, Receipt, Result};
use indicatif::ProgressBar;

use super::in_progress::InProgress;
use super::lister::Totals;
use super::open_files::OpenFiles;
use crate::deliver::listing::ListedObject;
use crate::deliver::object::ObjectDelivery;
use crate::deliver::progress;
use crate::deliver::runner::DeliveryRunner;
use crate::location::Location;

/// Maximum number of retries of one file after a lost connection.
const RETRIES_MAX: u32 = 4;
/// The longest pause before the first retry. It doubles with each retry.
const PAUSE: Duration = Duration::from_secs(1);

/// What the deliveries share.
pub(super) struct Batch {
    runner: Arc<DeliveryRunner>,
    bar: ProgressBar,
    pub(super) in_progress: InProgress,
    open_files: Arc<OpenFiles>,
    totals: Arc<Totals>,
    /// The number of deliveries that succeeded. A delivery that fails compares it with the number at its start.
    successes: AtomicUsize,
    finished: AtomicUsize,
    /// The error that no other object would escape.
    fatal: Mutex<Option<Error>>,
}

impl Batch {
    /// Logs in once, so that a partner that refuses the login refuses it once and not for each file.
    pub(super) async fn start(
        runner: Arc<DeliveryRunner>,
        bar: ProgressBar,
        totals: Arc<Totals>,
    ) -> Result<Arc<Self>> {
        let mut retries = 0;
        let server = loop {
            match runner.meet_server().await {
                Ok(server) => break server,
                Err(error) if error.name.is_connection_failure() && retries < RETRIES_MAX => {
                    pause(retries).await;
                    retries += 1;
                }
                Err(error) => return Err(error),
            }
        };
        let in_progress = InProgress::new(server.round_trip);
        let open_max = server.open_files_max.map_or(in_progress.max(), |max| max.clamp(1, in_progress.max()));
        Ok(Arc::new(Self {
            runner,
            bar,
            in_progress,
            open_files: OpenFiles::new(open_max),
            totals,
            successes: AtomicUsize::default(),
            finished: AtomicUsize::default(),
            fatal: Mutex::default(),
        }))
    }

    /// # Errors
    /// The error that no other object would escape, if there was one.
    pub(super) fn ensure_hope(&self) -> Result<()> {
        self.fatal().clone().map_or(Ok(()), Err)
    }

    fn give_up(&self, error: &Error) {
        self.fatal().get_or_insert_with(|| error.clone());
    }

    fn fatal(&self) -> MutexGuard<'_, Option<Error>> {
        bridge::lock(&self.fatal)
    }

    /// Delivers one object, with retries.
    pub(super) async fn deliver(&self, object: &Location, listed: &ListedObject) -> Result<Receipt> {
        progress::started(&self.bar, &object.object_key);
        let sent = Arc::new(AtomicU64::new(0));
        let observers = progress::adding(&self.bar, &sent);
        let mut delivery = self.runner.delivery(object, observers).await;
        let outcome = Box::pin(self.retry(&mut delivery)).await;
        delivery.settle(&outcome).await;
        self.bar.inc(listed.size.saturating_sub(sent.load(Ordering::Relaxed)));
        let finished = self.finished.fetch_add(1, Ordering::Relaxed) + 1;
        progress::finished(&self.bar, finished, self.totals.objects());
        outcome
    }

    /// Retries what may pass: one lost connection must not fail all files in progress.
    async fn retry(&self, delivery: &mut ObjectDelivery) -> Result<Receipt> {
        let mut retries = 0;
        let successes = self.successes.load(Ordering::Relaxed);
        loop {
            let permit = self.open_files.acquire().await;
            let error = match delivery.run().await {
                Ok(receipt) => {
                    self.successes.fetch_add(1, Ordering::Relaxed);
                    return Ok(receipt);
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
                    // In all that time, no delivery succeeded.
                    if self.successes.load(Ordering::Relaxed) == successes {
                        self.give_up(&error);
                    }
                    return Err(error);
                }
                // Another delivery may have given up in the meantime.
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

/// Whether every object would fail with this error, whatever is retried.
fn is_fatal(name: ErrorName) -> bool {
    matches!(
        name,
        ErrorName::AuthenticationRejected | ErrorName::HostKeyMismatch | ErrorName::NoCommonAlgorithm
    )
}

/// Whether the server refused to open a file, as servers do that have too many files open.
fn is_refused_open(error: &Error) -> bool {
    error.name == ErrorName::RemoteFailure && error.message().contains("open \"")
}

async fn pause(retries: u32) {
    let longest = PAUSE * 2u32.pow(retries);
    tokio::time::sleep(longest.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
}

//! The deliveries of a run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bridge::{Receipt, Result};
use indicatif::ProgressBar;

use super::lister::Totals;
use crate::deliver::listing::ListedObject;
use crate::deliver::runner::DeliveryRunner;
use crate::location::Location;
use crate::many::{InProgress, Retries};
use crate::progress;

/// What the deliveries share.
pub(super) struct Batch {
    runner: Arc<DeliveryRunner>,
    bar: ProgressBar,
    pub(super) in_progress: InProgress,
    retries: Retries,
    totals: Arc<Totals>,
    finished: AtomicUsize,
}

impl Batch {
    /// Logs in.
    pub(super) async fn start(
        runner: Arc<DeliveryRunner>,
        bar: ProgressBar,
        totals: Arc<Totals>,
    ) -> Result<Arc<Self>> {
        let server = runner.meet_server().await?;
        let in_progress = InProgress::new(server.round_trip);
        let retries = Retries::new(in_progress.open_files_max(server.open_files_max));
        Ok(Arc::new(Self { runner, bar, in_progress, retries, totals, finished: AtomicUsize::default() }))
    }

    /// # Errors
    /// The error that no other object would escape, if there was one.
    pub(super) fn ensure_hope(&self) -> Result<()> {
        self.retries.ensure_hope()
    }

    /// Delivers one object, with retries.
    pub(super) async fn deliver(&self, object: &Location, listed: &ListedObject) -> Result<Receipt> {
        progress::started(&self.bar, &object.object_key);
        let sent = Arc::new(AtomicU64::new(0));
        let observers = progress::adding(&self.bar, &sent);
        let mut delivery = self.runner.delivery(object, observers).await;
        let outcome = Box::pin(self.retries.run(&mut delivery)).await;
        delivery.settle(&outcome).await;
        self.bar.inc(listed.size.saturating_sub(sent.load(Ordering::Relaxed)));
        let finished = self.finished.fetch_add(1, Ordering::Relaxed) + 1;
        progress::finished(&self.bar, finished, self.totals.objects());
        outcome
    }
}

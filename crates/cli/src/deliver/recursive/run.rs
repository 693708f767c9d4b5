//! One run: lists, starts deliveries, and reports each when it has finished.

use std::sync::Arc;

use bridge::{Error, Receipt, Result};
use indicatif::ProgressBar;

use super::batch::Batch;
use super::lister::{Lister, Totals};
use crate::deliver::listing::ListedObject;
use crate::deliver::runner::DeliveryRunner;
use crate::location::Location;
use crate::many::Tasks;
use crate::stop::Stop;

/// One delivery that has finished.
pub(super) struct Finished {
    pub(super) object: Location,
    pub(super) outcome: Result<Receipt>,
}

/// The result of a run.
pub(super) struct Summary {
    /// Number of objects found, including those below `S3_MOVE_PREFIX`.
    pub(super) found: usize,
    /// Number of copies below `S3_MOVE_PREFIX`. Earlier deliveries moved them there.
    pub(super) moved: usize,
    /// Number of deliveries that a stop cut off.
    pub(super) cut_off: usize,
    pub(super) end: End,
}

/// Why the run ended.
pub(super) enum End {
    AllTried,
    ListingFailed(Error),
    /// The partner cannot be reached, or refuses every object.
    PartnerFailed {
        error: Error,
        not_tried: NotTried,
    },
    Stopped,
}

/// The objects that a failed run leaves.
#[derive(Default)]
pub(super) struct NotTried {
    pub(super) objects: usize,
    /// Whether there may be more.
    pub(super) at_least: bool,
}

/// Delivers all objects below `prefix`, and calls `on_finished` for each. If one fails, the others are still delivered.
/// Only a [`Stop`] cuts off deliveries in progress.
pub(super) async fn run(
    runner: Arc<DeliveryRunner>,
    prefix: &Location,
    stop: &Stop,
    bar: &ProgressBar,
    on_finished: impl FnMut(&Finished),
) -> Summary {
    let totals = Arc::new(Totals::new(runner.settings()));
    let mut lister = Lister::new(runner.s3(), prefix, Arc::clone(&totals), bar.clone());
    let mut run = Run {
        runner,
        bucket: &prefix.bucket,
        bar,
        totals: Arc::clone(&totals),
        batch: None,
        deliveries: Tasks::new(on_finished),
        tried: 0,
    };
    let mut end = run.start_all(&mut lister, stop).await;
    let cut_off = run.deliveries.finish(stop).await;
    if let End::PartnerFailed { not_tried, .. } = &mut end {
        not_tried.at_least = !lister.is_counted().await;
        not_tried.objects = totals.objects().saturating_sub(run.tried);
    }
    Summary { found: totals.objects() + totals.moved(), moved: totals.moved(), cut_off, end }
}

struct Run<'a, F> {
    runner: Arc<DeliveryRunner>,
    bucket: &'a str,
    bar: &'a ProgressBar,
    totals: Arc<Totals>,
    /// Started with the first object.
    batch: Option<Arc<Batch>>,
    deliveries: Tasks<Finished, F>,
    tried: usize,
}

impl<F: FnMut(&Finished)> Run<'_, F> {
    /// Starts a delivery for each listed object, until something ends the run.
    async fn start_all(&mut self, lister: &mut Lister, stop: &Stop) -> End {
        loop {
            let objects = tokio::select! {
                page = lister.page() => match page {
                    Ok(Some(objects)) => objects,
                    Ok(None) => return End::AllTried,
                    Err(error) => return End::ListingFailed(error),
                },
                () = stop.requested() => return End::Stopped,
            };
            tokio::select! {
                started = self.start_page(objects) => if let Err(error) = started {
                    return End::PartnerFailed { error, not_tried: NotTried::default() };
                },
                () = stop.requested() => return End::Stopped,
            }
        }
    }

    async fn start_page(&mut self, objects: Vec<ListedObject>) -> Result<()> {
        for listed in objects {
            let batch = self.batch().await?;
            let permit = batch.in_progress.admit(listed.size).await;
            self.deliveries.report_finished();
            batch.ensure_hope()?;
            let object = Location { bucket: self.bucket.to_owned(), object_key: listed.object_key.clone() };
            self.deliveries.spawn(async move {
                let outcome = batch.deliver(&object, &listed).await;
                drop(permit);
                Finished { object, outcome }
            });
            self.tried += 1;
        }
        Ok(())
    }

    async fn batch(&mut self) -> Result<Arc<Batch>> {
        if let Some(batch) = &self.batch {
            return Ok(Arc::clone(batch));
        }
        let (runner, bar, totals) = (Arc::clone(&self.runner), self.bar.clone(), Arc::clone(&self.totals));
        let batch = Box::pin(Batch::start(runner, bar, totals)).await?;
        self.batch = Some(Arc::clone(&batch));
        Ok(batch)
    }
}

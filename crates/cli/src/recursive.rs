//! `deliver --recursive`: all objects below a prefix, many in flight on one connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bridge::{ErrorName, OnProgress, Receipt, Result};
use indicatif::ProgressBar;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};

use crate::deliver::{Bridge, Observers};
use crate::location::Location;

/// So many small files at once, or an eighth as many large ones.
const AT_ONCE: u32 = 32;
/// A file counts as one for each MiB, up to eight.
const LARGE: u32 = 8;

/// Delivers all objects below `prefix`; `ended` hears of each as it ends. One that fails does not stop the others.
///
/// # Errors
/// Of listing: what was delivered by then is delivered.
pub(crate) async fn run(
    bridge: Arc<Bridge>,
    prefix: &Location,
    bar: &ProgressBar,
    mut ended: impl FnMut(&Location, &Result<Receipt>),
) -> Result<()> {
    let slots = Arc::new(Semaphore::new(AT_ONCE as usize));
    let mut deliveries: JoinSet<(Location, Result<Receipt>)> = JoinSet::new();
    // A delivery that is cut off by a panic takes the process with it: there is no other way to lose one.
    let mut end = |outcome: std::result::Result<(Location, Result<Receipt>), JoinError>| {
        if let Ok((object, outcome)) = outcome {
            ended(&object, &outcome);
        }
    };
    let Location { bucket, object_key } = prefix;
    let request = bridge.s3().list_objects_v2().bucket(bucket).prefix(object_key);
    let mut pages = request.into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| {
            let words = aws::in_words(&error);
            ErrorName::ObjectUnreadable.error(format!("listing {prefix}: {words}; it takes s3:ListBucket"))
        })?;
        for listed in page.contents() {
            let Some(object_key) = listed.key() else { continue };
            let size = listed.size().and_then(|size| u64::try_from(size).ok()).unwrap_or_default();
            bar.inc_length(size);
            let weight = u32::try_from(size >> 20).unwrap_or(LARGE).clamp(1, LARGE);
            let slot = Arc::clone(&slots).acquire_many_owned(weight).await;
            while let Some(outcome) = deliveries.try_join_next() {
                end(outcome);
            }
            let object = Location { bucket: bucket.clone(), object_key: object_key.to_owned() };
            let (bridge, bar) = (Arc::clone(&bridge), bar.clone());
            deliveries.spawn(async move {
                let sending = Arc::new(AtomicU64::new(0));
                let observers = Observers { sending: adding(&bar, &sending), verifying: Arc::new(|_, _| {}) };
                let outcome = Box::pin(bridge.deliver(&object, observers)).await;
                bar.inc(size.saturating_sub(sending.load(Ordering::Relaxed)));
                drop(slot);
                (object, outcome)
            });
        }
    }
    while let Some(outcome) = deliveries.join_next().await {
        end(outcome);
    }
    Ok(())
}

/// Adds what one file has gained to the bar of all.
fn adding(bar: &ProgressBar, so_far: &Arc<AtomicU64>) -> OnProgress {
    let (bar, so_far) = (bar.clone(), Arc::clone(so_far));
    Arc::new(move |done, _| {
        let before = so_far.fetch_max(done, Ordering::Relaxed);
        bar.inc(done.saturating_sub(before));
    })
}

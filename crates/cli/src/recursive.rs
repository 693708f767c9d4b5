//! `deliver --recursive`: all objects below a prefix, many in flight on one connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_s3::operation::list_objects_v2::builders::ListObjectsV2FluentBuilder;
use aws_sdk_s3::types::Object;
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
    let list = bridge.s3().list_objects_v2().bucket(bucket).prefix(object_key);
    let (mut total, mut counting) = (Total::default(), JoinSet::new());
    let mut pages = list.clone().into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| {
            let words = aws::in_words(&error);
            ErrorName::ObjectUnreadable.error(format!("listing {prefix}: {words}; it takes s3:ListBucket"))
        })?;
        total.add(page.contents(), bar);
        if counting.is_empty() {
            let after = page.next_continuation_token().map(str::to_owned);
            counting.spawn(count(list.clone(), after, total, bar.clone()));
        }
        for listed in page.contents() {
            let Some(object_key) = listed.key() else { continue };
            let size = size(listed);
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

/// What was listed so far.
#[derive(Clone, Copy, Default)]
struct Total {
    objects: usize,
    bytes: u64,
}

impl Total {
    /// The bar is at least as long. Two listings get along: each begins with what the other one has seen, too.
    fn add(&mut self, objects: &[Object], bar: &ProgressBar) {
        self.objects += objects.len();
        self.bytes += objects.iter().map(size).sum::<u64>();
        bar.update(|state| state.set_len(state.len().unwrap_or_default().max(self.bytes)));
    }
}

/// Counts what comes after the first page, in a task of its own. The listing that is delivered from waits for deliveries,
/// page by page, so that no more than a page of keys is held; a second one that holds nothing tells how much is to come.
async fn count(list: ListObjectsV2FluentBuilder, after: Option<String>, mut total: Total, bar: ProgressBar) {
    if after.is_some() {
        let mut pages = list.set_continuation_token(after).into_paginator().send();
        while let Some(page) = pages.next().await {
            // The other listing says what is wrong.
            let Ok(page) = page else { return };
            total.add(page.contents(), &bar);
        }
    }
    tracing::info!(objects = total.objects, bytes = total.bytes, "that is all below the prefix");
}

fn size(object: &Object) -> u64 {
    object.size().and_then(|size| u64::try_from(size).ok()).unwrap_or_default()
}

/// Adds what one file has gained to the bar of all.
fn adding(bar: &ProgressBar, so_far: &Arc<AtomicU64>) -> OnProgress {
    let (bar, so_far) = (bar.clone(), Arc::clone(so_far));
    Arc::new(move |done, _| {
        let before = so_far.fetch_max(done, Ordering::Relaxed);
        bar.inc(done.saturating_sub(before));
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_is_as_long_as_what_either_listing_has_seen() {
        let bar = crate::progress::bar("sending");
        let page = |sizes: &[i64]| -> Vec<Object> {
            sizes.iter().map(|size| Object::builder().size(*size).build()).collect()
        };
        let mut delivered = Total::default();
        delivered.add(&page(&[10, 20]), &bar);
        assert_eq!(bar.length(), Some(30), "before any of them is sent");
        let mut counted = delivered;
        counted.add(&page(&[40]), &bar);
        counted.add(&page(&[]), &bar);
        assert_eq!((bar.length(), counted.objects), (Some(70), 3));
        delivered.add(&page(&[40]), &bar);
        assert_eq!(bar.length(), Some(70), "nothing is counted twice");
        // Uploaded after it was counted.
        delivered.add(&page(&[5]), &bar);
        assert_eq!(bar.length(), Some(75));
    }
}

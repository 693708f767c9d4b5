//! Lists the objects below a prefix, page by page, and counts them ahead.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::operation::list_objects_v2::builders::ListObjectsV2FluentBuilder;
use aws_sdk_s3::types::EncodingType;
use bridge::{AfterDelivery, Result, Settings};
use indicatif::ProgressBar;
use tokio::task::JoinHandle;

use crate::deliver::listing::{self, ListedObject};
use crate::location::Location;

/// How long to wait for the counting of objects that are not tried.
const COUNTING: Duration = Duration::from_secs(20);

/// The totals of the listing that is further.
pub(super) struct Totals {
    objects: AtomicUsize,
    moved: AtomicUsize,
    /// `S3_MOVE_PREFIX`, if delivered objects are moved. Objects below it were delivered.
    moved_to: Option<String>,
}

impl Totals {
    pub(super) fn new(settings: &Settings) -> Self {
        let moved_to = match &settings.after_delivery {
            AfterDelivery::Move { prefix } => Some(prefix.clone()),
            _ => None,
        };
        Self { objects: AtomicUsize::default(), moved: AtomicUsize::default(), moved_to }
    }

    /// The number of objects to deliver that were listed.
    pub(super) fn objects(&self) -> usize {
        self.objects.load(Ordering::Relaxed)
    }

    /// The number of objects below `S3_MOVE_PREFIX` that were listed.
    pub(super) fn moved(&self) -> usize {
        self.moved.load(Ordering::Relaxed)
    }

    fn is_moved(&self, object: &ListedObject) -> bool {
        self.moved_to.as_deref().is_some_and(|prefix| object.object_key.starts_with(prefix))
    }
}

/// What one listing has seen so far.
#[derive(Clone, Copy, Default)]
struct Seen {
    objects: usize,
    moved: usize,
    bytes: u64,
}

impl Seen {
    /// Adds a page, and raises the totals and the length of the bar to what this listing has seen.
    fn add(&mut self, page: &ListObjectsV2Output, totals: &Totals, bar: &ProgressBar) {
        for object in listing::objects(page) {
            if totals.is_moved(&object) {
                self.moved += 1;
            } else {
                self.objects += 1;
                self.bytes += object.size;
            }
        }
        totals.objects.fetch_max(self.objects, Ordering::Relaxed);
        totals.moved.fetch_max(self.moved, Ordering::Relaxed);
        bar.update(|state| state.set_len(state.len().unwrap_or_default().max(self.bytes)));
    }
}

/// Lists page by page, so that memory holds one page of keys. A second listing keeps no keys: it runs ahead, and counts.
pub(super) struct Lister {
    list: ListObjectsV2FluentBuilder,
    prefix: Location,
    /// Where the next page begins. `None` for the first one.
    token: Option<String>,
    has_more: bool,
    seen: Seen,
    totals: Arc<Totals>,
    bar: ProgressBar,
    counting: Option<JoinHandle<()>>,
    is_counted: Arc<AtomicBool>,
}

impl Lister {
    pub(super) fn new(
        s3: &aws_sdk_s3::Client,
        prefix: &Location,
        totals: Arc<Totals>,
        bar: ProgressBar,
    ) -> Self {
        let list = s3.list_objects_v2().bucket(&prefix.bucket).prefix(&prefix.object_key);
        Self {
            // XML cannot hold every character of a key.
            list: list.encoding_type(EncodingType::Url),
            prefix: prefix.clone(),
            token: None,
            has_more: true,
            seen: Seen::default(),
            totals,
            bar,
            counting: None,
            is_counted: Arc::default(),
        }
    }

    /// The next page's objects to deliver. `None` at the end.
    pub(super) async fn page(&mut self) -> Result<Option<Vec<ListedObject>>> {
        if !self.has_more {
            return Ok(None);
        }
        let page = self.list.clone().set_continuation_token(self.token.clone()).send().await;
        let page = page.map_err(|error| listing::failed(&self.prefix, &error))?;
        self.seen.add(&page, &self.totals, &self.bar);
        self.token = page.next_continuation_token().map(str::to_owned);
        self.has_more = page.is_truncated() == Some(true) && self.token.is_some();
        if self.counting.is_none() {
            self.counting = Some(self.count_ahead());
        }
        Ok(Some(listing::objects(&page).filter(|object| !self.totals.is_moved(object)).collect()))
    }

    /// Starts the second listing after the first page.
    fn count_ahead(&self) -> JoinHandle<()> {
        let (list, seen, bar) = (self.list.clone(), self.seen, self.bar.clone());
        let (totals, is_counted) = (Arc::clone(&self.totals), Arc::clone(&self.is_counted));
        let after = self.token.clone().filter(|_| self.has_more);
        tokio::spawn(async move {
            is_counted.store(count(list, after, seen, &totals, &bar).await, Ordering::Relaxed);
        })
    }

    /// Waits for the second listing. Returns whether it reached the end.
    pub(super) async fn is_counted(&mut self) -> bool {
        match self.counting.take() {
            Some(counting) => {
                let _ = tokio::time::timeout(COUNTING, counting).await;
                self.is_counted.load(Ordering::Relaxed)
            }
            None => !self.has_more,
        }
    }
}

impl Drop for Lister {
    fn drop(&mut self) {
        if let Some(counting) = &self.counting {
            counting.abort();
        }
    }
}

/// Counts the objects after the first page. Returns whether it reached the end.
async fn count(
    list: ListObjectsV2FluentBuilder,
    after: Option<String>,
    mut seen: Seen,
    totals: &Totals,
    bar: &ProgressBar,
) -> bool {
    if after.is_some() {
        let mut pages = list.set_continuation_token(after).into_paginator().send();
        while let Some(page) = pages.next().await {
            // The first listing reports the error.
            let Ok(page) = page else { return false };
            seen.add(&page, totals, bar);
        }
    }
    tracing::info!(objects = seen.objects, bytes = seen.bytes, "all objects below the prefix are counted");
    true
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::types::Object;

    use super::*;
    use crate::progress;

    fn totals(moved_to: Option<&str>) -> Totals {
        Totals {
            objects: AtomicUsize::default(),
            moved: AtomicUsize::default(),
            moved_to: moved_to.map(str::to_owned),
        }
    }

    #[test]
    fn the_bar_is_as_long_as_what_either_listing_has_seen() {
        let bar = progress::many_files();
        let page = |sizes: &[i64]| {
            let objects = sizes.iter().map(|size| Object::builder().key("k").size(*size).build()).collect();
            ListObjectsV2Output::builder().set_contents(Some(objects)).build()
        };
        let totals = totals(None);
        let mut delivered = Seen::default();
        delivered.add(&page(&[10, 20]), &totals, &bar);
        assert_eq!(bar.length(), Some(30), "before any of them is sent");
        let mut counted = delivered;
        counted.add(&page(&[40]), &totals, &bar);
        counted.add(&page(&[]), &totals, &bar);
        assert_eq!((bar.length(), totals.objects()), (Some(70), 3));
        delivered.add(&page(&[40]), &totals, &bar);
        assert_eq!(bar.length(), Some(70), "nothing is counted twice");
        // Uploaded after it was counted.
        delivered.add(&page(&[5]), &totals, &bar);
        assert_eq!(bar.length(), Some(75));
    }

    #[test]
    fn story_46_what_was_moved_after_its_delivery_is_counted_apart() {
        let totals = totals(Some("delivered/"));
        let object = |key: &str| Object::builder().key(key).size(1).build();
        let mut seen = Seen::default();
        let objects = ["delivered/a", "a", "x/delivered/a"].map(object).into();
        let page = ListObjectsV2Output::builder().set_contents(Some(objects)).build();
        seen.add(&page, &totals, &progress::many_files());
        assert_eq!((seen.objects, seen.moved, seen.bytes), (2, 1, 2));
    }
}

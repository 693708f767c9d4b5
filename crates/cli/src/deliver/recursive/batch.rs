//! `deliver --recursive`: all objects below a prefix, many in flight on one connection.

use std::borrow::Cow;
use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_s3::operation::list_objects_v2::builders::ListObjectsV2FluentBuilder;
use aws_sdk_s3::operation::list_objects_v2::{ListObjectsV2Error, ListObjectsV2Output};
use aws_sdk_s3::types::{EncodingType, Object};
use bridge::{AfterDelivery, Error, ErrorName, OnProgress, Receipt, Result};
use indicatif::ProgressBar;
use percent_encoding::percent_decode_str;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinHandle, JoinSet};

use super::open_files::Places;
use crate::deliver::progress;
use crate::deliver::runner::{Bridge, Delivery, Observers};
use crate::location::Location;
use crate::stop::Stop;

/// Small files at once, or an eighth as many large ones.
const AT_ONCE: usize = 32;
/// A file counts as one for each MiB, up to eight.
const LARGE: u32 = 8;
/// How often a lost connection is made again for one file, and the first of the growing pauses before that.
const RETRIES: u32 = 4;
const PAUSE: Duration = Duration::from_secs(1);
/// How long to wait for the number of objects that were not tried.
const COUNTING: Duration = Duration::from_secs(20);

/// What became of all of them.
pub(crate) struct Summary {
    /// Objects that were found, those that were passed over among them.
    pub(crate) found: usize,
    /// Copies that earlier deliveries have moved below `S3_MOVE_PREFIX`.
    pub(crate) moved: usize,
    /// Deliveries that were begun and did not end.
    pub(crate) cut_off: usize,
    pub(crate) end: End,
}

/// Why the run ended.
pub(crate) enum End {
    /// All were tried.
    All,
    /// The listing broke off.
    Listing(Error),
    /// The partner is out of reach, or refuses what no other try cures.
    Partner { error: Error, not_tried: NotTried },
    /// It was stopped.
    Stopped,
}

/// How many objects are left.
#[derive(Default)]
pub(crate) struct NotTried {
    pub(crate) objects: usize,
    /// Whether there may be more.
    pub(crate) at_least: bool,
}

/// What the deliveries share.
struct Run {
    bridge: Arc<Bridge>,
    bar: ProgressBar,
    places: Arc<Places>,
    total: Arc<Total>,
    /// How many have ended well; who fails for a lost connection looks whether others got through meanwhile.
    successes: AtomicUsize,
    ended: AtomicUsize,
    /// The partner refuses, or is gone: no further object is tried.
    hopeless: Mutex<Option<Error>>,
}

type Outcome = (Location, Result<Receipt>);

/// Delivers all objects below `prefix`; `ended` hears of each as it ends. One that fails does not stop the others, and
/// nothing cuts off those that are under way but a [`Stop`].
pub(crate) async fn run(
    bridge: Arc<Bridge>,
    prefix: &Location,
    stop: &Stop,
    bar: &ProgressBar,
    mut ended: impl FnMut(&Location, &Result<Receipt>),
) -> Summary {
    let Location { bucket, object_key } = prefix;
    // XML cannot hold every key as it is.
    let list =
        bridge.s3().list_objects_v2().bucket(bucket).prefix(object_key).encoding_type(EncodingType::Url);
    let total = Arc::new(Total::new(&bridge));
    let mut lister = Lister::new(list, Arc::clone(&total), bar.clone());
    let mut deliveries: JoinSet<Outcome> = JoinSet::new();
    let mut tried = 0;
    let mut run = None;
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let mut end = loop {
        let objects = tokio::select! {
            page = lister.page(prefix) => match page {
                Ok(Some(objects)) => objects,
                Ok(None) => break End::All,
                Err(error) => break End::Listing(error),
            },
            () = stop.wanted() => break End::Stopped,
        };
        let deliver = async {
            for (object_key, size) in objects {
                if run.is_none() {
                    run = Some(Box::pin(Run::start(&bridge, bar, &total)).await?);
                }
                let Some(run) = &run else { continue };
                let slot = slot(&slots, size).await;
                while let Some(outcome) = deliveries.try_join_next() {
                    tell(outcome, &mut ended);
                }
                run.hope()?;
                let object = Location { bucket: bucket.clone(), object_key };
                deliveries.spawn(Arc::clone(run).deliver(object, size, slot));
                tried += 1;
            }
            Ok::<(), Error>(())
        };
        tokio::select! {
            outcome = deliver => match outcome {
                Ok(()) => {}
                Err(error) => break End::Partner { error, not_tried: NotTried::default() },
            },
            () = stop.wanted() => break End::Stopped,
        }
    };
    let cut_off = finish(&mut deliveries, stop, &mut ended).await;
    if let End::Partner { not_tried, .. } = &mut end {
        not_tried.at_least = !lister.counted().await;
        not_tried.objects = total.objects.load(Ordering::Relaxed).saturating_sub(tried);
    }
    let (found, moved) = (total.objects.load(Ordering::Relaxed), total.moved.load(Ordering::Relaxed));
    Summary { found: found + moved, moved, cut_off, end }
}

fn tell(
    outcome: std::result::Result<Outcome, tokio::task::JoinError>,
    ended: &mut impl FnMut(&Location, &Result<Receipt>),
) {
    // A delivery that is cut off by a panic takes the process with it: there is no other way to lose one.
    if let Ok((object, outcome)) = outcome {
        ended(&object, &outcome);
    }
}

/// Waits for those that are under way. Returns how many were cut off because they took too long after a stop.
async fn finish(
    deliveries: &mut JoinSet<Outcome>,
    stop: &Stop,
    ended: &mut impl FnMut(&Location, &Result<Receipt>),
) -> usize {
    let mut due = std::pin::pin!(stop.due());
    loop {
        tokio::select! {
            outcome = deliveries.join_next() => match outcome {
                Some(outcome) => tell(outcome, ended),
                None => return 0,
            },
            () = &mut due => {
                let cut_off = deliveries.len();
                deliveries.shutdown().await;
                return cut_off;
            }
        }
    }
}

async fn slot(slots: &Arc<Semaphore>, size: u64) -> OwnedSemaphorePermit {
    let weight = u32::try_from(size >> 20).unwrap_or(LARGE).clamp(1, LARGE);
    match Arc::clone(slots).acquire_many_owned(weight).await {
        Ok(slot) => slot,
        // Nobody closes it.
        Err(_) => pending().await,
    }
}

impl Run {
    /// Logs in once: what the partner refuses is refused once and not for each file.
    async fn start(bridge: &Arc<Bridge>, bar: &ProgressBar, total: &Arc<Total>) -> Result<Arc<Self>> {
        let mut tries = 0;
        let announced = loop {
            match bridge.files_at_once().await {
                Ok(announced) => break announced,
                Err(error) if error.name.is_connection_failure() && tries < RETRIES => {
                    pause(tries).await;
                    tries += 1;
                }
                Err(error) => return Err(error),
            }
        };
        let most = announced.unwrap_or(AT_ONCE).clamp(1, AT_ONCE);
        Ok(Arc::new(Self {
            bridge: Arc::clone(bridge),
            bar: bar.clone(),
            places: Places::new(most),
            total: Arc::clone(total),
            successes: AtomicUsize::default(),
            ended: AtomicUsize::default(),
            hopeless: Mutex::default(),
        }))
    }

    /// # Errors
    /// If nothing was listed.
    fn hope(&self) -> Result<()> {
        let hopeless = self.hopeless.lock().unwrap_or_else(PoisonError::into_inner);
        hopeless.clone().map_or(Ok(()), Err)
    }

    fn give_up(&self, error: &Error) {
        let mut hopeless = self.hopeless.lock().unwrap_or_else(PoisonError::into_inner);
        hopeless.get_or_insert_with(|| error.clone());
    }

    /// From the first to the last try of one object.
    async fn deliver(self: Arc<Self>, object: Location, size: u64, slot: OwnedSemaphorePermit) -> Outcome {
        progress::begun(&self.bar, &object.object_key);
        let sending = Arc::new(AtomicU64::new(0));
        let observers = Observers { sending: adding(&self.bar, &sending), verifying: Arc::new(|_, _| {}) };
        let mut delivery = self.bridge.delivery(&object, observers).await;
        let outcome = Box::pin(self.try_repeatedly(&mut delivery)).await;
        delivery.settle(&outcome).await;
        self.bar.inc(size.saturating_sub(sending.load(Ordering::Relaxed)));
        let ended = self.ended.fetch_add(1, Ordering::Relaxed) + 1;
        progress::count(&self.bar, ended, self.total.objects.load(Ordering::Relaxed));
        drop(slot);
        (object, outcome)
    }

    /// What passes by itself is tried again: one cut connection must not fail all files that were under way.
    async fn try_repeatedly(&self, delivery: &mut Delivery<'_>) -> Result<Receipt> {
        let mut losses = 0;
        let successes = self.successes.load(Ordering::Relaxed);
        loop {
            let place = self.places.take().await;
            let error = match delivery.run().await {
                Ok(receipt) => {
                    self.successes.fetch_add(1, Ordering::Relaxed);
                    return Ok(receipt);
                }
                Err(error) => error,
            };
            if is_final_for_all(error.name) {
                self.give_up(&error);
                return Err(error);
            }
            if error.name.is_connection_failure() {
                drop(place);
                if losses == RETRIES {
                    // Nobody got through in all that time.
                    if self.successes.load(Ordering::Relaxed) == successes {
                        self.give_up(&error);
                    }
                    return Err(error);
                }
                // Somebody else has found out meanwhile.
                self.hope()?;
                pause(losses).await;
                losses += 1;
            } else if is_refused_open(&error) {
                if !place.was_refused() {
                    return Err(error);
                }
                tracing::warn!(%error, "the server may limit how many files are open: going on with fewer");
            } else {
                return Err(error);
            }
        }
    }
}

/// What holds for each object, and is not cured by another try.
fn is_final_for_all(name: ErrorName) -> bool {
    matches!(
        name,
        ErrorName::AuthenticationRejected | ErrorName::HostKeyMismatch | ErrorName::NoCommonAlgorithm
    )
}

/// Servers say FAILURE when they hold too many files open.
fn is_refused_open(error: &Error) -> bool {
    error.name == ErrorName::RemoteFailure && error.message().contains("open \"")
}

async fn pause(before: u32) {
    let longest = PAUSE * 2u32.pow(before);
    tokio::time::sleep(longest.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
}

/// What was listed so far, by the listing that has got further.
struct Total {
    objects: AtomicUsize,
    moved: AtomicUsize,
    /// What lies below it was delivered: `S3_MOVE_PREFIX`, where it is used.
    moved_to: Option<String>,
}

impl Total {
    fn new(bridge: &Bridge) -> Self {
        let moved_to = match &bridge.settings().after_delivery {
            AfterDelivery::Move { prefix } => Some(prefix.clone()),
            _ => None,
        };
        Self { objects: AtomicUsize::default(), moved: AtomicUsize::default(), moved_to }
    }

    fn is_moved(&self, object_key: &str) -> bool {
        self.moved_to.as_deref().is_some_and(|prefix| object_key.starts_with(prefix))
    }
}

/// How far one of the two listings has got. Each begins with what the other one has seen, too.
#[derive(Clone, Copy, Default)]
struct Seen {
    objects: usize,
    moved: usize,
    bytes: u64,
}

impl Seen {
    /// The totals are at least as large, and so is the bar.
    fn add(&mut self, page: &ListObjectsV2Output, total: &Total, bar: &ProgressBar) {
        for object in page.contents() {
            if key(object, page.encoding_type()).is_some_and(|key| total.is_moved(&key)) {
                self.moved += 1;
            } else {
                self.objects += 1;
                self.bytes += size(object);
            }
        }
        total.objects.fetch_max(self.objects, Ordering::Relaxed);
        total.moved.fetch_max(self.moved, Ordering::Relaxed);
        bar.update(|state| state.set_len(state.len().unwrap_or_default().max(self.bytes)));
    }
}

/// Lists page by page, so that no more than a page of keys is held. A second listing that holds nothing runs ahead and
/// counts what is to come.
struct Lister {
    list: ListObjectsV2FluentBuilder,
    /// Where the next page begins; `None` for the first one.
    token: Option<String>,
    has_more: bool,
    seen: Seen,
    total: Arc<Total>,
    bar: ProgressBar,
    counting: Option<JoinHandle<()>>,
    is_counted: Arc<AtomicBool>,
}

impl Lister {
    fn new(list: ListObjectsV2FluentBuilder, total: Arc<Total>, bar: ProgressBar) -> Self {
        let (token, has_more, seen) = (None, true, Seen::default());
        Self { list, token, has_more, seen, total, bar, counting: None, is_counted: Arc::default() }
    }

    /// Keys and sizes of the next page's objects that are to be delivered; `None` at the end.
    async fn page(&mut self, prefix: &Location) -> Result<Option<Vec<(String, u64)>>> {
        if !self.has_more {
            return Ok(None);
        }
        let page = self.list.clone().set_continuation_token(self.token.clone()).send().await;
        let page = page.map_err(|error| listing_failed(prefix, &error))?;
        self.seen.add(&page, &self.total, &self.bar);
        self.token = page.next_continuation_token().map(str::to_owned);
        self.has_more = page.is_truncated() == Some(true) && self.token.is_some();
        if self.counting.is_none() {
            let (list, after, seen) = (self.list.clone(), self.token.clone(), self.seen);
            let (total, bar, is_counted) =
                (Arc::clone(&self.total), self.bar.clone(), Arc::clone(&self.is_counted));
            let after = after.filter(|_| self.has_more);
            self.counting = Some(tokio::spawn(async move {
                is_counted.store(count(list, after, seen, &total, &bar).await, Ordering::Relaxed);
            }));
        }
        let encoding = page.encoding_type();
        let keys = page.contents().iter().filter_map(|object| Some((key(object, encoding)?, size(object))));
        Ok(Some(keys.filter(|(key, _)| !self.total.is_moved(key)).collect()))
    }

    /// Waits for the other listing; returns whether it got to its end.
    async fn counted(&mut self) -> bool {
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

/// Counts what comes after the first page. Returns whether it got to the end.
async fn count(
    list: ListObjectsV2FluentBuilder,
    after: Option<String>,
    mut seen: Seen,
    total: &Total,
    bar: &ProgressBar,
) -> bool {
    if after.is_some() {
        let mut pages = list.set_continuation_token(after).into_paginator().send();
        while let Some(page) = pages.next().await {
            // The other listing says what is wrong.
            let Ok(page) = page else { return false };
            seen.add(&page, total, bar);
        }
    }
    tracing::info!(objects = seen.objects, bytes = seen.bytes, "that is all below the prefix");
    true
}

/// A failed listing in words.
pub(crate) fn listing_failed(prefix: &Location, error: &ListingError) -> Error {
    if error.code() == Some("NoSuchBucket") {
        return ErrorName::ObjectUnreadable.error(format!("the bucket {:?} does not exist", prefix.bucket));
    }
    let words = aws::in_words(error);
    ErrorName::ObjectUnreadable.error(format!("listing {prefix}: {words}; it takes s3:ListBucket"))
}

type ListingError = SdkError<ListObjectsV2Error, HttpResponse>;

/// As it was before it was encoded for the listing, which not every store does. A plus sign is a space there.
fn key(object: &Object, encoding: Option<&EncodingType>) -> Option<String> {
    let key = object.key()?;
    match encoding {
        Some(EncodingType::Url) => {
            percent_decode_str(&key.replace('+', " ")).decode_utf8().ok().map(Cow::into_owned)
        }
        _ => Some(key.to_owned()),
    }
}

/// Of a listing.
pub(crate) fn first_key(page: &ListObjectsV2Output) -> Option<String> {
    key(page.contents().first()?, page.encoding_type())
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

    fn total(moved_to: Option<&str>) -> Total {
        Total {
            objects: AtomicUsize::default(),
            moved: AtomicUsize::default(),
            moved_to: moved_to.map(str::to_owned),
        }
    }

    #[test]
    fn the_bar_is_as_long_as_what_either_listing_has_seen() {
        let bar = progress::many_files();
        let page = |sizes: &[i64]| {
            let objects = sizes.iter().map(|size| Object::builder().size(*size).build()).collect();
            ListObjectsV2Output::builder().set_contents(Some(objects)).build()
        };
        let total = total(None);
        let mut delivered = Seen::default();
        delivered.add(&page(&[10, 20]), &total, &bar);
        assert_eq!(bar.length(), Some(30), "before any of them is sent");
        let mut counted = delivered;
        counted.add(&page(&[40]), &total, &bar);
        counted.add(&page(&[]), &total, &bar);
        assert_eq!((bar.length(), total.objects.load(Ordering::Relaxed)), (Some(70), 3));
        delivered.add(&page(&[40]), &total, &bar);
        assert_eq!(bar.length(), Some(70), "nothing is counted twice");
        // Uploaded after it was counted.
        delivered.add(&page(&[5]), &total, &bar);
        assert_eq!(bar.length(), Some(75));
    }

    #[test]
    fn a_key_is_what_it_was_before_it_was_encoded_for_the_listing() {
        let object = Object::builder().key("in/a+b%2Bc%252B%0A%C3%BC").build();
        assert_eq!(key(&object, Some(&EncodingType::Url)).as_deref(), Some("in/a b+c%2B\nü"));
        assert_eq!(key(&object, None).as_deref(), object.key());
    }

    #[test]
    fn story_46_what_was_moved_after_its_delivery_is_counted_apart() {
        let total = total(Some("delivered/"));
        let object = |key: &str| Object::builder().key(key).size(1).build();
        let mut seen = Seen::default();
        let objects = ["delivered/a", "a", "x/delivered/a"].map(object).into();
        let page = ListObjectsV2Output::builder().set_contents(Some(objects)).build();
        seen.add(&page, &total, &progress::many_files());
        assert_eq!((seen.objects, seen.moved, seen.bytes), (2, 1, 2));
    }
}

//! Reads the bytes of a pinned object in order, from any offset.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use bridge::{Error, ErrorName, PinnedObject, Result};
use bytes::{Buf as _, Bytes};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::error::CallError;
use crate::etag::quoted;
use crate::object::unreadable::{missing, unreadable};

/// Reads the pinned version in order. If a body breaks off, the reader requests the rest.
///
/// It begins with one request for the whole object. If S3 is slower than the server (one connection to S3 carries about
/// 90 MB/s), it continues with ranges that it fetches in parallel. Only these are kept in memory, at most `STREAMS_MAX`
/// times `RANGE` bytes.
pub struct ObjectReader {
    s3: Client,
    object: Arc<PinnedObject>,
    /// The offset of the next bytes.
    offset: u64,
    head: Source,
    /// The ranges after the head, in order.
    ahead: VecDeque<Source>,
    /// The end of the last range that was requested.
    asked: u64,
    fetching: JoinSet<()>,
    streams: usize,
    streams_max: usize,
    pace: Pace,
    /// Bytes that were read but not returned yet.
    kept: Option<Bytes>,
}

/// Size of a range, in bytes. A whole range is kept in memory.
const RANGE: u64 = 4 * 1024 * 1024;
/// Maximum number of parallel requests.
const STREAMS_MAX: usize = 3;
/// The pace is judged after this many bytes, if the server is distant. The first ones fill the windows of the connection
/// at the pace of S3, which says nothing about the pace of the server.
const JUDGED_AFTER_FAR: u64 = 16 * 1024 * 1024;
/// Rate above which parallel requests do not help, in bytes per second.
const FAST: f64 = 200e6;
/// Maximum number of consecutive bodies that break off without a single byte.
const BROKEN_BODIES_MAX: u32 = 3;

enum Source {
    Direct(Range),
    /// Fetched by a task, up to an offset.
    Fetched(mpsc::UnboundedReceiver<std::result::Result<Bytes, Unread>>, u64),
}

/// Why a range was not read.
enum Unread {
    /// The store returned the whole object.
    RangesIgnored,
    Failed(Error),
}

impl From<Error> for Unread {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// How long the caller waits for the reader.
struct Pace {
    judged_after: u64,
    since: Instant,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    fn start(judged_after: u64) -> Self {
        Self { judged_after, since: Instant::now(), waited: Duration::ZERO, bytes: 0 }
    }

    /// Whether S3 is the bottleneck. `None` until enough bytes were read to tell.
    fn is_slow(&self) -> Option<bool> {
        (self.bytes >= self.judged_after).then(|| {
            let elapsed = self.since.elapsed();
            let rate = self.bytes as f64 / elapsed.as_secs_f64().max(1e-6);
            rate < FAST && self.waited > elapsed / 2
        })
    }
}

impl ObjectReader {
    /// From `offset` to the end.
    pub fn new(s3: &Client, object: &PinnedObject, offset: u64) -> Self {
        let object = Arc::new(object.clone());
        let head = Range::new(s3, &object, offset, object.size);
        Self {
            s3: s3.clone(),
            asked: object.size,
            object,
            offset,
            head: Source::Direct(head),
            ahead: VecDeque::new(),
            fetching: JoinSet::new(),
            streams: 1,
            streams_max: STREAMS_MAX,
            pace: Pace::start(RANGE),
            kept: None,
        }
    }

    /// From the beginning, with the body of the response that described the object.
    pub fn with_body(s3: &Client, object: &PinnedObject, body: Option<ByteStream>) -> Self {
        let mut reader = Self::new(s3, object, 0);
        if let Source::Direct(range) = &mut reader.head {
            range.body = body;
        }
        reader
    }

    /// For a server whose large windows take the first bytes at once.
    #[must_use]
    pub fn for_distant_server(mut self) -> Self {
        self.pace.judged_after = JUDGED_AFTER_FAR;
        self
    }

    /// The next bytes. `None` at the end.
    ///
    /// # Errors
    /// `ObjectReadInterrupted`, `ObjectUnreadable`, `ObjectChanged`.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        if let Some(bytes) = self.kept.take() {
            self.offset += bytes.len() as u64;
            return Ok(Some(bytes));
        }
        loop {
            let asked_at = Instant::now();
            let next = match &mut self.head {
                Source::Direct(range) => range.next().await,
                Source::Fetched(bytes, end) => match bytes.recv().await {
                    Some(next) => next.map(Some),
                    None if self.offset == *end => Ok(None),
                    // The task ended early: read the rest without ranges.
                    None => Err(Unread::RangesIgnored),
                },
            };
            self.pace.waited += asked_at.elapsed();
            match next {
                Ok(Some(bytes)) => {
                    self.offset += bytes.len() as u64;
                    self.pace.bytes += bytes.len() as u64;
                    self.adapt();
                    return Ok(Some(bytes));
                }
                // Read the rest with one request.
                Err(Unread::RangesIgnored) => self.fall_back(),
                Err(Unread::Failed(error)) => return Err(error),
                Ok(None) => match self.ahead.pop_front() {
                    Some(source) => {
                        self.head = source;
                        self.fetch_ahead();
                    }
                    None => return Ok(None),
                },
            }
        }
    }

    /// Reads up to `offset` and passes the bytes to `passed`.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub async fn pass(&mut self, offset: u64, mut passed: impl FnMut(&[u8])) -> Result<()> {
        while self.offset < offset {
            let Some(mut bytes) = self.next().await? else { break };
            let beyond = self.offset.saturating_sub(offset);
            if beyond > 0 {
                self.kept = Some(bytes.split_off(bytes.len() - beyond as usize));
                self.offset = offset;
            }
            passed(&bytes);
        }
        Ok(())
    }

    fn adapt(&mut self) {
        let Some(slow) = self.pace.is_slow() else { return };
        self.pace = Pace::start(self.pace.judged_after);
        if !slow || self.streams >= self.streams_max {
            return;
        }
        self.streams += 1;
        // The request for the whole object ends where the first range begins.
        if let Source::Direct(range) = &mut self.head {
            let end = self.offset.saturating_add(RANGE).min(self.object.size);
            if end < range.end {
                range.end = end;
                self.asked = end;
            }
        }
        tracing::debug!(streams = self.streams, offset = self.offset, "fetching ahead");
        self.fetch_ahead();
    }

    fn fetch_ahead(&mut self) {
        while self.ahead.len() + 1 < self.streams && self.asked < self.object.size {
            let end = (self.asked + RANGE).min(self.object.size);
            let mut range = Range::new(&self.s3, &self.object, self.asked, end);
            range.must_be_ranged = true;
            let (sender, receiver) = mpsc::unbounded_channel();
            self.fetching.spawn(async move {
                loop {
                    let next = range.next().await.transpose();
                    let Some(next) = next else { break };
                    let failed = next.is_err();
                    if sender.send(next).is_err() || failed {
                        break;
                    }
                }
            });
            self.ahead.push_back(Source::Fetched(receiver, end));
            self.asked = end;
        }
        while self.fetching.try_join_next().is_some() {}
    }

    fn fall_back(&mut self) {
        self.streams_max = 1;
        self.streams = 1;
        self.ahead.clear();
        self.fetching.abort_all();
        self.asked = self.object.size;
        self.head = Source::Direct(Range::new(&self.s3, &self.object, self.offset, self.object.size));
    }
}

/// A range of the object.
struct Range {
    s3: Client,
    object: Arc<PinnedObject>,
    offset: u64,
    end: u64,
    body: Option<ByteStream>,
    /// Bytes of the body before `offset`.
    skip: u64,
    failures: u32,
    /// Fail if the store returns the whole object instead.
    must_be_ranged: bool,
}

impl Range {
    fn new(s3: &Client, object: &Arc<PinnedObject>, offset: u64, end: u64) -> Self {
        Self {
            s3: s3.clone(),
            object: Arc::clone(object),
            offset,
            end,
            body: None,
            skip: 0,
            failures: 0,
            must_be_ranged: false,
        }
    }

    async fn next(&mut self) -> std::result::Result<Option<Bytes>, Unread> {
        let object = Arc::clone(&self.object);
        let PinnedObject { bucket, object_key, size, .. } = &*object;
        while self.offset < self.end {
            if self.body.is_none() {
                self.open().await?;
            }
            let Some(body) = &mut self.body else { continue };
            match body.next().await {
                Some(Ok(bytes)) if bytes.len() as u64 <= self.skip => self.skip -= bytes.len() as u64,
                Some(Ok(mut bytes)) => {
                    bytes.advance(std::mem::take(&mut self.skip) as usize);
                    self.failures = 0;
                    self.offset += bytes.len() as u64;
                    if self.offset > *size {
                        let message = format!(
                            "s3://{bucket}/{object_key} is longer than the {size} bytes that were pinned"
                        );
                        return Err(ErrorName::ObjectChanged.error(message).into());
                    }
                    // The body may be longer than the range: the request was made before the range had an end.
                    let beyond = self.offset.saturating_sub(self.end) as usize;
                    bytes.truncate(bytes.len() - beyond);
                    return Ok(Some(bytes));
                }
                broken => {
                    self.body = None;
                    self.failures += 1;
                    let problem = match broken {
                        Some(Err(error)) => error.to_string(),
                        _ => "it ended early".into(),
                    };
                    tracing::warn!(
                        offset = self.offset,
                        problem,
                        "the object's body broke off; requesting the rest"
                    );
                    if self.failures >= BROKEN_BODIES_MAX {
                        let message = format!(
                            "reading s3://{bucket}/{object_key} broke off at byte {} of {size}, {} times: {problem}",
                            self.offset, self.failures
                        );
                        return Err(ErrorName::ObjectReadInterrupted.error(message).into());
                    }
                }
            }
        }
        Ok(None)
    }

    async fn open(&mut self) -> std::result::Result<(), Unread> {
        let PinnedObject { bucket, object_key, etag, version_id, size, .. } = &*self.object;
        let request = self.s3.get_object().bucket(bucket).key(object_key).set_version_id(version_id.clone());
        let request = request.if_match(quoted(etag));
        let whole = self.offset == 0 && self.end == *size;
        let range = (!whole).then(|| format!("bytes={}-{}", self.offset, self.end - 1));
        match request.set_range(range).send().await {
            Ok(object) => {
                // Some S3-compatible stores ignore a range and return the whole object (MiniStack with a version id).
                let ranged = object.content_range.is_some();
                if self.must_be_ranged && !ranged {
                    return Err(Unread::RangesIgnored);
                }
                self.skip = if ranged { 0 } else { self.offset };
                self.body = Some(object.body);
                Ok(())
            }
            Err(error) => Err(match CallError::of(&error) {
                failed if failed.status == Some(412) => ErrorName::ObjectChanged
                    .error(format!("s3://{bucket}/{object_key} changed while it was read: {failed}")),
                failed if failed.status == Some(404) => missing(bucket, object_key, version_id.as_deref()),
                failed => unreadable(bucket, object_key, &failed),
            }
            .into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_judged_after_the_windows_are_full() {
        let second = Duration::from_secs(1);
        let after = |judged_after, bytes, waited| {
            Pace { judged_after, since: Instant::now() - second, waited, bytes }.is_slow()
        };
        for judged_after in [RANGE, JUDGED_AFTER_FAR] {
            assert_eq!(after(judged_after, judged_after - 1, second), None);
            assert_eq!(after(judged_after, judged_after, second * 9 / 10), Some(true));
            assert_eq!(after(judged_after, judged_after, second / 3), Some(false), "the server is slower");
            assert_eq!(after(judged_after, 400_000_000, second * 9 / 10), Some(false), "S3 is fast");
        }
    }
}

//! The record bucket: keys that answer by a listing, and single records.

use bridge::{CollectReceiptKey, DayCollectReceiptKey, DayReceiptKey, FailureKey, FailureState, ReceiptKey};
use serde_json::Value;

use super::listing::Listing;
use super::problem::Problem;

/// The record bucket of a stack.
#[derive(Clone)]
pub(crate) struct Records {
    s3: aws_sdk_s3::Client,
    bucket: String,
}

/// Keys of one kind below a prefix, page by page.
pub(crate) struct Keys<K> {
    listing: Listing,
    parse: fn(&str) -> Option<K>,
}

impl<K> Keys<K> {
    /// The next page; `None` at the end. A page may be empty: keys of another kind are left out.
    pub(crate) async fn page(&mut self) -> Result<Option<Vec<K>>, Problem> {
        let page = self.listing.page().await?;
        Ok(page.map(|page| page.iter().filter_map(|object| (self.parse)(&object.object_key)).collect()))
    }
}

impl Records {
    pub(crate) fn new(s3: aws_sdk_s3::Client, bucket: &str) -> Self {
        Self { s3, bucket: bucket.to_owned() }
    }

    pub(crate) fn bucket(&self) -> &str {
        &self.bucket
    }

    /// Failures of all objects whose keys begin so.
    pub(crate) fn failures(&self, state: FailureState, object_prefix: &str) -> Keys<FailureKey> {
        self.keys(&FailureKey::below(state, object_prefix), FailureKey::parse)
    }

    /// Failures of this object. Those of objects whose keys continue with a slash may be among them.
    pub(crate) fn failures_of_object(&self, state: FailureState, object_key: &str) -> Keys<FailureKey> {
        self.keys(&format!("{}/", FailureKey::prefix(state, object_key)), FailureKey::parse)
    }

    /// Receipts of all objects whose keys begin so.
    pub(crate) fn receipts(&self, object_prefix: &str) -> Keys<ReceiptKey> {
        self.keys(&ReceiptKey::below(object_prefix), ReceiptKey::parse)
    }

    /// Receipts of this object. Those of objects whose keys continue with a slash may be among them.
    pub(crate) fn receipts_of_object(&self, object_key: &str) -> Keys<ReceiptKey> {
        self.keys(&format!("{}/", ReceiptKey::prefix(object_key)), ReceiptKey::parse)
    }

    /// Receipts of a day, `2026-11-27`, in order of time.
    pub(crate) fn receipts_of_day(&self, day: &str) -> Keys<DayReceiptKey> {
        self.keys(&DayReceiptKey::prefix(day), DayReceiptKey::parse)
    }

    /// Receipts of the day of this moment, which is RFC 3339 in UTC, from that moment on.
    pub(crate) fn receipts_from(&self, moment: &str) -> Keys<DayReceiptKey> {
        let day = moment.get(..10).unwrap_or_default();
        let Keys { listing, parse } = self.receipts_of_day(day);
        Keys { listing: listing.after(&DayReceiptKey::before(moment)), parse }
    }

    /// Receipts of collections of a day, in order of time.
    pub(crate) fn collected_on(&self, day: &str) -> Keys<DayCollectReceiptKey> {
        self.keys(&DayCollectReceiptKey::prefix(day), DayCollectReceiptKey::parse)
    }

    /// Receipts of collections of the day of this moment, from that moment on.
    pub(crate) fn collected_from(&self, moment: &str) -> Keys<DayCollectReceiptKey> {
        let Keys { listing, parse } = self.collected_on(moment.get(..10).unwrap_or_default());
        Keys { listing: listing.after(&DayCollectReceiptKey::before(moment)), parse }
    }

    /// Receipts of the collections of this file, `sftp://HOST/PATH`, of every size and time.
    pub(crate) fn collections_of_file(&self, url: &str) -> Keys<CollectReceiptKey> {
        self.keys(&CollectReceiptKey::prefix(url), CollectReceiptKey::parse)
    }

    fn keys<K>(&self, prefix: &str, parse: fn(&str) -> Option<K>) -> Keys<K> {
        Keys { listing: Listing::new(&self.s3, &self.bucket, prefix), parse }
    }

    /// One record. `None` if it is gone: a record moves when its failure is settled, and old ones expire.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<Value>, Problem> {
        let Some(record) = self.text(key).await? else { return Ok(None) };
        let location = format!("s3://{}/{key}", self.bucket);
        let record = serde_json::from_str(&record);
        record.map(Some).map_err(|_| Problem::Failed(format!("reading {location}: it is not JSON")))
    }

    /// An object of the record bucket. `None` if it is not there.
    pub(crate) async fn text(&self, key: &str) -> Result<Option<String>, Problem> {
        let location = format!("s3://{}/{key}", self.bucket);
        let object = match self.s3.get_object().bucket(&self.bucket).key(key).send().await {
            Ok(object) => object,
            Err(error) if aws::CallError::of(&error).status == Some(404) => return Ok(None),
            Err(error) => {
                return Err(Problem::of_call(&format!("reading {location}"), "s3:GetObject", &error));
            }
        };
        let broken_off = |error| Problem::Failed(format!("reading {location}: {error}"));
        let bytes = object.body.collect().await.map_err(broken_off)?.into_bytes();
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }
}

//! All keys below a prefix, page by page.

use aws_sdk_s3::Client;
use aws_sdk_s3::types::EncodingType;

use super::problem::Problem;
use crate::listed;

/// An object of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) object_key: String,
    pub(crate) size: u64,
    /// Without quotes.
    pub(crate) etag: String,
    /// Seconds since 1970.
    pub(crate) last_modified: i64,
}

/// A listing in progress.
pub(crate) struct Listing {
    s3: Client,
    bucket: String,
    prefix: String,
    next: Next,
}

enum Next {
    First,
    /// The first page, after this key.
    FirstAfter(String),
    After(String),
    End,
}

impl Listing {
    pub(crate) fn new(s3: &Client, bucket: &str, prefix: &str) -> Self {
        Self { s3: s3.clone(), bucket: bucket.to_owned(), prefix: prefix.to_owned(), next: Next::First }
    }

    /// Without the keys up to this one.
    #[must_use]
    pub(crate) fn after(self, key: &str) -> Self {
        Self { next: Next::FirstAfter(key.to_owned()), ..self }
    }

    /// The next page of up to 1,000 objects; `None` at the end. Keys that are not UTF-8 are left out.
    pub(crate) async fn page(&mut self) -> Result<Option<Vec<Listed>>, Problem> {
        let list = self.s3.list_objects_v2().bucket(&self.bucket).prefix(&self.prefix);
        let list = match std::mem::replace(&mut self.next, Next::End) {
            Next::First => list,
            Next::FirstAfter(key) => list.start_after(key),
            Next::After(token) => list.continuation_token(token),
            Next::End => return Ok(None),
        };
        let page = list.encoding_type(EncodingType::Url).send().await.map_err(|error| {
            let doing = format!("listing s3://{}/{}", self.bucket, self.prefix);
            Problem::of_call(&doing, "s3:ListBucket", &error)
        })?;
        if let Some(token) = page.next_continuation_token() {
            self.next = Next::After(token.to_owned());
        }
        let objects = page.contents().iter().filter_map(|object| {
            Some(Listed {
                object_key: listed::key(object, page.encoding_type())?,
                size: object.size().and_then(|size| u64::try_from(size).ok()).unwrap_or_default(),
                etag: object.e_tag().unwrap_or_default().trim_matches('"').to_owned(),
                last_modified: object.last_modified().map(|time| time.secs()).unwrap_or_default(),
            })
        });
        Ok(Some(objects.collect()))
    }
}

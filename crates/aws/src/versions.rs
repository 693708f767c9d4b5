//! Lists the versions of one object, newest first.

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{EncodingType, ObjectVersion};

use crate::error::CallError;
use crate::listed;

/// Lists the versions of exactly this key, page by page and without delete markers. S3 returns the versions of a key in the
/// order of their uploads, the most recent one first
/// (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html>).
pub(crate) struct Versions<'a> {
    s3: &'a Client,
    bucket: &'a str,
    object_key: &'a str,
    next: Next,
}

enum Next {
    First,
    After { key: String, version_id: Option<String> },
    End,
}

impl<'a> Versions<'a> {
    pub(crate) fn of(s3: &'a Client, bucket: &'a str, object_key: &'a str) -> Self {
        Self { s3, bucket, object_key, next: Next::First }
    }

    /// The next page; `None` at the end. A page may be empty.
    pub(crate) async fn page(&mut self) -> Result<Option<Vec<ObjectVersion>>, CallError> {
        let request = self.s3.list_object_versions().bucket(self.bucket).prefix(self.object_key);
        // XML cannot hold every character that a key may have.
        let request = request.encoding_type(EncodingType::Url);
        let request = match std::mem::replace(&mut self.next, Next::End) {
            Next::First => request,
            Next::After { key, version_id } => request.key_marker(key).set_version_id_marker(version_id),
            Next::End => return Ok(None),
        };
        let page = request.send().await.map_err(|error| CallError::of(&error))?;
        // The key comes before longer keys that begin with it.
        let encoding = page.encoding_type.clone();
        let decoded = |key: &str| listed::decoded(key, encoding.as_ref());
        let next = page.next_key_marker().and_then(decoded);
        if let Some(key) = next.filter(|key| key.as_str() <= self.object_key) {
            let version_id = page.next_version_id_marker().map(str::to_owned);
            self.next = Next::After { key, version_id };
        }
        let of_key = |version: &ObjectVersion| {
            version.key().and_then(decoded).is_some_and(|key| key == self.object_key)
        };
        Ok(Some(page.versions.unwrap_or_default().into_iter().filter(of_key).collect()))
    }
}

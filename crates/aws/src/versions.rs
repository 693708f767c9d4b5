//! Lists the versions of one object, newest first.

use aws_sdk_s3::Client;
use aws_sdk_s3::types::ObjectVersion;

use crate::error::CallError;

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
        let request = match std::mem::replace(&mut self.next, Next::End) {
            Next::First => request,
            Next::After { key, version_id } => request.key_marker(key).set_version_id_marker(version_id),
            Next::End => return Ok(None),
        };
        let page = request.send().await.map_err(|error| CallError::of(&error))?;
        // The key comes before longer keys that begin with it.
        if let Some(key) = page.next_key_marker().filter(|key| *key <= self.object_key) {
            let version_id = page.next_version_id_marker().map(str::to_owned);
            self.next = Next::After { key: key.to_owned(), version_id };
        }
        let of_key = |version: &ObjectVersion| version.key() == Some(self.object_key);
        Ok(Some(page.versions.unwrap_or_default().into_iter().filter(of_key).collect()))
    }
}

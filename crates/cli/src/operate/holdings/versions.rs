//! Listings of versions. They also work for a bucket without versioning: its objects have the version id `null`.

use aws_sdk_s3::Client;
use aws_sdk_s3::operation::list_object_versions::ListObjectVersionsOutput;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{DeleteMarkerEntry, EncodingType, ObjectVersion};

use super::upload::Upload;
use crate::listed;
use crate::operate::problem::Problem;

/// A version of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) content: Content,
    pub(crate) currency: Currency,
}

/// What a version is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Upload(Upload),
    /// The key was deleted at this time, in seconds since 1970.
    Deleted {
        object_key: String,
        at: i64,
    },
}

/// Whether a version is what the key has now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Currency {
    Current,
    Older,
}

/// A listing in progress.
pub(crate) struct Versions {
    s3: Client,
    bucket: String,
    prefix: String,
    next: Next,
}

enum Next {
    First,
    After { key: String, version_id: Option<String> },
    End,
}

impl Versions {
    /// Of all keys that begin with `prefix`.
    pub(crate) fn new(s3: &Client, bucket: &str, prefix: &str) -> Self {
        Self { s3: s3.clone(), bucket: bucket.to_owned(), prefix: prefix.to_owned(), next: Next::First }
    }

    /// The next page; `None` at the end. Keys that are not UTF-8 are left out.
    pub(crate) async fn page(&mut self) -> Result<Option<Vec<Version>>, Problem> {
        let list = self.s3.list_object_versions().bucket(&self.bucket).prefix(&self.prefix);
        let list = match std::mem::replace(&mut self.next, Next::End) {
            Next::First => list,
            Next::After { key, version_id } => list.key_marker(key).set_version_id_marker(version_id),
            Next::End => return Ok(None),
        };
        // XML cannot hold every character of a key.
        let page = list.encoding_type(EncodingType::Url).send().await.map_err(|error| {
            let doing = format!("listing the versions in s3://{}/{}", self.bucket, self.prefix);
            Problem::of_call(&doing, "s3:ListBucketVersions", &error)
        })?;
        if page.is_truncated() == Some(true)
            && let Some(key) =
                page.next_key_marker().and_then(|key| listed::decoded(key, page.encoding_type()))
        {
            self.next = Next::After { key, version_id: page.next_version_id_marker().map(str::to_owned) };
        }
        Ok(Some(versions(&page)))
    }
}

/// The current uploads below a prefix.
pub(crate) struct Uploads {
    versions: Versions,
    /// The last key. A store may repeat it on the next page.
    last: Option<String>,
}

impl Uploads {
    pub(crate) fn new(s3: &Client, bucket: &str, prefix: &str) -> Self {
        Self { versions: Versions::new(s3, bucket, prefix), last: None }
    }

    /// The next page; `None` at the end. A page may be empty.
    pub(crate) async fn page(&mut self) -> Result<Option<Vec<Upload>>, Problem> {
        let Some(versions) = self.versions.page().await? else { return Ok(None) };
        let mut uploads = Vec::new();
        for version in versions {
            if let Version { content: Content::Upload(upload), currency: Currency::Current } = version
                && self.last.as_ref() != Some(&upload.object_key)
            {
                self.last = Some(upload.object_key.clone());
                uploads.push(upload);
            }
        }
        Ok(Some(uploads))
    }
}

fn versions(page: &ListObjectVersionsOutput) -> Vec<Version> {
    let encoding = page.encoding_type();
    let uploads = page.versions().iter().filter_map(|version| {
        let content = Content::Upload(upload(version, encoding)?);
        Some(Version { content, currency: currency(version.is_latest()) })
    });
    let deleted = page.delete_markers().iter().filter_map(|marker| {
        let content = deleted(marker, encoding)?;
        Some(Version { content, currency: currency(marker.is_latest()) })
    });
    uploads.chain(deleted).collect()
}

fn upload(version: &ObjectVersion, encoding: Option<&EncodingType>) -> Option<Upload> {
    let version_id = version.version_id().filter(|id| !id.is_empty() && *id != "null");
    Some(Upload {
        object_key: listed::decoded(version.key()?, encoding)?,
        version_id: version_id.map(str::to_owned),
        etag: version.e_tag().map(|etag| etag.trim_matches('"').to_owned()),
        size: version.size().and_then(|size| u64::try_from(size).ok()).unwrap_or_default(),
        last_modified: seconds(version.last_modified()),
    })
}

fn deleted(marker: &DeleteMarkerEntry, encoding: Option<&EncodingType>) -> Option<Content> {
    let object_key = listed::decoded(marker.key()?, encoding)?;
    Some(Content::Deleted { object_key, at: seconds(marker.last_modified()) })
}

fn currency(is_latest: Option<bool>) -> Currency {
    if is_latest == Some(true) { Currency::Current } else { Currency::Older }
}

fn seconds(time: Option<&DateTime>) -> i64 {
    time.map(DateTime::secs).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn story_212_a_deleted_object_is_not_an_upload_and_null_is_no_version() {
        let version = |key: &str, id: &str, latest| {
            let version = ObjectVersion::builder().key(key).version_id(id).e_tag("\"e\"").size(5);
            version.is_latest(latest).last_modified(DateTime::from_millis(7_900)).build()
        };
        let marker = DeleteMarkerEntry::builder().key("b%20c").version_id("m").is_latest(true).build();
        let page = ListObjectVersionsOutput::builder()
            .encoding_type(EncodingType::Url)
            .versions(version("a", "null", true))
            .versions(version("b%20c", "v1", false))
            .delete_markers(marker)
            .build();
        let found = versions(&page);
        let upload = Upload {
            object_key: "a".into(),
            version_id: None,
            etag: Some("e".into()),
            size: 5,
            last_modified: 7,
        };
        assert_eq!(found[0], Version { content: Content::Upload(upload), currency: Currency::Current });
        assert!(matches!(&found[1], Version { currency: Currency::Older, .. }), "{:?}", found[1]);
        let deleted = Content::Deleted { object_key: "b c".into(), at: 0 };
        assert_eq!(found[2], Version { content: deleted, currency: Currency::Current });
    }
}

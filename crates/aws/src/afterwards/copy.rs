//! Copies a version within its bucket.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bridge::{Deadline, PinnedObject};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::task::JoinSet;

use super::not_done::{NotDone, Result};
use super::tag::{put_tags, tags_of};
use super::version::Address;
use crate::error::CallError;
use crate::etag::quoted;

/// How an object is copied.
#[derive(Clone, Copy, Debug)]
pub struct Copying {
    /// Maximum size that is copied in one request, in bytes. Larger objects are copied in parts.
    pub whole_max: u64,
    /// Size of a part, in bytes. It is increased if there would be too many parts.
    pub part: u64,
}

impl Default for Copying {
    fn default() -> Self {
        // S3 copies at most 5 GiB in one request.
        Self { whole_max: 5 << 30, part: 256 << 20 }
    }
}

/// Maximum number of parts in one upload, by S3's limits.
const PARTS_MAX: u64 = 10_000;

/// Number of parts that are copied at the same time.
const PARTS_AT_ONCE: usize = 8;

/// Maximum time for a request in which S3 copies bytes before it answers.
const COPY_TIMEOUT: Duration = Duration::from_secs(600);

/// The characters that a key in `x-amz-copy-source` has to escape: all except RFC 3986's unreserved ones and slashes.
const COPY_SOURCE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// The version to copy.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) object: &'a PinnedObject,
    pub(super) head: &'a HeadObjectOutput,
    pub(super) address: &'a Address,
}

impl Source<'_> {
    /// Copies the version to this key, with metadata and tags.
    pub(super) async fn copy_to(
        self,
        s3: &Client,
        object_key: &str,
        copying: Copying,
        deadline: Deadline,
    ) -> Result<()> {
        if self.object.size > copying.whole_max {
            self.copy_in_parts(s3, object_key, copying.part, deadline).await
        } else {
            self.copy_whole(s3, object_key).await
        }
    }

    /// `bucket/key?versionId=...`, escaped as `x-amz-copy-source` requires.
    fn header(&self) -> String {
        let version = self.address.version_id().map(|version_id| format!("?versionId={version_id}"));
        let PinnedObject { bucket, object_key, .. } = self.object;
        let object_key = utf8_percent_encode(object_key, COPY_SOURCE);
        format!("{bucket}/{object_key}{}", version.unwrap_or_default())
    }

    async fn copy_whole(self, s3: &Client, object_key: &str) -> Result<()> {
        let Self { object, head, .. } = self;
        let request = s3.copy_object().copy_source(self.header()).copy_source_if_match(quoted(&object.etag));
        let request = request
            .bucket(&object.bucket)
            .key(object_key)
            .set_storage_class(head.storage_class().cloned())
            .set_server_side_encryption(head.server_side_encryption().cloned())
            .set_ssekms_key_id(head.ssekms_key_id().map(str::to_owned));
        let copied = request.customize().config_override(patient()).send().await;
        copied.map(drop).map_err(|error| NotDone::after("CopyObject", &CallError::of(&error)))
    }

    /// CopyObject copies metadata and tags by itself. Here the bridge has to do it.
    async fn copy_in_parts(self, s3: &Client, object_key: &str, part: u64, deadline: Deadline) -> Result<()> {
        let Self { object, address, .. } = self;
        let tags = tags_of(s3, object, address).await?;
        let upload = Upload { s3, source: self, object_key, id: &self.create_upload(s3, object_key).await? };
        let copied = match upload.copy_parts(part, deadline).await {
            Ok(parts) => upload.complete(parts).await,
            Err(error) => Err(error),
        };
        if copied.is_err() {
            upload.abort().await;
        }
        copied?;
        if tags.is_empty() {
            return Ok(());
        }
        let target = PinnedObject { object_key: object_key.to_owned(), version_id: None, ..object.clone() };
        put_tags(s3, &target, &Address::Key, tags).await
    }

    async fn create_upload(&self, s3: &Client, object_key: &str) -> Result<String> {
        let Self { object, head, .. } = self;
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let request = s3.create_multipart_upload().bucket(&object.bucket).key(object_key);
        let request = request
            .set_metadata(head.metadata().cloned())
            .set_content_type(owned(head.content_type()))
            .set_content_encoding(owned(head.content_encoding()))
            .set_content_language(owned(head.content_language()))
            .set_content_disposition(owned(head.content_disposition()))
            .set_cache_control(owned(head.cache_control()))
            .set_storage_class(head.storage_class().cloned())
            .set_server_side_encryption(head.server_side_encryption().cloned())
            .set_ssekms_key_id(owned(head.ssekms_key_id()));
        let created = request.send().await;
        let created =
            created.map_err(|error| NotDone::after("CreateMultipartUpload", &CallError::of(&error)))?;
        Ok(created.upload_id.unwrap_or_default())
    }
}

/// A multipart upload that copies the source to `object_key`.
#[derive(Clone, Copy)]
struct Upload<'a> {
    s3: &'a Client,
    source: Source<'a>,
    object_key: &'a str,
    id: &'a str,
}

impl Upload<'_> {
    async fn copy_parts(&self, part: u64, deadline: Deadline) -> Result<Vec<CompletedPart>> {
        let object = self.source.object;
        let part = part.max(object.size.div_ceil(PARTS_MAX));
        let mut ranges = (0..object.size).step_by(usize::try_from(part).unwrap_or(usize::MAX)).zip(1..);
        let mut copying = JoinSet::new();
        let mut parts = Vec::new();
        loop {
            while copying.len() < PARTS_AT_ONCE
                && let Some((offset, number)) = ranges.next()
            {
                let last = (offset + part).min(object.size) - 1;
                copying.spawn(self.copy_part(number, format!("bytes={offset}-{last}")));
            }
            let late = || NotDone::because("there was not enough time to copy it");
            let next = tokio::time::timeout(deadline.remaining(), copying.join_next()).await;
            let Some(copied) = next.map_err(|_| late())? else { break };
            parts.push(copied.map_err(|error| NotDone::because(error.to_string()))??);
        }
        parts.sort_by_key(CompletedPart::part_number);
        Ok(parts)
    }

    fn copy_part(&self, number: i32, range: String) -> impl Future<Output = Result<CompletedPart>> + use<> {
        let object = self.source.object;
        let request = self.s3.upload_part_copy().bucket(&object.bucket).key(self.object_key);
        let request = request
            .upload_id(self.id)
            .part_number(number)
            .copy_source(self.source.header())
            .copy_source_if_match(quoted(&object.etag))
            .copy_source_range(range)
            .customize()
            .config_override(patient());
        async move {
            let copied = request.send().await;
            let copied = copied.map_err(|error| NotDone::after("UploadPartCopy", &CallError::of(&error)))?;
            let result =
                copied.copy_part_result().ok_or_else(|| NotDone::because("UploadPartCopy: no result"))?;
            Ok(CompletedPart::builder()
                .part_number(number)
                .set_e_tag(result.e_tag().map(str::to_owned))
                .set_checksum_crc64_nvme(result.checksum_crc64_nvme().map(str::to_owned))
                .set_checksum_crc32_c(result.checksum_crc32_c().map(str::to_owned))
                .set_checksum_crc32(result.checksum_crc32().map(str::to_owned))
                .build())
        }
    }

    async fn complete(&self, parts: Vec<CompletedPart>) -> Result<()> {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let request = self.s3.complete_multipart_upload().bucket(&self.source.object.bucket);
        let request = request.key(self.object_key).upload_id(self.id).multipart_upload(parts);
        let completed = request.customize().config_override(patient()).send().await;
        completed.map(drop).map_err(|error| NotDone::after("CompleteMultipartUpload", &CallError::of(&error)))
    }

    /// Removes the parts. Otherwise S3 would store them, and charge for them, without end.
    async fn abort(&self) {
        let request = self.s3.abort_multipart_upload().bucket(&self.source.object.bucket);
        if let Err(error) = request.key(self.object_key).upload_id(self.id).send().await {
            tracing::warn!(error = %CallError::of(&error), "the copied parts could not be removed");
        }
    }
}

/// For requests in which S3 copies bytes before it answers.
fn patient() -> aws_sdk_s3::config::Builder {
    let timeouts = TimeoutConfig::builder().read_timeout(COPY_TIMEOUT).build();
    aws_sdk_s3::Config::builder().timeout_config(timeouts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_of_a_copy_is_one_version_whatever_its_name() {
        let object = PinnedObject {
            bucket: "b".into(),
            object_key: "out/a b+c%2B?ü.txt".into(),
            etag: "e".into(),
            version_id: None,
            size: 1,
            last_modified: None,
            checksum: None,
            hash: None,
        };
        let head = HeadObjectOutput::builder().build();
        let header = |address: &Address| Source { object: &object, head: &head, address }.header();
        let version = Address::Version { id: "v".into(), is_current: false };
        assert_eq!(header(&version), "b/out/a%20b%2Bc%252B%3F%C3%BC.txt?versionId=v");
        assert_eq!(header(&Address::Key), "b/out/a%20b%2Bc%252B%3F%C3%BC.txt");
    }
}

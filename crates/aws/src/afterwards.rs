//! What becomes of an object once it is delivered. Each of these may be done again: what is done already is fine.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, Tag, Tagging};
use bridge::{Deadline, PinnedObject};
use tokio::task::JoinSet;

use crate::error::Failed;

/// Why it could not be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotDone {
    /// In words, for the receipt.
    pub why: String,
    /// Whether another try may succeed with nothing changed.
    pub transient: bool,
}

type Result<T> = std::result::Result<T, NotDone>;

/// How an object is copied.
#[derive(Clone, Copy, Debug)]
pub struct Copying {
    /// Larger ones are copied in parts, bytes.
    pub whole_max: u64,
    /// Each of them, bytes; larger where there would be too many.
    pub part: u64,
}

impl Default for Copying {
    fn default() -> Self {
        // S3 copies at most 5 GiB in one request.
        Self { whole_max: 5 << 30, part: 256 << 20 }
    }
}

/// S3 allows so many on an object.
const TAGS_MAX: usize = 10;
/// S3 allows so many in one upload.
const PARTS_MAX: u64 = 10_000;
/// So many parts are copied side by side.
const PARTS_AT_ONCE: usize = 8;
/// S3 may take this long to copy what it was asked to in one request.
const COPY_TIMEOUT: Duration = Duration::from_secs(600);

fn not_done(why: impl Into<String>) -> NotDone {
    NotDone { why: why.into(), transient: false }
}

fn failed<E: ProvideErrorMetadata>(operation: &str, error: &SdkError<E, HttpResponse>) -> NotDone {
    let failed = Failed::of(error);
    NotDone { why: format!("{operation}: {failed}"), transient: failed.is_transient() }
}

/// Adds the tags to those that the version has. With `anew`, they replace an earlier delivery's.
///
/// # Errors
/// Whatever S3 says, and if there are too many others.
pub async fn tag(s3: &Client, object: &PinnedObject, tags: &[(&str, &str)], anew: bool) -> Result<()> {
    if head(s3, object).await?.is_none() {
        return Err(not_done("it is gone, or a newer upload has taken its place"));
    }
    let present = tags_of(s3, object).await?;
    let has = |(name, value): &(&str, &str)| {
        present.iter().any(|tag| tag.key() == *name && (!anew || tag.value() == *value))
    };
    // The first one is the time, which is another each time.
    if tags.iter().skip(1).all(has) {
        return Ok(());
    }
    let mut merged: Vec<Tag> =
        present.into_iter().filter(|tag| tags.iter().all(|(name, _)| tag.key() != *name)).collect();
    if merged.len() + tags.len() > TAGS_MAX {
        return Err(not_done(format!(
            "the object has {} tags, S3 allows {TAGS_MAX}: there is no room for {} more",
            merged.len(),
            tags.len()
        )));
    }
    for (name, value) in tags {
        let tag = Tag::builder().key(*name).value(*value).build();
        merged.push(tag.map_err(|error| not_done(error.to_string()))?);
    }
    put_tags(s3, object, merged).await
}

async fn put_tags(s3: &Client, object: &PinnedObject, tags: Vec<Tag>) -> Result<()> {
    let tagging = Tagging::builder().set_tag_set(Some(tags)).build();
    let tagging = tagging.map_err(|error| not_done(error.to_string()))?;
    let request = s3.put_object_tagging().bucket(&object.bucket).key(&object.object_key);
    let request = request.set_version_id(object.version_id.clone()).tagging(tagging);
    request.send().await.map_err(|error| failed("PutObjectTagging", &error))?;
    Ok(())
}

async fn tags_of(s3: &Client, object: &PinnedObject) -> Result<Vec<Tag>> {
    let request = s3.get_object_tagging().bucket(&object.bucket).key(&object.object_key);
    let tags = request.set_version_id(object.version_id.clone()).send().await;
    Ok(tags.map_err(|error| failed("GetObjectTagging", &error))?.tag_set)
}

/// Deletes the version, and never another.
///
/// # Errors
/// Whatever S3 says, and if an older version would come back.
pub async fn delete(s3: &Client, object: &PinnedObject) -> Result<()> {
    if head(s3, object).await?.is_none() {
        return Ok(());
    }
    nothing_comes_back(s3, object).await?;
    let request = s3.delete_object().bucket(&object.bucket).key(&object.object_key);
    let request = match &object.version_id {
        Some(version_id) => request.version_id(version_id),
        // A newer upload has another etag. Where a store does not know this condition, the answer to `head` is all that
        // protects it.
        None => request.if_match(quoted(&object.etag)),
    };
    match request.send().await {
        Ok(_) => Ok(()),
        Err(error) if matches!(Failed::of(&error).status, Some(404 | 412)) => Ok(()),
        Err(error) => Err(failed("DeleteObject", &error)),
    }
}

/// An older version that became the current one again would be taken for the newest upload by an execution that still
/// waits to deliver it, over this one.
async fn nothing_comes_back(s3: &Client, object: &PinnedObject) -> Result<()> {
    if object.version_id.is_none() {
        return Ok(());
    }
    let key = Some(object.object_key.as_str());
    // The key itself comes before those that it is the beginning of, and its versions newest first.
    let request = s3.list_object_versions().bucket(&object.bucket).prefix(&object.object_key).max_keys(2);
    let listed = request.send().await.map_err(|error| failed("ListObjectVersions", &error))?;
    let of_key = || listed.versions().iter().filter(|version| version.key() == key);
    let is_latest = of_key().any(|version| {
        version.is_latest() == Some(true) && version.version_id() == object.version_id.as_deref()
    });
    match is_latest && of_key().count() > 1 {
        true => Err(not_done(
            "an older version would become the current one again, and might be delivered over it",
        )),
        false => Ok(()),
    }
}

/// Copies the version to `object_key` in the same bucket, and deletes it once the copy is seen.
///
/// # Errors
/// Whatever S3 says, and if an older version would come back, or the time is over.
pub async fn move_to(
    s3: &Client,
    object: &PinnedObject,
    object_key: &str,
    copying: Copying,
    deadline: Deadline,
) -> Result<()> {
    let target = PinnedObject { object_key: object_key.to_owned(), version_id: None, ..object.clone() };
    let Some(source) = head(s3, object).await? else {
        // Moved already, or deleted or replaced by someone else: there is nothing left to move.
        return match size_of(s3, &target).await? == Some(object.size) {
            true => Ok(()),
            false => Err(not_done("the object is gone, and was not moved")),
        };
    };
    nothing_comes_back(s3, object).await?;
    if object.size > copying.whole_max {
        copy_in_parts(s3, object, &source, object_key, copying.part, deadline).await?;
    } else {
        copy_whole(s3, object, &source, object_key).await?;
    }
    match size_of(s3, &target).await? {
        Some(size) if size == object.size => delete(s3, object).await,
        seen => Err(not_done(format!("of {} bytes, {} were copied", object.size, seen.unwrap_or_default()))),
    }
}

async fn copy_whole(
    s3: &Client,
    object: &PinnedObject,
    source: &HeadObjectOutput,
    object_key: &str,
) -> Result<()> {
    let request =
        s3.copy_object().copy_source(copy_source(object)).copy_source_if_match(quoted(&object.etag));
    let request = request
        .bucket(&object.bucket)
        .key(object_key)
        .set_storage_class(source.storage_class().cloned())
        .set_server_side_encryption(source.server_side_encryption().cloned())
        .set_ssekms_key_id(source.ssekms_key_id().map(str::to_owned));
    let request = request.customize().config_override(patient());
    request.send().await.map_err(|error| failed("CopyObject", &error))?;
    Ok(())
}

/// What CopyObject does by itself has to be said here: metadata and tags.
async fn copy_in_parts(
    s3: &Client,
    object: &PinnedObject,
    source: &HeadObjectOutput,
    object_key: &str,
    part: u64,
    deadline: Deadline,
) -> Result<()> {
    let tags = tags_of(s3, object).await?;
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let request = s3.create_multipart_upload().bucket(&object.bucket).key(object_key);
    let request = request
        .set_metadata(source.metadata().cloned())
        .set_content_type(owned(source.content_type()))
        .set_content_encoding(owned(source.content_encoding()))
        .set_content_language(owned(source.content_language()))
        .set_content_disposition(owned(source.content_disposition()))
        .set_cache_control(owned(source.cache_control()))
        .set_storage_class(source.storage_class().cloned())
        .set_server_side_encryption(source.server_side_encryption().cloned())
        .set_ssekms_key_id(owned(source.ssekms_key_id()));
    let created = request.send().await.map_err(|error| failed("CreateMultipartUpload", &error))?;
    let upload_id = created.upload_id().unwrap_or_default().to_owned();
    let copied = match copy_parts(s3, object, object_key, &upload_id, part, deadline).await {
        Ok(parts) => {
            let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
            let request = s3.complete_multipart_upload().bucket(&object.bucket).key(object_key);
            let request = request.upload_id(&upload_id).multipart_upload(parts);
            let request = request.customize().config_override(patient());
            request.send().await.map(drop).map_err(|error| failed("CompleteMultipartUpload", &error))
        }
        Err(error) => Err(error),
    };
    if copied.is_err() {
        let request =
            s3.abort_multipart_upload().bucket(&object.bucket).key(object_key).upload_id(&upload_id);
        if let Err(error) = request.send().await {
            tracing::warn!(error = %Failed::of(&error), "the parts that were copied could not be removed");
        }
    }
    copied?;
    if tags.is_empty() {
        return Ok(());
    }
    let target = PinnedObject { object_key: object_key.to_owned(), version_id: None, ..object.clone() };
    put_tags(s3, &target, tags).await
}

async fn copy_parts(
    s3: &Client,
    object: &PinnedObject,
    object_key: &str,
    upload_id: &str,
    part: u64,
    deadline: Deadline,
) -> Result<Vec<CompletedPart>> {
    let part = part.max(object.size.div_ceil(PARTS_MAX));
    let mut ranges = (0..object.size).step_by(usize::try_from(part).unwrap_or(usize::MAX)).zip(1..);
    let mut copying = JoinSet::new();
    let mut parts = Vec::new();
    loop {
        while copying.len() < PARTS_AT_ONCE
            && let Some((offset, number)) = ranges.next()
        {
            let last = (offset + part).min(object.size) - 1;
            let request = s3.upload_part_copy().bucket(&object.bucket).key(object_key).upload_id(upload_id);
            let request = request
                .part_number(number)
                .copy_source(copy_source(object))
                .copy_source_if_match(quoted(&object.etag))
                .copy_source_range(format!("bytes={offset}-{last}"))
                .customize()
                .config_override(patient());
            copying.spawn(async move { (number, request.send().await) });
        }
        let late = || not_done("there was not enough time to copy it");
        let next = tokio::time::timeout(deadline.remaining(), copying.join_next()).await;
        let Some(copied) = next.map_err(|_| late())? else { break };
        let (number, copied) = copied.map_err(|error| not_done(error.to_string()))?;
        let copied = copied.map_err(|error| failed("UploadPartCopy", &error))?;
        let result = copied.copy_part_result().ok_or_else(|| not_done("UploadPartCopy: no result"))?;
        let part = CompletedPart::builder()
            .part_number(number)
            .set_e_tag(result.e_tag().map(str::to_owned))
            .set_checksum_crc64_nvme(result.checksum_crc64_nvme().map(str::to_owned))
            .set_checksum_crc32_c(result.checksum_crc32_c().map(str::to_owned))
            .set_checksum_crc32(result.checksum_crc32().map(str::to_owned));
        parts.push(part.build());
    }
    parts.sort_by_key(CompletedPart::part_number);
    Ok(parts)
}

/// For requests in which S3 moves many bytes before it answers.
fn patient() -> aws_sdk_s3::config::Builder {
    let timeouts = TimeoutConfig::builder().read_timeout(COPY_TIMEOUT).build();
    aws_sdk_s3::Config::builder().timeout_config(timeouts)
}

/// What S3 says of the pinned version; `None` if it is gone, or another upload has taken its place.
async fn head(s3: &Client, object: &PinnedObject) -> Result<Option<HeadObjectOutput>> {
    let request = s3.head_object().bucket(&object.bucket).key(&object.object_key);
    let request = request.set_version_id(object.version_id.clone());
    match request.send().await {
        Ok(head) => {
            let etag = head.e_tag().unwrap_or_default().trim_matches('"');
            Ok((etag == object.etag).then_some(head))
        }
        Err(error) if matches!(Failed::of(&error).status, Some(404 | 405)) => Ok(None),
        Err(error) => Err(failed("HeadObject", &error)),
    }
}

/// Bytes of what is there under a key, if there is something.
async fn size_of(s3: &Client, object: &PinnedObject) -> Result<Option<u64>> {
    match s3.head_object().bucket(&object.bucket).key(&object.object_key).send().await {
        Ok(head) => Ok(head.content_length().and_then(|length| u64::try_from(length).ok())),
        Err(error) if Failed::of(&error).status == Some(404) => Ok(None),
        Err(error) => Err(failed("HeadObject", &error)),
    }
}

fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}

/// `bucket/key?versionId=…`, URL-encoded as the header wants it.
fn copy_source(object: &PinnedObject) -> String {
    let version = object.version_id.as_ref().map(|version_id| format!("?versionId={version_id}"));
    format!("{}/{}{}", object.bucket, encoded(&object.object_key), version.unwrap_or_default())
}

/// URL-encoded, but for slashes.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                encoded.push(char::from(byte));
            }
            byte => encoded += &format!("%{byte:02X}"),
        }
        encoded
    })
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
            version_id: Some("v".into()),
            size: 1,
            last_modified: None,
            checksum: None,
            hash: None,
        };
        assert_eq!(copy_source(&object), "b/out/a%20b%2Bc%252B%3F%C3%BC.txt?versionId=v");
        assert_eq!(copy_source(&PinnedObject { version_id: None, object_key: "k".into(), ..object }), "b/k");
    }
}

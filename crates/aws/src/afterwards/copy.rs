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
use crate::removal::{Address, Found, find, nothing_comes_back};
pub use crate::removal::{Removal, delete};

/// Why it could not be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotDone {
    /// In words, for the receipt.
    pub why: String,
    /// Whether another try may succeed with nothing changed.
    pub transient: bool,
}

pub(crate) type Result<T> = std::result::Result<T, NotDone>;

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

pub(crate) fn not_done(why: impl Into<String>) -> NotDone {
    NotDone { why: why.into(), transient: false }
}

pub(crate) fn failed<E: ProvideErrorMetadata>(operation: &str, error: &SdkError<E, HttpResponse>) -> NotDone {
    let failed = Failed::of(error);
    NotDone { why: format!("{operation}: {failed}"), transient: failed.is_transient() }
}

/// Adds the tags to those that the version has. With `anew`, they replace an earlier delivery's.
///
/// # Errors
/// Whatever S3 says, and if there are too many others.
pub async fn tag(s3: &Client, object: &PinnedObject, tags: &[(&str, &str)], anew: bool) -> Result<()> {
    let Found::Present(_, address) = find(s3, object).await? else {
        return Err(not_done("it is gone, or a newer upload has taken its place"));
    };
    let present = tags_of(s3, object, &address).await?;
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
    put_tags(s3, object, &address, merged).await
}

async fn put_tags(s3: &Client, object: &PinnedObject, address: &Address, tags: Vec<Tag>) -> Result<()> {
    let tagging = Tagging::builder().set_tag_set(Some(tags)).build();
    let tagging = tagging.map_err(|error| not_done(error.to_string()))?;
    let request = s3.put_object_tagging().bucket(&object.bucket).key(&object.object_key);
    let request = request.set_version_id(address.version_id()).tagging(tagging);
    request.send().await.map_err(|error| failed("PutObjectTagging", &error))?;
    Ok(())
}

async fn tags_of(s3: &Client, object: &PinnedObject, address: &Address) -> Result<Vec<Tag>> {
    let request = s3.get_object_tagging().bucket(&object.bucket).key(&object.object_key);
    let tags = request.set_version_id(address.version_id()).send().await;
    Ok(tags.map_err(|error| failed("GetObjectTagging", &error))?.tag_set)
}

/// What has become of an object that was to be moved. Its `Display` is for the receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Where its copy is.
    pub to: String,
    /// What has become of the original.
    pub original: Removal,
}

impl std::fmt::Display for Moved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.original {
            Removal::Deleted | Removal::AlreadyGone => write!(f, "moved to {}", self.to),
            Removal::Hidden | Removal::Replaced => write!(f, "copied to {}; {}", self.to, self.original),
        }
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
) -> Result<Moved> {
    let moved = |original| Moved { to: object_key.to_owned(), original };
    let target = PinnedObject { object_key: object_key.to_owned(), version_id: None, ..object.clone() };
    let (source, address) = match find(s3, object).await? {
        Found::Present(source, address) => (source, address),
        // Moved already, or deleted or replaced by someone else: there is nothing left to move.
        _ if size_of(s3, &target).await? == Some(object.size) => return Ok(moved(Removal::AlreadyGone)),
        Found::Gone => return Err(not_done("the object is gone, and was not moved")),
        Found::Replaced => {
            return Err(not_done("a newer upload has taken its place, and it was not moved before"));
        }
    };
    nothing_comes_back(s3, object, &address).await?;
    let source = Source { object, head: &source, address: &address };
    if object.size > copying.whole_max {
        copy_in_parts(s3, source, object_key, copying.part, deadline).await?;
    } else {
        copy_whole(s3, source, object_key).await?;
    }
    match size_of(s3, &target).await? {
        Some(size) if size == object.size => Ok(moved(delete(s3, object).await?)),
        seen => Err(not_done(format!("of {} bytes, {} were copied", object.size, seen.unwrap_or_default()))),
    }
}

/// The version that is copied.
#[derive(Clone, Copy)]
struct Source<'a> {
    object: &'a PinnedObject,
    head: &'a HeadObjectOutput,
    address: &'a Address,
}

impl Source<'_> {
    /// `bucket/key?versionId=…`, URL-encoded as the header wants it.
    fn header(&self) -> String {
        let version = self.address.version_id().map(|version_id| format!("?versionId={version_id}"));
        let PinnedObject { bucket, object_key, .. } = self.object;
        format!("{bucket}/{}{}", encoded(object_key), version.unwrap_or_default())
    }
}

async fn copy_whole(s3: &Client, source: Source<'_>, object_key: &str) -> Result<()> {
    let Source { object, head, .. } = source;
    let request = s3.copy_object().copy_source(source.header()).copy_source_if_match(quoted(&object.etag));
    let request = request
        .bucket(&object.bucket)
        .key(object_key)
        .set_storage_class(head.storage_class().cloned())
        .set_server_side_encryption(head.server_side_encryption().cloned())
        .set_ssekms_key_id(head.ssekms_key_id().map(str::to_owned));
    let request = request.customize().config_override(patient());
    request.send().await.map_err(|error| failed("CopyObject", &error))?;
    Ok(())
}

/// What CopyObject does by itself has to be said here: metadata and tags.
async fn copy_in_parts(
    s3: &Client,
    source: Source<'_>,
    object_key: &str,
    part: u64,
    deadline: Deadline,
) -> Result<()> {
    let Source { object, head, address } = source;
    let tags = tags_of(s3, object, address).await?;
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
    let created = request.send().await.map_err(|error| failed("CreateMultipartUpload", &error))?;
    let upload_id = created.upload_id().unwrap_or_default().to_owned();
    let copied = match copy_parts(s3, source, object_key, &upload_id, part, deadline).await {
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
    put_tags(s3, &target, &Address::Key, tags).await
}

async fn copy_parts(
    s3: &Client,
    source: Source<'_>,
    object_key: &str,
    upload_id: &str,
    part: u64,
    deadline: Deadline,
) -> Result<Vec<CompletedPart>> {
    let object = source.object;
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
                .copy_source(source.header())
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

/// Bytes of what is there under a key, if there is something.
async fn size_of(s3: &Client, object: &PinnedObject) -> Result<Option<u64>> {
    match s3.head_object().bucket(&object.bucket).key(&object.object_key).send().await {
        Ok(head) => Ok(head.content_length().and_then(|length| u64::try_from(length).ok())),
        Err(error) if Failed::of(&error).status == Some(404) => Ok(None),
        Err(error) => Err(failed("HeadObject", &error)),
    }
}

pub(crate) fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
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

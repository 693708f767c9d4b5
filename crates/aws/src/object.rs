//! The object, pinned to one version.

use aws_sdk_s3::Client;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::{ChecksumMode, ChecksumType, ServerSideEncryption};
use bridge::{
    Checksum, ChecksumAlgorithm, Error, ErrorName, ObjectCreated, ObjectHash, PinnedObject, Result,
};

use crate::error::Failed;

/// What became of the object between the event and now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pin {
    /// This is the version to deliver.
    Object(PinnedObject),
    /// A newer upload has taken its place, and has an event of its own.
    Superseded {
        /// What the event spoke of, as far as it said.
        object: PinnedObject,
        /// What is there now, for the receipt.
        reason: String,
    },
}

/// Pins what the event speaks of: its version, else its etag, else what is there now.
///
/// # Errors
/// `ObjectUnreadable`, `ObjectReadInterrupted`.
pub async fn pin(s3: &Client, event: &ObjectCreated) -> Result<Pin> {
    let current = head(s3, &event.bucket, &event.object_key, None).await?;
    let version_id = event.version_id.as_deref().filter(|version_id| *version_id != "null");
    if let Some(version_id) = version_id {
        if let Some(current) = current.as_ref().filter(|current| current.version_id() == Some(version_id)) {
            return Ok(Pin::Object(pinned(event, current)));
        }
        let Some(wanted) = head(s3, &event.bucket, &event.object_key, Some(version_id)).await? else {
            return Err(missing(&event.bucket, &event.object_key, Some(version_id)));
        };
        let object = pinned(event, &wanted);
        return Ok(match current {
            Some(current) => Pin::Superseded { object, reason: superseded(&current) },
            // Deleted meanwhile; the version is still there, and was owed.
            None => Pin::Object(object),
        });
    }
    let Some(current) = current else { return Err(missing(&event.bucket, &event.object_key, None)) };
    let object = pinned(event, &current);
    match &event.etag {
        Some(etag) if *etag != object.etag => {
            let reason = superseded(&current);
            let size = event.size.unwrap_or(object.size);
            let object = PinnedObject {
                etag: etag.clone(),
                version_id: None,
                size,
                last_modified: None,
                checksum: None,
                hash: None,
                ..object
            };
            Ok(Pin::Superseded { object, reason })
        }
        _ => Ok(Pin::Object(object)),
    }
}

/// What has taken the object's place, as a reason for the receipt, if anything has. Asked again just before
/// publishing.
///
/// # Errors
/// `ObjectUnreadable`, `ObjectReadInterrupted`.
pub async fn superseded_by(s3: &Client, object: &PinnedObject) -> Result<Option<String>> {
    let current = head(s3, &object.bucket, &object.object_key, None).await?;
    Ok(current.filter(|current| !is(current, object)).map(|current| superseded(&current)))
}

fn is(current: &HeadObjectOutput, object: &PinnedObject) -> bool {
    match &object.version_id {
        Some(version_id) => current.version_id() == Some(version_id),
        None => etag(current) == object.etag,
    }
}

fn superseded(current: &HeadObjectOutput) -> String {
    let current = match version_id(current) {
        Some(version_id) => format!("version {version_id}"),
        None => format!("etag {}", etag(current)),
    };
    format!("a newer upload has taken its place, {current}, and has an event of its own")
}

/// An object from before the bucket was versioned has the version `null`: none.
fn version_id(head: &HeadObjectOutput) -> Option<&str> {
    head.version_id().filter(|version_id| *version_id != "null")
}

fn etag(head: &HeadObjectOutput) -> String {
    head.e_tag().unwrap_or_default().trim_matches('"').to_owned()
}

fn pinned(event: &ObjectCreated, head: &HeadObjectOutput) -> PinnedObject {
    PinnedObject {
        bucket: event.bucket.clone(),
        object_key: event.object_key.clone(),
        etag: etag(head),
        version_id: version_id(head).map(str::to_owned),
        size: head.content_length().and_then(|length| u64::try_from(length).ok()).unwrap_or_default(),
        last_modified: head.last_modified().map(|time| time.secs()),
        checksum: checksum(head),
        hash: hash(head),
    }
}

/// Only where there is no checksum: hashes take longer to compute.
fn hash(head: &HeadObjectOutput) -> Option<ObjectHash> {
    if checksum(head).is_some() {
        return None;
    }
    let is_whole = head.checksum_type().is_none_or(|kind| *kind == ChecksumType::FullObject);
    if let Some(sha256) = head.checksum_sha256().filter(|value| is_whole && !value.contains('-')) {
        return Some(ObjectHash::Sha256(sha256.to_owned()));
    }
    // The entity tag of an object that is encrypted with a KMS or a customer's key is no MD5.
    let encryption = head.server_side_encryption();
    let is_md5 = encryption.is_none_or(|encryption| *encryption == ServerSideEncryption::Aes256)
        && head.sse_customer_algorithm().is_none();
    let etag = etag(head);
    let hexadecimal = etag.len() == 32 && etag.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_md5 && hexadecimal).then_some(ObjectHash::Md5(etag))
}

/// Only a checksum of the whole object; that of a multipart upload may be one of its parts' checksums.
fn checksum(head: &HeadObjectOutput) -> Option<Checksum> {
    if head.checksum_type().is_some_and(|kind| *kind != ChecksumType::FullObject) {
        return None;
    }
    let stored = [
        (ChecksumAlgorithm::Crc64Nvme, head.checksum_crc64_nvme()),
        (ChecksumAlgorithm::Crc32C, head.checksum_crc32_c()),
        (ChecksumAlgorithm::Crc32, head.checksum_crc32()),
    ];
    let (algorithm, value) = stored.into_iter().find_map(|(algorithm, value)| Some((algorithm, value?)))?;
    // A composite one ends in `-` and the number of parts.
    (!value.contains('-')).then(|| Checksum { algorithm, value: value.to_owned() })
}

async fn head(
    s3: &Client,
    bucket: &str,
    object_key: &str,
    version_id: Option<&str>,
) -> Result<Option<HeadObjectOutput>> {
    let request =
        s3.head_object().bucket(bucket).key(object_key).set_version_id(version_id.map(str::to_owned));
    match request.checksum_mode(ChecksumMode::Enabled).send().await {
        Ok(head) => Ok(Some(head)),
        Err(error) => match Failed::of(&error) {
            failed if failed.status == Some(404) => Ok(None),
            // S3 answers 400 to a version id that it never gave out, and 405 to that of a delete marker.
            failed if version_id.is_some() && matches!(failed.status, Some(400 | 405)) => Ok(None),
            failed => Err(unreadable(bucket, object_key, &failed)),
        },
    }
}

pub(crate) fn missing(bucket: &str, object_key: &str, version_id: Option<&str>) -> Error {
    let version = version_id.map(|version_id| format!(" in version {version_id}")).unwrap_or_default();
    ErrorName::ObjectUnreadable.error(format!("s3://{bucket}/{object_key} does not exist{version}"))
}

pub(crate) fn unreadable(bucket: &str, object_key: &str, failed: &Failed) -> Error {
    let name =
        if failed.is_transient() { ErrorName::ObjectReadInterrupted } else { ErrorName::ObjectUnreadable };
    let hint = match failed.status {
        Some(403) => {
            "; the role needs s3:GetObject (and kms:Decrypt for a key of your own), and an archived object has to be restored first"
        }
        _ => "",
    };
    name.error(format!("reading s3://{bucket}/{object_key}: {failed}{hint}"))
}

//! The object, pinned to one version.

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumMode, ChecksumType, ObjectVersion, ServerSideEncryption};
use bridge::{
    Checksum, ChecksumAlgorithm, Error, ErrorName, ObjectCreated, ObjectHash, ObjectSummary, PinnedObject,
    Result,
};

use crate::error::CallError as Failed;
use crate::versions::Versions;

/// What became of the object between the event and now.
#[derive(Debug)]
pub enum Pin {
    /// This is the version to deliver.
    Object {
        /// What it is.
        object: PinnedObject,
        /// The first request has its contents with it; `None` if it was asked for otherwise.
        body: Option<ByteStream>,
    },
    /// There is no such object or version; says so.
    Missing(Error),
    /// A newer upload has taken its place, and has an event of its own.
    Superseded {
        /// The upload that the event announced, as far as it is known.
        object: ObjectSummary,
        /// What is there now, for the receipt.
        reason: String,
    },
}

/// What S3 has under a key, or as a version of it.
struct Stored {
    etag: String,
    version_id: Option<String>,
    size: u64,
    last_modified: Option<i64>,
    checksum: Option<Checksum>,
    hash: Option<ObjectHash>,
}

/// The answers to HEAD and to GET say the same things in two types.
macro_rules! stored {
    ($output:expr) => {{
        let output = $output;
        let kind = output.checksum_type();
        let etag = output.e_tag().unwrap_or_default().trim_matches('"').to_owned();
        let checksum = checksum(
            kind,
            [
                (ChecksumAlgorithm::Crc64Nvme, output.checksum_crc64_nvme()),
                (ChecksumAlgorithm::Crc32C, output.checksum_crc32_c()),
                (ChecksumAlgorithm::Crc32, output.checksum_crc32()),
            ],
        );
        let encryption = output.server_side_encryption();
        let own_key = output.sse_customer_algorithm().is_some();
        let hash = match checksum {
            // Hashes take longer to compute.
            Some(_) => None,
            None => hash(kind, output.checksum_sha256(), &etag, encryption, own_key),
        };
        Stored {
            // An object from before the bucket was versioned has the version `null`: none.
            version_id: output.version_id().filter(|version_id| *version_id != "null").map(str::to_owned),
            size: output.content_length().and_then(|length| u64::try_from(length).ok()).unwrap_or_default(),
            last_modified: output.last_modified().map(|time| time.secs()),
            etag,
            checksum,
            hash,
        }
    }};
}

/// Which uploads count as newer than a pinned one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Deliverable {
    /// An empty upload is not delivered (`SFTP_SKIP_EMPTY`), so it takes no other one's place.
    pub skip_empty: bool,
}

impl Deliverable {
    fn includes(self, size: u64) -> bool {
        size > 0 || !self.skip_empty
    }
}

/// Pins what the event speaks of: its version, else its etag, else what is there now.
///
/// # Errors
/// `ObjectUnreadable`, `ObjectReadInterrupted`; `ObjectChanged` if an upload that is not delivered itself has overwritten
/// the object.
pub async fn pin(s3: &Client, event: &ObjectCreated, deliverable: Deliverable) -> Result<Pin> {
    let current = get(s3, &event.bucket, &event.object_key).await?;
    match event.version_id.as_deref().filter(|version_id| *version_id != "null") {
        Some(version_id) => pin_version(s3, event, version_id, current, deliverable).await,
        None => pin_current(event, current, deliverable),
    }
}

async fn pin_version(
    s3: &Client,
    event: &ObjectCreated,
    version_id: &str,
    current: Option<(Stored, ByteStream)>,
    deliverable: Deliverable,
) -> Result<Pin> {
    let current = match current {
        Some((current, body)) if current.version_id.as_deref() == Some(version_id) => {
            return Ok(Pin::Object {
                object: pinned(&event.bucket, &event.object_key, current),
                body: Some(body),
            });
        }
        other => other.map(|(current, _)| current),
    };
    let Some(wanted) = head(s3, &event.bucket, &event.object_key, Some(version_id)).await? else {
        return Ok(Pin::Missing(missing(&event.bucket, &event.object_key, Some(version_id))));
    };
    let object = pinned(&event.bucket, &event.object_key, wanted);
    Ok(match standing_among_versions(s3, &object, version_id, current.as_ref(), deliverable).await? {
        Standing::Superseded(Newer { reason, .. }) => {
            Pin::Superseded { object: ObjectSummary::from(&object), reason }
        }
        Standing::Gone => Pin::Missing(missing(&event.bucket, &event.object_key, Some(version_id))),
        // Deleted meanwhile; the version is still there, and was owed.
        Standing::Newest => Pin::Object { object, body: None },
    })
}

fn pin_current(
    event: &ObjectCreated,
    current: Option<(Stored, ByteStream)>,
    deliverable: Deliverable,
) -> Result<Pin> {
    let Some((current, body)) = current else {
        return Ok(Pin::Missing(missing(&event.bucket, &event.object_key, None)));
    };
    let (size, Newer { reason, .. }) = (current.size, superseded(&current));
    let object = pinned(&event.bucket, &event.object_key, current);
    let Some(etag) = event.etag.as_ref().filter(|etag| **etag != object.etag) else {
        return Ok(Pin::Object { object, body: Some(body) });
    };
    if !deliverable.includes(size) {
        return Err(ErrorName::ObjectChanged.error(format!(
            "s3://{}/{} was overwritten by an empty upload before it was read, and SFTP_SKIP_EMPTY is true: neither of the two can be delivered. Upload the file again, or turn on versioning for the bucket",
            event.bucket, event.object_key
        )));
    }
    let object = ObjectSummary {
        etag: Some(etag.clone()),
        version_id: None,
        size: event.size.or(Some(size)),
        ..ObjectSummary::from(event)
    };
    Ok(Pin::Superseded { object, reason })
}

/// Pins the upload that is newer than `older`: this version of it, or on an unversioned bucket what is current now. `None`
/// if it is gone.
///
/// # Errors
/// `ObjectUnreadable`, `ObjectReadInterrupted`.
pub async fn pin_newer(
    s3: &Client,
    older: &PinnedObject,
    version_id: Option<&str>,
) -> Result<Option<PinnedObject>> {
    let PinnedObject { bucket, object_key, .. } = older;
    let newer = head(s3, bucket, object_key, version_id).await?;
    Ok(newer.map(|newer| pinned(bucket, object_key, newer)))
}

/// An upload that has taken the place of a pinned one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newer {
    /// Says which, for the receipt.
    pub reason: String,
    /// Its version, on versioned buckets.
    pub version_id: Option<String>,
}

/// What has become of the pinned object meanwhile.
#[derive(Debug)]
pub enum Standing {
    /// Nothing newer was uploaded; on a versioned bucket it may have been deleted since, and is owed all the same.
    Newest,
    /// A newer upload has taken its place.
    Superseded(Newer),
    /// The pinned version itself is gone, so nothing tells whether there was a newer one.
    Gone,
}

/// Asked again just before publishing, and once more after it.
///
/// # Errors
/// `ObjectUnreadable`, `ObjectReadInterrupted`.
pub async fn standing(s3: &Client, object: &PinnedObject, deliverable: Deliverable) -> Result<Standing> {
    let current = head(s3, &object.bucket, &object.object_key, None).await?;
    if let Some(version_id) = &object.version_id {
        if current.as_ref().is_some_and(|current| current.version_id.as_ref() == Some(version_id)) {
            return Ok(Standing::Newest);
        }
        return standing_among_versions(s3, object, version_id, current.as_ref(), deliverable).await;
    }
    Ok(match current {
        None => Standing::Gone,
        Some(current) if current.etag == object.etag || !deliverable.includes(current.size) => {
            Standing::Newest
        }
        Some(current) => Standing::Superseded(superseded(&current)),
    })
}

/// What has taken the object's place, if anything is known to have.
///
/// # Errors
/// As [`standing`].
pub async fn superseded_by(
    s3: &Client,
    object: &PinnedObject,
    deliverable: Deliverable,
) -> Result<Option<Newer>> {
    match standing(s3, object, deliverable).await? {
        Standing::Superseded(newer) => Ok(Some(newer)),
        Standing::Newest | Standing::Gone => Ok(None),
    }
}

/// The pinned version is not the current one. The current one is newer if S3 stored it later; of one that was stored in
/// the same second, and behind a delete marker, the list of versions tells, which is in the order of their uploads.
async fn standing_among_versions(
    s3: &Client,
    object: &PinnedObject,
    version_id: &str,
    current: Option<&Stored>,
    deliverable: Deliverable,
) -> Result<Standing> {
    if let Some(current) = current
        && deliverable.includes(current.size)
        && current.last_modified.zip(object.last_modified).is_some_and(|(newer, ours)| newer > ours)
    {
        return Ok(Standing::Superseded(superseded(current)));
    }
    let (mut newer, mut is_later) = (None, false);
    let mut versions = Versions::of(s3, &object.bucket, &object.object_key);
    while let Some(page) = versions.page().await.map_err(|failed| unlisted(object, &failed))? {
        for version in &page {
            if version.version_id() == Some(version_id) {
                return Ok(newer.map_or(Standing::Newest, Standing::Superseded));
            }
            let size = version.size().and_then(|size| u64::try_from(size).ok()).unwrap_or_default();
            if newer.is_none() && deliverable.includes(size) {
                newer = Some(superseded_by_version(version));
                let stored_at = version.last_modified().map(|time| time.secs());
                is_later = stored_at.zip(object.last_modified).is_some_and(|(newer, ours)| newer > ours);
            }
        }
    }
    // The pinned version is not in the list, so its place in it tells nothing.
    Ok(newer.filter(|_| is_later).map_or(Standing::Gone, Standing::Superseded))
}

fn unlisted(object: &PinnedObject, failed: &Failed) -> Error {
    let PinnedObject { bucket, object_key, .. } = object;
    read_error(failed).error(format!(
        "s3://{bucket}/{object_key} was deleted or overwritten; whether a newer version came before that could not be asked: {failed}; it takes s3:ListBucketVersions"
    ))
}

fn superseded_by_version(version: &ObjectVersion) -> Newer {
    let version_id = version.version_id().unwrap_or_default();
    let reason =
        format!("a newer upload has taken its place, version {version_id}, and has an event of its own");
    Newer { reason, version_id: version.version_id().map(str::to_owned) }
}

fn superseded(current: &Stored) -> Newer {
    let named = match &current.version_id {
        Some(version_id) => format!("version {version_id}"),
        None => format!("etag {}", current.etag),
    };
    let reason = format!("a newer upload has taken its place, {named}, and has an event of its own");
    Newer { reason, version_id: current.version_id.clone() }
}

fn pinned(bucket: &str, object_key: &str, stored: Stored) -> PinnedObject {
    let Stored { etag, version_id, size, last_modified, checksum, hash } = stored;
    PinnedObject {
        bucket: bucket.to_owned(),
        object_key: object_key.to_owned(),
        etag,
        version_id,
        size,
        last_modified,
        checksum,
        hash,
    }
}

/// Only a checksum of the whole object; that of a multipart upload may be one of its parts' checksums.
fn checksum(kind: Option<&ChecksumType>, stored: [(ChecksumAlgorithm, Option<&str>); 3]) -> Option<Checksum> {
    if !is_of_all(kind) {
        return None;
    }
    let (algorithm, value) = stored.into_iter().find_map(|(algorithm, value)| Some((algorithm, value?)))?;
    // A composite one ends in `-` and the number of parts.
    (!value.contains('-')).then(|| Checksum { algorithm, value: value.to_owned() })
}

fn is_of_all(kind: Option<&ChecksumType>) -> bool {
    kind.is_none_or(|kind| *kind == ChecksumType::FullObject)
}

fn hash(
    kind: Option<&ChecksumType>,
    sha256: Option<&str>,
    etag: &str,
    encryption: Option<&ServerSideEncryption>,
    own_key: bool,
) -> Option<ObjectHash> {
    if let Some(sha256) = sha256.filter(|value| is_of_all(kind) && !value.contains('-')) {
        return Some(ObjectHash::Sha256(sha256.to_owned()));
    }
    // The entity tag of an object that is encrypted with a KMS or a customer's key is no MD5.
    let is_md5 = encryption.is_none_or(|encryption| *encryption == ServerSideEncryption::Aes256) && !own_key;
    let hexadecimal = etag.len() == 32 && etag.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_md5 && hexadecimal).then(|| ObjectHash::Md5(etag.to_owned()))
}

async fn head(
    s3: &Client,
    bucket: &str,
    object_key: &str,
    version_id: Option<&str>,
) -> Result<Option<Stored>> {
    let request =
        s3.head_object().bucket(bucket).key(object_key).set_version_id(version_id.map(str::to_owned));
    match request.checksum_mode(ChecksumMode::Enabled).send().await {
        Ok(head) => Ok(Some(stored!(&head))),
        Err(error) => match Failed::of(&error) {
            failed if failed.status == Some(404) => Ok(None),
            // S3 answers 400 to a version id that it never gave out, and 405 to that of a delete marker.
            failed if version_id.is_some() && matches!(failed.status, Some(400 | 405)) => Ok(None),
            failed => Err(unreadable(bucket, object_key, &failed)),
        },
    }
}

/// What is there now, with its contents: a HEAD would be one request more.
async fn get(s3: &Client, bucket: &str, object_key: &str) -> Result<Option<(Stored, ByteStream)>> {
    // As a header and not as a parameter: the SDK would compute the checksum, too.
    let request = s3.get_object().bucket(bucket).key(object_key).customize();
    let request = request.mutate_request(|request| {
        request.headers_mut().insert("x-amz-checksum-mode", "ENABLED");
    });
    match request.send().await {
        Ok(object) => Ok(Some((stored!(&object), object.body))),
        Err(error) => match Failed::of(&error) {
            failed if failed.status == Some(404) => Ok(None),
            failed => Err(unreadable(bucket, object_key, &failed)),
        },
    }
}

pub(crate) fn missing(bucket: &str, object_key: &str, version_id: Option<&str>) -> Error {
    let version = version_id.map(|version_id| format!(" in version {version_id}")).unwrap_or_default();
    ErrorName::ObjectUnreadable.error(format!("s3://{bucket}/{object_key} does not exist{version}"))
}

fn read_error(failed: &Failed) -> ErrorName {
    if failed.is_transient() { ErrorName::ObjectReadInterrupted } else { ErrorName::ObjectUnreadable }
}

pub(crate) fn unreadable(bucket: &str, object_key: &str, failed: &Failed) -> Error {
    let hint = match failed.status {
        Some(403) => {
            "; the role needs s3:GetObject (and kms:Decrypt for a key of your own), and an archived object has to be restored first"
        }
        _ => "",
    };
    read_error(failed).error(format!("reading s3://{bucket}/{object_key}: {failed}{hint}"))
}

//! What S3 stores of an object.

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumMode, ChecksumType, ServerSideEncryption};
use bridge::{Checksum, ChecksumAlgorithm, ObjectHash, PinnedObject, Result};

use super::unreadable::unreadable;
use crate::collected::Origin;
use crate::error::CallError;
use crate::etag::unquoted;

/// What S3 stores under a key, or as a version of it.
pub(super) struct Stored {
    pub(super) etag: String,
    pub(super) version_id: Option<String>,
    pub(super) size: u64,
    pub(super) last_modified: Option<i64>,
    /// The file that it was collected from, if it was.
    pub(super) origin: Option<Origin>,
    checksum: Option<Checksum>,
    hash: Option<ObjectHash>,
}

/// Makes a `Stored` of the outputs of HEAD and GET, which are two types with the same methods.
macro_rules! stored {
    ($output:expr) => {{
        let output = $output;
        let kind = output.checksum_type();
        let etag = unquoted(output.e_tag());
        let checksum = checksum(
            kind,
            [
                (ChecksumAlgorithm::Crc64Nvme, output.checksum_crc64_nvme()),
                (ChecksumAlgorithm::Crc32C, output.checksum_crc32_c()),
                (ChecksumAlgorithm::Crc32, output.checksum_crc32()),
            ],
        );
        let encryption = output.server_side_encryption();
        let has_customer_key = output.sse_customer_algorithm().is_some();
        let hash = match checksum {
            // A checksum is faster to compute than a hash.
            Some(_) => None,
            None => hash(kind, output.checksum_sha256(), &etag, encryption, has_customer_key),
        };
        Stored {
            // An object that was uploaded before the bucket was versioned has the id `null`.
            version_id: output.version_id().filter(|version_id| *version_id != "null").map(str::to_owned),
            size: output.content_length().and_then(|length| u64::try_from(length).ok()).unwrap_or_default(),
            last_modified: output.last_modified().map(|time| time.secs()),
            origin: Origin::of(output.metadata()),
            etag,
            checksum,
            hash,
        }
    }};
}

impl Stored {
    /// The object as every later request names it.
    pub(super) fn pinned(self, bucket: &str, object_key: &str) -> PinnedObject {
        let Self { etag, version_id, size, last_modified, origin: _, checksum, hash } = self;
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
}

/// The checksum of the whole object. That of a multipart upload may be one of its parts' checksums.
fn checksum(kind: Option<&ChecksumType>, stored: [(ChecksumAlgorithm, Option<&str>); 3]) -> Option<Checksum> {
    if !is_of_whole_object(kind) {
        return None;
    }
    let (algorithm, value) = stored.into_iter().find_map(|(algorithm, value)| Some((algorithm, value?)))?;
    // A checksum of checksums ends in `-` and the number of parts.
    (!value.contains('-')).then(|| Checksum { algorithm, value: value.to_owned() })
}

fn is_of_whole_object(kind: Option<&ChecksumType>) -> bool {
    kind.is_none_or(|kind| *kind == ChecksumType::FullObject)
}

fn hash(
    kind: Option<&ChecksumType>,
    sha256: Option<&str>,
    etag: &str,
    encryption: Option<&ServerSideEncryption>,
    has_customer_key: bool,
) -> Option<ObjectHash> {
    if let Some(sha256) = sha256.filter(|value| is_of_whole_object(kind) && !value.contains('-')) {
        return Some(ObjectHash::Sha256(sha256.to_owned()));
    }
    // The entity tag of an object that is encrypted with a KMS key or a customer's key is not an MD5.
    let is_md5 =
        encryption.is_none_or(|encryption| *encryption == ServerSideEncryption::Aes256) && !has_customer_key;
    let is_hexadecimal = etag.len() == 32 && etag.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_md5 && is_hexadecimal).then(|| ObjectHash::Md5(etag.to_owned()))
}

/// Asks for the present object, or for a version. `None` if it does not exist.
pub(super) async fn head(
    s3: &Client,
    bucket: &str,
    object_key: &str,
    version_id: Option<&str>,
) -> Result<Option<Stored>> {
    let request =
        s3.head_object().bucket(bucket).key(object_key).set_version_id(version_id.map(str::to_owned));
    match request.checksum_mode(ChecksumMode::Enabled).send().await {
        Ok(head) => Ok(Some(stored!(&head))),
        Err(error) => match CallError::of(&error) {
            error if error.status == Some(404) => Ok(None),
            // S3 answers 400 to an unknown version id, and 405 to the id of a delete marker.
            error if version_id.is_some() && matches!(error.status, Some(400 | 405)) => Ok(None),
            error => Err(unreadable(bucket, object_key, &error)),
        },
    }
}

/// Asks for the present object with its contents, which saves a HEAD. `None` if it does not exist.
pub(super) async fn get(s3: &Client, bucket: &str, object_key: &str) -> Result<Option<(Stored, ByteStream)>> {
    // A header instead of the parameter, with which the SDK would compute the checksum as well.
    let request = s3.get_object().bucket(bucket).key(object_key).customize();
    let request = request.mutate_request(|request| {
        request.headers_mut().insert("x-amz-checksum-mode", "ENABLED");
    });
    match request.send().await {
        Ok(object) => Ok(Some((stored!(&object), object.body))),
        Err(error) => match CallError::of(&error) {
            error if error.status == Some(404) => Ok(None),
            error => Err(unreadable(bucket, object_key, &error)),
        },
    }
}

//! The object of a delivery, pinned or as an event announced it.

use serde::{Deserialize, Serialize};

use crate::{Checksum, ObjectCreated, ObjectHash};

/// The object version that is delivered, pinned: every read asks for exactly this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinnedObject {
    /// The bucket.
    pub bucket: String,
    /// The object's key.
    pub object_key: String,
    /// The entity tag, without quotes; sent as `If-Match`.
    pub etag: String,
    /// The version, on versioned buckets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// Bytes.
    pub size: u64,
    /// When it was stored, seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<i64>,
    /// S3's checksum of the whole object, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<Checksum>,
    /// A hash of the whole object, where S3 has that and no checksum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<ObjectHash>,
}

/// What a receipt says of the object: as much as is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectSummary {
    /// The bucket.
    pub bucket: String,
    /// The object's key.
    pub object_key: String,
    /// The entity tag, without quotes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// The version, on versioned buckets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// Bytes. Absent if an event did not say and nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// When it was stored, seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<i64>,
    /// S3's checksum of the whole object, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<Checksum>,
    /// A hash of the whole object, if S3 has that and no checksum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<ObjectHash>,
}

impl From<&PinnedObject> for ObjectSummary {
    fn from(object: &PinnedObject) -> Self {
        let PinnedObject { bucket, object_key, etag, version_id, size, last_modified, checksum, hash } =
            object.clone();
        Self {
            bucket,
            object_key,
            etag: Some(etag),
            version_id,
            size: Some(size),
            last_modified,
            checksum,
            hash,
        }
    }
}

impl From<&ObjectCreated> for ObjectSummary {
    fn from(event: &ObjectCreated) -> Self {
        Self {
            bucket: event.bucket.clone(),
            object_key: event.object_key.clone(),
            etag: event.etag.clone(),
            version_id: event.version_id.clone(),
            size: event.size,
            last_modified: None,
            checksum: None,
            hash: None,
        }
    }
}

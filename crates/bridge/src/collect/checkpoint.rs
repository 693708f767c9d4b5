//! The checkpoint of a collection: how far it has come. It travels through the state machine's document.

use serde::{Deserialize, Serialize};

use super::file::RemoteFile;
use crate::{Checksum, ChecksumAlgorithm, ObjectSummary, RunningChecksum};

/// How far a collection has come. It names only what S3 has confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectCheckpoint {
    /// The phase, with what only that phase needs.
    pub phase: CollectPhase,
    /// What is collected.
    pub file: RemoteFile,
    /// Where it is stored.
    pub destination: Destination,
    /// What the receipt reports.
    pub report: CollectReport,
    /// After an object was found to be another one than was stored: the checksum of the one that was stored. Until the file
    /// is stored anew, metadata that names the file proves nothing, unless the object has this checksum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Checksum>,
}

/// The phases of a collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
#[allow(clippy::large_enum_variant, reason = "a checkpoint is boxed where it travels")]
pub enum CollectPhase {
    /// The file is being read. `collect` is called again.
    Reading {
        /// Bytes from the start that lie in confirmed parts, without a gap.
        offset: u64,
        /// Of those bytes: CRC-64/NVME.
        checksum: RunningChecksum,
        /// The upload, once there is one. Absent for a file that fits into one request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        upload: Option<MultipartUpload>,
    },
    /// S3 shows the object. It is to be looked at.
    Stored(StoredObject),
    /// S3 has confirmed size and checksum. The file on the server is to be archived, deleted or left.
    Verified(StoredObject),
}

/// A multipart upload under way. S3's `ListParts` tells what it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MultipartUpload {
    /// S3's id of the upload.
    pub id: String,
    /// Size of every part but the last, in bytes.
    pub part_size: u64,
}

/// Where a file is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// The bucket.
    pub bucket: String,
    /// The object's key.
    pub object_key: String,
}

/// The object as S3 answered when it was stored, or found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredObject {
    /// The entity tag, without quotes.
    pub etag: String,
    /// The version, on versioned buckets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// Of the whole object, as it was computed while reading: CRC-64/NVME.
    pub checksum: Checksum,
    /// It was there before this execution: its metadata names the same file, or its contents are the same.
    #[serde(default)]
    pub was_there: bool,
    /// Of an object that was there: only its contents are those of the file. Its metadata names another file, or none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_contents: bool,
    /// S3 has told this checksum of the object: in its answer to the request that stored it, or to a look. So S3 had these
    /// bytes, whatever has become of the object since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub confirmed: bool,
}

/// What the receipt reports of the way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectReport {
    /// When reading began, RFC 3339.
    pub started_at: String,
    /// Bytes read in all, including those read more than once.
    #[serde(default)]
    pub bytes_read: u64,
    /// How often reading went on in another session: after a lost one, or in the next invocation.
    #[serde(default)]
    pub resumes: u32,
    /// How often everything was read again from byte 0, because the file had changed or the upload was gone.
    #[serde(default)]
    pub restarts: u32,
    /// The fingerprint of the server's host key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key_fingerprint: Option<String>,
    /// The version of the secret that the server accepted after it had refused the current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_version_id: Option<String>,
    /// What a person should know although the collection succeeds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl CollectCheckpoint {
    /// Where to begin again after `ObjectMismatch`: at the first byte. The definition makes the same of it.
    #[must_use]
    pub fn after_mismatch(self) -> Self {
        let expected = self.stored().map(|object| object.checksum.clone());
        let checksum = RunningChecksum::new(ChecksumAlgorithm::Crc64Nvme);
        let phase = CollectPhase::Reading { offset: 0, checksum, upload: None };
        Self { phase, expected, ..self }
    }

    /// Whether `collect` has more to read.
    pub fn is_reading(&self) -> bool {
        matches!(self.phase, CollectPhase::Reading { .. })
    }

    /// The object that was stored or found, once there is one.
    pub fn stored(&self) -> Option<&StoredObject> {
        match &self.phase {
            CollectPhase::Reading { .. } => None,
            CollectPhase::Stored(object) | CollectPhase::Verified(object) => Some(object),
        }
    }

    /// The same object, for the receipt.
    pub fn object(&self) -> Option<ObjectSummary> {
        let StoredObject { etag, version_id, checksum, .. } = self.stored()?;
        Some(ObjectSummary {
            bucket: self.destination.bucket.clone(),
            object_key: self.destination.object_key.clone(),
            etag: Some(etag.clone()),
            version_id: version_id.clone(),
            size: Some(self.file.size),
            last_modified: None,
            checksum: Some(checksum.clone()),
            hash: None,
        })
    }

    /// Adds a warning to the receipt, once.
    pub fn warn(&mut self, warning: impl Into<String>) {
        let warning = warning.into();
        if !self.report.warnings.contains(&warning) {
            self.report.warnings.push(warning);
        }
    }
}

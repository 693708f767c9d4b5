//! Looks at an object.

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{ChecksumMode, ChecksumType};
use bridge::collect::{Destination, RemoteFile, StoredObject};
use bridge::{Checksum, ChecksumAlgorithm, ErrorName, Result};

use super::origin::Origin;
use crate::error::CallError;
use crate::etag::unquoted;

/// An object that S3 has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The entity tag, without quotes.
    pub etag: String,
    /// The version, on versioned buckets.
    pub version_id: Option<String>,
    /// Bytes.
    pub size: u64,
    /// The CRC-64/NVME of the whole object, if S3 has it.
    pub checksum: Option<Checksum>,
    /// The file that it was made of, if its metadata names one.
    pub origin: Option<Origin>,
}

impl Found {
    /// The object, if its metadata names this file, and S3 knows the checksum of its contents.
    pub fn collected(&self, file: &RemoteFile, execution: &str) -> Option<StoredObject> {
        let origin = self.origin.as_ref().filter(|origin| origin.is(file) && self.size == file.size)?;
        let is_ours = !execution.is_empty() && origin.execution.as_deref() == Some(execution);
        Some(StoredObject { was_there: !is_ours, ..self.stored(self.checksum.clone()?) })
    }

    /// The object, if its contents are these.
    pub fn identical(&self, size: u64, checksum: &Checksum) -> Option<StoredObject> {
        let is_identical = self.size == size && self.checksum.as_ref() == Some(checksum);
        // It is not the file's own: if it goes, S3 has nothing of the file.
        let (by_contents, confirmed) = (true, false);
        is_identical.then(|| StoredObject { by_contents, confirmed, ..self.stored(checksum.clone()) })
    }

    /// Whether nothing shows that its contents are other ones.
    pub fn may_be_identical(&self, size: u64) -> bool {
        self.size == size && self.checksum.is_some()
    }

    fn stored(&self, checksum: Checksum) -> StoredObject {
        let Self { etag, version_id, .. } = self.clone();
        StoredObject { etag, version_id, checksum, was_there: true, by_contents: false, confirmed: true }
    }
}

/// Asks for the present object, or for a version of it. `None` if S3 does not have it.
///
/// # Errors
/// `ObjectWriteInterrupted`, `ObjectWriteRefused`.
pub async fn find(s3: &Client, place: &Destination, version_id: Option<&str>) -> Result<Option<Found>> {
    let Destination { bucket, object_key } = place;
    let request = s3.head_object().bucket(bucket).key(object_key).checksum_mode(ChecksumMode::Enabled);
    let head = match request.set_version_id(version_id.map(str::to_owned)).send().await {
        Ok(head) => head,
        Err(error) => {
            return match CallError::of(&error) {
                error if error.status == Some(404) => Ok(None),
                // S3 answers 400 to an unknown version id, and 405 to the id of a delete marker.
                error if version_id.is_some() && matches!(error.status, Some(400 | 405)) => Ok(None),
                error => Err(unseen(place, &error)),
            };
        }
    };
    let is_whole = head.checksum_type().is_none_or(|kind| *kind == ChecksumType::FullObject);
    // A checksum of checksums ends in `-` and the number of parts.
    let value = head.checksum_crc64_nvme().filter(|value| is_whole && !value.contains('-'));
    Ok(Some(Found {
        etag: unquoted(head.e_tag()),
        version_id: head.version_id().filter(|version_id| *version_id != "null").map(str::to_owned),
        size: head.content_length().and_then(|length| u64::try_from(length).ok()).unwrap_or_default(),
        checksum: value
            .map(|value| Checksum { algorithm: ChecksumAlgorithm::Crc64Nvme, value: value.to_owned() }),
        origin: Origin::of(head.metadata()),
    }))
}

/// For an object that could not be looked at.
fn unseen(place: &Destination, error: &CallError) -> bridge::Error {
    let Destination { bucket, object_key } = place;
    let name =
        if error.is_transient() { ErrorName::ObjectWriteInterrupted } else { ErrorName::ObjectWriteRefused };
    let hint = match error.status {
        // Without s3:ListBucket, S3 answers 403 for an object that does not exist.
        Some(403) => {
            "; the role needs s3:ListBucket for the bucket, and s3:GetObject and s3:GetObjectVersion for its objects (and kms:Decrypt for a customer managed key)"
        }
        _ => "",
    };
    name.error(format!("looking at s3://{bucket}/{object_key}: {error}{hint}"))
}

#[cfg(test)]
mod tests {
    use super::super::origin::metadata;
    use super::*;

    fn file() -> RemoteFile {
        let (host, directory, path) = ("h".into(), "out".into(), "f".into());
        RemoteFile { host, directory, path, size: 5, modified: Some(1) }
    }

    fn checksum(value: &str) -> Checksum {
        Checksum { algorithm: ChecksumAlgorithm::Crc64Nvme, value: value.into() }
    }

    fn found(checksum: Option<Checksum>) -> Found {
        let metadata = metadata(&file(), "", "arn:one", false);
        let origin = Origin::of(Some(&metadata));
        Found { etag: "e".into(), version_id: Some("v".into()), size: 5, checksum, origin }
    }

    #[test]
    fn an_object_of_the_file_was_there_unless_this_execution_stored_it() {
        let found = found(Some(checksum("c")));
        let stored = |execution: &str| found.collected(&file(), execution).unwrap().was_there;
        assert!(!stored("arn:one") && stored("arn:two"));
        let nameless = Found { origin: Origin::of(Some(&metadata(&file(), "", "", false))), ..found.clone() };
        assert!(
            nameless.collected(&file(), "").unwrap().was_there,
            "who has no name knows nothing of another"
        );
    }

    #[test]
    fn without_a_checksum_nothing_is_proved() {
        assert_eq!(found(None).collected(&file(), "arn:one"), None);
        assert_eq!(found(None).identical(5, &checksum("c")), None);
        assert!(!found(None).may_be_identical(5));
    }

    #[test]
    fn contents_are_the_same_by_size_and_checksum() {
        let found = found(Some(checksum("c")));
        let identical = found.identical(5, &checksum("c")).unwrap();
        assert!(identical.was_there && identical.by_contents);
        assert!(!found.collected(&file(), "").unwrap().by_contents, "this one is known by its metadata");
        assert_eq!(found.identical(6, &checksum("c")), None);
        assert_eq!(found.identical(5, &checksum("d")), None);
        assert!(found.may_be_identical(5) && !found.may_be_identical(6));
        let cut = Found { size: 4, ..found };
        assert_eq!(cut.collected(&file(), ""), None, "the size is not that of the file");
    }
}

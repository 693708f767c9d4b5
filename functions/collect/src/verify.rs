//! Step `VerifyObject`: whether S3 has the bytes that were read.

use aws::collected::{Found, find};
use bridge::collect::{CollectCheckpoint, CollectPhase, CollectProgress, StoredObject};
use bridge::{Error, ErrorName, Result};

use crate::call::Call;

impl Call<'_> {
    /// Asks S3 for the object that was stored, and compares size and checksum. Nothing is removed, whatever S3 says.
    pub(crate) async fn verify(&self) -> Result<CollectProgress> {
        let checkpoint = match &self.input.checkpoint {
            Some(checkpoint) if !checkpoint.is_reading() => checkpoint,
            _ => {
                return Err(ErrorName::InvalidInput
                    .error("field `checkpoint.phase.name`: expected a phase after reading"));
            }
        };
        let CollectPhase::Stored(object) = &checkpoint.phase else {
            return Ok(CollectProgress::Checkpoint(Box::new(checkpoint.clone())));
        };
        let finding = find(&self.deps.clients.s3, &checkpoint.destination, object.version_id.as_deref());
        let found = tokio::time::timeout(self.limit.remaining(), finding).await.unwrap_or_else(|_| {
            Err(ErrorName::ObjectWriteInterrupted.error("S3: no answer until the deadline"))
        })?;
        compare(checkpoint, object, found.as_ref())?;
        tracing::info!(object_key = checkpoint.destination.object_key, "S3 confirms size and checksum");
        let phase = CollectPhase::Verified(object.clone());
        Ok(CollectProgress::Checkpoint(Box::new(CollectCheckpoint { phase, ..checkpoint.clone() })))
    }
}

fn compare(checkpoint: &CollectCheckpoint, object: &StoredObject, found: Option<&Found>) -> Result<()> {
    let Some(found) = found else {
        return Err(mismatch(checkpoint, object, "it is not there"));
    };
    let size = checkpoint.file.size;
    if found.size != size {
        let what = format!("it has {} bytes, and {size} were read", found.size);
        return Err(mismatch(checkpoint, object, &what));
    }
    let expected = &object.checksum.value;
    match &found.checksum {
        Some(checksum) if *checksum == object.checksum => Ok(()),
        Some(checksum) => {
            let what =
                format!("its CRC-64/NVME is {}, and that of the bytes read is {expected}", checksum.value);
            Err(mismatch(checkpoint, object, &what))
        }
        None => Err(mismatch(checkpoint, object, "S3 tells no CRC-64/NVME of the whole object")),
    }
}

fn mismatch(checkpoint: &CollectCheckpoint, object: &StoredObject, what: &str) -> Error {
    let (place, file) = (&checkpoint.destination, &checkpoint.file);
    let version =
        object.version_id.as_ref().map(|version| format!(" in version {version}")).unwrap_or_default();
    ErrorName::ObjectMismatch.error(format!(
        "s3://{}/{}{version} was stored, and is not what was read from {:?}: {what}. The file on the server is as it was",
        place.bucket,
        place.object_key,
        file.remote_path()
    ))
}

#[cfg(test)]
mod tests {
    use bridge::collect::{CollectReport, Destination, RemoteFile};
    use bridge::{Checksum, ChecksumAlgorithm};

    use super::*;

    fn checksum(value: &str) -> Checksum {
        Checksum { algorithm: ChecksumAlgorithm::Crc64Nvme, value: value.into() }
    }

    #[test]
    fn story_280_only_the_same_size_and_checksum_confirm_the_object() {
        let object = StoredObject {
            etag: "e".into(),
            version_id: Some("v".into()),
            checksum: checksum("AAAAAAAAAAA="),
            was_there: false,
            by_contents: false,
        };
        let (host, directory, path) = ("h".into(), "out".into(), "f".into());
        let checkpoint = CollectCheckpoint {
            phase: CollectPhase::Stored(object.clone()),
            file: RemoteFile { host, directory, path, size: 5, modified: None },
            destination: Destination { bucket: "b".into(), object_key: "k".into() },
            report: CollectReport::default(),
            expected: None,
        };
        let found = |size, value: Option<&str>| Found {
            etag: "e".into(),
            version_id: None,
            size,
            checksum: value.map(checksum),
            origin: None,
        };
        let compared = |found: Option<&Found>| compare(&checkpoint, &object, found);
        assert_eq!(compared(Some(&found(5, Some("AAAAAAAAAAA=")))), Ok(()));
        for (found, words) in [
            (None, "not there"),
            (Some(found(4, Some("AAAAAAAAAAA="))), "4 bytes"),
            (Some(found(5, Some("AAAAAAAAAAE="))), "AAAAAAAAAAE="),
            (Some(found(5, None)), "no CRC-64"),
        ] {
            let error = compared(found.as_ref()).unwrap_err();
            assert_eq!(error.name, ErrorName::ObjectMismatch);
            assert!(
                error.message().contains(words) && error.message().contains("s3://b/k in version v"),
                "{error}"
            );
        }
    }
}

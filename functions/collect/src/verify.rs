//! Step `VerifyObject`: whether S3 has the bytes that were read.

use aws::collected::{Found, find};
use bridge::collect::{CollectCheckpoint, CollectPhase, CollectProgress, StoredObject};
use bridge::{Checksum, ErrorName, Result};

use crate::call::Call;

impl Call<'_> {
    /// Asks S3 for the object that was stored, and compares size and checksum. Nothing is removed, whatever S3 says.
    ///
    /// A consumer may have taken the object meanwhile. Then the answer decides with which S3 has stored it.
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
        let phase = CollectPhase::Verified(object.clone());
        let mut verified = CollectCheckpoint { phase, ..checkpoint.clone() };
        match compare(checkpoint, object, found.as_ref())? {
            Confirmed::Now => {
                tracing::info!(
                    object_key = checkpoint.destination.object_key,
                    "S3 confirms size and checksum"
                );
            }
            Confirmed::WhenStored(warning) => {
                tracing::warn!(warning);
                verified.warn(warning);
            }
        }
        Ok(CollectProgress::Checkpoint(Box::new(verified)))
    }
}

/// When S3 has said that it has the bytes that were read.
#[derive(Debug, PartialEq, Eq)]
enum Confirmed {
    Now,
    /// It was taken or replaced since, as the warning says.
    WhenStored(String),
}

fn compare(
    checkpoint: &CollectCheckpoint,
    object: &StoredObject,
    found: Option<&Found>,
) -> Result<Confirmed> {
    let Some(difference) = difference(checkpoint, object, found) else { return Ok(Confirmed::Now) };
    if object.confirmed && !found.is_some_and(|found| is_same(object, found)) {
        return Ok(Confirmed::WhenStored(format!(
            "{} was taken or replaced before it was looked at: {difference}. S3 had confirmed its checksum when it was stored",
            name(checkpoint, object)
        )));
    }
    Err(ErrorName::ObjectMismatch.error(format!(
        "{} was stored, and is not what was read from {:?}: {difference}. The file on the server is as it was",
        name(checkpoint, object),
        checkpoint.file.remote_path()
    )))
}

/// How what S3 shows differs from what was read.
fn difference(
    checkpoint: &CollectCheckpoint,
    object: &StoredObject,
    found: Option<&Found>,
) -> Option<String> {
    let Some(found) = found else { return Some("it is not there".into()) };
    let (size, expected) = (checkpoint.file.size, &object.checksum);
    if found.size != size {
        return Some(format!("it has {} bytes, and {size} were read", found.size));
    }
    match &found.checksum {
        Some(checksum) if checksum == expected => None,
        Some(Checksum { value, .. }) => {
            Some(format!("its CRC-64/NVME is {value}, and that of the bytes read is {}", expected.value))
        }
        None => Some("S3 tells no CRC-64/NVME of the whole object".into()),
    }
}

/// Whether this is the object that was stored, and not another one in its place. A look at a version shows that version,
/// whatever its tag.
fn is_same(object: &StoredObject, found: &Found) -> bool {
    object.version_id.is_some() || object.etag.is_empty() || object.etag == found.etag
}

fn name(checkpoint: &CollectCheckpoint, object: &StoredObject) -> String {
    let place = &checkpoint.destination;
    let version =
        object.version_id.as_ref().map(|version| format!(" in version {version}")).unwrap_or_default();
    format!("s3://{}/{}{version}", place.bucket, place.object_key)
}

#[cfg(test)]
mod tests {
    use bridge::ChecksumAlgorithm;
    use bridge::collect::{CollectReport, Destination, RemoteFile};

    use super::*;

    fn checksum(value: &str) -> Checksum {
        Checksum { algorithm: ChecksumAlgorithm::Crc64Nvme, value: value.into() }
    }

    fn stored(version_id: Option<&str>, confirmed: bool) -> StoredObject {
        StoredObject {
            etag: "e".into(),
            version_id: version_id.map(str::to_owned),
            checksum: checksum("AAAAAAAAAAA="),
            was_there: false,
            by_contents: false,
            confirmed,
        }
    }

    fn found(etag: &str, size: u64, value: Option<&str>) -> Found {
        let (etag, checksum) = (etag.into(), value.map(checksum));
        Found { etag, version_id: None, size, checksum, origin: None }
    }

    fn compared(object: &StoredObject, found: Option<&Found>) -> Result<Confirmed> {
        let (host, directory, path) = ("h".into(), "out".into(), "f".into());
        let checkpoint = CollectCheckpoint {
            phase: CollectPhase::Stored(object.clone()),
            file: RemoteFile { host, directory, path, size: 5, modified: None },
            destination: Destination { bucket: "b".into(), object_key: "k".into() },
            report: CollectReport::default(),
            expected: None,
        };
        compare(&checkpoint, object, found)
    }

    #[test]
    fn story_280_only_the_same_size_and_checksum_confirm_the_object() {
        let same = found("e", 5, Some("AAAAAAAAAAA="));
        let others = [
            (found("e", 4, Some("AAAAAAAAAAA=")), "4 bytes"),
            (found("e", 5, Some("AAAAAAAAAAE=")), "AAAAAAAAAAE="),
            (found("e", 5, None), "no CRC-64"),
        ];
        for confirmed in [false, true] {
            let object = stored(Some("v"), confirmed);
            assert_eq!(compared(&object, Some(&same)), Ok(Confirmed::Now));
            for (found, words) in &others {
                let error = compared(&object, Some(found)).unwrap_err();
                assert_eq!(error.name, ErrorName::ObjectMismatch);
                assert!(
                    error.message().contains(words) && error.message().contains("s3://b/k in version v"),
                    "{error}"
                );
            }
        }
    }

    #[test]
    fn story_280_an_object_that_was_taken_is_confirmed_if_s3_had_said_so() {
        let (another, copy) = (found("f", 4, None), found("f", 5, Some("AAAAAAAAAAA=")));
        for found in [None, Some(&another)] {
            let error = compared(&stored(None, false), found).unwrap_err();
            assert_eq!(error.name, ErrorName::ObjectMismatch);
            let confirmed = compared(&stored(None, true), found).unwrap();
            assert!(matches!(confirmed, Confirmed::WhenStored(_)), "{confirmed:?}");
        }
        assert_eq!(compared(&stored(None, false), Some(&copy)), Ok(Confirmed::Now));
        // A version is the object itself, whatever its entity tag. So is one whose tag was not told.
        assert!(compared(&stored(Some("v"), true), Some(&another)).is_err());
        let untold = StoredObject { etag: String::new(), ..stored(None, true) };
        assert!(compared(&untold, Some(&another)).is_err());
        let gone = compared(&stored(Some("v"), true), None);
        assert!(matches!(gone, Ok(Confirmed::WhenStored(_))), "{gone:?}");
    }
}

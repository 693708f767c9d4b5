//! The digests of a delivery: computed while the bytes are sent, and compared with what S3 stores.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::checksum::{Hashes, ObjectHash, RunningChecksum, RunningMd5, RunningSha256};
use crate::error::Result;
use crate::payload::Checkpoint;

/// Everything that is computed from the bytes while they are sent.
#[derive(Clone, Debug)]
pub struct Digests {
    checksum: RunningChecksum,
    sha256: Option<RunningSha256>,
    md5: Option<RunningMd5>,
}

impl Digests {
    /// The digests of no bytes: those that S3 stores, and those in `wanted`.
    pub fn new(checkpoint: &Checkpoint, wanted: Hashes) -> Self {
        let stored = checkpoint.object.hash.as_ref();
        Self {
            checksum: RunningChecksum::new(checkpoint.checksum.algorithm),
            sha256: (wanted.sha256 || matches!(stored, Some(ObjectHash::Sha256(_))))
                .then(RunningSha256::default),
            md5: (wanted.md5 || matches!(stored, Some(ObjectHash::Md5(_)))).then(RunningMd5::default),
        }
    }

    /// Resumes from the digests in the checkpoint.
    ///
    /// # Errors
    /// As [`RunningChecksum::resume`].
    pub fn resume(checkpoint: &Checkpoint) -> Result<Self> {
        Ok(Self {
            checksum: RunningChecksum::resume(&checkpoint.checksum)?,
            sha256: checkpoint.sha256.clone(),
            md5: checkpoint.md5.clone(),
        })
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.checksum.update(bytes);
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(bytes);
        }
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
    }

    /// Stores the digests in the checkpoint.
    pub fn store(&self, checkpoint: &mut Checkpoint) {
        checkpoint.checksum = self.checksum.checksum();
        checkpoint.sha256 = self.sha256.clone();
        checkpoint.md5 = self.md5.clone();
    }
}

/// Bytes that are not those that S3 stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The digest of the bytes that were read.
    pub ours: String,
    /// The digest that S3 stores.
    pub stored: String,
}

/// Compares the bytes that were read with what S3 stores of the whole object. `None` if S3 stores neither a checksum nor a
/// hash of it.
pub fn compare_with_stored(checkpoint: &Checkpoint) -> Option<std::result::Result<(), Mismatch>> {
    let object = &checkpoint.object;
    let (ours, stored) = match (&object.checksum, &object.hash) {
        (Some(stored), _) => (checkpoint.checksum.value.clone(), stored.value.clone()),
        (None, Some(ObjectHash::Sha256(stored))) => {
            (BASE64.encode(checkpoint.sha256.as_ref()?.digest()), stored.clone())
        }
        (None, Some(ObjectHash::Md5(stored))) => {
            (checkpoint.md5.as_ref()?.hexadecimal(), stored.to_ascii_lowercase())
        }
        (None, None) => return None,
    };
    Some(if ours == stored { Ok(()) } else { Err(Mismatch { ours, stored }) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::PinnedObject;
    use crate::remote_path::RemotePaths;

    #[test]
    fn the_bytes_are_held_against_what_s3_stored() {
        let object = |hash| PinnedObject {
            bucket: "b".into(),
            object_key: "k".into(),
            etag: String::new(),
            version_id: None,
            size: 3,
            last_modified: None,
            checksum: None,
            hash,
        };
        let compare = |hash| {
            let remote = RemotePaths::nowhere();
            let mut checkpoint = Checkpoint::start(object(hash), remote, String::new());
            let mut digests = Digests::new(&checkpoint, Hashes::default());
            digests.update(b"a");
            digests.store(&mut checkpoint);
            let mut digests = Digests::resume(&checkpoint).unwrap();
            digests.update(b"bc");
            digests.store(&mut checkpoint);
            compare_with_stored(&checkpoint)
        };
        assert_eq!(compare(None), None);
        let md5 = "900150983CD24FB0D6963F7D28E17F72";
        assert_eq!(compare(Some(ObjectHash::Md5(md5.into()))), Some(Ok(())));
        assert!(matches!(compare(Some(ObjectHash::Md5("00".into()))), Some(Err(_))));
        let sha256 = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
        assert_eq!(compare(Some(ObjectHash::Sha256(sha256.into()))), Some(Ok(())));
    }
}

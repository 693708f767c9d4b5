//! What is computed of the object's bytes while they are sent.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use super::object::PinnedObject;
use crate::checksum::{ChecksumAlgorithm, Hashes, ObjectHash, RunningChecksum, RunningMd5, RunningSha256};

/// Everything that is computed of the bytes so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digests {
    /// In the algorithm that S3 used for the whole object, else CRC-64/NVME.
    pub checksum: RunningChecksum,
    /// Present if the server can hash the file and the hash is wanted, if the marker contains it, or if S3 has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<RunningSha256>,
    /// Present if the marker contains it, or if it is all that S3 has to compare with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub md5: Option<RunningMd5>,
}

impl Digests {
    /// Of no bytes yet: what S3 has of the object, and what is `wanted`.
    pub fn new(object: &PinnedObject, wanted: Hashes) -> Self {
        let stored = object.hash.as_ref();
        let algorithm =
            object.checksum.as_ref().map_or(ChecksumAlgorithm::Crc64Nvme, |stored| stored.algorithm);
        Self {
            checksum: RunningChecksum::new(algorithm),
            sha256: (wanted.sha256 || matches!(stored, Some(ObjectHash::Sha256(_))))
                .then(RunningSha256::default),
            md5: (wanted.md5 || matches!(stored, Some(ObjectHash::Md5(_)))).then(RunningMd5::default),
        }
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

    /// Compares with what S3 stored of the whole object; `None` if S3 has nothing to compare with.
    pub fn compare_with_stored(&self, object: &PinnedObject) -> Option<Comparison> {
        let (ours, stored) = match (&object.checksum, &object.hash) {
            (Some(stored), _) => (self.checksum.checksum().value, stored.value.clone()),
            (None, Some(ObjectHash::Sha256(stored))) => {
                (BASE64.encode(self.sha256.as_ref()?.digest()), stored.clone())
            }
            (None, Some(ObjectHash::Md5(stored))) => {
                (self.md5.as_ref()?.hexadecimal(), stored.to_ascii_lowercase())
            }
            (None, None) => return None,
        };
        Some(if ours == stored { Comparison::Same } else { Comparison::Different { ours, stored } })
    }
}

/// Whether the bytes that were read are the bytes that S3 stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// They are.
    Same,
    /// They are not.
    Different {
        /// Computed of the bytes that were read.
        ours: String,
        /// Stored by S3.
        stored: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_compared_with_what_s3_stored() {
        let compare = |hash| {
            let object = PinnedObject {
                bucket: "b".into(),
                object_key: "k".into(),
                etag: String::new(),
                version_id: None,
                size: 3,
                last_modified: None,
                checksum: None,
                hash,
            };
            let mut digests = Digests::new(&object, Hashes::default());
            digests.update(b"a");
            let mut digests: Digests =
                serde_json::from_value(serde_json::to_value(&digests).unwrap()).unwrap();
            digests.update(b"bc");
            digests.compare_with_stored(&object)
        };
        assert_eq!(compare(None), None);
        let md5 = "900150983CD24FB0D6963F7D28E17F72";
        assert_eq!(compare(Some(ObjectHash::Md5(md5.into()))), Some(Comparison::Same));
        assert!(matches!(compare(Some(ObjectHash::Md5("00".into()))), Some(Comparison::Different { .. })));
        let sha256 = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
        assert_eq!(compare(Some(ObjectHash::Sha256(sha256.into()))), Some(Comparison::Same));
    }
}

//! Checksums and hashes that a later invocation can resume.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use crc_fast::CrcAlgorithm;
use md5::Md5;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use sha2::digest::common::hazmat::{SerializableState, SerializedState};

use crate::error::{ErrorName, Result};

/// Checksums of whole objects that S3 stores and that can be computed in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChecksumAlgorithm {
    /// CRC-64/NVME, S3's default.
    #[serde(rename = "CRC64NVME")]
    Crc64Nvme,
    /// CRC-32 (ISO-HDLC), the default of several SDKs.
    #[serde(rename = "CRC32")]
    Crc32,
    /// CRC-32C (iSCSI).
    #[serde(rename = "CRC32C")]
    Crc32C,
}

impl ChecksumAlgorithm {
    fn implementation(self) -> CrcAlgorithm {
        match self {
            Self::Crc64Nvme => CrcAlgorithm::Crc64Nvme,
            Self::Crc32 => CrcAlgorithm::Crc32IsoHdlc,
            Self::Crc32C => CrcAlgorithm::Crc32Iscsi,
        }
    }

    /// Length of the checksum, in bytes.
    fn length(self) -> usize {
        match self {
            Self::Crc64Nvme => 8,
            Self::Crc32 | Self::Crc32C => 4,
        }
    }

    /// The state of the computation is the checksum before this final inversion.
    fn inversion(self) -> u64 {
        u64::MAX >> (64 - 8 * self.length())
    }
}

/// A checksum in S3's form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checksum {
    /// The algorithm.
    pub algorithm: ChecksumAlgorithm,
    /// Its bytes in base64, the most significant one first.
    pub value: String,
}

/// The checksum of the bytes so far. Serialized, it is the [`Checksum`] of these bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Checksum", into = "Checksum")]
pub struct RunningChecksum {
    algorithm: ChecksumAlgorithm,
    digest: crc_fast::Digest,
}

impl RunningChecksum {
    /// The checksum of no bytes.
    pub fn new(algorithm: ChecksumAlgorithm) -> Self {
        Self { algorithm, digest: crc_fast::Digest::new(algorithm.implementation()) }
    }

    /// Resumes from the checksum of the bytes so far.
    ///
    /// # Errors
    /// `InvalidInput` if the value is not base64 of the algorithm's length.
    pub fn resume(checksum: &Checksum) -> Result<Self> {
        let algorithm = checksum.algorithm;
        let length = algorithm.length();
        let bytes = BASE64.decode(&checksum.value).ok().filter(|bytes| bytes.len() == length);
        let bytes = bytes.ok_or_else(|| {
            ErrorName::InvalidInput
                .error(format!("field `checksum.value`: expected base64 of {length} bytes"))
        })?;
        let value = bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        let state = value ^ algorithm.inversion();
        Ok(Self {
            algorithm,
            digest: crc_fast::Digest::new_with_init_state(algorithm.implementation(), state),
        })
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
    }

    /// Adds bytes of which only the checksum is known, and their number.
    ///
    /// # Errors
    /// `InvalidInput` if the checksum is of another algorithm, or cannot be decoded.
    pub fn append(&mut self, following: &Checksum, length: u64) -> Result<()> {
        if following.algorithm != self.algorithm {
            return Err(
                ErrorName::InvalidInput.error("field `checksum.algorithm`: not that of the bytes before")
            );
        }
        let following = Self::resume(following)?.digest.finalize();
        let algorithm = self.algorithm.implementation();
        let joined = crc_fast::checksum_combine(algorithm, self.digest.finalize(), following, length);
        let state = joined ^ self.algorithm.inversion();
        self.digest = crc_fast::Digest::new_with_init_state(algorithm, state);
        Ok(())
    }

    /// The checksum of the bytes so far.
    pub fn checksum(&self) -> Checksum {
        let value = self.digest.finalize().to_be_bytes();
        let value = BASE64.encode(&value[value.len() - self.algorithm.length()..]);
        Checksum { algorithm: self.algorithm, value }
    }
}

impl From<RunningChecksum> for Checksum {
    fn from(running: RunningChecksum) -> Self {
        running.checksum()
    }
}

impl TryFrom<Checksum> for RunningChecksum {
    type Error = crate::error::Error;

    fn try_from(checksum: Checksum) -> Result<Self> {
        Self::resume(&checksum)
    }
}

impl PartialEq for RunningChecksum {
    fn eq(&self, other: &Self) -> bool {
        self.checksum() == other.checksum()
    }
}

impl Eq for RunningChecksum {}

/// A hash of the bytes so far. Serialized, it is the state of the computation, so that another process can resume it.
#[derive(Clone, Default)]
pub struct RunningHash<D>(D);

/// For servers that compute the hash of a file, and for objects whose SHA-256 S3 stores.
pub type RunningSha256 = RunningHash<Sha256>;

/// For objects of which S3 stores nothing but the MD5, in the entity tag.
pub type RunningMd5 = RunningHash<Md5>;

impl<D: sha2::Digest + Clone> RunningHash<D> {
    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of the bytes so far.
    pub fn digest(&self) -> Vec<u8> {
        self.0.clone().finalize().to_vec()
    }

    /// The hash of the bytes so far, in hexadecimal.
    pub fn hexadecimal(&self) -> String {
        hex::encode(self.digest())
    }
}

impl<D> std::fmt::Debug for RunningHash<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RunningHash")
    }
}

impl<D: SerializableState> PartialEq for RunningHash<D> {
    fn eq(&self, other: &Self) -> bool {
        self.0.serialize() == other.0.serialize()
    }
}

impl<D: SerializableState> Eq for RunningHash<D> {}

impl<D: SerializableState> Serialize for RunningHash<D> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(self.0.serialize()))
    }
}

impl<'de, D: SerializableState> Deserialize<'de> for RunningHash<D> {
    fn deserialize<T: serde::Deserializer<'de>>(deserializer: T) -> std::result::Result<Self, T::Error> {
        let text = String::deserialize(deserializer)?;
        let state = BASE64.decode(text).ok();
        let state = state.and_then(|bytes| SerializedState::<D>::try_from(bytes.as_slice()).ok());
        let state = state.and_then(|state| D::deserialize(&state).ok());
        state.map(Self).ok_or_else(|| {
            serde::de::Error::custom("not the state of a hash, expected the state of a hash in base64")
        })
    }
}

/// A hash of a whole object that S3 stores, for objects without a [`Checksum`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "algorithm", content = "value")]
pub enum ObjectHash {
    /// In base64, as S3 returns it.
    #[serde(rename = "SHA256")]
    Sha256(String),
    /// In hexadecimal. It is the entity tag of an object that was uploaded in one part and is not encrypted with a KMS key
    /// (Amazon S3 API Reference, "Object": `ETag`).
    #[serde(rename = "MD5")]
    Md5(String),
}

/// Hashes to compute in addition to what is compared with S3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hashes {
    /// SHA-256.
    pub sha256: bool,
    /// MD5.
    pub md5: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALGORITHMS: [ChecksumAlgorithm; 3] =
        [ChecksumAlgorithm::Crc64Nvme, ChecksumAlgorithm::Crc32, ChecksumAlgorithm::Crc32C];

    fn checksum(algorithm: ChecksumAlgorithm, bytes: &[u8]) -> Checksum {
        let mut running = RunningChecksum::new(algorithm);
        running.update(bytes);
        running.checksum()
    }

    #[test]
    fn the_check_values_of_the_catalogue() {
        // CRC RevEng catalogue, "check" over "123456789".
        let checks = [
            &0xae8b_1486_0a79_9888_u64.to_be_bytes()[..],
            &0xcbf4_3926_u32.to_be_bytes(),
            &0xe306_9283_u32.to_be_bytes(),
        ];
        for (algorithm, check) in ALGORITHMS.into_iter().zip(checks) {
            assert_eq!(checksum(algorithm, b"123456789").value, BASE64.encode(check));
        }
        assert_eq!(checksum(ChecksumAlgorithm::Crc64Nvme, b"").value, "AAAAAAAAAAA=");
    }

    #[test]
    fn all_can_be_resumed() {
        let bytes: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        for cut in [0, 1, 63, 64, 65, 12_345, bytes.len()] {
            let (head, tail) = bytes.split_at(cut);
            for algorithm in ALGORITHMS {
                let mut second = RunningChecksum::resume(&checksum(algorithm, head)).unwrap();
                second.update(tail);
                assert_eq!(second.checksum(), checksum(algorithm, &bytes));
            }
            hash_can_be_resumed::<Sha256>(head, tail);
            hash_can_be_resumed::<Md5>(head, tail);
        }
    }

    #[test]
    fn the_checksums_of_two_parts_are_joined() {
        let bytes: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        for cut in [0, 1, 64, 12_345, bytes.len()] {
            let (head, tail) = bytes.split_at(cut);
            for algorithm in ALGORITHMS {
                // Of a computation that began here, and of one that was resumed.
                for mut running in [RunningChecksum::new(algorithm), resumed(algorithm)] {
                    running.update(head);
                    running.append(&checksum(algorithm, tail), tail.len() as u64).unwrap();
                    assert_eq!(running.checksum(), checksum(algorithm, &bytes), "{cut}");
                    running.update(b"more");
                    assert_eq!(running.checksum(), checksum(algorithm, &[&bytes[..], b"more"].concat()));
                }
            }
        }
        let other = checksum(ChecksumAlgorithm::Crc32, b"");
        assert!(RunningChecksum::new(ChecksumAlgorithm::Crc64Nvme).append(&other, 0).is_err());
    }

    fn resumed(algorithm: ChecksumAlgorithm) -> RunningChecksum {
        RunningChecksum::resume(&checksum(algorithm, b"")).unwrap()
    }

    fn hash_can_be_resumed<D: sha2::Digest + SerializableState + Clone + Default>(head: &[u8], tail: &[u8]) {
        let mut first = RunningHash::<D>::default();
        first.update(head);
        let json = serde_json::to_value(&first).unwrap();
        let mut second: RunningHash<D> = serde_json::from_value(json).unwrap();
        assert_eq!(first, second);
        second.update(tail);
        assert_eq!(second.digest(), D::digest([head, tail].concat()).to_vec());
    }

    #[test]
    fn nonsense_is_refused() {
        for algorithm in ALGORITHMS {
            assert!(RunningChecksum::resume(&Checksum { algorithm, value: "AAAA".into() }).is_err());
        }
        assert!(serde_json::from_value::<RunningSha256>("AAAA".into()).is_err());
    }
}

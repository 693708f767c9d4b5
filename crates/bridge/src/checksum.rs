//! Checksums that go on where an earlier invocation stopped.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use crc_fast::CrcAlgorithm::Crc64Nvme as ALGORITHM;
use serde::{Deserialize, Serialize};
use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use sha2::{Digest as _, Sha256};

use crate::{ErrorName, Result};

/// A running CRC-64/NVME, the checksum that S3 keeps of a whole object by default. Written as S3 writes it: base64
/// of the 8 bytes, most significant first.
#[derive(Clone, Debug)]
pub struct Crc64Nvme(crc_fast::Digest);

impl Crc64Nvme {
    /// Of no bytes.
    pub fn new() -> Self {
        Self(crc_fast::Digest::new(ALGORITHM))
    }

    /// Goes on from the checksum of the bytes so far.
    ///
    /// # Errors
    /// `InvalidInput` if it is not base64 of 8 bytes.
    pub fn resume(checksum: &str) -> Result<Self> {
        let bytes = BASE64.decode(checksum).ok().and_then(|bytes| bytes.try_into().ok());
        let bytes: [u8; 8] =
            bytes.ok_or_else(|| ErrorName::InvalidInput.error("field `crc64nvme`: expected base64 of 8 bytes"))?;
        // The running state is the checksum before its final inversion.
        Ok(Self(crc_fast::Digest::new_with_init_state(ALGORITHM, !u64::from_be_bytes(bytes))))
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}

impl Default for Crc64Nvme {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Display for Crc64Nvme {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&BASE64.encode(self.0.finalize().to_be_bytes()))
    }
}

/// A running SHA-256 that can be put into a checkpoint: for servers that hash a file themselves.
#[derive(Clone, Default)]
pub struct RunningSha256(Sha256);

impl RunningSha256 {
    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of the bytes so far.
    pub fn digest(&self) -> [u8; 32] {
        self.0.clone().finalize().into()
    }
}

impl std::fmt::Debug for RunningSha256 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RunningSha256")
    }
}

impl PartialEq for RunningSha256 {
    fn eq(&self, other: &Self) -> bool {
        self.0.serialize() == other.0.serialize()
    }
}

impl Eq for RunningSha256 {}

impl Serialize for RunningSha256 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(self.0.serialize()))
    }
}

impl<'de> Deserialize<'de> for RunningSha256 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let state = BASE64.decode(text).ok();
        let state = state.and_then(|bytes| SerializedState::<Sha256>::try_from(bytes.as_slice()).ok());
        let state = state.and_then(|state| Sha256::deserialize(&state).ok());
        state.map(Self).ok_or_else(|| serde::de::Error::custom("not a state, expected a SHA-256 state in base64"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_crc64nvme() {
        // CRC RevEng catalogue: CRC-64/NVME, check = 0xae8b14860a799888 over "123456789".
        let mut crc = Crc64Nvme::new();
        crc.update(b"123456789");
        assert_eq!(crc.to_string(), BASE64.encode(0xae8b_1486_0a79_9888_u64.to_be_bytes()));
        assert_eq!(Crc64Nvme::new().to_string(), "AAAAAAAAAAA=");
    }

    #[test]
    fn both_go_on_where_they_stopped() {
        let bytes: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut crc = Crc64Nvme::new();
        crc.update(&bytes);
        let whole = Sha256::digest(&bytes);
        for cut in [0, 1, 63, 64, 65, 12_345, bytes.len()] {
            let (head, tail) = bytes.split_at(cut);
            let mut first = Crc64Nvme::new();
            first.update(head);
            let mut second = Crc64Nvme::resume(&first.to_string()).unwrap();
            second.update(tail);
            assert_eq!(second.to_string(), crc.to_string());

            let mut first = RunningSha256::default();
            first.update(head);
            let json = serde_json::to_value(&first).unwrap();
            let mut second: RunningSha256 = serde_json::from_value(json).unwrap();
            assert_eq!(first, second);
            second.update(tail);
            assert_eq!(second.digest()[..], whole[..]);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(Crc64Nvme::resume("AAAA").is_err());
        assert!(serde_json::from_value::<RunningSha256>("AAAA".into()).is_err());
    }
}

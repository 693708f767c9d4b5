//! The current upload of a key, and the hashes by which records of it are found.

use bridge::{ObjectSummary, VersionMark, object_part};
use sha2::{Digest as _, Sha256};

/// The current upload of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Upload {
    pub(crate) object_key: String,
    /// `None` if the bucket had no versioning when it was uploaded.
    pub(crate) version_id: Option<String>,
    /// Without quotes.
    pub(crate) etag: Option<String>,
    pub(crate) size: u64,
    /// Seconds since 1970.
    pub(crate) last_modified: i64,
}

impl Upload {
    /// As a receipt names it.
    pub(crate) fn mark(&self) -> VersionMark {
        VersionMark::new(self.version_id.as_deref(), self.etag.as_deref(), Some(self.last_modified))
    }

    /// As records may name it. An event may know nothing but the entity tag, and a record that is written before anybody
    /// has looked at the object knows no more than the event.
    pub(super) fn marks(&self) -> [VersionMark; 2] {
        [self.mark(), VersionMark::new(None, self.etag.as_deref(), None)]
    }

    pub(super) fn fingerprints(&self) -> impl Iterator<Item = Fingerprint> {
        let object = object_part(&self.object_key);
        self.marks().into_iter().map(move |mark| Fingerprint::new(&object, mark.as_str()))
    }

    /// As a failure names it whose event named no upload: then the current one was to be delivered.
    pub(super) fn unnamed(&self) -> Fingerprint {
        let mark = VersionMark::new(None, None, None);
        Fingerprint::new(&object_part(&self.object_key), mark.as_str())
    }

    /// As a receipt says it.
    pub(crate) fn summary(&self, bucket: &str) -> ObjectSummary {
        ObjectSummary {
            bucket: bucket.to_owned(),
            object_key: self.object_key.clone(),
            etag: self.etag.clone(),
            version_id: self.version_id.clone(),
            size: Some(self.size),
            last_modified: Some(self.last_modified),
            checksum: None,
            hash: None,
        }
    }
}

/// Stands for one upload: the first 128 bits of a SHA-256. Millions of them fit into memory, and nobody meets two uploads
/// that have the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Fingerprint(pub(super) u128);

impl Fingerprint {
    /// `object` is the object's key as it stands in a record's key.
    pub(super) fn new(object: &str, version: &str) -> Self {
        let mut digest = Sha256::new();
        digest.update((object.len() as u64).to_be_bytes());
        digest.update(object);
        digest.update(version);
        let digest = digest.finalize();
        Self(digest.iter().take(16).fold(0, |bits, byte| bits << 8 | u128::from(*byte)))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An upload of a bucket with versions, or without if `version` is empty.
    pub(crate) fn upload(object_key: &str, version: &str) -> Upload {
        Upload {
            object_key: object_key.into(),
            version_id: Some(version.to_owned()).filter(|version| !version.is_empty()),
            etag: Some("e".into()),
            size: 7,
            last_modified: 1_790_000_000,
        }
    }

    #[test]
    fn an_upload_is_found_by_what_an_event_knows_of_it() {
        let marks = |version| upload("k", version).marks().map(|mark| mark.as_str().to_owned());
        assert_eq!(marks("v1"), ["v1", "e"]);
        assert_eq!(marks(""), ["e@1790000000", "e"]);
    }

    #[test]
    fn a_fingerprint_knows_where_the_key_ends() {
        assert_ne!(Fingerprint::new("a", "bc"), Fingerprint::new("ab", "c"));
        assert_eq!(Fingerprint::new("a", "b"), Fingerprint::new("a", "b"));
    }
}

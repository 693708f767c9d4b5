//! Values for tests.

use bridge::{Checkpoint, CredentialReference, PinnedObject, RemotePaths, SecretLocation};

pub(super) fn checkpoint(object_key: &str) -> Checkpoint {
    let object = PinnedObject {
        bucket: "b".into(),
        object_key: object_key.into(),
        etag: "e".into(),
        version_id: None,
        size: 5,
        last_modified: None,
        checksum: None,
        hash: None,
    };
    Checkpoint::start(object, RemotePaths::nowhere(), "2026-11-27T00:00:00Z".into())
}

pub(super) fn credential(user_name: &str) -> CredentialReference {
    CredentialReference {
        location: SecretLocation::SecretsManager { arn: "a".into(), version_id: "v".into() },
        user_name: user_name.into(),
        algorithm: None,
        public_key_fingerprint: None,
        previous: None,
    }
}

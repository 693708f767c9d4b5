//! Values for tests.

use bridge::{Checkpoint, CredentialReference, PinnedObject, Route, SecretLocation};

pub(crate) fn object(object_key: &str) -> PinnedObject {
    PinnedObject {
        bucket: "b".into(),
        object_key: object_key.into(),
        etag: "e".into(),
        version_id: None,
        size: 5,
        last_modified: None,
        checksum: None,
        hash: None,
    }
}

pub(crate) fn checkpoint() -> Checkpoint {
    let route = Route::Direct { path: "in/file.bin".into() };
    Checkpoint::start(object("k"), route, "2026-11-27T00:00:00Z".into())
}

pub(crate) fn credential(user_name: &str) -> CredentialReference {
    CredentialReference {
        location: SecretLocation::SecretsManager { arn: "a".into(), version_id: "v".into() },
        user_name: user_name.into(),
        algorithm: None,
        public_key_fingerprint: None,
        previous: None,
    }
}

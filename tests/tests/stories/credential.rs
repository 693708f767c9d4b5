//! The credential, read again for each connection.

use aws::credential::{self, Clients};
use bridge::{CredentialLocation, ErrorName, SecretLocation};
use integration_tests::ministack;
use integration_tests::object_source::{Body, ObjectSource, Quirks};

/// The role may read the key and not list its bucket: S3 answers 403 of a version that is gone.
#[tokio::test]
async fn story_104_a_key_that_was_replaced_in_s3_is_read_anew_by_a_role_that_may_not_list() {
    let source = ObjectSource::start().unwrap();
    source.quirks(Quirks { no_listing: true, ..Quirks::default() });
    let clients = Clients { secrets_manager: ministack::shared().await.secrets(), s3: source.s3() };
    let location = CredentialLocation::S3 { bucket: "keys".into(), object_key: "partner".into() };
    let put = |text: &str| source.put("keys/partner", Body::Bytes(text.into())).unwrap();

    put("first");
    let (pinned, _) = credential::pin(&clients, &location).await.unwrap();
    let pinned = with_version(pinned);

    put("second");
    let error = credential::read(&clients, &pinned).await.unwrap_err();
    assert_eq!(error.name, ErrorName::CredentialExpired, "{error}");
    let (current, _) = credential::pin(&clients, &location).await.unwrap();
    credential::read(&clients, &current).await.unwrap();

    // Once: the version that is pinned anew is the current one. If it is forbidden, nothing newer will help.
    let error = credential::read(&clients, &with_version(current)).await.unwrap_err();
    assert_eq!(error.name, ErrorName::SecretUnreadable, "{error}");
    assert!(error.message().contains("403"), "{error}");
}

/// As a versioned bucket tells it.
fn with_version(location: SecretLocation) -> SecretLocation {
    let SecretLocation::S3 { bucket, object_key, etag, .. } = location else { panic!("{location:?}") };
    SecretLocation::S3 { bucket, object_key, etag, version_id: Some("v1".to_owned()) }
}

//! Collected objects in the local AWS, in a bucket that keeps versions.

use aws_sdk_s3::types::{BucketVersioningStatus, ChecksumMode, ChecksumType, VersioningConfiguration};
use bridge::ErrorName;
use bridge::collect::{CollectPhase, CollectStep};
use integration_tests::ministack;
use integration_tests::pattern;

use crate::collection::{Collection, checkpoint};
use crate::support::unique;

#[tokio::test]
async fn an_object_in_parts_has_a_version_and_the_checksum_of_all_its_bytes() {
    let s3 = ministack::shared().await.s3();
    let bucket = unique("collected");
    s3.create_bucket().bucket(&bucket).send().await.unwrap();
    let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    s3.put_bucket_versioning().bucket(&bucket).versioning_configuration(enabled).send().await.unwrap();
    let mut collection = Collection::new().await;
    collection.set("COLLECT_BUCKET", &bucket);
    collection.s3 = Some(s3.clone());
    let process = collection.process().await;
    let mut versions = Vec::new();
    for contents in [b"a first one".to_vec(), pattern::bytes(0, 17 * 1024 * 1024)] {
        let file = collection.leave("name.bin", &contents);
        let verified = process.collects(&file).await;
        let CollectPhase::Verified(object) = verified.phase else { panic!("{verified:?}") };
        let version = object.version_id.clone().unwrap();
        let got = s3.get_object().bucket(&bucket).key("name.bin").version_id(&version);
        let got = got.checksum_mode(ChecksumMode::Enabled).send().await.unwrap();
        assert_eq!(got.checksum_crc64_nvme(), Some(&*object.checksum.value));
        assert_eq!(got.checksum_type(), Some(&ChecksumType::FullObject));
        assert_eq!(got.metadata().unwrap()["sftp-path"], "out/name.bin");
        assert!(got.body.collect().await.unwrap().to_vec() == contents);
        versions.push(version);
    }
    assert_ne!(versions[0], versions[1]);
    // Another object under the key does not matter to the check, and its own version does.
    let file = collection.leave("name.bin", b"a third one");
    let stored = process.stores(&file).await;
    s3.put_object()
        .bucket(&bucket)
        .key("name.bin")
        .body(b"from elsewhere".to_vec().into())
        .send()
        .await
        .unwrap();
    let verify = async || process.call(CollectStep::VerifyObject, &file, Some(stored.clone())).await;
    assert!(matches!(checkpoint(verify().await.unwrap()).phase, CollectPhase::Verified(_)));
    let CollectPhase::Stored(object) = &stored.phase else { panic!("{stored:?}") };
    let version = object.version_id.clone().unwrap();
    s3.delete_object().bucket(&bucket).key("name.bin").version_id(version).send().await.unwrap();
    assert_eq!(verify().await.unwrap_err().name, ErrorName::ObjectMismatch);
}

#[tokio::test]
async fn a_bucket_that_is_missing_is_named() {
    let mut collection = Collection::new().await;
    collection.set("COLLECT_BUCKET", "no-such-bucket");
    collection.s3 = Some(ministack::shared().await.s3());
    let process = collection.process().await;
    for length in [5, 17 * 1024 * 1024] {
        let file = collection.leave_pattern("f", length);
        let error = process.collect_from(&file, None).await.unwrap_err();
        assert_eq!(error.name, ErrorName::ObjectWriteRefused);
        assert!(error.message().contains("no-such-bucket"), "{error}");
    }
}

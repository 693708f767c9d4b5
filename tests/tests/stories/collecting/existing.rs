//! Objects that are there already: of the same file, with the same contents, with others.

use bridge::ErrorName;
use bridge::collect::{CollectCheckpoint, CollectPhase, CollectStep, RemoteFile, StoredObject};
use integration_tests::object_source::Body;

use crate::collection::{BUCKET, Collection};

const MIB: u64 = 1024 * 1024;

fn stored(checkpoint: &CollectCheckpoint) -> &StoredObject {
    let CollectPhase::Verified(object) = &checkpoint.phase else { panic!("{checkpoint:?}") };
    object
}

fn name(object_key: &str) -> String {
    format!("{BUCKET}/{object_key}")
}

#[tokio::test]
async fn a_file_that_was_collected_is_known_by_its_object() {
    let mut collection = Collection::new().await;
    let process = collection.process().await;
    let file = collection.leave_pattern("known.bin", 17 * MIB);
    let first = process.collects(&file).await;
    // Another execution does not even connect.
    collection.partner.stop();
    let process = collection.process().await.in_execution("two");
    let second = process.collects(&file).await;
    assert!(stored(&second).was_there && !stored(&second).by_contents && !stored(&first).was_there);
    assert_eq!(stored(&second).checksum, stored(&first).checksum);
    assert_eq!((second.report.bytes_read, collection.asked("CreateMultipartUpload")), (0, 1));
}

#[tokio::test]
async fn replace_stores_a_new_version_of_a_file_with_the_same_name() {
    let collection = Collection::new().await;
    let process = collection.process().await;
    for contents in ["old", "new", "new"] {
        let mut file = collection.leave("name.csv", contents.as_bytes());
        collection.date("name.csv", 1_700_000_000 + collection.asked("PutObject") as u64);
        file.modified = collection.file("name.csv").modified;
        assert!(!stored(&process.collects(&file).await).was_there);
        collection.assert_stored("name.csv", &file);
    }
    assert_eq!(collection.asked("PutObject"), 3);
}

#[tokio::test]
async fn skip_keeps_an_object_with_the_same_contents_and_replaces_others() {
    let mut collection = Collection::new().await;
    collection.set("COLLECT_IF_EXISTS", "skip");
    let process = collection.process().await;
    for length in [300, 17 * MIB] {
        let file = collection.leave_pattern("same.bin", length);
        let same = integration_tests::pattern::bytes(0, length as usize);
        collection.source.put_with_checksum(&name("same.bin"), Body::Bytes(same.clone())).unwrap();
        let found = process.collects(&file).await;
        assert!(stored(&found).was_there && stored(&found).by_contents);
        let object = collection.source.object(&name("same.bin")).unwrap();
        assert!(object.metadata.is_empty(), "it is the one that was there");
        assert_eq!(collection.source.uploads(), 0, "what was sent is removed");
        let mut other = same;
        other[7] ^= 1;
        collection.source.put_with_checksum(&name("same.bin"), Body::Bytes(other)).unwrap();
        assert!(!stored(&process.collects(&file).await).was_there);
        collection.assert_stored("same.bin", &file);
    }
}

/// Yesterday's file had the same contents. If a consumer takes its object before it is verified, S3 has never had one of
/// today's file.
#[tokio::test]
async fn an_object_with_the_same_contents_that_is_gone_again_confirms_nothing() {
    let mut collection = Collection::new().await;
    collection.set("COLLECT_IF_EXISTS", "skip");
    let process = collection.process().await;
    let file = collection.leave("same.csv", b"same");
    collection.source.put_with_checksum(&name("same.csv"), Body::Bytes(b"same".to_vec())).unwrap();
    let stored = process.stores(&file).await;
    assert!(stored.stored().unwrap().by_contents);
    collection.source.remove(&name("same.csv"));
    let error = process.call(CollectStep::VerifyObject, &file, Some(stored)).await.unwrap_err();
    assert_eq!(error.name, ErrorName::ObjectMismatch);
}

#[tokio::test]
async fn fail_refuses_to_replace_and_takes_the_same_contents_for_done() {
    let mut collection = Collection::new().await;
    collection.set("COLLECT_IF_EXISTS", "fail");
    let process = collection.process().await;
    for length in [300, 17 * MIB] {
        let file = collection.leave_pattern("kept.bin", length);
        let contents = integration_tests::pattern::bytes(0, length as usize);
        for other in [vec![7; length as usize], b"shorter".to_vec()] {
            collection.source.put_with_checksum(&name("kept.bin"), Body::Bytes(other.clone())).unwrap();
            let error = process.collect_from(&file, None).await.unwrap_err();
            assert_eq!(error.name, ErrorName::ObjectWriteRefused);
            assert!(error.message().contains("COLLECT_IF_EXISTS is fail"), "{error}");
            let kept = collection.source.object(&name("kept.bin")).unwrap();
            assert!(kept.contents.unwrap() == other, "it stays as it was");
            assert_eq!(collection.source.uploads(), 0);
        }
        collection.source.put_with_checksum(&name("kept.bin"), Body::Bytes(contents)).unwrap();
        assert!(stored(&process.collects(&file).await).was_there);
        collection.source.remove(&name("kept.bin"));
        assert!(!stored(&process.collects(&file).await).was_there);
        collection.assert_stored("kept.bin", &file);
        collection.source.remove(&name("kept.bin"));
    }
}

/// The role of a stack may write only objects that begin with the text before the first placeholder.
#[tokio::test]
async fn keep_both_does_not_leave_the_prefix_of_the_template() {
    let mut collection = Collection::new().await;
    collection.set("COLLECT_IF_EXISTS", "keep-both");
    collection.set("COLLECT_OBJECT_KEY", "day.1-{name}");
    let process = collection.process().await;
    for (contents, expected) in [("first", "day.1-README"), ("second", "day.1-README.1")] {
        let file = collection.leave("README", contents.as_bytes());
        let file = RemoteFile { modified: file.modified.map(|time| time + contents.len() as u32), ..file };
        collection.date("README", file.modified.unwrap().into());
        assert_eq!(process.collects(&file).await.destination.object_key, expected);
    }
    collection.set("COLLECT_OBJECT_KEY", "all.{ext}");
    let file = collection.leave("README", b"x");
    let error = collection.process().await.collect(&file, None).await.unwrap_err();
    assert_eq!(error.name, ErrorName::InvalidConfig);
    assert!(error.message().contains("lets every key begin with \"all.\""), "{error}");
}

#[tokio::test]
async fn keep_both_numbers_the_objects() {
    let mut collection = Collection::new().await;
    collection.set("COLLECT_IF_EXISTS", "keep-both");
    let process = collection.process().await;
    for (number, contents) in ["first", "other", "third one"].into_iter().enumerate() {
        collection.leave("report.csv", contents.as_bytes());
        collection.date("report.csv", 1_700_000_000 + number as u64);
        let file = collection.file("report.csv");
        let checkpoint = process.collects(&file).await;
        let expected = if number == 0 { "report.csv".to_owned() } else { format!("report.{number}.csv") };
        assert_eq!(checkpoint.destination.object_key, expected);
        collection.assert_stored(&expected, &file);
    }
    // The same contents once more, with another time: no further object.
    collection.leave("report.csv", b"other");
    collection.date("report.csv", 1_700_000_777);
    let again = process.collects(&collection.file("report.csv")).await;
    assert!(stored(&again).was_there);
    assert_eq!(again.destination.object_key, "report.1.csv");
    assert_eq!(collection.source.names().iter().filter(|name| name.starts_with(BUCKET)).count(), 3);
}

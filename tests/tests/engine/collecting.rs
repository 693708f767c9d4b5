//! Reading into S3, when connections break, calls are killed, and S3 is away or refuses.

use std::sync::Arc;
use std::time::Duration;

use bridge::collect::{
    CollectCheckpoint, CollectPhase, CollectProgress, CollectReport, CollectStep, Destination,
    MultipartUpload,
};
use bridge::{ChecksumAlgorithm, ErrorName, RunningChecksum};
use integration_tests::embedded::{Cut, Moment, Quirks};
use integration_tests::fault_proxy::Fault;
use integration_tests::object_source::{Body, Quirks as StoreQuirks};
use integration_tests::partner::Partner;

use crate::collection::{BUCKET, Collection, checkpoint, once_at};
use crate::support::{MIB, wait_until};

fn offset(checkpoint: &CollectCheckpoint) -> u64 {
    match &checkpoint.phase {
        CollectPhase::Reading { offset, .. } => *offset,
        CollectPhase::Stored(_) | CollectPhase::Verified(_) => checkpoint.file.size,
    }
}

#[tokio::test]
async fn cut_again_and_again_and_read_once() {
    let mut collection = Collection::new().await;
    let file = collection.leave_pattern("cut.bin", 120 * MIB);
    // Within parts, and also before the first one is complete.
    for each in [5 * MIB, 13 * MIB, 20 * MIB] {
        let proxy = collection.through_proxy(Fault::CutAnswersAfter(each)).await;
        let process = collection.process().await.in_execution(&each.to_string());
        let verified = process.collects(&file).await;
        collection.assert_stored("cut.bin", &file);
        let (resumes, bytes_read) = (verified.report.resumes, verified.report.bytes_read);
        println!(
            "cut after each {each} bytes: {resumes} resumes, {bytes_read} bytes read, {} connections",
            proxy.connections()
        );
        assert!(u64::from(resumes) >= file.size / each - 1, "{resumes}");
        assert_eq!(bytes_read, file.size, "what has arrived is not read again");
        process.disconnect().await;
        collection.source.remove(&format!("{BUCKET}/cut.bin"));
    }
}

/// Every request of a collection, once before the server has carried it out, and once after.
#[tokio::test]
async fn a_connection_that_is_lost_at_any_request_costs_another_attempt() {
    let cut = Cut::default();
    let quirks = Quirks { cut: Some(cut.clone()), ..Quirks::default() };
    let collection = Collection::from(Partner::embedded(quirks).await.unwrap());
    let file = collection.leave_pattern("small.bin", 400_000);
    cut.at(1_000_000, Moment::Before);
    let process = collection.process().await;
    process.collects(&file).await;
    let requests = cut.seen().len();
    assert!(requests > 10, "{requests}");
    for number in 0..requests {
        for moment in [Moment::Before, Moment::After] {
            collection.source.remove(&format!("{BUCKET}/small.bin"));
            let process = collection.process().await;
            cut.at(number, moment);
            let stored = match process.collect_from(&file, None).await {
                Ok((stored, _)) => stored,
                Err(error) => {
                    assert!(error.name.is_connection_failure(), "{number} {moment:?}: {error}");
                    process.collect_from(&file, None).await.unwrap().0
                }
            };
            assert!(matches!(checkpoint(stored).phase, CollectPhase::Stored(_)));
            collection.assert_stored("small.bin", &file);
            process.disconnect().await;
        }
    }
}

/// A look at the key, the request that stores the object, and the look of `VerifyObject`.
#[tokio::test]
async fn a_file_of_one_request_takes_three_of_them() {
    for if_exists in ["replace", "skip", "fail", "keep-both"] {
        let mut collection = Collection::new().await;
        collection.set("COLLECT_IF_EXISTS", if_exists);
        let process = collection.process().await;
        // The credential is read once.
        process.collects(&collection.leave("first.csv", b"the first")).await;
        for length in [5, 16 * MIB] {
            let before = collection.source.requests();
            let file = collection.leave_pattern("small.bin", length);
            process.collects(&file).await;
            assert_eq!(collection.source.requests() - before, 3, "{if_exists}, {length} bytes");
            collection.assert_stored("small.bin", &file);
            collection.source.remove(&format!("{BUCKET}/small.bin"));
        }
    }
}

/// If the caller has just seen that nothing has the key, it is not looked at.
#[tokio::test]
async fn a_key_that_is_known_to_be_free_is_not_looked_at() {
    for if_exists in ["replace", "skip", "fail", "keep-both"] {
        let mut collection = Collection::new().await;
        collection.set("COLLECT_IF_EXISTS", if_exists);
        let mut process = collection.process().await;
        process.collects(&collection.leave("first.csv", b"the first")).await;
        let file = collection.leave("small.bin", b"small");
        process.knows_to_be_free("small.bin");
        let before = collection.source.requests();
        process.collects(&file).await;
        assert_eq!(collection.source.requests() - before, 2, "{if_exists}");
        collection.assert_stored("small.bin", &file);
        // It was taken after the look: by the file itself, or by another one.
        let before = collection.asked("PutObject");
        let again = process.collects(&file).await;
        assert_eq!(again.destination.object_key, "small.bin", "{if_exists}");
        let other = collection.leave("small.bin", b"another one");
        let stored = process.collect_from(&other, None).await;
        match (if_exists, stored) {
            ("fail", stored) => assert_eq!(stored.unwrap_err().name, ErrorName::ObjectWriteRefused),
            ("keep-both", stored) => {
                let stored = checkpoint(stored.unwrap().0);
                assert_eq!(stored.destination.object_key, "small.1.bin");
            }
            (_, stored) => {
                assert_eq!(checkpoint(stored.unwrap().0).destination.object_key, "small.bin");
                collection.assert_stored("small.bin", &other);
            }
        }
        let asked = collection.asked("PutObject") - before;
        assert!(asked <= 3, "{if_exists}: {asked}");
    }
}

/// An upload in parts that a version before this one has begun, of a file that now is one request.
#[tokio::test]
async fn an_upload_in_parts_stays_one() {
    let collection = Collection::new().await;
    let file = collection.leave_pattern("former.bin", 10 * MIB);
    let s3 = collection.source.s3();
    let created = s3.create_multipart_upload().bucket(BUCKET).key("former.bin");
    let created = created.checksum_algorithm(aws_sdk_s3::types::ChecksumAlgorithm::Crc64Nvme);
    let created = created.checksum_type(aws_sdk_s3::types::ChecksumType::FullObject);
    let id = created.send().await.unwrap().upload_id.unwrap();
    let upload = Some(MultipartUpload { id, part_size: 8 * MIB });
    let checksum = RunningChecksum::new(ChecksumAlgorithm::Crc64Nvme);
    let former = CollectCheckpoint {
        phase: CollectPhase::Reading { offset: 0, checksum, upload },
        file: file.clone(),
        destination: Destination { bucket: BUCKET.into(), object_key: "former.bin".into() },
        report: CollectReport::default(),
        expected: None,
    };
    let (stored, _) = collection.process().await.collect_from(&file, Some(former)).await.unwrap();
    assert!(matches!(checkpoint(stored).phase, CollectPhase::Stored(_)));
    assert_eq!((collection.asked("UploadPart"), collection.asked("PutObject")), (2, 0));
    let object = collection.source.object(&format!("{BUCKET}/former.bin")).unwrap();
    assert!(object.contents.unwrap() == std::fs::read(collection.local("former.bin")).unwrap());
}

#[tokio::test]
async fn a_short_call_returns_how_far_it_came() {
    let mut collection = Collection::new().await;
    let file = collection.leave_pattern("sliced.bin", 100 * MIB);
    let _proxy = collection.through_proxy(Fault::Rate(30_000_000)).await;
    collection.slice = Some(Duration::from_secs(2));
    let process = collection.process().await;
    let (stored, calls) = process.collect_from(&file, None).await.unwrap();
    let stored = checkpoint(stored);
    println!("{calls} calls, {} bytes read", stored.report.bytes_read);
    assert!(calls >= 2, "{calls}");
    assert_eq!(stored.report.resumes, calls - 1);
    // At most a part is read again in each call.
    assert!(stored.report.bytes_read < file.size + u64::from(calls) * 8 * MIB);
    collection.assert_stored("sliced.bin", &file);
    assert_eq!(collection.asked("CreateMultipartUpload"), 1);
}

/// A checkpoint in the middle of a file of 80 MiB.
async fn half_way(collection: &mut Collection) -> (bridge::collect::RemoteFile, CollectCheckpoint) {
    let file = collection.leave_pattern("half.bin", 80 * MIB);
    collection.slice = Some(Duration::from_secs(2));
    let proxy = collection.through_proxy(Fault::Rate(25_000_000)).await;
    let half = checkpoint(collection.process().await.collect(&file, None).await.unwrap());
    assert!(half.is_reading() && offset(&half) >= 8 * MIB, "{half:?}");
    drop(proxy);
    collection.slice = None;
    collection.set("SFTP_PORT", collection.partner.port);
    (file, half)
}

#[tokio::test]
async fn a_killed_call_leaves_parts_that_are_not_read_again() {
    let mut collection = Collection::new().await;
    let (file, half) = half_way(&mut collection).await;
    let proxy = collection.through_proxy(Fault::Rate(25_000_000)).await;
    let before = collection.asked("UploadPart");
    let killed = collection.process().await;
    tokio::select! {
        _ = killed.collect(&file, Some(half.clone())) => panic!("it was to be killed"),
        () = wait_until("three parts are sent", || collection.asked("UploadPart") >= before + 3) => {}
    }
    drop(proxy);
    collection.set("SFTP_PORT", collection.partner.port);
    let (stored, _) = collection.process().await.collect_from(&file, Some(half.clone())).await.unwrap();
    let read = checkpoint(stored).report.bytes_read - half.report.bytes_read;
    let left = file.size - offset(&half);
    println!("{left} bytes were left, {read} were read");
    // The third part may not have arrived.
    assert!(read <= left - 16 * MIB, "{read} of {left}");
    collection.assert_stored("half.bin", &file);
}

#[tokio::test]
async fn an_upload_that_was_ended_behind_our_back_begins_anew() {
    let mut collection = Collection::new().await;
    let (file, half) = half_way(&mut collection).await;
    collection.source.abort_uploads();
    let (stored, _) = collection.process().await.collect_from(&file, Some(half)).await.unwrap();
    let stored = checkpoint(stored);
    assert_eq!(stored.report.restarts, 1);
    assert!(stored.report.warnings[0].contains("NoSuchUpload"), "{:?}", stored.report.warnings);
    collection.assert_stored("half.bin", &file);
    // In the middle of a call, too.
    collection.source.remove(&format!("{BUCKET}/half.bin"));
    let source = Arc::new(collection.source);
    let (ended, file) = (Arc::clone(&source), file);
    let collection = Collection {
        source: integration_tests::object_source::ObjectSource::start_writable().unwrap(),
        s3: Some(source.s3()),
        ..collection
    };
    let keys = collection.partner.client_key.private.clone().into_bytes();
    collection.source.put("keys/id", Body::Bytes(keys)).unwrap();
    let process = collection.process_with(once_at(30 * MIB, move || ended.abort_uploads())).await;
    let stored = process.stores(&file).await;
    assert_eq!(stored.report.restarts, 1);
    let object = source.object(&format!("{BUCKET}/half.bin")).unwrap();
    assert!(object.contents.unwrap() == std::fs::read(collection.local("half.bin")).unwrap());
    assert_eq!(source.uploads(), 0);
}

#[tokio::test]
async fn what_s3_refuses_is_an_error_that_says_so() {
    let collection = Collection::new().await;
    let process = collection.process().await;
    for (length, denied) in [
        (300, "PutObject"),
        (20 * MIB, "CreateMultipartUpload"),
        (20 * MIB, "UploadPart"),
        (20 * MIB, "CompleteMultipartUpload"),
    ] {
        let file = collection.leave_pattern("refused.bin", length);
        collection.source.quirks(StoreQuirks { denies: Some(denied), ..StoreQuirks::default() });
        let error = process.collect_from(&file, None).await.unwrap_err();
        assert_eq!(error.name, ErrorName::ObjectWriteRefused, "{error}");
        assert!(error.message().contains(denied) && error.message().contains("s3:PutObject"), "{error}");
        collection.source.quirks(StoreQuirks { busy: true, ..StoreQuirks::default() });
        let error = process.collect_from(&file, None).await.unwrap_err();
        assert_eq!(error.name, ErrorName::ObjectWriteInterrupted, "{error}");
        collection.source.quirks(StoreQuirks::default());
        collection.source.abort_uploads();
        assert!(collection.source.object(&format!("{BUCKET}/refused.bin")).is_none());
    }
}

/// What S3 has done without an answer is found, and neither done twice nor taken for another's.
#[tokio::test]
async fn an_object_whose_answer_was_lost_is_found() {
    let collection = Collection::new().await;
    for (length, mute) in [(300, "PutObject"), (20 * MIB, "CompleteMultipartUpload")] {
        let file = collection.leave_pattern("unanswered.bin", length);
        collection.source.quirks(StoreQuirks { mute: Some(mute), ..StoreQuirks::default() });
        let process = collection.process().await;
        // The SDK asks again by itself, and hears of an upload that is gone.
        let first = process.collect_from(&file, None).await;
        let found = match first {
            Ok((found, _)) => found,
            Err(error) => {
                assert_eq!(error.name, ErrorName::ObjectWriteInterrupted, "{error}");
                process.collect_from(&file, None).await.unwrap().0
            }
        };
        collection.source.quirks(StoreQuirks::default());
        let CollectProgress::Checkpoint(found) = found else { panic!("{found:?}") };
        let CollectPhase::Stored(object) = &found.phase else { panic!("{found:?}") };
        assert!(!object.was_there, "this execution has stored it");
        assert_eq!(found.report.restarts, 0);
        collection.assert_stored("unanswered.bin", &file);
    }
}

#[tokio::test]
async fn a_call_that_stores_nothing_leaves_no_upload() {
    let mut collection = Collection::new().await;
    let file = collection.leave_pattern("slow.bin", 40 * MIB);
    // Not even one part in a call.
    let _proxy = collection.through_proxy(Fault::Rate(2_000_000)).await;
    collection.slice = Some(Duration::from_secs(2));
    let error = collection.process().await.collect(&file, None).await.unwrap_err();
    assert_eq!(error.name, ErrorName::ConnectionLost);
    assert!(error.message().contains("too slow"), "{error}");
    collection.assert_nothing_stored();
}

/// Two conditional requests for one key at the same time: S3 answers one of them with 409.
#[tokio::test]
async fn a_conditional_request_that_another_was_in_the_way_of_is_made_again() {
    let mut collection = Collection::new().await;
    for (length, operation) in [(300, "PutObject"), (20 * MIB, "CompleteMultipartUpload")] {
        for if_exists in ["replace", "skip", "fail", "keep-both"] {
            collection.set("COLLECT_IF_EXISTS", if_exists);
            let name = format!("{if_exists}-{length}.bin");
            let (file, process) = (collection.leave_pattern(&name, length), collection.process().await);
            let conflicts =
                |times| StoreQuirks { conflicts: Some((operation, times)), ..StoreQuirks::default() };
            collection.source.quirks(conflicts(u32::MAX));
            let error = process.collect_from(&file, None).await.unwrap_err();
            assert_eq!(
                error.name,
                ErrorName::ObjectWriteInterrupted,
                "the state machine tries again: {error}"
            );
            assert!(collection.source.object(&format!("{BUCKET}/{name}")).is_none());
            collection.source.abort_uploads();

            let before = collection.asked(operation);
            collection.source.quirks(conflicts(1));
            let first = process.collect_from(&file, None).await;
            let goes_on = matches!(if_exists, "replace" | "skip");
            assert!(first.is_ok() || !goes_on, "{first:?}");
            if let Err(error) = &first {
                assert_eq!(error.name, ErrorName::ObjectWriteInterrupted, "{error}");
                collection.source.abort_uploads();
            }
            let stored = match first {
                Ok((stored, _)) => checkpoint(stored),
                Err(_) => process.stores(&file).await,
            };
            assert_eq!(collection.asked(operation) - before, 2, "{if_exists} {operation}");
            let verified = process.call(CollectStep::VerifyObject, &file, Some(stored)).await.unwrap();
            assert!(!checkpoint(verified).is_reading());
            collection.assert_stored(&name, &file);
        }
    }
}

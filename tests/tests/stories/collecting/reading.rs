//! From a listed file to an object: what may happen to the file meanwhile.

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bridge::ErrorName;
use bridge::collect::{CollectOutcome, CollectPhase, CollectStep};
use integration_tests::embedded::{Hiccup, Quirks, Reading};
use integration_tests::object_source::{Body, Quirks as StoreQuirks};
use integration_tests::partner::Partner;

use crate::collection::{BUCKET, Collection, checkpoint, date, once_at};

const MIB: u64 = 1024 * 1024;

#[tokio::test]
async fn a_file_becomes_an_object() {
    let mut collection = Collection::new().await;
    collection.set("COLLECT_RECURSIVE", true);
    let process = collection.process().await;
    for (path, length) in [("one.csv", 5), ("a/ü b.csv", 300_000), ("large.bin", 17 * MIB + 1)] {
        let file = collection.leave(path, &integration_tests::pattern::bytes(0, length as usize));
        let verified = process.collects(&file).await;
        let CollectPhase::Verified(object) = &verified.phase else { panic!("{verified:?}") };
        let stored = collection.source.object(&format!("{BUCKET}/{path}")).unwrap();
        assert_eq!(Some(&object.checksum.value), stored.checksum.as_ref());
        assert!(!object.was_there);
        assert_eq!((verified.report.bytes_read, verified.report.resumes), (length, 0));
        assert_eq!(stored.metadata["sftp-size"], length.to_string());
        assert_eq!(stored.metadata["sftp-host-key"], verified.report.host_key_fingerprint.unwrap());
        assert_eq!(stored.contents.unwrap(), std::fs::read(collection.local(path)).unwrap());
    }
    process.disconnect().await;
    assert_eq!(collection.source.uploads(), 0);
}

#[tokio::test]
async fn story_261_a_file_that_grew_between_two_looks_is_not_taken() {
    let collection = Collection::new().await;
    let process = collection.process().await;
    let listed = collection.leave("growing.csv", b"one line\n");
    let mut grown = File::options().append(true).open(collection.local("growing.csv")).unwrap();
    grown.write_all(b"another line\n").unwrap();
    let receipt = process.ends(&listed).await;
    assert_eq!(receipt.outcome, CollectOutcome::Changed);
    let reason = receipt.reason.unwrap();
    assert!(reason.contains("22 bytes") && reason.contains("had 9"), "{reason}");
    collection.assert_nothing_stored();
    // The same size and another time is another file, too.
    let listed = collection.leave("growing.csv", b"one line\n");
    collection.date("growing.csv", 1_700_000_001);
    assert_eq!(process.ends(&listed).await.outcome, CollectOutcome::Changed);
    collection.assert_nothing_stored();
    let now = collection.file("growing.csv");
    process.collects(&now).await;
    collection.assert_stored("growing.csv", &now);
}

#[tokio::test]
async fn story_262_a_file_that_grew_while_it_was_read_is_not_published() {
    let collection = Collection::new().await;
    for length in [100_000, 20 * MIB] {
        let file = collection.leave_pattern("growing.bin", length);
        let path = collection.local("growing.bin");
        let grow = move || File::options().append(true).open(path).unwrap().write_all(b"more").unwrap();
        // After the last byte was read.
        let process = collection.process_with(once_at(length, grow)).await;
        let receipt = process.ends(&file).await;
        assert_eq!(receipt.outcome, CollectOutcome::Changed, "{receipt:?}");
        assert_eq!(receipt.bytes_read, length);
        collection.assert_nothing_stored();
    }
    assert_eq!(collection.asked("PutObject") + collection.asked("CompleteMultipartUpload"), 0);
}

#[tokio::test]
async fn story_262_a_file_that_was_rewritten_or_cut_while_it_was_read_is_not_published() {
    let collection = Collection::new().await;
    let length = 20 * MIB;
    for change in ["rewrite", "cut", "remove"] {
        let file = collection.leave_pattern("changing.bin", length);
        let path = collection.local("changing.bin");
        let disturb = move || match change {
            // The same size, and by its clock a moment later.
            "rewrite" => date(&path, 1_700_000_001),
            "cut" => File::options().write(true).open(path).unwrap().set_len(3 * MIB).unwrap(),
            _ => std::fs::remove_file(path).unwrap(),
        };
        let process = collection.process_with(once_at(9 * MIB, disturb)).await;
        let receipt = process.ends(&file).await;
        let expected = if change == "remove" { CollectOutcome::Gone } else { CollectOutcome::Changed };
        assert_eq!(receipt.outcome, expected, "{change}: {receipt:?}");
        collection.assert_nothing_stored();
    }
}

#[tokio::test]
async fn story_263_a_file_that_becomes_readable_later_is_taken_then() {
    let refused = Arc::new(AtomicBool::new(true));
    let quirks = Quirks { open_refused: Arc::clone(&refused), ..Quirks::default() };
    let collection = Collection::from(Partner::embedded(quirks).await.unwrap());
    let process = collection.process().await;
    let file = collection.leave("0770.csv", b"for some only, at first");
    for _ in 0..2 {
        let error = process.collect(&file, None).await.unwrap_err();
        assert_eq!(error.name, ErrorName::RemoteUnreadable);
        assert!(error.name.retryable() && error.message().contains("out/0770.csv"), "{error}");
    }
    collection.assert_nothing_stored();
    // A change of the mode changes neither size nor time: only patience finds it.
    refused.store(false, Ordering::Relaxed);
    process.collects(&file).await;
    collection.assert_stored("0770.csv", &file);
}

#[tokio::test]
async fn story_264_a_stub_that_is_filled_later_is_another_file() {
    let collection = Collection::new().await;
    let process = collection.process().await;
    let stub = collection.leave("stub.csv", b"");
    let filled = collection.leave("stub.csv", b"the contents");
    assert_ne!(stub.execution_name(), filled.execution_name());
    assert_eq!(process.ends(&stub).await.outcome, CollectOutcome::Changed);
    collection.assert_nothing_stored();
    process.collects(&filled).await;
    collection.assert_stored("stub.csv", &filled);
}

#[tokio::test]
async fn story_265_a_file_that_cannot_be_read_is_an_error_of_its_own_execution() {
    for reading in [Reading::NotOpened, Reading::NothingRead] {
        let quirks = Quirks { reading, ..Quirks::default() };
        let collection = Collection::from(Partner::embedded(quirks).await.unwrap());
        let process = collection.process().await;
        for length in [5, 20 * MIB] {
            let file = collection.leave_pattern("locked.csv", length);
            let error = process.collect(&file, None).await.unwrap_err();
            assert_eq!(error.name, ErrorName::RemoteUnreadable, "{error}");
            assert!(error.message().contains("reading is not allowed"), "{error}");
            collection.assert_nothing_stored();
        }
    }
}

#[tokio::test]
async fn story_266_a_file_that_is_gone_ends_the_execution_without_an_error() {
    let collection = Collection::new().await;
    let process = collection.process().await;
    let file = collection.leave("gone.csv", b"soon gone");
    std::fs::remove_file(collection.local("gone.csv")).unwrap();
    let receipt = process.ends(&file).await;
    assert_eq!(receipt.outcome, CollectOutcome::Gone);
    assert!(receipt.reason.unwrap().contains("out/gone.csv"));
    collection.assert_nothing_stored();
}

#[tokio::test]
async fn story_267_what_was_read_before_a_bad_spot_is_not_read_again() {
    let hiccup = Hiccup::always_from(17 * MIB);
    let quirks = Quirks { hiccup: Some(hiccup.clone()), ..Quirks::default() };
    let collection = Collection::from(Partner::embedded(quirks).await.unwrap());
    let process = collection.process().await;
    let file = collection.leave_pattern("bad-spot.bin", 30 * MIB);
    // Two parts of 8 MiB were read, and are kept.
    let mut kept = checkpoint(process.collect(&file, None).await.unwrap());
    for _ in 0..3 {
        let error = process.collect(&file, Some(kept.clone())).await.unwrap_err();
        assert_eq!(error.name, ErrorName::RemoteUnreadable);
        let offset = error.message().split(" at byte ").nth(1).unwrap().parse::<u64>().unwrap();
        assert_eq!(offset, 17 * MIB, "{error}");
    }
    let CollectPhase::Reading { offset, .. } = kept.phase else { panic!("{kept:?}") };
    assert_eq!(offset, 16 * MIB);
    kept.report.bytes_read = 0;
    hiccup.heal();
    let (stored, _) = process.collect_from(&file, Some(kept)).await.unwrap();
    assert_eq!(checkpoint(stored).report.bytes_read, 14 * MIB);
    collection.assert_stored("bad-spot.bin", &file);
}

#[tokio::test]
async fn story_280_a_failed_check_removes_nothing() {
    let collection = Collection::new().await;
    collection.source.quirks(StoreQuirks { tells_no_checksum: true, ..StoreQuirks::default() });
    let process = collection.process().await;
    let file = collection.leave("checked.csv", b"contents");
    let stored = process.stores(&file).await;
    let name = format!("{BUCKET}/checked.csv");
    let verify = async || process.call(CollectStep::VerifyObject, &file, Some(stored.clone())).await;
    // A store whose answer tells no checksum. Somebody has replaced the object, then removed it.
    collection.source.put_with_checksum(&name, Body::Bytes(b"another".to_vec())).unwrap();
    let error = verify().await.unwrap_err();
    assert_eq!(error.name, ErrorName::ObjectMismatch);
    assert!(collection.source.object(&name).is_some(), "it stays");
    collection.source.remove(&name);
    assert_eq!(verify().await.unwrap_err().name, ErrorName::ObjectMismatch);
    assert_eq!(std::fs::read(collection.local("checked.csv")).unwrap(), b"contents");
    // Once S3 has it again, the same check passes.
    collection.source.put_with_checksum(&name, Body::Bytes(b"contents".to_vec())).unwrap();
    assert!(matches!(checkpoint(verify().await.unwrap()).phase, CollectPhase::Verified(_)));
    assert_eq!(collection.asked("DeleteObject"), 0);
}

/// S3 had confirmed the object when it was stored, so a consumer that takes it at once is no failure.
#[tokio::test]
async fn story_280_an_object_that_a_consumer_has_taken_was_confirmed_when_it_was_stored() {
    let collection = Collection::new().await;
    let process = collection.process().await;
    for length in [8, 17 * MIB] {
        let file = collection.leave_pattern("taken.bin", length);
        let name = format!("{BUCKET}/taken.bin");
        let stored = process.stores(&file).await;
        let verify = async || process.call(CollectStep::VerifyObject, &file, Some(stored.clone())).await;
        for (what, another) in [("it is not there", None), ("it has 7 bytes", Some(b"another".to_vec()))] {
            collection.source.remove(&name);
            if let Some(another) = another {
                collection.source.put_with_checksum(&name, Body::Bytes(another)).unwrap();
            }
            let verified = checkpoint(verify().await.unwrap());
            assert!(matches!(verified.phase, CollectPhase::Verified(_)));
            let [warning] = &verified.report.warnings[..] else { panic!("{verified:?}") };
            assert!(warning.contains("s3://collected/taken.bin") && warning.contains(what), "{warning}");
        }
        collection.source.remove(&name);
    }
}

/// Somebody has written other bytes into the object, and kept its metadata.
#[tokio::test]
async fn story_280_a_redrive_does_not_believe_the_object_that_was_found_wrong() {
    for if_exists in ["replace", "skip", "keep-both"] {
        for length in [300, 17 * MIB] {
            let mut collection = Collection::new().await;
            collection.source.quirks(StoreQuirks { tells_no_checksum: true, ..StoreQuirks::default() });
            collection.set("COLLECT_IF_EXISTS", if_exists);
            let process = collection.process().await;
            let file = collection.leave_pattern("checked.bin", length);
            let stored = process.stores(&file).await;
            let name = format!("{BUCKET}/checked.bin");
            collection.source.rewrite(&name, vec![7; length as usize]).unwrap();
            let error =
                process.call(CollectStep::VerifyObject, &file, Some(stored.clone())).await.unwrap_err();
            assert_eq!(error.name, ErrorName::ObjectMismatch);
            let (again, _) = process.collect_from(&file, Some(stored.after_mismatch())).await.unwrap();
            let again = checkpoint(again);
            assert_eq!((again.report.bytes_read, &again.expected), (2 * length, &None), "it is read again");
            let verified = process.call(CollectStep::VerifyObject, &file, Some(again)).await.unwrap();
            let object_key = checkpoint(verified).destination.object_key;
            assert_eq!(object_key == "checked.bin", if_exists != "keep-both");
            collection.assert_stored(&object_key, &file);
        }
    }
}

/// If the very object that was stored is back, nothing is read.
#[tokio::test]
async fn story_280_a_redrive_takes_the_object_that_was_stored() {
    let collection = Collection::new().await;
    let process = collection.process().await;
    let file = collection.leave("checked.csv", b"contents");
    let stored = process.stores(&file).await;
    let (again, _) = process.collect_from(&file, Some(stored.after_mismatch())).await.unwrap();
    let again = checkpoint(again);
    assert_eq!((again.report.bytes_read, again.expected), (8, None));
    assert_eq!(collection.asked("PutObject"), 1);
}

#[tokio::test]
async fn story_283_an_empty_file_becomes_an_empty_object() {
    let collection = Collection::new().await;
    let process = collection.process().await;
    let file = collection.leave("empty.csv", b"");
    let verified = process.collects(&file).await;
    let CollectPhase::Verified(object) = verified.phase else { panic!("{verified:?}") };
    assert_eq!(object.checksum.value, "AAAAAAAAAAA=");
    collection.assert_stored("empty.csv", &file);
}

#[tokio::test]
async fn story_291_a_file_that_was_swapped_for_a_link_is_not_taken() {
    let collection = Collection::new().await;
    let secret = collection.partner.root.join("secret");
    for moment in ["before it was opened", "while it was read"] {
        let file = collection.leave("swapped.csv", b"harmless contents");
        std::fs::write(&secret, b"secret   contents").unwrap();
        date(&secret, 1_700_000_000);
        let (path, target) = (collection.local("swapped.csv"), secret.clone());
        let swap = move || {
            std::fs::remove_file(&path).unwrap();
            std::os::unix::fs::symlink(&target, &path).unwrap();
        };
        let process = if moment == "while it was read" {
            collection.process_with(once_at(1, swap)).await
        } else {
            swap();
            collection.process().await
        };
        let receipt = process.ends(&file).await;
        // Not skipped: if the file comes back, a look starts it once more.
        assert_eq!(receipt.outcome, CollectOutcome::Changed, "{moment}: {receipt:?}");
        assert!(receipt.reason.unwrap().contains("symbolic link"));
        collection.assert_nothing_stored();
        std::fs::remove_file(collection.local("swapped.csv")).unwrap();
    }
    let mut file = collection.leave("directory/f", b"");
    file.path = "directory".into();
    let receipt = collection.process().await.ends(&file).await;
    assert_eq!(receipt.outcome, CollectOutcome::Changed, "no regular file: {receipt:?}");
}

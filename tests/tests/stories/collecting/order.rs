//! Two publications to one object key: a file never takes the place of one that is newer.

use std::sync::{Arc, Mutex};

use bridge::collect::{CollectOutcome, CollectPhase, RemoteFile};
use integration_tests::object_source::{Body, Quirks};
use integration_tests::wire::kind;

use super::desk::{self, Desk};
use crate::collection::{BUCKET, Collection, Process, once_at};

const MIB: usize = 1024 * 1024;
/// For one request, and for an upload in parts.
const LENGTHS: [usize; 2] = [5, 17 * MIB];
const TIME: u32 = 1_700_000_000;
const LATEST: &str = "collected/latest.csv";

type Deed = Box<dyn FnOnce(&mut Desk) + Send>;

/// A partner with files, and what happens right before the LSTATs to come, one after the other.
struct At {
    collection: Collection,
    desk: Arc<Mutex<Desk>>,
    deeds: Arc<Mutex<Vec<Deed>>>,
}

impl At {
    async fn new() -> Self {
        let deeds: Arc<Mutex<Vec<Deed>>> = Arc::default();
        let shared = Arc::clone(&deeds);
        let (partner, desk) = desk::partner(Desk::default(), move |desk, kind, _| {
            let mut deeds = shared.lock().unwrap();
            if kind == kind::LSTAT && !deeds.is_empty() {
                deeds.remove(0)(desk);
            }
        })
        .await;
        let mut collection = Collection::from(partner);
        collection.set("COLLECT_OBJECT_KEY", "latest.csv");
        Self { collection, desk, deeds }
    }

    /// Leaves a file of this many letters.
    fn leave(&self, path: &str, letter: &str, length: usize, modified: u32) -> RemoteFile {
        let contents = (letter.repeat(length), modified);
        self.desk.lock().unwrap().files.insert(format!("out/{path}"), contents);
        let (host, directory) = (self.collection.partner.host.clone(), "out".into());
        RemoteFile { host, directory, path: path.into(), size: length as u64, modified: Some(modified) }
    }

    /// Collects the file now, and keeps the object: what is returned puts it under the key, as if it were collected then.
    async fn collected_at_once(&self, file: &RemoteFile) -> impl FnOnce() + Send + use<> {
        self.process("faster").await.collects(file).await;
        let source = &self.collection.source;
        source.moving(LATEST, "aside/object")();
        source.moving("aside/object", LATEST)
    }

    async fn process(&self, execution: &str) -> Process {
        self.collection.process().await.in_execution(execution)
    }

    /// Before the first look nothing happens, and before the last one this.
    fn before_the_last_look(&self, deed: impl FnOnce() + Send + 'static) {
        *self.deeds.lock().unwrap() = vec![Box::new(|_| {}), Box::new(|_| deed())];
    }

    fn contents(&self) -> String {
        let object = self.collection.source.object(LATEST).expect("an object has the key");
        assert_eq!(self.collection.source.uploads(), 0, "no upload is left");
        String::from_utf8(object.contents.unwrap()).unwrap()
    }
}

#[tokio::test]
async fn an_older_file_does_not_replace_a_newer_one_of_the_same_key() {
    for if_exists in ["replace", "skip"] {
        let mut collection = Collection::new().await;
        collection.set("COLLECT_OBJECT_KEY", "latest.csv");
        collection.set("COLLECT_IF_EXISTS", if_exists);
        for length in LENGTHS {
            let newer = collection.leave("newer.csv", b"newer");
            collection.date("newer.csv", u64::from(TIME) + 60);
            let newer = RemoteFile { modified: Some(TIME + 60), ..newer };
            collection.process().await.collects(&newer).await;
            let source = &collection.source;
            source.moving(LATEST, "aside/object")();
            // It is stored while the older one is read.
            let publish = source.moving("aside/object", LATEST);
            let older = collection.leave_pattern("older.csv", length as u64);
            let process = collection.process_with(once_at(length as u64, publish)).await;
            let receipt = process.in_execution("older").ends(&older).await;
            assert_eq!(receipt.outcome, CollectOutcome::Skipped, "{receipt:?}");
            let reason = receipt.reason.unwrap();
            assert!(reason.contains("\"out/newer.csv\", modified at 1700000060"), "{reason}");
            collection.assert_stored("latest.csv", &newer);
            collection.source.remove(LATEST);
        }
    }
}

#[tokio::test]
async fn an_object_that_takes_the_key_after_the_last_look_at_it_is_looked_at_first() {
    for length in LENGTHS {
        let at = At::new().await;
        let newer = at.leave("newer.csv", "n", 3, TIME + 60);
        let publish = at.collected_at_once(&newer).await;
        let older = at.leave("older.csv", "o", length, TIME);
        at.before_the_last_look(publish);
        let receipt = at.process("older").await.ends(&older).await;
        assert_eq!(receipt.outcome, CollectOutcome::Skipped, "{receipt:?}");
        assert_eq!(at.contents(), "nnn");
    }
}

/// The partner replaces a file after the last look at it, and the new one is collected and deleted before the old one is
/// published.
#[tokio::test]
async fn a_file_that_was_replaced_and_collected_meanwhile_is_not_overwritten() {
    for length in LENGTHS {
        let at = At::new().await;
        let second = at.leave("a.csv", "2", 3, TIME + 60);
        let publish = at.collected_at_once(&second).await;
        let first = at.leave("a.csv", "1", length, TIME);
        at.before_the_last_look(publish);
        at.deeds.lock().unwrap().push(Box::new(|desk| desk.files.clear()));
        let receipt = at.process("first").await.ends(&first).await;
        assert_eq!(receipt.outcome, CollectOutcome::Gone, "{receipt:?}");
        assert_eq!(at.contents(), "222");
    }
}

#[tokio::test]
async fn an_object_of_others_is_replaced_after_another_look() {
    for if_exists in ["replace", "skip"] {
        for length in LENGTHS {
            for is_there in [false, true] {
                let mut at = At::new().await;
                at.collection.set("COLLECT_IF_EXISTS", if_exists);
                let source = &at.collection.source;
                if is_there {
                    source.put_with_checksum(LATEST, Body::Bytes(b"first".to_vec())).unwrap();
                }
                source.put_with_checksum("aside/object", Body::Bytes(b"another".to_vec())).unwrap();
                let file = at.leave("a.csv", "1", length, TIME);
                at.before_the_last_look(source.moving("aside/object", LATEST));
                let stored = at.process("one").await.collects(&file).await;
                assert!(!stored.stored().unwrap().was_there);
                assert!(at.contents() == "1".repeat(length));
                assert_eq!(stored.report.bytes_read, length as u64, "it is read once");
                let asked = if length > MIB { "CompleteMultipartUpload" } else { "PutObject" };
                assert_eq!(at.collection.asked(asked), 2);
            }
        }
    }
}

/// An object that was removed meanwhile is no obstacle either.
#[tokio::test]
async fn a_key_that_became_free_is_taken() {
    for length in LENGTHS {
        let at = At::new().await;
        let source = &at.collection.source;
        source.put_with_checksum(LATEST, Body::Bytes(b"first".to_vec())).unwrap();
        let file = at.leave("a.csv", "1", length, TIME);
        at.before_the_last_look(source.moving(LATEST, "aside/object"));
        at.process("one").await.collects(&file).await;
        assert!(at.contents() == "1".repeat(length));
    }
}

/// Two executions collect one file, such as the command line beside the stack. A caller that has seen the key free a while
/// ago knows nothing of it.
#[tokio::test]
async fn a_file_that_another_execution_stores_meanwhile_is_stored_once() {
    for if_exists in ["replace", "skip"] {
        for length in LENGTHS {
            let mut collection = Collection::new().await;
            collection.set("COLLECT_OBJECT_KEY", "latest.csv");
            collection.set("COLLECT_IF_EXISTS", if_exists);
            let file = collection.leave_pattern("latest.csv", length as u64);
            let faster = collection.process().await.in_execution("faster").collects(&file).await;
            let source = &collection.source;
            source.moving(LATEST, "aside/object")();
            let publish = source.moving("aside/object", LATEST);
            let process = collection.process_with(once_at(length as u64, publish)).await;
            let mut process = process.in_execution("slower");
            process.knows_to_be_free("latest.csv");
            let slower = process.collects(&file).await;
            let (one, other) = (faster.stored().unwrap(), slower.stored().unwrap());
            assert!(other.was_there, "{if_exists}, {length}: {other:?}");
            assert_eq!(other.etag, one.etag, "the object of the faster one stays");
            assert_eq!(collection.source.uploads(), 0, "what was sent is removed");
        }
    }
}

/// A list that is some time old does not make anybody read a large file that S3 has.
#[tokio::test]
async fn the_key_of_a_large_file_is_looked_at_before_it_is_read() {
    let collection = Collection::new().await;
    let mut process = collection.process().await;
    let file = collection.leave_pattern("large.bin", LENGTHS[1] as u64);
    process.collects(&file).await;
    process = process.in_execution("later");
    process.knows_to_be_free("large.bin");
    let again = process.collects(&file).await;
    assert!(again.stored().unwrap().was_there);
    assert_eq!(again.report.bytes_read, 0);
}

/// The path decides, not the time: partners restore files, with their times.
#[tokio::test]
async fn an_older_file_that_the_partner_put_back_replaces_the_newer_one() {
    let at = At::new().await;
    for (letter, modified) in [("1", TIME + 60), ("2", TIME)] {
        let file = at.leave("a.csv", letter, 3, modified);
        at.process(letter).await.collects(&file).await;
        assert_eq!(at.contents(), letter.repeat(3));
    }
}

#[tokio::test]
async fn an_object_whose_answer_was_lost_is_known_as_ones_own() {
    let at = At::new().await;
    let source = &at.collection.source;
    for (operation, length) in [("PutObject", LENGTHS[0]), ("CompleteMultipartUpload", LENGTHS[1])] {
        source.quirks(Quirks { mute: Some(operation), ..Quirks::default() });
        let file = at.leave("a.csv", "1", length, TIME);
        let verified = at.process("one").await.collects(&file).await;
        let CollectPhase::Verified(object) = &verified.phase else { panic!("{verified:?}") };
        assert!(!object.was_there && at.contents() == "1".repeat(length), "{operation}");
        assert!(at.collection.asked(operation) > 1, "the request was sent again");
        source.remove(LATEST);
    }
    assert_eq!(BUCKET, LATEST.split('/').next().unwrap());
}

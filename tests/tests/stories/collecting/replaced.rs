//! The partner replaces a file between the look at it and the request that moves or deletes it. What was not collected is
//! never deleted, and never hidden in the archive.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bridge::collect::{CollectCheckpoint, CollectPhase, CollectReceipt, RemoteFile};
use bridge::{ChecksumAlgorithm, RunningChecksum};
use integration_tests::embedded::{LostAnswer, Quirks};
use integration_tests::wire::kind;

use super::desk::{self, Desk, REMOVE, RENAME};
use super::watching::{LONG_AGO, Watching};

const PATH: &str = "out/a.csv";

struct At {
    watching: Watching,
    desk: Arc<Mutex<Desk>>,
}

impl At {
    async fn new(
        afterwards: &str,
        mut desk: Desk,
        before: impl FnMut(&mut Desk, u8, &str) + Send + 'static,
    ) -> Self {
        desk.files.insert(PATH.into(), ("old".into(), LONG_AGO));
        let (partner, desk) = desk::partner(desk, before).await;
        let mut watching = Watching::at(partner).await;
        watching.set("COLLECT_AFTERWARDS", afterwards);
        Self { watching, desk }
    }

    /// Of the file that had the contents `old`.
    fn collected(&self) -> CollectCheckpoint {
        let (host, directory) = (self.watching.bridge.partner.host.clone(), "out".into());
        let file = RemoteFile { host, directory, path: "a.csv".into(), size: 3, modified: Some(LONG_AGO) };
        let mut checkpoint = self.watching.verified(file);
        let CollectPhase::Verified(stored) = &mut checkpoint.phase else { panic!("{checkpoint:?}") };
        let mut checksum = RunningChecksum::new(ChecksumAlgorithm::Crc64Nvme);
        checksum.update(b"old");
        stored.checksum = checksum.checksum();
        checkpoint
    }

    async fn settled(&self) -> CollectReceipt {
        self.watching.settle(&self.collected(), 0).await.unwrap()
    }

    /// The contents of all files, by path.
    fn files(&self) -> Vec<(String, String)> {
        let desk = self.desk.lock().unwrap();
        desk.files.iter().map(|(path, (contents, _))| (path.clone(), contents.clone())).collect()
    }
}

fn replace(desk: &mut Desk, contents: &str) {
    desk.files.insert(PATH.into(), (contents.into(), LONG_AGO + 60));
}

/// Once, before the file is first moved.
fn replaces(contents: &'static str) -> impl FnMut(&mut Desk, u8, &str) + Send {
    let mut is_done = false;
    move |desk, kind, path| {
        if kind == RENAME && path == PATH && !is_done {
            is_done = true;
            replace(desk, contents);
        }
    }
}

#[tokio::test]
async fn a_file_that_was_replaced_before_it_was_moved_gets_its_name_back() {
    for afterwards in ["archive", "delete"] {
        for (contents, renews_times) in [("new and longer", false), ("new", false), ("new", true)] {
            let desk = Desk { renews_times, ..Desk::default() };
            let at = At::new(afterwards, desk, replaces(contents)).await;
            let receipt = at.settled().await;
            assert_eq!(receipt.afterwards.as_deref(), Some("left"));
            assert!(receipt.warnings[0].contains("it was replaced while"), "{:?}", receipt.warnings);
            assert_eq!(at.files(), [(PATH.to_owned(), contents.to_owned())], "{afterwards}");
        }
    }
}

#[tokio::test]
async fn a_replaced_file_whose_place_is_taken_stays_where_the_warning_says() {
    for afterwards in ["archive", "delete"] {
        let mut first = replaces("new");
        let at = At::new(afterwards, Desk::default(), move |desk, kind, path| {
            first(desk, kind, path);
            let is_moved = desk.files.iter().any(|(at, (contents, _))| contents == "new" && at != PATH);
            if is_moved && kind == kind::LSTAT {
                replace(desk, "newest");
            }
        })
        .await;
        let receipt = at.settled().await;
        let files = at.files();
        assert_eq!(files.len(), 2, "{files:?}");
        assert!(files.contains(&(PATH.into(), "newest".into())), "{files:?}");
        let (moved, _) = files.iter().find(|(_, contents)| contents == "new").unwrap();
        assert!(receipt.warnings[0].contains(&format!("{moved:?}")), "{:?}", receipt.warnings);
        // There, it would be deleted after COLLECT_ARCHIVE_DAYS.
        assert!(!moved.contains("/.done/"), "{moved}");
    }
}

/// Same size, and the server tells no times: only the contents show that it is another file.
#[tokio::test]
async fn without_times_the_contents_say_whether_a_file_was_replaced() {
    for afterwards in ["archive", "delete"] {
        for (contents, is_left) in [("new", true), ("old", false)] {
            let desk = Desk { tells_no_times: true, ..Desk::default() };
            let at = At::new(afterwards, desk, |_, _, _| {}).await;
            replace(&mut at.desk.lock().unwrap(), contents);
            let mut checkpoint = at.collected();
            checkpoint.file.modified = None;
            let receipt = at.watching.settle(&checkpoint, 0).await.unwrap();
            assert_eq!(receipt.afterwards.as_deref() == Some("left"), is_left, "{afterwards} {contents}");
            assert_eq!(at.files().contains(&(PATH.into(), "new".into())), is_left, "{:?}", at.files());
        }
    }
}

/// A new file with a new marker comes just before the marker of the former file is moved.
#[tokio::test]
async fn the_marker_of_a_new_file_stays() {
    const MARKER: &str = "out/a.csv.ok";
    for afterwards in ["archive", "delete"] {
        let mut desk = Desk::default();
        desk.files.insert(MARKER.into(), (String::new(), LONG_AGO));
        let mut is_first = true;
        let mut at = At::new(afterwards, desk, move |desk, kind, path| {
            if kind == RENAME && path == MARKER && std::mem::take(&mut is_first) {
                replace(desk, "new");
                desk.files.insert(MARKER.into(), (String::new(), LONG_AGO + 60));
            }
        })
        .await;
        at.watching.set("COLLECT_MARKER", "{name}.ok");
        at.settled().await;
        let files = at.files();
        for (path, contents) in [(PATH, "new"), (MARKER, "")] {
            assert!(files.contains(&(path.into(), contents.into())), "{afterwards}: {files:?}");
        }
    }
}

/// Gateways to object stores do so.
#[tokio::test]
async fn a_server_that_gives_a_moved_file_a_new_time_is_no_reason_to_keep_the_file() {
    for (afterwards, left) in [("archive", 1), ("delete", 0)] {
        let desk = Desk { renews_times: true, ..Desk::default() };
        let at = At::new(afterwards, desk, |_, _, _| {}).await;
        let receipt = at.settled().await;
        assert_eq!(receipt.warnings, Vec::<String>::new());
        assert_ne!(receipt.afterwards.as_deref(), Some("left"));
        let files = at.files();
        assert_eq!(files.len(), left, "{files:?}");
        assert!(files.iter().all(|(path, contents)| path.contains("/.done/") && contents == "old"));
        assert!(at.desk.lock().unwrap().reads > 0, "its contents have decided");
        // A retry, whose predecessor was cut off before it could answer.
        let again = at.watching.settle(&at.collected(), 1).await.unwrap();
        assert_eq!((again.afterwards, again.warnings), (receipt.afterwards, vec![]));
    }
}

#[tokio::test]
async fn where_nothing_may_be_renamed_a_file_is_deleted_in_its_place_and_the_receipt_says_so() {
    let desk = Desk { refuses: Some(RENAME), ..Desk::default() };
    let at = At::new("delete", desk, |_, _, _| {}).await;
    let receipt = at.settled().await;
    assert_eq!(receipt.afterwards.as_deref(), Some("deleted"));
    assert!(receipt.warnings[0].contains("under its own name"), "{:?}", receipt.warnings);
    assert!(at.files().is_empty());
    // A file that was replaced before the last look is left alone.
    let mut is_first = true;
    let desk = Desk { refuses: Some(RENAME), ..Desk::default() };
    let at = At::new("delete", desk, move |desk, kind, _| {
        if kind == RENAME && std::mem::take(&mut is_first) {
            replace(desk, "new");
        }
    })
    .await;
    let receipt = at.settled().await;
    assert_eq!(receipt.afterwards.as_deref(), Some("left"));
    assert_eq!(at.files(), [(PATH.to_owned(), "new".to_owned())]);
}

#[tokio::test]
async fn a_file_that_may_not_be_deleted_gets_its_name_back() {
    let desk = Desk { refuses: Some(REMOVE), ..Desk::default() };
    let at = At::new("delete", desk, |_, _, _| {}).await;
    let deps = at.watching.settling();
    // It was refused before: nothing is waited for.
    deps.partner.learned.set_keeps_files(true);
    let receipt = at.watching.settle_with(&deps, &at.collected(), 0).await.unwrap();
    assert_eq!(receipt.afterwards.as_deref(), Some("left"));
    assert!(receipt.warnings[0].contains("was not deleted"), "{:?}", receipt.warnings);
    assert_eq!(at.files(), [(PATH.to_owned(), "old".to_owned())]);
    assert_eq!(at.desk.lock().unwrap().files[PATH].1, LONG_AGO, "it is still the file that was collected");
}

#[tokio::test]
async fn a_call_that_was_cut_off_while_it_deleted_is_continued_by_the_retry() {
    for lost in ["rename", "remove"] {
        let quirks = Quirks { lost_answer: Some(LostAnswer::to(lost)), ..Quirks::default() };
        let mut watching = Watching::quirky(quirks).await;
        // A rename may take ten times as long as other requests.
        watching.bridge.options.stall_timeout = Duration::from_millis(200);
        watching.set("COLLECT_AFTERWARDS", "delete");
        watching.set("COLLECT_EXCLUDE", "none");
        watching.put("a.csv", "x", LONG_AGO);
        let checkpoint = watching.verified(watching.file("a.csv"));
        watching.settle(&checkpoint, 0).await.unwrap_err();
        assert_eq!(watching.look().await.started, 0, "what was moved aside is no file for a look: {lost}");
        let receipt = watching.settle(&checkpoint, 1).await.unwrap();
        assert_eq!((receipt.afterwards.as_deref(), receipt.warnings), (Some("deleted"), vec![]), "{lost}");
        assert!(watching.files().is_empty(), "{:?}", watching.files());
    }
}

//! What becomes of a file on the partner's server once S3 has confirmed its object.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bridge::ErrorName;
use bridge::collect::{CollectOutcome, CollectPhase, RemoteFile};
use integration_tests::embedded::{LostAnswer, Quirks, Renaming, Script};
use integration_tests::partner::{Options, Partner};
use integration_tests::tools;
use integration_tests::wire::{self, attributes, kind};

use super::watching::{LONG_AGO, Watching, set_modified};

/// What the archive calls a file of an execution that began at noon.
fn archived(name: &str) -> String {
    format!(".done/20260301120000-{name}")
}

fn archived_as(name: &str) -> Option<String> {
    Some(format!("archived as out/{}", archived(name)))
}

fn paths(watching: &Watching) -> Vec<String> {
    watching.files().into_keys().collect()
}

#[tokio::test]
async fn a_file_is_archived_with_all_that_the_receipt_says() {
    let watching = Watching::new().await;
    watching.put("a.csv", "contents", LONG_AGO);
    watching.put("other.csv", "not collected", LONG_AGO);
    let file = watching.file("a.csv");
    let receipt = watching.settled("a.csv").await;
    assert_eq!(receipt.outcome, CollectOutcome::Collected);
    assert_eq!(receipt.afterwards, archived_as("a.csv"));
    assert_eq!(receipt.warnings, Vec::<String>::new());
    let object = receipt.object.unwrap();
    assert_eq!((object.object_key.as_str(), object.size), ("a.csv", Some(8)));
    assert_eq!((object.etag.as_deref(), object.version_id.as_deref()), (Some("etag"), Some("version")));
    assert!(object.checksum.is_some() && object.checksum == receipt.checksum);
    assert_eq!(receipt.file, file);
    assert_eq!(receipt.user_name, watching.bridge.partner.user);
    assert!(receipt.host_key_fingerprint.unwrap().starts_with("SHA256:"));
    assert_eq!((receipt.bytes_read, receipt.started_at.as_str()), (8, "2026-03-01T12:00:10Z"));
    assert!(receipt.execution_id.ends_with(":noon") && receipt.finished_at.starts_with("20"));
    let files = watching.files();
    assert_eq!(files.keys().collect::<Vec<_>>(), [&archived("a.csv"), "other.csv"]);
    assert_eq!(files[&archived("a.csv")], "contents");
}

#[tokio::test]
async fn a_file_goes_into_the_directory_that_the_settings_name() {
    let mut watching = Watching::new().await;
    watching.set("COLLECT_RECURSIVE", "true");
    watching.set("COLLECT_ARCHIVE_DIRECTORY", "kept/for/us");
    watching.put("below/a.csv", "x", LONG_AGO);
    let receipt = watching.settled("below/a.csv").await;
    assert_eq!(
        receipt.afterwards.as_deref(),
        Some("archived as out/kept/for/us/20260301120000-a-d0dc5ebb.csv"),
        "{receipt:?}"
    );
    assert_eq!(paths(&watching), ["kept/for/us/20260301120000-a-d0dc5ebb.csv"]);
    let look = watching.look().await;
    assert_eq!(look.started, 0, "what is archived is never collected");
}

#[tokio::test]
async fn a_file_is_deleted_and_an_object_that_was_there_is_said() {
    let mut watching = Watching::new().await;
    watching.set("COLLECT_AFTERWARDS", "delete");
    watching.put("a.csv", "x", LONG_AGO);
    watching.put("b.csv", "x", LONG_AGO);
    let mut checkpoint = watching.verified(watching.file("a.csv"));
    if let CollectPhase::Verified(stored) = &mut checkpoint.phase {
        stored.was_there = true;
    }
    let receipt = watching.settle(&checkpoint, 0).await.unwrap();
    assert_eq!(receipt.outcome, CollectOutcome::AlreadyCollected);
    assert!(receipt.reason.unwrap().contains("metadata names this file"));
    assert_eq!(receipt.afterwards.as_deref(), Some("deleted"));
    assert_eq!(paths(&watching), ["b.csv"]);
    let again = watching.settle(&checkpoint, 1).await.unwrap();
    assert_eq!(again.afterwards.as_deref(), Some("deleted"), "the first call has done it");
    let by_another = watching.settle(&checkpoint, 0).await.unwrap();
    assert_eq!(by_another.afterwards.as_deref(), Some("gone"));
    // Another object that happens to have the same contents.
    if let CollectPhase::Verified(stored) = &mut checkpoint.phase {
        stored.by_contents = true;
    }
    let identical = watching.settle(&checkpoint, 0).await.unwrap();
    assert_eq!(identical.outcome, CollectOutcome::AlreadyCollected);
    assert!(identical.reason.unwrap().contains("an object with the same contents"));
}

#[tokio::test]
async fn nothing_is_touched_before_s3_has_confirmed_the_object() {
    let watching = Watching::new().await;
    watching.put("a.csv", "x", LONG_AGO);
    let mut checkpoint = watching.verified(watching.file("a.csv"));
    if let CollectPhase::Verified(stored) = checkpoint.phase.clone() {
        checkpoint.phase = CollectPhase::Stored(stored);
    }
    let error = watching.settle(&checkpoint, 0).await.unwrap_err();
    assert_eq!(error.name, ErrorName::InvalidInput, "{error}");
    assert_eq!(paths(&watching), ["a.csv"]);
}

#[tokio::test]
async fn a_file_that_has_changed_is_left_for_the_next_look() {
    for afterwards in ["archive", "delete"] {
        let mut watching = Watching::new().await;
        watching.set("COLLECT_AFTERWARDS", afterwards);
        let path = watching.put("a.csv", "old", LONG_AGO);
        assert_eq!(watching.look().await.started, 1);
        let checkpoint = watching.verified(watching.file("a.csv"));
        std::fs::write(&path, "new and longer").unwrap();
        let receipt = watching.settle(&checkpoint, 0).await.unwrap();
        assert_eq!(receipt.afterwards.as_deref(), Some("left"));
        assert!(receipt.warnings[0].contains("has changed since it was read"), "{:?}", receipt.warnings);
        assert_eq!(watching.files()["a.csv"], "new and longer");
        // Of the same size, and at another time.
        std::fs::write(&path, "NEW").unwrap();
        set_modified(&path, LONG_AGO + 1);
        let receipt = watching.settle(&checkpoint, 0).await.unwrap();
        assert_eq!(receipt.afterwards.as_deref(), Some("left"));
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", &path).unwrap();
        let receipt = watching.settle(&checkpoint, 0).await.unwrap();
        assert!(receipt.warnings[0].contains("symbolic link"), "{:?}", receipt.warnings);
        assert!(path.symlink_metadata().unwrap().is_symlink());
    }
}

/// The server has moved the file, and its answer never arrives.
#[tokio::test]
async fn story_275_a_rename_whose_answer_is_lost_is_found_by_the_retry() {
    let quirks = Quirks { lost_answer: Some(LostAnswer::to("rename")), ..Quirks::default() };
    let mut watching = Watching::quirky(quirks).await;
    // A rename may take ten times as long as other requests.
    watching.bridge.options.stall_timeout = Duration::from_millis(200);
    std::fs::create_dir(watching.bridge.partner.root.join("out/.done")).unwrap();
    watching.put("a.csv", "x", LONG_AGO);
    assert_eq!(watching.look().await.started, 1);
    let checkpoint = watching.verified(watching.file("a.csv"));
    let error = watching.settle(&checkpoint, 0).await.unwrap_err();
    assert_eq!(error.name, ErrorName::ConnectionLost, "{error}");
    assert_eq!(paths(&watching), [archived("a.csv")], "and it was done");
    assert_eq!(watching.look().await.started, 0);
    let receipt = watching.settle(&checkpoint, 1).await.unwrap();
    assert_eq!(receipt.afterwards, archived_as("a.csv"));
    assert_eq!(receipt.warnings, Vec::<String>::new());
    assert_eq!(paths(&watching), [archived("a.csv")]);
}

/// Meanwhile the partner has put another file there: both are safe.
#[tokio::test]
async fn story_275_a_retry_does_not_take_the_next_file_for_the_one_it_moved() {
    let watching = Watching::new().await;
    watching.put("a.csv", "x", LONG_AGO);
    let checkpoint = watching.verified(watching.file("a.csv"));
    assert_eq!(watching.settle(&checkpoint, 0).await.unwrap().afterwards, archived_as("a.csv"));
    watching.put("a.csv", "the next one", LONG_AGO + 5);
    let receipt = watching.settle(&checkpoint, 1).await.unwrap();
    assert_eq!(receipt.afterwards, archived_as("a.csv"));
    assert_eq!(paths(&watching), [archived("a.csv"), "a.csv".into()]);
    assert_eq!(watching.look().await.started, 1, "it is collected as any other");
}

#[tokio::test]
async fn story_275_a_file_that_was_not_archived_yet_is_not_taken_again() {
    let mut watching = Watching::new().await;
    watching.put("a.csv", "x", LONG_AGO);
    assert_eq!(watching.look().await.started, 1);
    let checkpoint = watching.verified(watching.file("a.csv"));
    watching.bridge.partner.stop();
    let error = watching.settle(&checkpoint, 0).await.unwrap_err();
    assert!(error.name.is_connection_failure(), "{error}");
    watching.bridge.partner.start_again().await.unwrap();
    let look = watching.look().await;
    assert_eq!((look.started, look.started_before), (0, 1), "it is still there, and was taken");
    let receipt = watching.settle(&checkpoint, 1).await.unwrap();
    assert_eq!(receipt.afterwards, archived_as("a.csv"));
    let look = watching.look().await;
    assert_eq!((look.started, look.started_before), (0, 0));
}

/// A server that does as it was asked, and says that it did not.
#[tokio::test]
async fn story_275_a_rename_that_is_refused_and_done_is_done() {
    let watching =
        Watching::quirky(Quirks { renaming: Renaming::FailsAfterwards, ..Quirks::default() }).await;
    std::fs::create_dir(watching.bridge.partner.root.join("out/.done")).unwrap();
    watching.put("a.csv", "x", LONG_AGO);
    let receipt = watching.settled("a.csv").await;
    assert_eq!((receipt.afterwards, receipt.warnings), (archived_as("a.csv"), vec![]));
}

/// Servers that replace what has the new name, and servers that do not.
#[tokio::test]
async fn story_276_what_the_archive_has_already_is_never_replaced() {
    let quirks = || Quirks { rename_replaces: true, ..Quirks::default() };
    let lone = || Quirks { no_posix_rename: true, ..quirks() };
    let watched = [Watching::new().await, Watching::quirky(quirks()).await, Watching::quirky(lone()).await];
    for watching in watched {
        watching.put(&archived("a.csv"), "former", LONG_AGO);
        watching.put(&archived("a-1.csv"), "other", LONG_AGO);
        watching.put("a.csv", "ours", LONG_AGO);
        let checkpoint = watching.verified(watching.file("a.csv"));
        let receipt = watching.settle(&checkpoint, 0).await.unwrap();
        assert_eq!((receipt.afterwards, receipt.warnings), (archived_as("a-2.csv"), vec![]));
        let retried = watching.settle(&checkpoint, 1).await.unwrap();
        assert_eq!(retried.afterwards, archived_as("a-2.csv"), "a retry finds the number");
        let files = watching.files();
        let contents = ["a.csv", "a-1.csv", "a-2.csv"].map(|name| files[&archived(name)].as_str());
        assert_eq!(contents, ["former", "other", "ours"]);
        assert_eq!(files.len(), 3);
    }
}

/// OpenSSH with a list of refused requests; the embedded server with quirks where it is not available.
async fn without_rights() -> Watching {
    let refused = "ForceCommand internal-sftp -d FOLDER/files -P rename,posix-rename,remove\n";
    match tools::sshd().await.unwrap() {
        Some(sshd) => {
            let options = Options { settings: refused.into(), ..Options::default() };
            Watching::at(Partner::open_ssh(sshd, options).await.unwrap()).await
        }
        None => {
            let rename_refused = Arc::new(AtomicBool::new(true));
            Watching::quirky(Quirks { no_delete: true, rename_refused, ..Quirks::default() }).await
        }
    }
}

/// Settles three files, one after the other, of a partner who permits neither.
async fn settled_without_rights(afterwards: &str, words: &str) {
    let mut watching = without_rights().await;
    // It would wait for eight seconds.
    watching.time = Some(Duration::from_secs(6));
    watching.set("COLLECT_AFTERWARDS", afterwards);
    for name in ["a.csv", "b.csv", "c.csv"] {
        watching.put(name, "x", LONG_AGO);
    }
    assert_eq!(watching.look().await.started, 3);
    let deps = watching.settling();
    let started = std::time::Instant::now();
    for name in ["a.csv", "b.csv", "c.csv"] {
        let checkpoint = watching.verified(watching.file(name));
        let receipt = watching.settle_with(&deps, &checkpoint, 0).await.unwrap();
        assert_eq!(receipt.outcome, CollectOutcome::Collected);
        assert_eq!(receipt.afterwards.as_deref(), Some("left"));
        let warning = &receipt.warnings[0];
        assert!(warning.contains(words) && warning.contains("COLLECT_AFTERWARDS to leave"), "{warning}");
    }
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "the refusal is believed sooner for each further file"
    );
    assert_eq!(paths(&watching), ["a.csv", "b.csv", "c.csv"]);
    let look = watching.look().await;
    assert_eq!((look.started, look.started_before), (0, 3), "kept, and not taken again");
}

#[tokio::test]
async fn story_277_without_the_right_to_move_or_delete_a_file_is_kept_and_not_taken_again() {
    // Each waits for some seconds, for a refusal that passes.
    tokio::join!(
        settled_without_rights("archive", "was not archived"),
        settled_without_rights("delete", "was not deleted")
    );
}

/// A virus scanner holds the file for a moment.
#[tokio::test]
async fn story_277_a_refusal_that_passes_is_waited_for() {
    let refused = Arc::new(AtomicBool::new(true));
    let watching =
        Watching::quirky(Quirks { rename_refused: Arc::clone(&refused), ..Quirks::default() }).await;
    watching.put("a.csv", "x", LONG_AGO);
    let passes = async {
        while !watching.bridge.partner.root.join("out/.done").exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        refused.store(false, Ordering::Relaxed);
    };
    let (receipt, ()) = tokio::join!(watching.settled("a.csv"), passes);
    assert_eq!((receipt.afterwards, receipt.warnings), (archived_as("a.csv"), vec![]));
}

#[tokio::test]
async fn story_277_an_archive_that_cannot_be_made_keeps_the_file() {
    let mut watching = Watching::new().await;
    watching.set("COLLECT_EXCLUDE", "none-of-these");
    watching.put(".done", "a file has the name of the archive", LONG_AGO);
    watching.put("a.csv", "x", LONG_AGO);
    let receipt = watching.settled("a.csv").await;
    assert_eq!(receipt.afterwards.as_deref(), Some("left"));
    assert!(receipt.warnings[0].contains("\"out/.done\" is a file"), "{:?}", receipt.warnings);
    assert_eq!(paths(&watching), [".done", "a.csv"]);
}

#[tokio::test]
async fn story_278_files_that_must_stay_are_not_touched_and_taken_once() {
    let mut watching = Watching::new().await;
    watching.set("COLLECT_AFTERWARDS", "leave");
    watching.set("COLLECT_MARKER", "{name}.ok");
    let path = watching.put("a.csv", "x", LONG_AGO);
    watching.put("a.csv.ok", "", LONG_AGO);
    let before = std::fs::metadata(&path).unwrap();
    assert_eq!(watching.look().await.started, 1);
    let checkpoint = watching.verified(watching.file("a.csv"));
    // Not even a connection is needed.
    watching.bridge.partner.stop();
    let receipt = watching.settle(&checkpoint, 0).await.unwrap();
    assert_eq!((receipt.afterwards.as_deref(), receipt.warnings), (Some("left"), vec![]));
    watching.bridge.partner.start_again().await.unwrap();
    for _ in 0..3 {
        let look = watching.look().await;
        assert_eq!((look.started, look.started_before), (0, 1));
    }
    let after = std::fs::metadata(&path).unwrap();
    assert_eq!((after.modified().unwrap(), after.len()), (before.modified().unwrap(), before.len()));
    assert_eq!(paths(&watching), ["a.csv", "a.csv.ok"]);
}

#[tokio::test]
async fn story_285_a_marker_goes_where_its_file_went() {
    for (afterwards, left) in [("archive", vec![archived("a.csv"), archived("a.csv.ok")]), ("delete", vec![])]
    {
        let mut watching = Watching::new().await;
        watching.set("COLLECT_AFTERWARDS", afterwards);
        watching.set("COLLECT_MARKER", "{name}.ok");
        watching.put("a.csv", "x", LONG_AGO);
        watching.put("a.csv.ok", "", LONG_AGO + 1);
        watching.put("b.csv.ok", "", LONG_AGO);
        let checkpoint = watching.verified(watching.file("a.csv"));
        let receipt = watching.settle(&checkpoint, 0).await.unwrap();
        assert_eq!(receipt.warnings, Vec::<String>::new());
        assert_eq!(paths(&watching), [left.clone(), vec!["b.csv.ok".into()]].concat(), "{afterwards}");
        // The call was killed between the two: the retry takes the marker.
        watching.put("a.csv.ok", "", LONG_AGO + 1);
        watching.settle(&checkpoint, 1).await.unwrap();
        assert!(!paths(&watching).contains(&"a.csv.ok".to_owned()), "{afterwards}");
        // A file that has come since needs it.
        watching.put("a.csv", "the next one", LONG_AGO + 9);
        watching.put("a.csv.ok", "", LONG_AGO + 9);
        watching.settle(&checkpoint, 1).await.unwrap();
        assert!(paths(&watching).contains(&"a.csv.ok".to_owned()), "{afterwards}");
        assert_eq!(watching.look().await.started, 1);
    }
}

#[tokio::test]
async fn a_rename_to_another_place_is_said() {
    let watching = Watching::quirky(Quirks { renaming: Renaming::Elsewhere, ..Quirks::default() }).await;
    std::fs::create_dir(watching.bridge.partner.root.join("out/.done")).unwrap();
    watching.put("a.csv", "x", LONG_AGO);
    let receipt = watching.settled("a.csv").await;
    assert_eq!(receipt.afterwards, archived_as("a.csv"));
    assert!(receipt.warnings[0].contains("no file is seen there"), "{:?}", receipt.warnings);
}

#[tokio::test]
async fn old_files_of_the_archive_are_deleted_by_their_names_and_nothing_else_is() {
    let mut watching = Watching::new().await;
    watching.set("COLLECT_ARCHIVE_DAYS", "14");
    watching.set("COLLECT_RECURSIVE", "true");
    let stamp = |days: u64| {
        let moment = std::time::SystemTime::now() - Duration::from_secs(days * 24 * 3600);
        aws::timestamp(moment).replace(['-', ':', 'T', 'Z'], "")
    };
    let (old, young) = (stamp(15), stamp(13));
    // The files' own times say nothing: the old one looks young, and the young ones old.
    let now = u32::MAX / 2 + 1;
    watching.put(&format!(".done/{old}-a.csv"), "x", now);
    watching.put(&format!("below/.done/{old}-b-1.csv"), "x", now);
    for kept in [
        format!(".done/{young}-a.csv"),
        ".done/partner.csv".into(),
        format!(".done/{}", &old),
        format!("{old}-not-archived.tmp"),
        format!(".done/{old}-directory/file.csv"),
    ] {
        watching.put(&kept, "x", LONG_AGO);
    }
    let look = watching.look().await;
    assert_eq!((look.purged, look.started, look.warnings.len()), (2, 0, 0), "{look:?}");
    let left = paths(&watching);
    assert_eq!(left.len(), 5, "{left:?}");
    assert!(!left.iter().any(|path| path.ends_with("-a.csv") && path.contains(&old)), "{left:?}");
    // An archive may be large, so a warm function does not list it at every look.
    let process = watching.process();
    for (expected, name) in [(0, "c"), (0, "d")] {
        assert_eq!(watching.try_look(&process).await.unwrap().purged, expected);
        watching.put(&format!(".done/{old}-{name}.csv"), "x", LONG_AGO);
    }
    assert_eq!(watching.look().await.purged, 2, "a cold one does");
}

#[tokio::test]
async fn an_archive_that_cannot_be_cleared_fails_no_look() {
    let mut watching = Watching::quirky(Quirks { no_delete: true, ..Quirks::default() }).await;
    watching.set("COLLECT_ARCHIVE_DAYS", "1");
    watching.put(".done/20200101000000-a.csv", "x", LONG_AGO);
    watching.put("b.csv", "x", LONG_AGO);
    let look = watching.look().await;
    assert_eq!((look.started, look.purged), (1, 0));
    assert!(look.warnings[0].contains("COLLECT_ARCHIVE_DAYS"), "{:?}", look.warnings);
    assert_eq!(paths(&watching).len(), 2);
}

const RENAME: u8 = 18;

/// Watches a server of this script, which has had the file.
async fn watching_script(script: Script) -> (Watching, RemoteFile) {
    let watching = Watching::at(Partner::scripted(script).await.unwrap()).await;
    let (host, directory, path) = (watching.bridge.partner.host.clone(), "out".into(), "a.csv".into());
    (watching, RemoteFile { host, directory, path, size: 3, modified: Some(LONG_AGO) })
}

/// Between the look and the rename the partner replaces the file: what was moved was never collected.
#[tokio::test]
async fn a_file_that_was_replaced_while_it_was_archived_gets_its_name_back() {
    let moves = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&moves);
    let script = Script::new(move |channel| {
        let moves = Arc::clone(&counted);
        async move {
            wire::serve(channel, |request| {
                let is_of = |name: &[u8]| request.body.ends_with(name);
                let file = |size| Some(request.reply(kind::ATTRS, &[&attributes(size, 0o100_644, LONG_AGO)]));
                match (request.kind, moves.load(Ordering::Relaxed)) {
                    (RENAME, _) => {
                        moves.fetch_add(1, Ordering::Relaxed);
                        Some(request.status(0, ""))
                    }
                    (kind::LSTAT, 0) if is_of(b"out/a.csv") => file(3),
                    (kind::LSTAT, 1) if is_of(b"-a.csv") => file(14),
                    (kind::LSTAT, _) => Some(request.status(2, "")),
                    _ => None,
                }
            })
            .await;
        }
    });
    let (watching, file) = watching_script(script).await;
    let receipt = watching.settle(&watching.verified(file), 0).await.unwrap();
    assert_eq!(receipt.afterwards.as_deref(), Some("left"));
    assert!(receipt.warnings[0].contains("replaced while it was being archived"), "{:?}", receipt.warnings);
    assert_eq!(moves.load(Ordering::Relaxed), 2, "there, and back");
}

/// The names of a file that cannot be identified, one after the other.
const NAMES: [&str; 3] =
    ["out/a.csv", ".done/20260301120000-a.csv", ".done/unidentified-20260301120000-a.csv"];

/// The server gives a moved file a new time, and lets nobody read it: it may be one that the partner has put there since.
/// It says of every rename that it is done, and does as many as `honest`. Counts these in `moves`.
fn unreadable(honest: u64, moves: &Arc<AtomicU64>) -> Script {
    let counted = Arc::clone(moves);
    Script::new(move |channel| {
        let moves = Arc::clone(&counted);
        async move {
            wire::serve(channel, |request| {
                let moved = moves.load(Ordering::Relaxed);
                let is_of = |name: &str| request.body.ends_with(name.as_bytes());
                match request.kind {
                    RENAME => {
                        let is_next = is_of(NAMES[moved as usize + 1]);
                        moves.fetch_add(u64::from(is_next && moved < honest), Ordering::Relaxed);
                        Some(request.status(if is_next { 0 } else { 4 }, ""))
                    }
                    kind::LSTAT if is_of(NAMES[moved as usize]) => {
                        let attributes = attributes(3, 0o100_644, LONG_AGO + moved as u32);
                        Some(request.reply(kind::ATTRS, &[&attributes]))
                    }
                    kind::LSTAT => Some(request.status(2, "")),
                    kind::OPEN => Some(request.status(3, "")),
                    _ => None,
                }
            })
            .await;
        }
    })
}

#[tokio::test]
async fn a_file_that_cannot_be_identified_gets_a_name_that_is_never_deleted() {
    let truth = "COLLECT_ARCHIVE_DAYS never deletes it. Compare it with the object";
    // The server says that the second rename is done, and still shows the file under the first name.
    let lie = "It could not be renamed, so COLLECT_ARCHIVE_DAYS, if it is set, deletes it";
    for (honest, warning) in [(2, truth), (1, lie)] {
        let moves = Arc::new(AtomicU64::new(0));
        let (watching, file) = watching_script(unreadable(honest, &moves)).await;
        for retry in [0, 1] {
            let receipt = watching.settle(&watching.verified(file.clone()), retry).await.unwrap();
            let lies_at = format!("archived as out/{}", NAMES[honest as usize]);
            assert_eq!(receipt.afterwards, Some(lies_at), "{:?}", receipt.warnings);
            assert!(receipt.warnings[0].contains(warning), "{:?}", receipt.warnings);
        }
        assert_eq!(moves.load(Ordering::Relaxed), honest, "the retry finds it");
    }
}

//! Publishing on servers that cannot replace a file in one step, refuse, or say one thing and do another.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bridge::{ErrorName, Outcome, Proof};
use integration_tests::cases::at_once;
use integration_tests::embedded::{Fsync, Late, LostAnswer, Quirks, Renaming, Sizes, Sweep, Ways};
use integration_tests::partner::Partner;

use crate::support::{Bridge, bytes, execution};

async fn quirky(quirks: Quirks) -> Bridge {
    let mut bridge = Bridge::to(Partner::embedded(quirks).await.unwrap()).await;
    bridge.options.stall_timeout = Duration::from_secs(2);
    bridge
}

impl Bridge {
    fn put_remote(&self, path: &str, content: &[u8]) {
        std::fs::write(self.partner.root.join(path), content).unwrap();
    }

    async fn exists(&self, object_key: &str) -> bool {
        self.aws.s3().head_object().bucket(&self.bucket).key(object_key).send().await.is_ok()
    }
}

/// Nothing of ours is left, and the file is whole.
async fn replaces(quirks: Quirks) -> bridge::Receipt {
    let bridge = quirky(quirks).await;
    bridge.put_remote("report.csv", b"former");
    let event = bridge.put("report.csv", b"newer".to_vec()).await;
    let receipt = bridge.deliver(&event).await.unwrap();
    assert_eq!(receipt.outcome, Outcome::Delivered);
    assert_eq!(bridge.remote_files(), ["report.csv"]);
    assert_eq!(bridge.remote("report.csv").unwrap(), b"newer");
    receipt
}

#[tokio::test]
async fn story_140_without_an_atomic_replace_the_former_file_is_moved_aside() {
    let receipt = replaces(Quirks { no_posix_rename: true, ..Quirks::default() }).await;
    assert!(receipt.warnings[0].contains("moved aside"), "{receipt:?}");
}

#[tokio::test]
async fn story_141_an_atomic_replace_that_is_announced_and_refused_falls_back() {
    let receipt =
        replaces(Quirks { ways: Ways { posix_rename_keeps: true, ..Ways::default() }, ..Quirks::default() })
            .await;
    assert!(receipt.warnings[0].contains("moved aside"), "{receipt:?}");
}

#[tokio::test]
async fn story_142_a_rename_that_is_carried_out_and_answered_with_failure_is_done() {
    for no_posix_rename in [false, true] {
        let quirks = Quirks { renaming: Renaming::FailsAfterwards, no_posix_rename, ..Quirks::default() };
        replaces(quirks).await;
    }
}

/// The session is lost during a rename that is carried out all the same.
#[tokio::test]
async fn story_143_a_rename_that_outlives_its_session_is_not_undone_by_the_next_one() {
    at_once([false, true], |no_posix_rename| async move {
        let lost_answer = Some(LostAnswer::to("rename"));
        let bridge = quirky(Quirks { lost_answer, no_posix_rename, ..Quirks::default() }).await;
        let event = bridge.put("report.csv", b"once".to_vec()).await;
        let credential = bridge.fetch_key(&event).await.unwrap();
        let complete = bridge.transfer_all(&event, 0).await.unwrap().0.checkpoint().unwrap();
        let (receipt, _) = bridge.verify_all(&event, &credential, complete).await.unwrap();
        assert_eq!(receipt.outcome, Outcome::Delivered);
        assert_eq!(bridge.remote_files(), ["report.csv"]);
    })
    .await;
}

#[tokio::test]
async fn story_144_a_refused_rename_leaves_the_former_file_and_its_marker() {
    at_once([false, true], |no_posix_rename| async move {
        let rename_refused = Arc::new(AtomicBool::new(false));
        let quirks =
            Quirks { rename_refused: Arc::clone(&rename_refused), no_posix_rename, ..Quirks::default() };
        let mut bridge = quirky(quirks).await;
        bridge.set("SFTP_MARKER", "done");
        bridge.delivers("report.csv", b"former").await;
        rename_refused.store(true, Ordering::Relaxed);
        let event = bridge.put("report.csv", b"newer".to_vec()).await;
        let started = std::time::Instant::now();
        let (state, error) = bridge.deliver_as(&execution(), &event).await.unwrap_err();
        assert_eq!((state, error.name), ("VerifyRemote", ErrorName::RemotePathRejected), "{error}");
        assert!(started.elapsed() > Duration::from_secs(30), "it is not believed at once");
        assert!(error.message().contains("nothing was published"), "{error}");
        assert_eq!(bridge.remote("report.csv").unwrap(), b"former");
        assert!(bridge.remote("report.csv.done").is_some(), "the former file's marker stays");

        // A redrive sends nothing again.
        rename_refused.store(false, Ordering::Relaxed);
        let receipt = bridge.deliver_as(&execution(), &event).await.unwrap();
        assert_eq!(receipt.outcome, Outcome::Delivered);
        assert_eq!(bridge.remote_files(), ["report.csv", "report.csv.done"]);
        assert_eq!(bridge.remote("report.csv").unwrap(), b"newer");
    })
    .await;
}

/// A staging directory on another file system: no rename ever works, and the former file stays.
#[tokio::test]
async fn story_145_a_rename_across_file_systems_destroys_nothing() {
    at_once([false, true], |no_posix_rename| async move {
        let quirks = Quirks { file_systems: true, no_posix_rename, ..Quirks::default() };
        let mut bridge = quirky(quirks).await;
        bridge.set("SFTP_STAGING_DIRECTORY", "stage");
        bridge.put_remote("report.csv", b"former");
        let event = bridge.put("report.csv", b"newer".to_vec()).await;
        let (_, error) = bridge.deliver(&event).await.unwrap_err();
        assert!(error.message().contains("nothing was published"), "{error}");
        assert_eq!(bridge.remote("report.csv").unwrap(), b"former");
    })
    .await;
}

#[tokio::test]
async fn story_146_a_lock_that_passes_is_waited_for() {
    let rename_refused = Arc::new(AtomicBool::new(true));
    let quirks = Quirks { rename_refused: Arc::clone(&rename_refused), ..Quirks::default() };
    let bridge = quirky(quirks).await;
    bridge.put_remote("report.csv", b"former");
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(5)).await;
        rename_refused.store(false, Ordering::Relaxed);
    });
    let event = bridge.put("report.csv", b"newer".to_vec()).await;
    assert_eq!(bridge.deliver(&event).await.unwrap().outcome, Outcome::Delivered);
    assert_eq!(bridge.remote_files(), ["report.csv"]);
}

/// A server that adds a suffix, or one that moves files away at once: they look the same.
#[tokio::test]
async fn story_147_a_file_that_is_not_seen_after_publishing_keeps_its_object() {
    let elsewhere = || Quirks { renaming: Renaming::Elsewhere, ..Quirks::default() };
    let swept = || Quirks { sweep: Some(Sweep::AfterRename), ..Quirks::default() };
    for (quirks, policy) in [(elsewhere(), "delete"), (elsewhere(), "move"), (swept(), "delete")] {
        let mut bridge = quirky(quirks).await;
        bridge.set("S3_AFTER_DELIVERY", policy);
        bridge.set("S3_MOVE_PREFIX", "old/");
        let event = bridge.put("report.csv", b"content".to_vec()).await;
        let receipt = bridge.deliver(&event).await.unwrap();
        assert_eq!((receipt.outcome, &receipt.after_delivery), (Outcome::Delivered, &None), "{receipt:?}");
        assert!(receipt.warnings.iter().any(|warning| warning.contains("is not seen")), "{receipt:?}");
        assert!(receipt.warnings.iter().any(|warning| warning.contains("the object stays")), "{receipt:?}");
        assert!(bridge.exists("report.csv").await);
    }
}

#[tokio::test]
async fn story_148_a_file_is_on_the_disk_before_it_is_published() {
    // OpenSSH offers it.
    let bridge = Bridge::new().await;
    assert!(bridge.delivers("report.csv", b"content").await.synced);
    for (fsync, setting, expected) in [
        (Fsync::Done, "try", Ok((true, 0))),
        (Fsync::Done, "off", Ok((false, 0))),
        (Fsync::Done, "require", Ok((true, 0))),
        (Fsync::Unknown, "try", Ok((false, 0))),
        (Fsync::Unknown, "require", Err("Transfer")),
        (Fsync::Refused, "try", Ok((false, 1))),
        (Fsync::Refused, "require", Err("Transfer")),
    ] {
        let mut bridge = quirky(Quirks { fsync, ..Quirks::default() }).await;
        bridge.set("SFTP_FSYNC", setting);
        let event = bridge.put("report.csv", b"content".to_vec()).await;
        let delivered = bridge.deliver(&event).await;
        let seen = delivered.as_ref().map(|receipt| (receipt.synced, receipt.warnings.len()));
        assert_eq!(seen.map_err(|(state, _)| *state), expected, "{fsync:?} {setting}: {delivered:?}");
        if let Err((_, error)) = delivered {
            assert!(error.message().contains("SFTP_FSYNC"), "{error}");
            assert!(bridge.remote("report.csv").is_none());
        }
    }
}

/// Gateways to object stores and caches tell an old size, or nothing, for a second.
#[tokio::test]
async fn story_149_a_size_or_an_absence_right_after_close_is_not_believed_at_once() {
    let late = Duration::from_millis(1200);
    for quirks in [
        Quirks { ways: Ways { sizes: Sizes::LateBy(late), ..Ways::default() }, ..Quirks::default() },
        Quirks { seen_late: Some(Late::by(late)), ..Quirks::default() },
    ] {
        for proof in ["auto", "size"] {
            let mut bridge = quirky(quirks.clone()).await;
            bridge.set("SFTP_PROOF", proof);
            let receipt = bridge.delivers("report.csv", &bytes(100_000)).await;
            assert_eq!(receipt.bytes_sent, 100_000, "{proof}: sent once");
        }
    }
}

#[tokio::test]
async fn story_150_a_server_that_tells_no_sizes_is_delivered_to_with_a_warning() {
    let cases = [("auto", Some(Proof::ReadBack)), ("none", Some(Proof::Unverified)), ("size", None)];
    at_once(cases, |(proof, expected)| async move {
        let ways = Ways { sizes: Sizes::Zero, ..Ways::default() };
        let mut bridge = quirky(Quirks { ways, ..Quirks::default() }).await;
        bridge.set("SFTP_PROOF", proof);
        let event = bridge.put("report.csv", b"content".to_vec()).await;
        match (bridge.deliver(&event).await, expected) {
            (Ok(receipt), Some(expected)) => {
                assert_eq!((receipt.outcome, receipt.proof), (Outcome::Delivered, Some(expected)));
                assert!(receipt.warnings[0].contains("sizes are ignored"), "{receipt:?}");
                assert_eq!(bridge.remote("report.csv").unwrap(), b"content");
            }
            (Err((_, error)), None) => {
                assert_eq!(error.name, ErrorName::RemoteMismatch);
                assert!(error.message().contains("set SFTP_PROOF to none"), "{error}");
                assert!(bridge.remote("report.csv").is_none());
            }
            (other, _) => panic!("{proof}: {other:?}"),
        }
    })
    .await;
}

/// A scanner takes our file away while it is renamed, and a former file of the same size lies there.
#[tokio::test]
async fn story_160_a_file_that_is_quarantined_while_it_is_renamed_was_not_delivered() {
    at_once([false, true], |no_posix_rename| async move {
        let quirks = Quirks { renaming: Renaming::Quarantined, no_posix_rename, ..Quirks::default() };
        let mut bridge = quirky(quirks).await;
        bridge.set("S3_AFTER_DELIVERY", "delete");
        bridge.set("SFTP_PROOF", "size");
        bridge.put_remote("report.csv", b"yesterday");
        let event = bridge.put("report.csv", b"infected!".to_vec()).await;
        let (_, error) = bridge.deliver(&event).await.unwrap_err();
        assert_eq!(error.name, ErrorName::RemoteMismatch, "{error}");
        assert_eq!(bridge.remote("report.csv").unwrap(), b"yesterday");
        assert_eq!(bridge.remote_files(), ["report.csv"]);
        assert!(bridge.exists("report.csv").await);
    })
    .await;
}

/// Prints what `fsync@openssh.com` costs on this machine's disk: medians of interleaved deliveries.
#[tokio::test]
#[ignore = "a measurement: cargo test -p integration-tests --test stories -- --ignored what_syncing_costs --nocapture"]
async fn what_syncing_costs() {
    let mut bridge = Bridge::new().await;
    for (size, rounds) in [(64 * 1024, 41), (10 * 1024 * 1024, 21), (128 * 1024 * 1024, 5)] {
        let event = bridge.put("file.bin", bytes(size)).await;
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..rounds {
            for (setting, times) in ["off", "try"].into_iter().zip(&mut times) {
                let path = bridge.partner.root.join("file.bin");
                drop(std::fs::remove_file(&path));
                bridge.set("SFTP_FSYNC", setting);
                let started = std::time::Instant::now();
                let receipt = bridge.deliver(&event).await.unwrap();
                times.push(started.elapsed());
                assert_eq!(receipt.synced, setting == "try");
            }
        }
        let [off, with] = times.map(|mut times| {
            times.sort();
            times[rounds / 2]
        });
        println!(
            "{size} bytes: {off:?} without, {with:?} with fsync, ratio {:.2}",
            with.as_secs_f64() / off.as_secs_f64()
        );
    }
}

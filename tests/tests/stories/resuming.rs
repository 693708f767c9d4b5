//! What is believed of a partial file when a transfer goes on.

use std::time::Duration;

use bridge::{ErrorName, Execution, Outcome, Phase, Progress};
use integration_tests::embedded::{Late, Quirks, Reading, Truncation, Ways};
use integration_tests::fault_proxy::{Fault, FaultProxy};
use integration_tests::partner::Partner;
use serde_json::{Value, json};

use crate::support::{Bridge, bytes, execution};

const SIZE: usize = 6_000_000;

/// As far as a first call came, over a slow line; later calls take the straight one.
async fn begun(quirks: Quirks) -> (Bridge, Value, bridge::CredentialReference, bridge::Checkpoint) {
    let mut bridge = Bridge::to(Partner::embedded(quirks).await.unwrap()).await;
    let event = bridge.put("report.bin", bytes(SIZE)).await;
    let credential = bridge.fetch_key(&event).await.unwrap();
    let proxy = FaultProxy::start(bridge.partner.port).await.unwrap();
    proxy.set(Fault::Rate(1_000_000)).await;
    let port = bridge.variables["SFTP_PORT"].clone();
    bridge.set("SFTP_PORT", proxy.port.to_string());
    bridge.slice = Some(Duration::from_secs(5));
    let checkpoint = bridge.transfer(&event, &credential, None, 0).await.unwrap().checkpoint().unwrap();
    assert_eq!(checkpoint.phase, Phase::Sending);
    assert!(checkpoint.sent.offset > 0);
    bridge.slice = None;
    bridge.set("SFTP_PORT", port);
    (bridge, event, credential, checkpoint)
}

async fn ends_whole(
    bridge: &Bridge,
    event: &Value,
    credential: &bridge::CredentialReference,
    checkpoint: bridge::Checkpoint,
) {
    let mut checkpoint = Some(checkpoint);
    while checkpoint.as_ref().unwrap().is_sending() {
        checkpoint = bridge.transfer(event, credential, checkpoint, 0).await.unwrap().checkpoint();
    }
    let (receipt, _) = bridge.verify_all(event, credential, checkpoint.unwrap()).await.unwrap();
    assert_eq!(receipt.outcome, Outcome::Delivered);
    assert!(bridge.remote("report.bin").unwrap() == bytes(SIZE), "no hole");
}

/// With `size` and `none`, and where nothing can be read, a hole would not be noticed.
#[tokio::test]
async fn story_151_a_partial_file_that_is_emptied_as_it_is_opened_leaves_no_hole() {
    for (proof, reading) in
        [("size", Reading::Allowed), ("none", Reading::Allowed), ("auto", Reading::NotOpened)]
    {
        let quirks = Quirks {
            ways: Ways { truncation: Truncation::Always, ..Ways::default() },
            reading,
            ..Quirks::default()
        };
        let (mut bridge, event, credential, checkpoint) = begun(quirks).await;
        bridge.set("SFTP_PROOF", proof);
        ends_whole(&bridge, &event, &credential, checkpoint).await;
    }
}

#[tokio::test]
async fn story_152_a_partial_file_that_vanished_between_looking_and_opening_leaves_no_hole() {
    let (mut bridge, event, credential, checkpoint) = begun(Quirks::default()).await;
    bridge.set("SFTP_PROOF", "size");
    std::fs::remove_file(bridge.partner.root.join(checkpoint.route.upload_path())).unwrap();
    ends_whole(&bridge, &event, &credential, checkpoint).await;
}

/// The old session holds the file for a while. Nothing is sent again.
#[tokio::test]
async fn story_153_a_file_that_a_lost_session_still_holds_is_waited_for() {
    let held_after_cut = Some(Late::by(Duration::from_secs(15)));
    let bridge =
        Bridge::to(Partner::embedded(Quirks { held_after_cut, ..Quirks::default() }).await.unwrap()).await;
    let mut bridge = bridge;
    let event = bridge.put("report.bin", bytes(SIZE)).await;
    let credential = bridge.fetch_key(&event).await.unwrap();
    let proxy = FaultProxy::start(bridge.partner.port).await.unwrap();
    bridge.set("SFTP_PORT", proxy.port.to_string());
    proxy.set(Fault::CutOnceAfter(3_000_000)).await;
    let (progress, _) = bridge.transfer_all(&event, 0).await.unwrap();
    let checkpoint = progress.checkpoint().unwrap();
    assert_eq!(checkpoint.sent.restarts, 0, "{:?}", checkpoint.report.warnings);
    let (receipt, _) = bridge.verify_all(&event, &credential, checkpoint).await.unwrap();
    assert!(receipt.bytes_sent < SIZE as u64 * 3 / 2, "{}", receipt.bytes_sent);
    assert!(bridge.remote("report.bin").unwrap() == bytes(SIZE));
}

/// A file over a quota is refused when it is closed, and cannot be removed: no later call believes it.
#[tokio::test]
async fn story_154_a_refused_close_is_not_forgotten_between_calls() {
    let quirks = Quirks { capacity_at_close: Some(10_000), no_delete: true, ..Quirks::default() };
    let mut bridge = Bridge::to(Partner::embedded(quirks).await.unwrap()).await;
    bridge.set("SFTP_PROOF", "size");
    let event = bridge.put("report.bin", bytes(100_000)).await;
    let credential = bridge.fetch_key(&event).await.unwrap();
    let first = bridge.transfer(&event, &credential, None, 0).await.unwrap().checkpoint().unwrap();
    assert_eq!((first.is_sending(), first.sent.offset, first.sent.distrusted), (true, 0, true));
    let error = bridge.transfer(&event, &credential, Some(first), 0).await.unwrap_err();
    assert!(matches!(error.name, ErrorName::RemoteFailure | ErrorName::RemoteFull), "{error}");
    assert!(bridge.remote("report.bin").is_none());
}

/// The version that was to be replaced is delivered by others, and so is the newer one; both are deleted then. The slow
/// duplicate of the older one has no more right to the name.
#[tokio::test]
async fn story_36_a_version_that_is_gone_itself_replaces_nothing() {
    let mut bridge = Bridge::new().await.versioned().await;
    bridge.set("S3_AFTER_DELIVERY", "delete");
    let older = bridge.put("report.csv", b"older".to_vec()).await;
    let credential = bridge.fetch_key(&older).await.unwrap();
    let slow = bridge.transfer_all(&older, 0).await.unwrap().0.checkpoint().unwrap();
    assert_eq!(bridge.deliver(&older).await.unwrap().outcome, Outcome::Delivered);
    let newer = bridge.put("report.csv", b"newer one".to_vec()).await;
    assert_eq!(bridge.deliver(&newer).await.unwrap().outcome, Outcome::Delivered);
    let error = bridge.verify_all(&older, &credential, slow).await.unwrap_err();
    assert_eq!(error.name, ErrorName::ObjectUnreadable, "{error}");
    assert_eq!(bridge.remote("report.csv").unwrap(), b"newer one");
}

/// Both were stored in the same second; then the key was deleted. The list of versions tells which one is the newer.
#[tokio::test]
async fn story_37_of_two_versions_of_one_second_the_later_one_is_delivered() {
    let bridge = Bridge::new().await.versioned().await;
    let older = bridge.put("report.csv", b"older".to_vec()).await;
    let newer = bridge.put("report.csv", b"newer".to_vec()).await;
    bridge.remove("report.csv").await;
    assert_eq!(bridge.deliver(&newer).await.unwrap().outcome, Outcome::Delivered);
    assert_eq!(bridge.deliver(&older).await.unwrap().outcome, Outcome::Superseded);
    assert_eq!(bridge.remote("report.csv").unwrap(), b"newer");
}

/// The object is refused, and not gone: whatever lies on the server, nothing says that it was delivered.
#[tokio::test]
async fn story_39_an_object_that_may_not_be_read_is_not_taken_for_delivered() {
    let mut bridge = Bridge::new().await;
    bridge.set("S3_AFTER_DELIVERY", "delete");
    let mut event = bridge.put("report.csv", b"content".to_vec()).await;
    event["detail"]["object"]["size"] = json!(7);
    std::fs::write(bridge.partner.root.join("report.csv"), b"another").unwrap();
    // Without a time in the event, a size is no evidence.
    event.as_object_mut().unwrap().remove("time");
    bridge.remove("report.csv").await;
    let (_, error) = bridge.deliver_as(&execution(), &event).await.unwrap_err();
    assert_eq!(error.name, ErrorName::ObjectUnreadable, "{error}");
}

/// Whether a newer upload counts depends on whether it is delivered itself.
#[tokio::test]
async fn story_155_an_upload_that_is_skipped_supersedes_nothing() {
    let mut bridge = Bridge::new().await.versioned().await;
    bridge.set("SFTP_SKIP_EMPTY", "true");
    let event = bridge.put("report.csv", b"content".to_vec()).await;
    let empty = bridge.put("report.csv", Vec::new()).await;
    assert_eq!(bridge.deliver(&empty).await.unwrap().outcome, Outcome::Skipped);
    assert_eq!(bridge.deliver(&event).await.unwrap().outcome, Outcome::Delivered);
    assert_eq!(bridge.remote("report.csv").unwrap(), b"content");
}

#[tokio::test]
async fn story_156_a_proof_that_the_server_cannot_give_is_said_before_anything_is_sent() {
    let mut bridge = Bridge::to(Partner::embedded(Quirks::default()).await.unwrap()).await;
    bridge.set("SFTP_PROOF", "hash");
    let event = bridge.put("report.csv", b"content".to_vec()).await;
    let (state, error) = bridge.deliver(&event).await.unwrap_err();
    assert_eq!((state, error.name), ("Transfer", ErrorName::InvalidConfig), "{error}");
    assert!(error.message().contains("nothing was sent"), "{error}");
    assert!(bridge.remote_files().is_empty());
}

/// The document after a call that published the file and then ended.
async fn published(bridge: &Bridge, event: &Value, is_newest: bool) -> bridge::Checkpoint {
    let credential = bridge.fetch_key(event).await.unwrap();
    let complete = bridge.transfer_all(event, 0).await.unwrap().0.checkpoint().unwrap();
    let progress = bridge.verify_remote(event, &credential, complete.clone()).await.unwrap();
    let receipt = progress.receipt().unwrap();
    let publication = bridge::Publication {
        outcome: receipt.outcome,
        path: complete.final_path(),
        proof: receipt.proof.unwrap(),
        host_key_fingerprint: None,
        marker: None,
        unconfirmed: false,
        is_newest,
    };
    bridge::Checkpoint { phase: Phase::Published(publication), ..complete }
}

/// Calls VerifyRemote with this document, and goes on as the state machine does.
async fn goes_on(bridge: &Bridge, event: &Value, checkpoint: bridge::Checkpoint) -> bridge::Receipt {
    let credential = bridge.fetch_key(event).await.unwrap();
    let mut checkpoint = checkpoint;
    loop {
        let progress = if checkpoint.is_sending() {
            bridge.transfer(event, &credential, Some(checkpoint), 0).await.unwrap()
        } else {
            bridge.verify_remote(event, &credential, checkpoint).await.unwrap()
        };
        match progress {
            Progress::Receipt(receipt) => return *receipt,
            Progress::Checkpoint(more) => checkpoint = *more,
        }
    }
}

/// The rename of the older one was carried out late: after the newer one had been delivered.
#[tokio::test]
async fn story_157_an_older_version_that_came_over_a_newer_one_is_replaced_again() {
    for versioned in [false, true] {
        let mut bridge = Bridge::new().await;
        if versioned {
            bridge = bridge.versioned().await;
        }
        bridge.set("SFTP_MARKER", "sha256");
        let older = bridge.put("report.csv", b"older".to_vec()).await;
        let late = published(&bridge, &older, false).await;
        let marker = bridge.remote("report.csv.sha256").unwrap();
        bridge.delivers("report.csv", b"newer").await;
        let right = bridge.remote("report.csv.sha256").unwrap();
        std::fs::write(bridge.partner.root.join("report.csv"), b"older").unwrap();
        std::fs::write(bridge.partner.root.join("report.csv.sha256"), marker).unwrap();

        let receipt = goes_on(&bridge, &older, late).await;
        assert_eq!(receipt.outcome, Outcome::Delivered);
        assert!(receipt.reason.as_ref().unwrap().contains("a newer upload"), "{receipt:?}");
        assert_eq!(bridge.remote("report.csv").unwrap(), b"newer");
        assert_eq!(bridge.remote("report.csv.sha256").unwrap(), right);
    }
}

/// The connection was lost between file and marker; then a newer one was delivered, with its marker.
#[tokio::test]
async fn story_158_an_older_versions_marker_does_not_replace_the_newer_files() {
    let mut bridge = Bridge::new().await;
    bridge.set("SFTP_MARKER", "sha256");
    let older = bridge.put("report.csv", b"older".to_vec()).await;
    let late = published(&bridge, &older, true).await;
    bridge.delivers("report.csv", b"newer").await;
    let right = bridge.remote("report.csv.sha256").unwrap();
    let receipt = goes_on(&bridge, &older, late).await;
    assert_eq!(receipt.outcome, Outcome::AlreadyDelivered, "{receipt:?}");
    assert_eq!(receipt.object.size, Some(5));
    assert_eq!(bridge.remote("report.csv.sha256").unwrap(), right);
    assert_eq!(bridge.remote_files(), ["report.csv", "report.csv.sha256"]);
}

#[tokio::test]
async fn story_159_a_partial_file_that_differs_of_a_version_that_is_overtaken_is_superseded() {
    let bridge = Bridge::new().await;
    let older = bridge.put("report.csv", b"older".to_vec()).await;
    let credential = bridge.fetch_key(&older).await.unwrap();
    let complete = bridge.transfer_all(&older, 0).await.unwrap().0.checkpoint().unwrap();
    std::fs::write(bridge.partner.root.join(complete.route.upload_path()), b"wrong").unwrap();
    bridge.put("report.csv", b"newer".to_vec()).await;
    let (receipt, _) = bridge.verify_all(&older, &credential, complete).await.unwrap();
    assert_eq!(receipt.outcome, Outcome::Superseded);
    assert!(bridge.remote_files().is_empty());
}

/// The answer to the older one's rename was lost, and the newer one had been delivered before.
#[tokio::test]
async fn story_161_an_older_version_whose_rename_was_not_answered_is_replaced_again() {
    an_unanswered_rename_is_repaired(Bridge::new().await.versioned().await).await;
}

/// The contents of the file under the final name cannot be proved.
#[tokio::test]
async fn story_161_an_older_version_that_cannot_be_read_is_replaced_again() {
    let quirks = Quirks { reading: Reading::NotOpened, ..Quirks::default() };
    let bridge = Bridge::to(Partner::embedded(quirks).await.unwrap()).await;
    an_unanswered_rename_is_repaired(bridge.versioned().await).await;
}

async fn an_unanswered_rename_is_repaired(bridge: Bridge) {
    let older = bridge.put("report.csv", b"older".to_vec()).await;
    let complete = bridge.transfer_all(&older, 0).await.unwrap().0.checkpoint().unwrap();
    let newer = bridge.put("report.csv", b"newer".to_vec()).await;
    assert_eq!(bridge.deliver(&newer).await.unwrap().outcome, Outcome::Delivered);
    let root = &bridge.partner.root;
    for publishing in [true, false] {
        // Carried out late. With `false`, the call was killed before it wrote that down.
        std::fs::write(root.join("report.csv"), b"older").unwrap();
        drop(std::fs::remove_file(root.join(complete.route.upload_path())));
        let (proof, reading) = (bridge::Proof::ReadBack, bridge::Reading::default());
        let renaming = Phase::Renaming { proof, had_vanished: false, reading };
        let phase = if publishing { renaming } else { Phase::sent() };
        let unanswered = bridge::Checkpoint { phase, ..complete.clone() };
        let receipt = goes_on(&bridge, &older, unanswered).await;
        assert!(receipt.reason.as_ref().unwrap().contains("a newer upload"), "{receipt:?}");
        assert_eq!(bridge.remote("report.csv").unwrap(), b"newer");
    }
}

/// What is followed is the upload that counts, and not what is current.
#[tokio::test]
async fn story_162_the_newer_upload_that_is_restored_is_the_one_that_is_delivered() {
    for deleted in [false, true] {
        let mut bridge = Bridge::new().await.versioned().await;
        bridge.set("SFTP_SKIP_EMPTY", "true");
        let older = bridge.put("report.csv", b"older".to_vec()).await;
        let late = published(&bridge, &older, false).await;
        bridge.delivers("report.csv", b"newer").await;
        std::fs::write(bridge.partner.root.join("report.csv"), b"older").unwrap();
        if deleted {
            bridge.remove("report.csv").await;
        } else {
            bridge.put("report.csv", Vec::new()).await;
        }
        goes_on(&bridge, &older, late).await;
        assert_eq!(bridge.remote("report.csv").unwrap(), b"newer", "deleted: {deleted}");
    }
}

/// A first call was killed and left much; the server opens files only to cut them.
#[tokio::test]
async fn story_163_what_a_killed_call_left_is_sent_again_where_it_cannot_be_continued() {
    let quirks =
        Quirks { ways: Ways { truncation: Truncation::Required, ..Ways::default() }, ..Quirks::default() };
    let bridge = Bridge::to(Partner::embedded(quirks).await.unwrap()).await;
    let body = bytes(20_000_000);
    let event = bridge.put("report.bin", body.clone()).await;
    let (progress, _) = bridge.transfer_all(&event, 0).await.unwrap();
    let partial = progress.checkpoint().unwrap().route.upload_path().to_owned();
    std::fs::write(bridge.partner.root.join(&partial), &body[..19_000_000]).unwrap();
    let retried = Execution { retry_count: 1, ..execution() };
    let receipt = bridge.deliver_as(&retried, &event).await.unwrap();
    assert_eq!(receipt.outcome, Outcome::Delivered);
    assert!(bridge.remote("report.bin").unwrap() == body);
}

/// With a date in its path, the newer upload has another name than the older one.
#[tokio::test]
async fn story_164_an_upload_is_not_put_under_the_name_of_another_date() {
    let mut bridge = Bridge::new().await;
    bridge.set("SFTP_REMOTE_PATH", "{date:%Y%m%d}-{name}");
    let mut older = bridge.put("report.csv", b"older".to_vec()).await;
    older["time"] = json!("2026-01-01T00:00:00Z");
    let late = published(&bridge, &older, false).await;
    bridge.put("report.csv", b"newer".to_vec()).await;
    let receipt = goes_on(&bridge, &older, late).await;
    assert_eq!(receipt.outcome, Outcome::Delivered);
    assert_eq!(bridge.remote("20260101-report.csv").unwrap(), b"older");
}

//! Stories 5 and 6 with every policy: whatever the order of the events and however often they come, the same one file.

use std::time::Duration;

use bridge::{ErrorName, Outcome, Phase};
use integration_tests::cases::at_once;
use integration_tests::embedded::{Quirks, Reading};
use integration_tests::fault_proxy::{Fault, FaultProxy};
use integration_tests::partner::Partner;
use serde_json::json;

use crate::support::{Bridge, bytes};

/// `SFTP_PUBLISH` and `SFTP_IF_EXISTS`.
const POLICIES: [(&str, &str); 6] = [
    ("rename", "replace"),
    ("rename", "skip"),
    ("rename", "fail"),
    ("rename", "keep-both"),
    ("direct", "replace"),
    ("direct", "skip"),
];

/// Tells the story with each policy, with and without versions.
async fn whatever_the_policy<F: Future<Output = ()> + Send + 'static>(story: impl Fn(String, Bridge) -> F) {
    let mut cases = Vec::new();
    for (publish, if_exists) in POLICIES {
        for versioned in [false, true] {
            let mut bridge = Bridge::new().await;
            if versioned {
                bridge = bridge.versioned().await;
            }
            bridge.set("SFTP_PUBLISH", publish);
            bridge.set("SFTP_IF_EXISTS", if_exists);
            cases.push((format!("{publish}, {if_exists}, versioned: {versioned}"), bridge));
        }
    }
    at_once(cases, |(policy, bridge)| story(policy, bridge)).await;
}

/// Delivers without the state machine, which would try again what may be tried again.
async fn deliver(bridge: &Bridge, event: &serde_json::Value) -> Outcome {
    for _ in 0..3 {
        match bridge.deliver(event).await {
            Ok(receipt) => return receipt.outcome,
            Err((_, error)) if error.name.retryable() => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    panic!("tried in vain")
}

#[tokio::test]
async fn story_05_doubled_events_leave_one_file_whatever_the_policy() {
    whatever_the_policy(|policy, bridge| async move {
        let body = bytes(2_000_000);
        let mut first = bridge.put("twice.bin", body.clone()).await;
        let mut second = first.clone();
        (first["id"], second["id"]) = (json!("one"), json!("other"));
        let both = tokio::join!(deliver(&bridge, &first), deliver(&bridge, &second));
        let third = deliver(&bridge, &first).await;
        for outcome in [both.0, both.1, third] {
            assert!(
                matches!(outcome, Outcome::Delivered | Outcome::AlreadyDelivered),
                "{policy}: {outcome:?}"
            );
        }
        assert_eq!(bridge.remote_files(), ["twice.bin"], "{policy}");
        assert!(bridge.remote("twice.bin").unwrap() == body, "{policy}");
    })
    .await;
}

/// The second has no part in what the first has sent, and begins in the middle of it.
#[tokio::test]
async fn story_05_a_doubled_event_in_the_middle_leaves_one_file_whatever_the_policy() {
    whatever_the_policy(|policy, mut bridge| async move {
        let body = bytes(12_000_000);
        let first = bridge.put("twice.bin", body.clone()).await;
        let proxy = FaultProxy::start(bridge.partner.port).await.unwrap();
        let port = bridge.variables["SFTP_PORT"].clone();
        let credential = bridge.fetch_key(&first).await.unwrap();
        proxy.set(Fault::Rate(1_500_000)).await;
        bridge.set("SFTP_PORT", proxy.port.to_string());
        bridge.slice = Some(Duration::from_secs(6));
        // On a busy machine a call may reach its deadline before it makes progress.
        let checkpoint = loop {
            match bridge.transfer(&first, &credential, None, 0).await {
                Err(error) if error.name == ErrorName::ConnectionLost => {}
                progress => break progress.unwrap().checkpoint(),
            }
        };
        assert_eq!(checkpoint.as_ref().unwrap().phase, Phase::Sending, "{policy}");
        bridge.slice = None;
        bridge.set("SFTP_PORT", port);

        let second = deliver(&bridge, &first).await;
        assert_eq!(second, Outcome::Delivered, "{policy}");
        // The first goes on where it was.
        let mut progress = bridge.transfer(&first, &credential, checkpoint, 0).await.unwrap();
        while progress.clone().checkpoint().unwrap().is_sending() {
            progress = bridge.transfer(&first, &credential, progress.checkpoint(), 0).await.unwrap();
        }
        let checkpoint = progress.checkpoint().unwrap();
        let (receipt, _) = bridge.verify_all(&first, &credential, checkpoint).await.unwrap();
        let outcome = receipt.outcome;
        assert!(matches!(outcome, Outcome::Delivered | Outcome::AlreadyDelivered), "{policy}: {outcome:?}");
        assert_eq!(bridge.remote_files(), ["twice.bin"], "{policy}");
        assert!(bridge.remote("twice.bin").unwrap() == body, "{policy}");
    })
    .await;
}

#[tokio::test]
async fn story_06_reversed_events_leave_the_newer_version_whatever_the_policy() {
    whatever_the_policy(|policy, bridge| async move {
        let older = bridge.put("report.csv", b"older".to_vec()).await;
        let newer = bridge.put("report.csv", b"newer".to_vec()).await;
        assert_eq!(deliver(&bridge, &newer).await, Outcome::Delivered, "{policy}");
        assert_eq!(deliver(&bridge, &older).await, Outcome::Superseded, "{policy}");
        assert_eq!(deliver(&bridge, &newer).await, Outcome::AlreadyDelivered, "{policy}");
        assert_eq!(bridge.remote_files(), ["report.csv"], "{policy}");
        assert_eq!(bridge.remote("report.csv").unwrap(), b"newer", "{policy}");
    })
    .await;
}

#[tokio::test]
async fn story_06_two_versions_at_the_same_instant_leave_the_newer_whatever_the_policy() {
    whatever_the_policy(|policy, bridge| async move {
        let (one, other) = (bytes(1_500_000), bytes(2_000_000));
        let older = bridge.put("report.bin", one).await;
        let newer = bridge.put("report.bin", other.clone()).await;
        // Each of them twice.
        let outcomes = tokio::join!(
            deliver(&bridge, &older),
            deliver(&bridge, &newer),
            deliver(&bridge, &older),
            deliver(&bridge, &newer)
        );
        assert_eq!((outcomes.0, outcomes.2), (Outcome::Superseded, Outcome::Superseded), "{policy}");
        assert_eq!(bridge.remote_files(), ["report.bin"], "{policy}");
        assert!(bridge.remote("report.bin").unwrap() == other, "{policy}");
    })
    .await;
}

/// Each was the newest when it was sent. Both are on the server when they are proved at the same time.
#[tokio::test]
async fn story_06_of_two_versions_that_are_sent_the_newer_is_published_whatever_the_policy() {
    whatever_the_policy(|policy, bridge| async move {
        let mut sent = Vec::new();
        for body in [bytes(300_000), vec![b'n'; 300_000]] {
            let event = bridge.put("report.bin", body).await;
            let (progress, _) = bridge.transfer_all(&event, 0).await.unwrap();
            sent.push((event, progress.checkpoint().unwrap()));
        }
        let verify = async |(event, checkpoint)| {
            let credential = bridge.fetch_key(&event).await.unwrap();
            match bridge.verify_all(&event, &credential, checkpoint).await {
                // Taken for this version at first: the older one has the same size.
                Err(error) if error.name == ErrorName::RemoteMismatch => deliver(&bridge, &event).await,
                other => other.unwrap().0.outcome,
            }
        };
        let [older, newer] = sent.try_into().unwrap();
        let outcomes = tokio::join!(verify(older), verify(newer));
        assert_eq!(outcomes, (Outcome::Superseded, Outcome::Delivered), "{policy}");
        assert_eq!(bridge.remote_files(), ["report.bin"], "{policy}");
        assert!(bridge.remote("report.bin").unwrap() == vec![b'n'; 300_000], "{policy}");
    })
    .await;
}

#[tokio::test]
async fn story_06_an_older_version_that_is_overtaken_never_overwrites_the_newer_whatever_the_policy() {
    whatever_the_policy(is_overtaken).await;
}

/// No proof looks at the contents, and what the older one still sends comes after the proof.
#[tokio::test]
async fn story_06_an_older_version_that_is_overtaken_writes_into_a_file_without_a_name() {
    let mut bridge = Bridge::new().await;
    bridge.set("SFTP_PUBLISH", "direct");
    bridge.set("SFTP_PROOF", "size");
    is_overtaken("direct, size".into(), bridge).await;
}

/// To a store, each upload is a file of its own, and the one that is closed last is what stays.
#[tokio::test]
async fn story_06_an_older_version_that_is_overtaken_in_a_store_is_not_closed() {
    let quirks = Quirks { apart: true, whole_objects: true, no_rename: true, ..Quirks::default() };
    let mut bridge = Bridge::to(Partner::embedded(quirks).await.unwrap()).await;
    bridge.set("SFTP_PUBLISH", "direct");
    is_overtaken("a store".into(), bridge).await;
}

/// The older one is being sent, slowly, when the newer one comes, overtakes it and is whole.
async fn is_overtaken(policy: String, mut bridge: Bridge) {
    let fast = Bridge {
        aws: bridge.aws,
        // Unused: the settings name the server.
        partner: Partner::embedded(Quirks::default()).await.unwrap(),
        bucket: bridge.bucket.clone(),
        variables: bridge.variables.clone(),
        options: bridge.options.clone(),
        source: None,
        slice: None,
    };
    let proxy = FaultProxy::start(bridge.partner.port).await.unwrap();
    proxy.set(Fault::Rate(1_000_000)).await;
    bridge.set("SFTP_PORT", proxy.port.to_string());
    let older = bridge.put("report.bin", bytes(7_000_000)).await;
    let newest = vec![b'n'; 6_500_000];
    let overtaking = async {
        while proxy.bytes_up() < 500_000 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // Almost a standstill, until the newer one is there.
        proxy.set(Fault::Rate(100_000)).await;
        let newer = fast.put("report.bin", newest.clone()).await;
        let outcome = deliver(&fast, &newer).await;
        let seen = (outcome, bridge.remote("report.bin"), proxy.bytes_up());
        proxy.set(Fault::None).await;
        seen
    };
    let (slow, (overtaking, content, bytes_up)) = tokio::join!(deliver(&bridge, &older), overtaking);
    assert_eq!(overtaking, Outcome::Delivered, "{policy}");
    assert!(content.unwrap() == newest, "{policy}");
    assert!(bytes_up < 6_000_000, "{policy}: the older one was still being sent");
    assert_eq!(slow, Outcome::Superseded, "{policy}");
    assert_eq!(bridge.remote_files(), ["report.bin"], "{policy}");
    assert!(bridge.remote("report.bin").unwrap() == newest, "{policy}");
}

/// The older one waits, the newer one is delivered, and then the object is deleted: a HEAD finds nothing any more.
#[tokio::test]
async fn story_06_an_older_version_does_not_come_after_a_newer_one_that_was_deleted() {
    let bridge = Bridge::new().await.versioned().await;
    let older = bridge.put("report.csv", b"older".to_vec()).await;
    let (progress, _) = bridge.transfer_all(&older, 0).await.unwrap();
    let newer = bridge.put("report.csv", b"is newer".to_vec()).await;
    assert_eq!(deliver(&bridge, &newer).await, Outcome::Delivered);
    bridge.remove("report.csv").await;
    let credential = bridge.fetch_key(&older).await.unwrap();
    let (receipt, _) = bridge.verify_all(&older, &credential, progress.checkpoint().unwrap()).await.unwrap();
    assert_eq!(receipt.outcome, Outcome::Superseded, "{receipt:?}");
    // Nor at the start.
    assert_eq!(deliver(&bridge, &older).await, Outcome::Superseded);
    assert_eq!(bridge.remote("report.csv").unwrap(), b"is newer");
    assert_eq!(bridge.remote_files(), ["report.csv"]);

    // The last one that was uploaded is owed, whether it was deleted or not.
    let last = bridge.put("last.csv", b"last".to_vec()).await;
    bridge.remove("last.csv").await;
    assert_eq!(deliver(&bridge, &last).await, Outcome::Delivered);
}

/// Without versions it is unknown whether there was a newer one.
#[tokio::test]
async fn story_06_what_is_gone_without_versions_replaces_nothing() {
    let bridge = Bridge::new().await;
    let older = bridge.put("report.csv", b"older".to_vec()).await;
    let (progress, _) = bridge.transfer_all(&older, 0).await.unwrap();
    let complete = progress.checkpoint().unwrap();
    let newer = bridge.put("report.csv", b"is newer".to_vec()).await;
    assert_eq!(deliver(&bridge, &newer).await, Outcome::Delivered);
    bridge.remove("report.csv").await;
    let credential = bridge.fetch_key(&older).await.unwrap();
    let error = bridge.verify_all(&older, &credential, complete.clone()).await.unwrap_err();
    assert_eq!(error.name, ErrorName::ObjectUnreadable, "{error}");
    assert!(error.message().contains("newer"), "{error}");
    assert_eq!(bridge.remote("report.csv").unwrap(), b"is newer");

    // This very file, delivered by another execution of the same event.
    std::fs::write(bridge.partner.root.join("report.csv"), b"older").unwrap();
    let (receipt, _) = bridge.verify_all(&older, &credential, complete.clone()).await.unwrap();
    assert_eq!(receipt.outcome, Outcome::AlreadyDelivered, "{receipt:?}");
    assert_eq!(bridge.remote_files(), ["report.csv"], "and what was sent for nothing is removed");

    // Where nothing is there, nothing is overwritten, and what was sent is owed.
    let event = bridge.put("gone.csv", b"gone".to_vec()).await;
    let (progress, _) = bridge.transfer_all(&event, 0).await.unwrap();
    bridge.remove("gone.csv").await;
    let (receipt, _) = bridge.verify_all(&event, &credential, progress.checkpoint().unwrap()).await.unwrap();
    assert_eq!(receipt.outcome, Outcome::Delivered);
    assert_eq!(bridge.remote("gone.csv").unwrap(), b"gone");
}

/// A partner who tidies up takes the partial file away, and yesterday's file has the same length.
#[tokio::test]
async fn story_26_another_file_of_the_same_size_is_not_taken_for_ours() {
    for (proof, reading) in [
        ("size", Reading::Allowed),
        ("none", Reading::Allowed),
        ("auto", Reading::Allowed),
        ("auto", Reading::NotOpened),
    ] {
        let quirks = Quirks { reading, ..Quirks::default() };
        let mut bridge = Bridge::to(Partner::embedded(quirks).await.unwrap()).await;
        bridge.set("SFTP_PROOF", proof);
        std::fs::write(bridge.partner.root.join("fixed.dat"), b"yesterday").unwrap();
        let event = bridge.put("fixed.dat", b"today, I.".to_vec()).await;
        let (progress, _) = bridge.transfer_all(&event, 0).await.unwrap();
        let complete = progress.checkpoint().unwrap();
        if !matches!(complete.phase, Phase::Found(_)) {
            std::fs::remove_file(bridge.partner.root.join(complete.route.upload_path())).unwrap();
        }
        let credential = bridge.fetch_key(&event).await.unwrap();
        let error = bridge.verify_all(&event, &credential, complete).await.unwrap_err();
        assert_eq!(error.name, ErrorName::RemoteMismatch, "{proof}: {error}");
        assert_eq!(deliver(&bridge, &event).await, Outcome::Delivered, "{proof}");
        assert_eq!(bridge.remote("fixed.dat").unwrap(), b"today, I.", "{proof}");
    }
}

/// The target directory of the rename was removed: an error, not an endless loop. A refusal is believed after half a
/// minute, so all policies wait at the same time.
#[tokio::test]
async fn story_22_a_rename_that_finds_no_directory_comes_to_an_end() {
    at_once(["replace", "fail", "keep-both"], |if_exists| async move {
        let mut bridge = Bridge::to(Partner::embedded(Quirks::default()).await.unwrap()).await;
        bridge.set("SFTP_STAGING_DIRECTORY", "staging");
        bridge.set("SFTP_IF_EXISTS", if_exists);
        let event = bridge.put("in/report.csv", b"new".to_vec()).await;
        let (progress, _) = bridge.transfer_all(&event, 0).await.unwrap();
        std::fs::remove_dir(bridge.partner.root.join("in")).unwrap();
        let credential = bridge.fetch_key(&event).await.unwrap();
        let verifying = bridge.verify_all(&event, &credential, progress.checkpoint().unwrap());
        let error = tokio::time::timeout(Duration::from_secs(90), verifying).await.unwrap().unwrap_err();
        assert_eq!(error.name, ErrorName::RemotePathRejected, "{if_exists}: {error}");
        assert!(error.message().contains("stays"), "{if_exists}: {error}");
        assert_eq!(bridge.remote_files().len(), 1, "{if_exists}");
    })
    .await;
}

/// A duplicate of what was delivered under a number, whose object was taken away for that.
#[tokio::test]
async fn story_05_a_duplicate_finds_the_numbered_file_when_the_object_is_gone() {
    let mut bridge = Bridge::new().await;
    bridge.set("SFTP_IF_EXISTS", "keep-both");
    bridge.set("S3_AFTER_DELIVERY", "delete");
    std::fs::write(bridge.partner.root.join("report.csv"), b"theirs").unwrap();
    let mut event = bridge.put("report.csv", b"is ours".to_vec()).await;
    event["detail"]["object"]["size"] = json!(7);
    assert_eq!(deliver(&bridge, &event).await, Outcome::Delivered);
    assert_eq!(bridge.remote("report.1.csv").unwrap(), b"is ours");
    assert_eq!(deliver(&bridge, &event).await, Outcome::AlreadyDelivered);
}

/// One of two executions of an event finds the other's file, and then the object is taken away: the hash that its marker
/// would hold cannot be had any more.
#[tokio::test]
async fn story_05_a_duplicate_ends_although_the_object_went_away_meanwhile() {
    let mut bridge = Bridge::new().await;
    bridge.set("SFTP_MARKER", "sha256");
    let event = bridge.put("report.csv", b"ours".to_vec()).await;
    assert_eq!(deliver(&bridge, &event).await, Outcome::Delivered);
    let marker = bridge.remote("report.csv.sha256").unwrap();
    bridge.set("S3_AFTER_DELIVERY", "delete");
    let (progress, _) = bridge.transfer_all(&event, 0).await.unwrap();
    let complete = progress.checkpoint().unwrap();
    assert!(matches!(complete.phase, Phase::Found(_)));
    bridge.remove("report.csv").await;
    let credential = bridge.fetch_key(&event).await.unwrap();
    let (receipt, _) = bridge.verify_all(&event, &credential, complete).await.unwrap();
    assert_eq!(receipt.outcome, Outcome::AlreadyDelivered);
    assert_eq!(receipt.warnings.len(), 1, "{receipt:?}");
    assert_eq!(bridge.remote("report.csv.sha256").unwrap(), marker);
}

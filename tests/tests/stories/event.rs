//! Stories 1 to 8: the event.

use aws::ObjectReader;
use bridge::{ErrorName, Outcome, PinnedObject};
use integration_tests::fault_proxy::{Fault, FaultProxy};
use serde_json::{Value, json};

use crate::support::{Bridge, bytes};

#[tokio::test]
async fn story_01_names_arrive_exactly() {
    let bridge = Bridge::new().await;
    let long = format!("{0}/{0}/{0}/{1}", "k".repeat(255), "k".repeat(256 - 4) + "ü");
    assert!(long.len() > 1_020 && long.len() <= 1_024);
    for key in [
        "a b+c%2B.txt",
        "räksmörgås.csv",
        "räksmörgås/ü.csv",
        "📦/🙂.bin",
        "it's \"quoted\" & <odd>.txt",
        &long,
    ] {
        bridge.delivers(key, key.as_bytes()).await;
    }
}

#[tokio::test]
async fn story_02_a_folder_marker_is_skipped_and_an_empty_file_is_not() {
    let bridge = Bridge::new().await;
    let event = bridge.put("folder/", Vec::new()).await;
    let receipt = bridge.deliver(&event).await.unwrap();
    assert_eq!(receipt.outcome, Outcome::Skipped);
    assert!(receipt.reason.unwrap().contains("folder marker"));
    assert!(bridge.remote_files().is_empty());

    bridge.delivers("folder/empty.txt", b"").await;

    let event = bridge.put("not-empty/", b"x".to_vec()).await;
    let (_, error) = bridge.deliver(&event).await.unwrap_err();
    assert_eq!(error.name, ErrorName::RemotePathRejected);
}

#[tokio::test]
async fn story_03_unsafe_names_are_refused_before_connecting() {
    let mut bridge = Bridge::new().await;
    let proxy = FaultProxy::start(bridge.partner.port).await.unwrap();
    bridge.set("SFTP_PORT", proxy.port.to_string());
    let too_long = "x".repeat(256);
    for (key, component) in [
        ("../../x", "\"..\""),
        ("/abs", "\"\""),
        ("a//b", "\"\""),
        (".", "\".\""),
        ("a/..", "\"..\""),
        ("nul\0", "nul\\0"),
        ("back\\slash", "back\\\\slash"),
        (too_long.as_str(), "xxx"),
    ] {
        let event = json!({"detail": {"bucket": {"name": bridge.bucket}, "object": {"key": key}}});
        let (state, error) = bridge.deliver(&event).await.unwrap_err();
        assert_eq!((state, error.name), ("Transfer", ErrorName::RemotePathRejected), "{key:?}: {error}");
        assert!(error.message().contains(component), "{key:?}: {error}");
    }
    assert_eq!(proxy.connections(), 0);
}

#[tokio::test]
async fn story_04_an_object_named_like_the_credential() {
    let mut bridge = Bridge::new().await;
    let key = bridge.partner.client_key.private.clone();
    bridge.put("keys/id_ed25519", key.clone().into_bytes()).await;
    bridge.variables.remove("SFTP_SECRET_ID");
    bridge.set("SFTP_S3_SSH_KEY", format!("{}/keys/id_ed25519", bridge.bucket));
    bridge.set("SFTP_USER", bridge.partner.user.clone());

    // Another object of the same name below the top: its own bytes arrive.
    bridge.delivers("id_ed25519", b"an ordinary file").await;
    bridge.delivers("out/keys/id_ed25519", b"another").await;

    // The credential itself, announced by the same rule.
    let event = bridge.put("keys/id_ed25519", key.into_bytes()).await;
    let receipt = bridge.deliver(&event).await.unwrap();
    assert_eq!(receipt.outcome, Outcome::Skipped);
    assert!(bridge.remote("keys/id_ed25519").is_none());
    for file in bridge.remote_files() {
        assert!(!String::from_utf8_lossy(&bridge.remote(&file).unwrap()).contains("PRIVATE KEY"), "{file}");
    }
}

#[tokio::test]
async fn story_05_the_same_event_twice_at_the_same_moment() {
    let bridge = Bridge::new().await;
    let body = bytes(3_000_000);
    let mut first = bridge.put("twice.bin", body.clone()).await;
    let mut second = first.clone();
    (first["id"], second["id"]) = (json!("one"), json!("other"));
    let (one, other) = tokio::join!(bridge.deliver(&first), bridge.deliver(&second));
    for receipt in [one.unwrap(), other.unwrap()] {
        assert!(matches!(receipt.outcome, Outcome::Delivered | Outcome::AlreadyDelivered), "{receipt:?}");
    }
    assert_eq!(bridge.remote_files(), ["twice.bin"]);
    assert!(bridge.remote("twice.bin").unwrap() == body);
}

#[tokio::test]
async fn story_06_an_older_version_never_overwrites_a_newer_one() {
    for versioned in [true, false] {
        let mut bridge = Bridge::new().await;
        if versioned {
            bridge = bridge.versioned().await;
        }
        let older = bridge.put("report.csv", b"older".to_vec()).await;
        let newer = bridge.put("report.csv", b"newer".to_vec()).await;
        assert_eq!(bridge.deliver(&newer).await.unwrap().outcome, Outcome::Delivered);
        let receipt = bridge.deliver(&older).await.unwrap();
        assert_eq!(receipt.outcome, Outcome::Superseded, "versioned: {versioned}");
        assert_eq!(bridge.remote_files(), ["report.csv"]);
        assert_eq!(bridge.remote("report.csv").unwrap(), b"newer");
    }
}

#[tokio::test]
async fn story_06_a_newer_upload_between_transfer_and_publishing() {
    let bridge = Bridge::new().await.versioned().await;
    let older = bridge.put("report.csv", b"older".to_vec()).await;
    let (progress, _) = bridge.transfer_all(&older, 0).await.unwrap();
    let newer = bridge.put("report.csv", b"newer".to_vec()).await;
    let credential = bridge.fetch_key(&older).await.unwrap();
    let (receipt, _) = bridge.verify_all(&older, &credential, progress.checkpoint().unwrap()).await.unwrap();
    assert_eq!(receipt.outcome, Outcome::Superseded);
    assert!(bridge.remote_files().is_empty(), "neither published nor left behind");
    assert_eq!(bridge.deliver(&newer).await.unwrap().outcome, Outcome::Delivered);
}

#[tokio::test]
async fn story_06_a_newer_upload_in_the_middle_of_a_transfer_leaves_nothing_behind() {
    let mut bridge = Bridge::new().await;
    let proxy = FaultProxy::start(bridge.partner.port).await.unwrap();
    bridge.set("SFTP_PORT", proxy.port.to_string());
    let older = bridge.put("report.bin", bytes(4_000_000)).await;
    let credential = bridge.fetch_key(&older).await.unwrap();
    // A busy machine looks distant, and then 2 MiB are in flight before anything is acknowledged.
    proxy.set(Fault::RefuseAfter(3_000_000)).await;
    let checkpoint = bridge.transfer(&older, &credential, None, 0).await.unwrap().checkpoint();
    assert_eq!(bridge.remote_files().len(), 1, "a partial file");
    proxy.set(Fault::None).await;
    bridge.put("report.bin", b"newer".to_vec()).await;
    let progress = bridge.transfer(&older, &credential, checkpoint, 0).await.unwrap();
    assert_eq!(progress.receipt().unwrap().outcome, Outcome::Superseded);
    assert!(bridge.remote_files().is_empty());
}

#[tokio::test]
async fn story_07_the_object_is_deleted_between_event_and_transfer() {
    let bridge = Bridge::new().await.versioned().await;
    let event = bridge.put("gone.txt", b"still owed".to_vec()).await;
    bridge.aws.s3().delete_object().bucket(&bridge.bucket).key("gone.txt").send().await.unwrap();
    assert_eq!(
        bridge.deliver(&event).await.unwrap().outcome,
        Outcome::Delivered,
        "the pinned version exists"
    );
    assert_eq!(bridge.remote("gone.txt").unwrap(), b"still owed");

    let bridge = Bridge::new().await;
    let event = bridge.put("gone.txt", b"lost".to_vec()).await;
    bridge.aws.s3().delete_object().bucket(&bridge.bucket).key("gone.txt").send().await.unwrap();
    let (state, error) = bridge.deliver(&event).await.unwrap_err();
    assert_eq!((state, error.name), ("Transfer", ErrorName::ObjectUnreadable));
    assert!(error.message().contains("gone.txt"), "{error}");
}

#[tokio::test]
async fn story_07_the_object_changes_while_it_is_read() {
    let bridge = Bridge::new().await;
    bridge.put("changing.txt", b"new".to_vec()).await;
    let pinned = PinnedObject {
        bucket: bridge.bucket.clone(),
        object_key: "changing.txt".into(),
        etag: "0123456789abcdef0123456789abcdef".into(),
        version_id: None,
        size: 3,
        last_modified: None,
        checksum: None,
        hash: None,
    };
    let s3 = bridge.aws.s3();
    let error = ObjectReader::new(&s3, &pinned, 0).next().await.unwrap_err();
    assert_eq!(error.name, ErrorName::ObjectChanged);
    // Through the handlers that is no failure: the newer upload has an event of its own.
    let mut event = bridge.put("changing.txt", b"newer".to_vec()).await;
    event["detail"]["object"]["etag"] = json!(pinned.etag);
    assert_eq!(bridge.deliver(&event).await.unwrap().outcome, Outcome::Superseded);
}

#[tokio::test]
async fn story_08_an_input_typed_by_hand_works_and_garbage_names_the_field() {
    let bridge = Bridge::new().await;
    bridge.put("typed.txt", b"typed".to_vec()).await;
    let event = json!({"detail": {"bucket": {"name": bridge.bucket}, "object": {"key": "typed.txt"}}});
    assert_eq!(bridge.deliver(&event).await.unwrap().outcome, Outcome::Delivered);

    for (event, field) in [
        (json!("garbage"), "the input"),
        (json!({}), "`detail`"),
        (Value::Null, "the input"),
        (json!({"detail": {"bucket": {"name": 7}, "object": {"key": "k"}}}), "`detail.bucket.name`"),
    ] {
        let (state, error) = bridge.deliver(&event).await.unwrap_err();
        assert_eq!((state, error.name), ("FetchKey", ErrorName::InvalidInput));
        assert!(error.message().contains(field), "{event}: {error}");
    }
}

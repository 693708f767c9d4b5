//! Story 292: what was collected from a server is not delivered back to it.

use std::collections::HashMap;

use bridge::collect::RemoteFile;
use bridge::{ErrorName, Outcome, Receipt};
use integration_tests::fault_proxy::FaultProxy;
use serde_json::{Value, json};

use crate::support::Bridge;

/// The metadata of what is collected from this host.
fn collected_from(host: &str, mark_synched: bool) -> HashMap<String, String> {
    let file = RemoteFile {
        host: host.to_owned(),
        directory: "out".into(),
        path: "a.csv".into(),
        size: 3,
        modified: Some(1_700_000_000),
    };
    aws::collected::metadata(
        &file,
        "SHA256:x",
        "arn:aws:states:us-east-1:0:execution:collect:x",
        mark_synched,
    )
}

/// Uploads an object with metadata, and returns its event.
async fn put_with(bridge: &Bridge, key: &str, body: &str, metadata: HashMap<String, String>) -> Value {
    let request = bridge.aws.s3().put_object().bucket(&bridge.bucket).key(key);
    let request = request.body(body.as_bytes().to_vec().into()).set_metadata(Some(metadata));
    let put = request.send().await.unwrap();
    let mut object = json!({"key": key, "etag": put.e_tag().unwrap().trim_matches('"')});
    if let Some(version_id) = put.version_id() {
        object["version-id"] = json!(version_id);
    }
    json!({"time": aws::now(), "detail": {"version": "0", "bucket": {"name": bridge.bucket}, "object": object}})
}

fn assert_not_delivered_back(receipt: &Receipt, host: &str) {
    assert_eq!(receipt.outcome, Outcome::Skipped, "{receipt:?}");
    let reason = receipt.reason.as_deref().unwrap();
    assert!(reason.contains(&format!("collected from {host}")) && reason.contains("sftp-host"), "{reason}");
    assert!(reason.contains("copy it without this metadata"), "it says what to do: {reason}");
}

#[tokio::test]
async fn story_292_what_was_collected_from_the_server_is_not_delivered_back() {
    for mut bridge in [Bridge::new().await, Bridge::new().await.versioned().await] {
        let host = bridge.partner.host.clone();
        let proxy = FaultProxy::start(bridge.partner.port).await.unwrap();
        bridge.set("SFTP_PORT", proxy.port.to_string());
        for mark_synched in [false, true] {
            let event = put_with(&bridge, "a.csv", "abc", collected_from(&host, mark_synched)).await;
            assert_not_delivered_back(&bridge.deliver(&event).await.unwrap(), &host);
            // An input typed by hand has neither version nor etag.
            let by_hand = json!({"detail": {"bucket": {"name": bridge.bucket}, "object": {"key": "a.csv"}}});
            assert_not_delivered_back(&bridge.deliver(&by_hand).await.unwrap(), &host);
        }
        assert_eq!(proxy.connections(), 0, "the partner saw nothing of it");
        assert!(bridge.remote_files().is_empty());
    }
}

#[tokio::test]
async fn story_292_what_comes_from_elsewhere_is_delivered() {
    let bridge = Bridge::new().await;
    let synched = HashMap::from([("synched".to_owned(), "true".to_owned())]);
    for (key, metadata) in [
        ("relayed.csv", collected_from("other.example.com", true)),
        // The predecessor's mark alone is also on what it delivered, and names no server.
        ("marked.csv", synched),
        ("plain.csv", HashMap::new()),
    ] {
        let event = put_with(&bridge, key, "abc", metadata).await;
        assert_eq!(bridge.deliver(&event).await.unwrap().outcome, Outcome::Delivered, "{key}");
        assert_eq!(bridge.remote(key).as_deref(), Some(&b"abc"[..]));
    }
}

#[tokio::test]
async fn story_292_a_file_collected_under_the_same_key_supersedes_no_upload() {
    let bridge = Bridge::new().await.versioned().await;
    let host = bridge.partner.host.clone();
    let ours = bridge.put("a.csv", b"ours".to_vec()).await;
    let first = put_with(&bridge, "a.csv", "theirs 1", collected_from(&host, false)).await;
    let second = put_with(&bridge, "a.csv", "theirs 2", collected_from(&host, false)).await;
    assert_eq!(bridge.deliver(&ours).await.unwrap().outcome, Outcome::Delivered);
    for theirs in [&first, &second] {
        assert_not_delivered_back(&bridge.deliver(theirs).await.unwrap(), &host);
    }
    assert_eq!(bridge.remote("a.csv").as_deref(), Some(&b"ours"[..]));

    // An upload of ours does, even with collected files before and after it.
    let newer = bridge.put("a.csv", b"newer".to_vec()).await;
    put_with(&bridge, "a.csv", "theirs 3", collected_from(&host, false)).await;
    assert_eq!(bridge.deliver(&ours).await.unwrap().outcome, Outcome::Superseded);
    assert_eq!(bridge.deliver(&newer).await.unwrap().outcome, Outcome::Delivered);
    assert_eq!(bridge.remote("a.csv").as_deref(), Some(&b"newer"[..]));
    assert_eq!(bridge.remote_files(), ["a.csv"]);
}

#[tokio::test]
async fn story_292_an_upload_that_a_collected_file_has_overwritten_is_not_lost_in_silence() {
    let bridge = Bridge::new().await;
    let ours = bridge.put("a.csv", b"ours".to_vec()).await;
    put_with(&bridge, "a.csv", "theirs", collected_from(&bridge.partner.host, false)).await;
    let (_, error) = bridge.deliver(&ours).await.unwrap_err();
    assert_eq!(error.name, ErrorName::ObjectChanged);
    assert!(error.message().contains("by a file that was collected from"), "{error}");
    assert!(bridge.remote_files().is_empty());
}

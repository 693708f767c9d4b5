//! Stories 5 and 6 with every policy: whatever the order of the events and however often they come, the same one file.

use std::time::Duration;

use bridge::Outcome;
use integration_tests::fault_proxy::{Fault, FaultProxy};
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

/// One of each policy, with and without versions.
async fn bridges() -> Vec<(String, Bridge)> {
    let mut bridges = Vec::new();
    for (publish, if_exists) in POLICIES {
        for versioned in [false, true] {
            let mut bridge = Bridge::new().await;
            if versioned {
                bridge = bridge.versioned().await;
            }
            bridge.set("SFTP_PUBLISH", publish);
            bridge.set("SFTP_IF_EXISTS", if_exists);
            bridges.push((format!("{publish}, {if_exists}, versioned: {versioned}"), bridge));
        }
    }
    bridges
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
    for (policy, bridge) in bridges().await {
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
    }
}

/// The second has no part in what the first has sent, and begins in the middle of it.
#[tokio::test]
async fn story_05_a_doubled_event_in_the_middle_leaves_one_file_whatever_the_policy() {
    for (policy, mut bridge) in bridges().await {
        let body = bytes(2_000_000);
        let first = bridge.put("twice.bin", body.clone()).await;
        let proxy = FaultProxy::start(bridge.partner.port).await.unwrap();
        let port = bridge.variables["SFTP_PORT"].clone();
        let credential = bridge.fetch_key(&first).await.unwrap();
        proxy.set(Fault::RefuseAfter(1_000_000)).await;
        bridge.set("SFTP_PORT", proxy.port.to_string());
        let checkpoint = bridge.transfer(&first, &credential, None, 0).await.unwrap().checkpoint;
        bridge.set("SFTP_PORT", port);

        let second = deliver(&bridge, &first).await;
        assert_eq!(second, Outcome::Delivered, "{policy}");
        // The first goes on where it was.
        let mut progress = bridge.transfer(&first, &credential, checkpoint, 0).await.unwrap();
        while progress.checkpoint.as_ref().unwrap().status == bridge::Status::InProgress {
            progress = bridge.transfer(&first, &credential, progress.checkpoint, 0).await.unwrap();
        }
        let checkpoint = progress.checkpoint.unwrap();
        let (receipt, _) = bridge.verify_all(&first, &credential, checkpoint).await.unwrap();
        let outcome = receipt.outcome;
        assert!(matches!(outcome, Outcome::Delivered | Outcome::AlreadyDelivered), "{policy}: {outcome:?}");
        assert_eq!(bridge.remote_files(), ["twice.bin"], "{policy}");
        assert!(bridge.remote("twice.bin").unwrap() == body, "{policy}");
    }
}

#[tokio::test]
async fn story_06_reversed_events_leave_the_newer_version_whatever_the_policy() {
    for (policy, bridge) in bridges().await {
        let older = bridge.put("report.csv", b"older".to_vec()).await;
        let newer = bridge.put("report.csv", b"newer".to_vec()).await;
        assert_eq!(deliver(&bridge, &newer).await, Outcome::Delivered, "{policy}");
        assert_eq!(deliver(&bridge, &older).await, Outcome::Superseded, "{policy}");
        assert_eq!(deliver(&bridge, &newer).await, Outcome::AlreadyDelivered, "{policy}");
        assert_eq!(bridge.remote_files(), ["report.csv"], "{policy}");
        assert_eq!(bridge.remote("report.csv").unwrap(), b"newer", "{policy}");
    }
}

#[tokio::test]
async fn story_06_two_versions_at_the_same_instant_leave_the_newer_whatever_the_policy() {
    for (policy, bridge) in bridges().await {
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
    }
}

/// The older one is being sent, slowly, when the newer one comes, overtakes it and is whole.
#[tokio::test]
async fn story_06_an_older_version_that_is_overtaken_never_overwrites_the_newer_whatever_the_policy() {
    for (policy, mut bridge) in bridges().await {
        let proxy = FaultProxy::start(bridge.partner.port).await.unwrap();
        // Of each connection: the older one takes three seconds, the newer one a fraction of that.
        proxy.set(Fault::Rate(1_500_000)).await;
        bridge.set("SFTP_PORT", proxy.port.to_string());
        let older = bridge.put("report.bin", bytes(4_500_000)).await;
        let overtaking = async {
            while proxy.bytes_up() < 1_000_000 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let newer = bridge.put("report.bin", vec![b'n'; 300_000]).await;
            let outcome = deliver(&bridge, &newer).await;
            (outcome, bridge.remote("report.bin"), proxy.bytes_up())
        };
        let (slow, (overtaking, content, bytes_up)) = tokio::join!(deliver(&bridge, &older), overtaking);
        assert_eq!(overtaking, Outcome::Delivered, "{policy}");
        assert!(content.unwrap() == vec![b'n'; 300_000], "{policy}");
        assert!(bytes_up < 4_500_000, "{policy}: the older one was still being sent");
        assert_eq!(slow, Outcome::Superseded, "{policy}");
        assert_eq!(bridge.remote_files(), ["report.bin"], "{policy}");
        assert!(bridge.remote("report.bin").unwrap() == vec![b'n'; 300_000], "{policy}");
    }
}

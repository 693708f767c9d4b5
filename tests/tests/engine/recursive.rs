//! `deliver --recursive`: everything below a prefix.

use std::collections::BTreeSet;
use std::time::Duration;

use integration_tests::cli;
use integration_tests::embedded::{self, FilesMax};
use integration_tests::fault_proxy::{Fault, FaultProxy};
use integration_tests::keys::{Encoding, KeyPair, Kind};
use integration_tests::object_source::{Body, Quirks};
use integration_tests::partner::Partner;
use integration_tests::pattern;

use crate::support::Delivery;

const FILES: u64 = 200;

fn put_many(delivery: &Delivery) {
    for number in 0..FILES {
        let length = 1 + (number * 997) % 40_000;
        delivery.put(&format!("in/{:02}/file {number}.csv", number % 7), length);
    }
    delivery.put("other/alone.csv", 5);
}

#[tokio::test]
async fn everything_below_a_prefix_over_one_connection() {
    let mut delivery = Delivery::new().await;
    put_many(&delivery);
    let proxy = FaultProxy::start(delivery.partner.port).await.unwrap();
    delivery.set("SFTP_PORT", proxy.port);
    let ran = delivery.run(&["s3://b/in/", "--recursive", "--json"]).await;
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let receipts: Vec<serde_json::Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(receipts.len() as u64, FILES);
    assert!(receipts.iter().all(|receipt| receipt["outcome"] == "delivered"));
    for number in 0..FILES {
        let length = 1 + (number * 997) % 40_000;
        delivery.assert_arrived(&format!("in/{:02}/file {number}.csv", number % 7), length);
    }
    assert!(!delivery.partner.root.join("other").exists());
    assert_eq!(proxy.connections(), 1);
    assert!(ran.stderr.contains("200 delivered, 0 not needed, 0 failed"), "{}", ran.stderr);
}

/// The listing that is delivered from waits for deliveries, and sees the last page when most files are sent.
#[tokio::test]
async fn what_is_to_come_is_counted_ahead_of_the_deliveries() {
    let delivery = Delivery::new().await;
    put_many(&delivery);
    delivery.source.quirks(Quirks { keys_max: Some(20), ..Quirks::default() });
    let mut command = delivery.command(&["s3://b/in/", "--recursive"]).await;
    command.env("LOG_LEVEL", "info");
    let ran = cli::run(command).await;
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("200 delivered, 0 not needed, 0 failed"), "{}", ran.stderr);
    let (before, rest) = ran.stderr.split_once("all objects below the prefix are counted").unwrap();
    let bytes: u64 = (0..FILES).map(|number| 1 + (number * 997) % 40_000).sum();
    let counted = rest.lines().next().unwrap();
    assert!(counted.contains("200") && counted.contains(&bytes.to_string()), "{counted}");
    let sent = before.matches("the delivery has ended").count();
    assert!(sent < 100, "{sent} files were sent before it was known how many there are");
}

#[tokio::test]
async fn one_that_fails_does_not_stop_the_others() {
    let mut delivery = Delivery::new().await;
    for number in 0..40 {
        delivery.put(&format!("in/{number}"), 1000);
        // A directory stands where the file belongs.
        delivery.put(&format!("bad/{number}"), 1000);
        std::fs::create_dir_all(delivery.partner.root.join(format!("bad/{number}/x"))).unwrap();
    }
    delivery.source.put("b/in/../x", Body::Bytes(pattern::bytes(0, 10))).unwrap();
    let proxy = FaultProxy::start(delivery.partner.port).await.unwrap();
    delivery.set("SFTP_PORT", proxy.port);
    let ran = delivery.run(&["s3://b", "--recursive"]).await;
    assert_eq!(ran.status, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("40 delivered, 0 not needed, 41 failed"), "{}", ran.stderr);
    assert!(ran.stderr.contains("not delivered: s3://b/in/../x: RemotePathRejected"), "{}", ran.stderr);
    for number in 0..40 {
        delivery.assert_arrived(&format!("in/{number}"), 1000);
    }
    assert_eq!(proxy.connections(), 1, "what the server refuses is no reason to connect again");
}

#[tokio::test]
async fn story_45_a_prefix_that_matches_nothing_is_said() {
    let delivery = Delivery::new().await;
    delivery.put("other/x", 5);
    let ran = delivery.run(&["s3://b/none/", "--recursive"]).await;
    assert_eq!((ran.status, ran.stdout.as_str()), (1, ""), "{}", ran.stderr);
    assert!(
        ran.stderr.contains(r#"no object's key begins with "none/" in the bucket "b""#),
        "{}",
        ran.stderr
    );
    let ran = delivery.run(&["s3://b"]).await;
    assert_eq!(ran.status, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("--recursive"), "{}", ran.stderr);
}

/// The source refuses all changes, and remembers what they were to be.
#[tokio::test]
async fn story_44_each_failure_of_a_run_has_a_record_of_its_own() {
    let mut delivery = Delivery::new().await;
    delivery.set("RECORD_BUCKET", "failures");
    for number in 0..5 {
        delivery.source.put(&format!("b/in/../{number}"), Body::Bytes(pattern::bytes(0, 10))).unwrap();
    }
    let ran = delivery.run(&["s3://b/in/", "--recursive"]).await;
    assert_eq!(ran.status, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("0 delivered, 0 not needed, 5 failed"), "{}", ran.stderr);
    let records: BTreeSet<String> = delivery.source.changes().into_iter().collect();
    assert!(records.iter().all(|record| record.starts_with("PUT failures/failures/open/")), "{records:?}");
    assert_eq!(records.len(), 5, "{records:?}");
}

#[tokio::test]
async fn story_46_what_was_moved_after_its_delivery_is_not_delivered_again() {
    let mut delivery = Delivery::new().await;
    delivery.set("S3_AFTER_DELIVERY", "move");
    delivery.set("S3_MOVE_PREFIX", "delivered/");
    delivery.put("in/new", 100);
    delivery.put("delivered/in/old", 100);
    let ran = delivery.run(&["s3://b", "--recursive"]).await;
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("1 delivered, 0 not needed, 0 failed, 1 ignored below S3_MOVE_PREFIX"),
        "{}",
        ran.stderr
    );
    delivery.assert_arrived("in/new", 100);
    assert!(!delivery.partner.root.join("delivered").exists());
}

#[tokio::test]
async fn story_48_a_listing_that_breaks_off_cuts_off_no_delivery() {
    let mut delivery = Delivery::new().await;
    for number in 0..8 {
        delivery.put(&format!("in/{number}"), 300_000);
    }
    delivery.source.quirks(Quirks { keys_max: Some(4), one_page: true, ..Quirks::default() });
    let _proxy = delivery.through_proxy(Fault::Rate(1_000_000)).await;
    let ran = delivery.run(&["s3://b/in/", "--recursive"]).await;
    assert_eq!(ran.status, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("4 delivered, 0 not needed, 0 failed"), "{}", ran.stderr);
    assert!(ran.stderr.contains("ObjectUnreadable: listing s3://b/in/"), "{}", ran.stderr);
    for number in 0..4 {
        delivery.assert_arrived(&format!("in/{number}"), 300_000);
    }
}

#[tokio::test]
async fn story_49_one_cut_connection_fails_no_small_file() {
    for bytes in [6_000, 9_000, 14_000, 30_000] {
        let mut delivery = Delivery::new().await;
        for number in 0..60 {
            delivery.put(&format!("in/{number}"), 1000);
        }
        let proxy = delivery.through_proxy(Fault::CutOnceAfter(bytes)).await;
        let ran = delivery.run(&["s3://b/in/", "--recursive"]).await;
        assert_eq!(ran.status, 0, "{bytes}: {}", ran.stderr);
        assert!(ran.stderr.contains("60 delivered, 0 not needed, 0 failed"), "{}", ran.stderr);
        for number in 0..60 {
            delivery.assert_arrived(&format!("in/{number}"), 1000);
        }
        assert!((2..=4).contains(&proxy.connections()), "{}", proxy.connections());
    }
}

#[tokio::test]
async fn story_50_a_server_that_lets_few_files_be_open() {
    for files_max in [1, 3] {
        let files_max = FilesMax::Unsaid(files_max);
        let quirks = embedded::Quirks { files_max: Some(files_max), ..embedded::Quirks::default() };
        let delivery = Delivery::to(Partner::embedded(quirks).await.unwrap());
        for number in 0..40 {
            delivery.put(&format!("in/{number}"), 100_000);
        }
        let ran = delivery.run(&["s3://b/in/", "--recursive"]).await;
        assert_eq!(ran.status, 0, "{files_max:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("40 delivered, 0 not needed, 0 failed"), "{}", ran.stderr);
        for number in 0..40 {
            delivery.assert_arrived(&format!("in/{number}"), 100_000);
        }
    }
}

/// The number of files in progress grows with the distance, but not beyond what the server says.
#[tokio::test]
async fn story_50_a_distant_server_that_says_how_many_files_may_be_open() {
    let quirks = embedded::Quirks { files_max: Some(FilesMax::Announced(5)), ..embedded::Quirks::default() };
    let mut delivery = Delivery::to(Partner::embedded(quirks).await.unwrap());
    for number in 0..60 {
        delivery.put(&format!("in/{number}"), 1000);
    }
    let _proxy = delivery.through_proxy(Fault::Delay(Duration::from_millis(10))).await;
    let ran = delivery.run(&["s3://b/in/", "--recursive"]).await;
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("60 delivered, 0 not needed, 0 failed"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("trying with fewer"), "{}", ran.stderr);
    for number in 0..60 {
        delivery.assert_arrived(&format!("in/{number}"), 1000);
    }
}

#[tokio::test]
async fn story_51_a_partner_who_refuses_the_key_is_asked_once() {
    let mut delivery = Delivery::new().await;
    let other = KeyPair::generate(Kind::Ed25519, Encoding::OpenSsh, "").unwrap();
    delivery.source.put("keys/id", Body::Bytes(other.private.into_bytes())).unwrap();
    for number in 0..40 {
        delivery.put(&format!("in/{number}"), 1000);
    }
    delivery.source.quirks(Quirks { keys_max: Some(7), ..Quirks::default() });
    let proxy = delivery.through_proxy(Fault::None).await;
    let ran = delivery.run(&["s3://b/in/", "--recursive"]).await;
    assert_eq!(ran.status, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("AuthenticationRejected: "), "{}", ran.stderr);
    assert!(ran.stderr.contains("stopped: 40 objects were not tried"), "{}", ran.stderr);
    assert_eq!(proxy.connections(), 1);
}

/// Once it is known that the partner is gone, the rest is not tried one by one.
#[tokio::test]
async fn story_51_a_partner_who_goes_away_for_good_ends_the_run() {
    let mut delivery = Delivery::new().await;
    for number in 0..1000 {
        delivery.put(&format!("in/{number:03}"), 1000);
    }
    let _proxy = delivery.through_proxy(Fault::RefuseAfter(60_000)).await;
    let ran = tokio::time::timeout(Duration::from_secs(120), delivery.run(&["s3://b/in/", "--recursive"]));
    let ran = ran.await.unwrap();
    assert_eq!(ran.status, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("objects were not tried"), "{}", ran.stderr);
    assert!(ran.stderr.matches("not delivered: ").count() <= 256, "{}", ran.stderr);
}

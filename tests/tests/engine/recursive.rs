//! `deliver --recursive`: everything below a prefix.

use integration_tests::cli;
use integration_tests::fault_proxy::FaultProxy;
use integration_tests::object_source::{Body, Quirks};
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
    assert!(ran.stderr.contains("200 delivered, 0 needed nothing, 0 failed"), "{}", ran.stderr);
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
    assert!(ran.stderr.contains("200 delivered, 0 needed nothing, 0 failed"), "{}", ran.stderr);
    let (before, rest) = ran.stderr.split_once("that is all below the prefix").unwrap();
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
    assert!(ran.stderr.contains("40 delivered, 0 needed nothing, 41 failed"), "{}", ran.stderr);
    assert!(ran.stderr.contains("not delivered: s3://b/in/../x: RemotePathRejected"), "{}", ran.stderr);
    for number in 0..40 {
        delivery.assert_arrived(&format!("in/{number}"), 1000);
    }
    assert_eq!(proxy.connections(), 1, "what the server refuses is no reason to connect again");
}

#[tokio::test]
async fn nothing_below_a_prefix_and_no_key() {
    let delivery = Delivery::new().await;
    let ran = delivery.run(&["s3://b/none/", "--recursive"]).await;
    assert_eq!((ran.status, ran.stdout.as_str()), (0, ""), "{}", ran.stderr);
    let ran = delivery.run(&["s3://b"]).await;
    assert_eq!(ran.status, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("--recursive"), "{}", ran.stderr);
}

//! `s3-sftp-bridge deliver`, the real binary.

use integration_tests::cli::{self, Ran};
use serde_json::{Value, json};

use crate::support::{Bridge, bytes, unique};

async fn run(bridge: &Bridge, arguments: &[&str]) -> Ran {
    cli::run(cli::deliver(bridge.aws.environment(), &bridge.variables, arguments).await).await
}

#[tokio::test]
async fn deliver_puts_objects_on_the_server_byte_for_byte() {
    let bridge = Bridge::new().await;
    for (key, body) in [
        ("plain.txt", b"plain".to_vec()),
        ("a b+c%2B.txt", b"signs".to_vec()),
        ("räksmörgås/ü.csv", b"a;b\n".to_vec()),
        ("empty", Vec::new()),
        ("64MiB.bin", bytes(64 * 1024 * 1024)),
    ] {
        bridge.put(key, body.clone()).await;
        // The predecessor's form without the scheme works, too.
        let object = format!("{}{}/{key}", if key == "empty" { "" } else { "s3://" }, bridge.bucket);
        let ran = run(&bridge, &[&object]).await;
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        assert!(ran.stdout.starts_with("delivered ") && ran.stdout.contains(key), "{}", ran.stdout);
        assert!(bridge.remote(key).unwrap() == body, "{key} differs");
    }
    bridge.assert_no_partial_files();
}

#[tokio::test]
async fn json_is_the_receipt_alone() {
    let bridge = Bridge::new().await;
    bridge.put("file.txt", b"x".to_vec()).await;
    let ran = run(&bridge, &["--json", &format!("{}/file.txt", bridge.bucket)]).await;
    let receipt: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(
        (ran.status, &receipt["outcome"], &receipt["proof"]),
        (0, &json!("delivered"), &json!("read-back"))
    );

    bridge.put("folder/", Vec::new()).await;
    let ran = run(&bridge, &[&format!("{}/folder/", bridge.bucket)]).await;
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert!(ran.stdout.starts_with("skipped "), "{}", ran.stdout);
}

#[tokio::test]
async fn errors_have_a_name_a_message_a_hint_and_a_record() {
    let mut bridge = Bridge::new().await;
    let failures = unique("failures");
    bridge.aws.s3().create_bucket().bucket(&failures).send().await.unwrap();
    bridge.set("RECORD_BUCKET", &failures);
    for (key, name) in [("../../x", "RemotePathRejected"), ("missing.txt", "ObjectUnreadable")] {
        let ran = run(&bridge, &[&format!("{}/{key}", bridge.bucket)]).await;
        assert_eq!((ran.status, ran.stdout.as_str()), (1, ""), "{}", ran.stderr);
        assert!(ran.stderr.starts_with(&format!("{name}: ")), "{}", ran.stderr);
        assert!(ran.stderr.contains(&format!("docs/errors.md#{}", name.to_lowercase())), "{}", ran.stderr);
    }
    let records = bridge.aws.s3().list_objects_v2().bucket(&failures).send().await.unwrap();
    assert!(!records.contents().is_empty());

    bridge.set("SFTP_PORT", "0");
    bridge.variables.remove("SFTP_HOST");
    let ran = run(&bridge, &[&format!("{}/file.txt", bridge.bucket)]).await;
    assert_eq!(ran.status, 2);
    assert!(
        ran.stderr.contains("InvalidConfig")
            && ran.stderr.contains("SFTP_HOST")
            && ran.stderr.contains("SFTP_PORT")
    );

    let ran = run(&bridge, &["no-key"]).await;
    assert_eq!(ran.status, 2);
    assert!(ran.stderr.contains("s3://BUCKET/KEY"), "{}", ran.stderr);
}

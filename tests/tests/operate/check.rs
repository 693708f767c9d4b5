//! `check`.

use bridge::{FailureState, Outcome};
use integration_tests::embedded::Quirks;
use integration_tests::partner::Partner;
use serde_json::{Value, json};

use crate::shelf::Shelf;

fn lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

fn starts(text: &str) -> Vec<String> {
    // Without what is said in brackets, which has times and names.
    lines(text).into_iter().map(|line| line.split("  (").next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn story_214_check_says_of_each_object_what_became_of_it() {
    let shelf = Shelf::new("check-each", &[("S3Exclude", "**/*.tmp"), ("KeyPrefix", "in/")]).await;
    let long = format!("in/{}", "l".repeat(900));
    for key in ["in/delivered", "in/twice", &long] {
        shelf.receipt(&shelf.put(key, "1").await, Outcome::Delivered, json!({})).await;
    }
    shelf.put("in/twice", "2").await;
    let superseded = shelf.put("in/superseded", "1").await;
    shelf.receipt(&superseded, Outcome::Superseded, json!({})).await;
    shelf.failure(&shelf.put("in/failed", "1").await, "e-failed", "RemoteFull").await;
    let running = shelf.put("in/running", "1").await;
    shelf.desk.stack.start("e-running", &shelf.input(&running, "run")).await.unwrap();
    for key in ["in/never", "in/a.tmp", "out/a", "in/deleted"] {
        shelf.put(key, "1").await;
    }
    shelf.put("in/folder/", "").await;
    shelf.s3().delete_object().bucket(shelf.bucket()).key("in/deleted").send().await.unwrap();

    let ran = shelf.check(&[]).await;
    let owed = [
        "! in/failed",
        "+ in/never",
        "+ in/twice",
        "- in/a.tmp",
        "- in/folder/",
        "- out/a",
        "> in/superseded",
    ];
    assert_eq!(starts(&ran.stdout), [&owed[..], &["~ in/running"]].concat(), "{ran:?}");
    assert_eq!(ran.status, 1);
    assert!(
        ran.stderr.contains("4 of 10 are owed: 1 failed (!), 1 under way (~), 2 never started (+)"),
        "{ran:?}"
    );
    assert!(ran.stdout.contains("RemoteFull") && ran.stdout.contains("e-running"), "{ran:?}");

    let ran = shelf.check(&["--all", "--json"]).await;
    let findings: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(findings.len(), 11, "{ran:?}");
    let delivered = findings.iter().find(|finding| finding["object_key"] == long.as_str()).unwrap();
    assert_eq!((&delivered["symbol"], &delivered["holding"]), (&json!("="), &json!("delivered")));
    assert_eq!(findings[10]["summary"]["owed"], 4);

    let ran = shelf.check(&["--since", "2100-01-01"]).await;
    assert_eq!((ran.status, ran.stdout.as_str()), (0, ""), "{ran:?}");
}

#[tokio::test]
async fn story_214_check_is_content_once_nothing_is_owed() {
    let shelf = Shelf::unversioned("check-content", &[]).await;
    let first = shelf.put("a", "1").await;
    let other = shelf.put("b/c", "1").await;
    assert_eq!(shelf.check(&[]).await.status, 1);
    shelf.receipt(&first, Outcome::Delivered, json!({})).await;
    shelf.receipt(&other, Outcome::AlreadyDelivered, json!({})).await;
    let ran = shelf.check(&[]).await;
    assert_eq!((ran.status, ran.stdout.as_str()), (0, ""), "{ran:?}");
    assert!(ran.stderr.starts_with("nothing is owed; 2 delivered (=)"), "{ran:?}");
}

#[tokio::test]
async fn story_211_a_failure_whose_object_is_gone_is_still_owed() {
    let shelf = Shelf::new("check-gone", &[]).await;
    let put = shelf.put("gone", "1").await;
    shelf.failure(&put, "e-gone", "RemoteFull").await;
    shelf.s3().delete_object().bucket(shelf.bucket()).key("gone").send().await.unwrap();
    let ran = shelf.check(&[]).await;
    assert_eq!((ran.status, starts(&ran.stdout)), (1, vec!["! gone".to_owned()]), "{ran:?}");
    assert!(ran.stdout.contains("not the current object any more"), "{ran:?}");
    let keys = shelf.desk.stack.record_keys().await.unwrap();
    assert_eq!(keys.len(), 1, "nothing is changed");
    assert_eq!(bridge::FailureKey::parse(&keys[0]).unwrap().state, FailureState::Open);
}

#[tokio::test]
async fn story_219_check_looks_on_the_server_and_changes_nothing() {
    let partner = Partner::embedded(Quirks::default()).await.unwrap();
    let name = "check-remote";
    let secret = json!({"Username": partner.user, "PrivateKey": partner.client_key.private}).to_string();
    let aws = integration_tests::ministack::shared().await;
    let secret = aws.create_secret(&format!("{name}/sftp"), &secret).await.unwrap();
    let port = partner.port.to_string();
    let parameters = [
        ("SftpHost", partner.host.as_str()),
        ("SftpPort", &port),
        ("SftpSecretId", &secret),
        ("SftpTrustedHostKeys", &partner.host_key.public),
        ("SftpRemotePath", "{stem}-{date:%Y}.{ext}"),
    ];
    let shelf = Shelf::new(name, &parameters).await;
    for (key, found) in [("same.txt", Some("12345")), ("differs.txt", Some("123")), ("missing.txt", None)] {
        let path = format!("2026-{key}");
        if let Some(found) = found {
            std::fs::write(partner.root.join(&path), found).unwrap();
        }
        // The receipt knows the path; the settings would make another one.
        shelf.receipt(&shelf.put(key, "12345").await, Outcome::Delivered, json!({"remote_path": path})).await;
    }
    let ran = shelf.check(&["--remote"]).await;
    assert_eq!(
        lines(&ran.stdout),
        ["= differs.txt  (on the server: 3 bytes instead of 5)", "= missing.txt  (not on the server)"],
        "{ran:?}"
    );
    assert_eq!(ran.status, 1, "a file has another size");
    assert!(ran.stderr.contains("1 have their size, 1 have another size, 1 are not there"), "{ran:?}");
    std::fs::remove_file(partner.root.join("2026-differs.txt")).unwrap();
    let ran = shelf.check(&["--remote"]).await;
    assert_eq!(ran.status, 0, "the partner may have taken both: {ran:?}");
    assert!(ran.stderr.contains("taken away by the partner"), "{ran:?}");
    assert_eq!(std::fs::read_dir(&partner.root).unwrap().count(), 1, "nothing is left on the server");
}

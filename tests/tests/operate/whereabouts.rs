//! `where`.

use bridge::Outcome;
use serde_json::json;

use crate::shelf::Shelf;

#[tokio::test]
async fn story_215_where_says_whether_when_and_how_proved() {
    let shelf = Shelf::new("where-each", &[]).await;
    let put = shelf.put("in/a b.csv", "1").await;
    let delivered = json!({"remote_path": "incoming/a b.csv", "proof": "read-back"});
    shelf.receipt(&put, Outcome::Delivered, delivered).await;
    let object = |key: &str| format!("s3://{}/{key}", shelf.bucket());
    let ran = shelf.desk.run(&["where", &object("in/a b.csv")]).await;
    let first = ran.stdout.lines().next().unwrap();
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(first.starts_with("delivered: s3://"), "{first}");
    assert!(
        first.ends_with("at 2026-11-27T09:15:00Z to incoming/a b.csv on sftp.example.com (proof: read-back)"),
        "{first}"
    );
    assert!(ran.stdout.contains("uploaded") && ran.stdout.contains("receipt"), "{ran:?}");

    // A newer upload whose delivery has failed.
    shelf.failure(&shelf.put("in/a b.csv", "2").await, "e-failed", "RemoteFull").await;
    let (told, status) = shelf.desk.json(&["where", &object("in/a b.csv")]).await;
    assert_eq!((status, &told["verdict"]), (1, &json!("failed")), "{told}");
    let words = told["in_words"].as_str().unwrap();
    assert!(words.contains("RemoteFull") && words.contains("The partner got an earlier upload"), "{words}");
    let events: Vec<&str> =
        told["history"].as_array().unwrap().iter().map(|entry| entry["event"].as_str().unwrap()).collect();
    for event in ["uploaded", "receipt", "failure", "started", "ended"] {
        assert!(events.contains(&event), "{event}: {events:?}");
    }
    assert_eq!(events.iter().filter(|event| **event == "uploaded").count(), 2, "{events:?}");
}

#[tokio::test]
async fn story_216_where_says_what_is_owed_and_what_nobody_knows() {
    let shelf = Shelf::new("where-owed", &[("S3Exclude", "*.tmp")]).await;
    let object = |key: &str| format!("s3://{}/{key}", shelf.bucket());
    let running = shelf.put("running", "1").await;
    shelf.desk.stack.start("e-running", &shelf.input(&running, "run")).await.unwrap();
    // Its key begins like the other's.
    shelf.put("run", "1").await;
    shelf.put("a.tmp", "1").await;
    for (key, status, words) in [
        ("running", 1, "under way: "),
        ("run", 1, "never started: "),
        ("a.tmp", 0, "passed over: "),
        ("nothing", 1, "unknown: "),
    ] {
        let ran = shelf.desk.run(&["where", &object(key)]).await;
        assert_eq!(ran.status, status, "{key}: {ran:?}");
        assert!(ran.stdout.starts_with(words), "{key}: {ran:?}");
    }
    let ran = shelf.desk.run(&["where", &object("running")]).await;
    assert!(ran.stdout.contains("e-running"), "{ran:?}");
}

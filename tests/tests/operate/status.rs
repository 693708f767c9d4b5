//! `status`.

use std::time::Duration;

use bridge::{DayReceiptKey, Outcome};
use integration_tests::cli;
use serde_json::json;

use crate::shelf::Shelf;

#[tokio::test]
async fn story_218_status_begins_with_a_line_for_scripts() {
    let shelf = Shelf::new("status-line", &[]).await;
    let stack = &shelf.desk.stack;
    let ran = shelf.desk.run(&["status"]).await;
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.stdout.starts_with("ok: 0 deliveries are under way"), "{ran:?}");
    assert!(ran.stdout.contains(&format!("\nversion of the stack  {}\n", bridge::VERSION)), "{ran:?}");

    let now = aws::now();
    for (execution, outcome, bytes) in [("e1", Outcome::Delivered, 500), ("e2", Outcome::Skipped, 7)] {
        let key = DayReceiptKey { finished_at: now.clone(), outcome, bytes, execution: execution.into() };
        stack.record(&key.to_string(), &json!({})).await.unwrap();
    }
    let running = shelf.put("in/running", "1").await;
    stack.start("e-running", &shelf.input(&running, "run")).await.unwrap();
    let (told, status) = shelf.desk.json(&["status"]).await;
    assert_eq!((status, &told["health"], &told["running"]), (0, &json!("ok"), &json!(1)), "{told}");
    assert_eq!(told["version"], json!({"stack": bridge::VERSION, "command_line": bridge::VERSION}), "{told}");
    assert_eq!(
        told["delivered"]["last_hour"],
        json!({"files": 1, "bytes": 500, "without_file": 1}),
        "{told}"
    );
    let oldest = &told["oldest_running"][0];
    assert_eq!(
        (&oldest["object_key"], &oldest["doing"]),
        (&json!("in/running"), &json!("working")),
        "{told}"
    );

    shelf.failure(&shelf.put("in/failed", "1").await, "e-failed", "RemoteFull").await;
    let ran = shelf.desk.run(&["status"]).await;
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.stdout.starts_with("failing: 1 delivery has failed (1 RemoteFull)"), "{ran:?}");
    let (told, _) = shelf.desk.json(&["status"]).await;
    assert_eq!(told["oldest_undelivered"], "2026-11-27T09:15:00Z", "{told}");
}

#[tokio::test]
async fn story_237_status_counts_the_events_that_were_given_up() {
    let shelf = Shelf::new("status-events", &[]).await;
    let stack = &shelf.desk.stack;
    let queue = stack.aws.create_queue(&stack.unstarted_queue()).await.unwrap();
    for body in ["an upload", "a failure"] {
        queue.send(&json!(body)).await.unwrap();
    }
    for look in ["they wait", "somebody reads them"] {
        let (told, status) = shelf.desk.json(&["status"]).await;
        assert_eq!((status, &told["undelivered_events"]), (1, &json!(2)), "{look}: {told}");
        queue.take().await.unwrap();
    }
    let ran = shelf.desk.run(&["status"]).await;
    assert!(ran.stdout.starts_with("failing: 2 events were not delivered\n"), "{ran:?}");
    assert!(ran.stdout.contains("\nundelivered events    2\n"), "{ran:?}");
}

#[tokio::test]
async fn story_217_status_says_what_the_oldest_delivery_waits_for() {
    let shelf = Shelf::new("status-waits", &[]).await;
    let put = shelf.put("in/a", "1").await;
    shelf.desk.stack.start("e-retries", &shelf.input(&put, "retry")).await.unwrap();
    for _ in 0..100 {
        let (told, status) = shelf.desk.json(&["status"]).await;
        let oldest = &told["oldest_running"][0];
        if oldest["doing"] == "retries" {
            assert_eq!((status, &oldest["object_key"]), (0, &json!("in/a")), "{told}");
            assert!(oldest["error"].is_string() && oldest["since"].is_string(), "{told}");
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{:?}", shelf.desk.run(&["status"]).await);
}

#[tokio::test]
async fn story_218_watching_goes_on_until_it_is_stopped() {
    let shelf = Shelf::new("status-watch", &[]).await;
    let mut command = cli::operate(shelf.desk.environment(), &["status", "--watch", "--json"]).await;
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let child = command.spawn().unwrap();
    let id = child.id().unwrap();
    tokio::time::sleep(Duration::from_secs(14)).await;
    let pid = rustix::process::Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let output = child.wait_with_output().await.unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    assert!(lines.lines().count() >= 2, "{lines}");
    assert_eq!(output.status.code(), Some(0), "the last answer was ok");
}

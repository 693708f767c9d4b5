//! `failures`.

use std::time::{Duration, Instant};

use integration_tests::cli;
use integration_tests::small_stack::Afterwards;

use crate::Desk;

#[tokio::test]
async fn story_200_failures_groups_what_is_owed() {
    let desk = Desk::new("failures-groups").await;
    let ran = desk.run(&["failures"]).await;
    assert_eq!((ran.status, ran.stdout.as_str()), (0, "no open failures\n"), "{}", ran.stderr);

    for (name, key, error) in [
        ("e1", "in/a.txt", "ConnectFailed"),
        ("e2", "in/b c.txt", "ConnectFailed"),
        ("e3", "out/d.txt", "RemoteFull"),
        ("e4", "in/e.txt", "ConnectFailed"),
    ] {
        desk.stack.fail(name, key, error, Afterwards::Succeeds).await.unwrap();
    }
    desk.stack.settle("e4", "in/e.txt", "ConnectFailed").await.unwrap();

    let (report, status) = desk.json(&["failures", "--all"]).await;
    assert_eq!((status, &report["open"], &report["settled"]), (1, &3.into(), &1.into()), "{report}");
    let group = &report["groups"][0];
    assert_eq!(
        (&group["error"], &group["open"], &group["settled"]),
        (&"ConnectFailed".into(), &2.into(), &1.into())
    );
    assert!(group["example"]["cause"].as_str().unwrap().ends_with("it failed"), "{group}");
    assert_eq!(
        group["redrive_command"],
        "s3-sftp-bridge redrive --stack failures-groups --error ConnectFailed"
    );
    assert_eq!(report["groups"].as_array().unwrap().len(), 2, "{report}");

    let ran = desk.run(&["failures", "--error", "connectfailed", "--prefix", "in/b"]).await;
    assert_eq!(ran.status, 1);
    assert!(ran.stdout.contains("ConnectFailed  ") && ran.stdout.contains("\n1 open failure\n"), "{ran:?}");
    assert!(ran.stdout.contains("docs/errors.md#connectfailed") && !ran.stdout.contains('\u{1b}'), "{ran:?}");
    let ran = desk.run(&["failures", "--since", "2026-11-28"]).await;
    assert_eq!((ran.status, ran.stdout.as_str()), (0, "no open failures; 3 others do not match\n"));
}

#[tokio::test]
async fn story_200_one_failure_is_shown_in_full() {
    let desk = Desk::new("failures-show").await;
    let arn = desk.stack.fail("e1", "in/a b.txt", "RemoteFull", Afterwards::Succeeds).await.unwrap();
    let key = desk.stack.record_keys().await.unwrap().remove(0);
    let object = format!("s3://{}/in/a b.txt", desk.stack.bucket());
    for named in ["e1", &arn, &key, &object] {
        let ran = desk.run(&["failures", "show", named]).await;
        assert_eq!(ran.status, 0, "{named}: {}", ran.stderr);
        for words in ["RemoteFull", "in/a b.txt: it failed", &arn, "Transfer"] {
            assert!(ran.stdout.contains(words), "{words}: {}", ran.stdout);
        }
    }
    let (shown, _) = desk.json(&["failures", "show", "e1"]).await;
    assert_eq!((&shown["state"], &shown["record"]["error"]), (&"open".into(), &"RemoteFull".into()));

    desk.stack.settle("e1", "in/a b.txt", "RemoteFull").await.unwrap();
    let (shown, status) = desk.json(&["failures", "show", &key]).await;
    assert_eq!((&shown["state"], status), (&"settled".into(), 0), "it is found although it was moved");
    let ran = desk.run(&["failures", "show", "e2"]).await;
    assert!(ran.status == 1 && ran.stderr.contains("no failure record of \"e2\""), "{ran:?}");
}

/// `cargo test -p integration-tests --test operate -- --ignored --nocapture ten_thousand`
#[tokio::test]
#[ignore = "a figure, for a person: it writes for minutes"]
async fn ten_thousand_records_are_read_with_a_request_for_each_thousand() {
    let desk = Desk::new("failures-many").await;
    for index in 0..10_000 {
        let (name, key) = (format!("e{index:05}"), format!("in/{index:05}/report.csv"));
        let error = ["ConnectFailed", "ConnectFailed", "RemoteFull", "ConnectionLost"][index % 4];
        desk.stack.record_failure(&name, &key, error).await.unwrap();
    }
    for arguments in [&["failures", "--json"][..], &["failures"], &["redrive", "--dry-run"]] {
        let (requests, started) = (desk.redriver.requests(), Instant::now());
        let mut command = cli::operate(desk.environment(), arguments).await;
        command.stdout(std::process::Stdio::null());
        let mut child = command.spawn().unwrap();
        let status = format!("/proc/{}/status", child.id().unwrap());
        let mut memory = String::new();
        while child.try_wait().unwrap().is_none() {
            let status = std::fs::read_to_string(&status).unwrap_or_default();
            let peak = status.lines().find(|line| line.starts_with("VmHWM")).map(str::to_owned);
            memory = peak.unwrap_or(memory);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let requests = desk.redriver.requests() - requests;
        println!("{arguments:?}: {:.2?}, {memory}, {requests} requests", started.elapsed());
        assert!(requests < 20, "{requests}");
    }
}

//! `redrive`.

use std::collections::BTreeMap;
use std::time::Duration;

use integration_tests::cli;
use integration_tests::redrive::{Options, Quota};
use integration_tests::small_stack::Afterwards;
use serde_json::Value;

use crate::Desk;

fn outcomes(report: &Value) -> BTreeMap<String, String> {
    let deliveries = report["deliveries"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    deliveries.map(|delivery| (text(&delivery["execution"]), text(&delivery["outcome"]))).collect()
}

#[tokio::test]
async fn story_201_what_was_redriven_is_not_redriven_again() {
    let desk = Desk::new("redrive-twice").await;
    desk.stack.fail("ends", "a.txt", "RemoteFull", Afterwards::Succeeds).await.unwrap();
    desk.stack.fail("runs", "b.txt", "RemoteFull", Afterwards::Runs).await.unwrap();
    let (plan, status) = desk.json(&["redrive", "--dry-run"]).await;
    assert_eq!((status, &plan["planned"]), (0, &2.into()));
    assert!(desk.redriver.redriven().is_empty(), "a dry run changes nothing");

    let (report, status) = desk.json(&["redrive"]).await;
    assert_eq!((status, &report["redriven"]), (0, &2.into()), "{report}");
    tokio::time::sleep(Duration::from_millis(800)).await;
    // The records are still open: no delivery has settled them.
    let (report, status) = desk.json(&["redrive"]).await;
    assert_eq!(status, 0, "{report}");
    let expected = [("ends", "succeeded"), ("runs", "running")];
    assert_eq!(outcomes(&report), expected.map(|(a, b)| (a.to_owned(), b.to_owned())).into());
    assert!(desk.redriver.redriven().values().all(|count| *count == 1));
    assert_eq!(desk.stack.executions().await.unwrap(), ["ends", "runs"]);
    let (report, _) = desk.json(&["redrive", "--dry-run"]).await;
    assert_eq!((&report["planned"], &report["running"]), (&0.into(), &1.into()), "what ended is settled");
}

#[tokio::test]
async fn story_208_a_record_that_the_delivery_could_not_settle_is_settled_by_the_next_redrive() {
    let desk = Desk::new("redrive-settles").await;
    let arn = desk.stack.fail("e1", "a b.txt", "RemoteFull", Afterwards::Succeeds).await.unwrap();
    desk.json(&["redrive"]).await;
    while desk.json(&["redrive"]).await.0["running"] == 1 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (report, status) = desk.json(&["failures", "--all"]).await;
    assert_eq!((status, &report["open"], &report["settled"]), (0, &0.into(), &1.into()), "{report}");
    let (shown, _) = desk.json(&["failures", "show", "e1"]).await;
    let record = &shown["record"];
    assert_eq!(
        (&record["settled_by"], &record["settled_outcome"]),
        (&arn.into(), &"delivered".into()),
        "{shown}"
    );
}

#[tokio::test]
async fn story_202_what_cannot_be_redriven_is_started_anew_once() {
    let options = Options { events_max: 5, ..Options::default() };
    let long = Desk::with("redrive-long", options).await;
    long.stack.fail("e1", "a.txt", "RemoteFull", Afterwards::Succeeds).await.unwrap();
    let (report, _) = long.json(&["redrive"]).await;
    assert_eq!(report["redriven"], 1, "a short history: {report}");

    let desk = Desk::new("redrive-expired").await;
    let expired = desk.stack.fail("expired", "a b.txt", "RemoteFull", Afterwards::Succeeds).await.unwrap();
    let forgotten = desk.stack.fail("forgotten", "c.txt", "RemoteFull", Afterwards::Succeeds).await.unwrap();
    desk.redriver.expire(&expired);
    desk.redriver.forget(&forgotten);
    let (report, status) = desk.json(&["redrive"]).await;
    assert_eq!((status, &report["started"]), (0, &2.into()), "{report}");
    let why: Vec<&str> =
        report["deliveries"].as_array().unwrap().iter().filter_map(|it| it["why"].as_str()).collect();
    assert!(why.contains(&"Execution redrivable period exceeded"), "{why:?}");
    assert!(why.contains(&"Step Functions does not know the execution any more"), "{why:?}");
    let executions = desk.stack.executions().await.unwrap();
    assert_eq!(executions.iter().filter(|name| name.starts_with("rerun-")).count(), 2, "{executions:?}");

    // The same input, and the same version.
    let started = report["deliveries"].as_array().unwrap().iter().find(|it| it["execution"] == "expired");
    let started = started.unwrap()["runs_as"].as_str().unwrap();
    let sfn = desk.stack.aws.sfn();
    let input = sfn.describe_execution().execution_arn(started).send().await.unwrap().input.unwrap();
    let input: Value = serde_json::from_str(&input).unwrap();
    assert_eq!(input, desk.stack.input("a b.txt", "fail", Afterwards::Succeeds));

    let (report, _) = desk.json(&["redrive"]).await;
    assert_eq!(report["started"], 0, "{report}");
    assert_eq!(desk.stack.executions().await.unwrap(), executions);
}

#[tokio::test]
async fn story_203_after_a_refused_login_one_is_tried_first() {
    for (name, then, redriven, words) in [
        ("redrive-fails", Afterwards::Fails, 2, "failed again with States."),
        ("redrive-refused", Afterwards::IsRefused, 1, "failed again with AuthenticationRejected"),
    ] {
        let desk = Desk::new(name).await;
        for name in ["e1", "e2", "e3"] {
            let key = format!("{name}.txt");
            desk.stack.fail(name, &key, "AuthenticationRejected", then).await.unwrap();
        }
        desk.stack.fail("other", "x.txt", "RemoteFull", Afterwards::Succeeds).await.unwrap();
        let ran = desk.run(&["redrive"]).await;
        assert_eq!(ran.status, 1, "{ran:?}");
        let counts = format!("{redriven} redriven, {} not done", 4 - redriven);
        assert!(ran.stdout.contains(&counts) && ran.stdout.contains(words), "{}", ran.stdout);
        assert_eq!(desk.redriver.redriven().len(), redriven, "the partner refuses that of others, too");
    }

    let good = Desk::new("redrive-accepted").await;
    for name in ["e1", "e2", "e3"] {
        let key = format!("{name}.txt");
        good.stack.fail(name, &key, "HostKeyMismatch", Afterwards::Succeeds).await.unwrap();
    }
    let (report, status) = good.json(&["redrive"]).await;
    assert_eq!((status, &report["redriven"]), (0, &3.into()), "{report}");
}

#[tokio::test]
async fn story_204_throttling_slows_the_command_and_loses_nothing() {
    let small = Quota { per_second: 20.0, bucket: 5.0 };
    let quotas = BTreeMap::from([("RedriveExecution", small), ("ListExecutions", small)]);
    let desk = Desk::with("redrive-throttled", Options { quotas, ..Options::default() }).await;
    for index in 0..30 {
        let (name, key) = (format!("e{index}"), format!("{index}.txt"));
        desk.stack.fail(&name, &key, "RemoteFull", Afterwards::Succeeds).await.unwrap();
    }
    let ran = desk.run(&["redrive"]).await;
    assert_eq!(ran.status, 2, "more than ten, and nobody to ask: {ran:?}");
    assert!(ran.stderr.contains("add --yes") && desk.redriver.redriven().is_empty(), "{ran:?}");
    let (report, status) = desk.json(&["redrive", "--yes"]).await;
    assert_eq!((status, &report["redriven"]), (0, &30.into()), "{report}");
    assert!(desk.redriver.throttled() > 0);
    assert!(desk.redriver.redriven().values().all(|count| *count == 1));
}

#[tokio::test]
async fn story_206_a_command_that_was_stopped_can_be_run_again() {
    let quotas = BTreeMap::from([("RedriveExecution", Quota { per_second: 10.0, bucket: 1.0 })]);
    let desk = Desk::with("redrive-stopped", Options { quotas, ..Options::default() }).await;
    for index in 0..20 {
        let (name, key) = (format!("e{index}"), format!("{index}.txt"));
        desk.stack.fail(&name, &key, "RemoteFull", Afterwards::Runs).await.unwrap();
    }
    let mut command = cli::operate(desk.environment(), &["redrive", "--yes"]).await;
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let child = command.spawn().unwrap();
    while desk.redriver.redriven().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let process = rustix::process::Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
    let output = child.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("stopped"), "{output:?}");
    let first = desk.redriver.redriven().len();
    assert!((1..20).contains(&first), "{first}");

    let (report, status) = desk.json(&["redrive", "--yes"]).await;
    assert_eq!(status, 0, "{report}");
    assert_eq!(desk.redriver.redriven().len(), 20);
    assert!(desk.redriver.redriven().values().all(|count| *count == 1));
}

#[tokio::test]
async fn the_limit_takes_some_and_leaves_the_rest() {
    let desk = Desk::new("redrive-limit").await;
    for name in ["e1", "e2", "e3"] {
        desk.stack.fail(name, &format!("{name}.txt"), "RemoteFull", Afterwards::Succeeds).await.unwrap();
    }
    let ran = desk.run(&["redrive", "--limit", "2", "--error", "RemoteFull"]).await;
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.stdout.contains("2 redriven\n1 left for later by --limit\n"), "{}", ran.stdout);
    assert!(ran.stdout.contains("at most 3 connections"), "{}", ran.stdout);
    let ran = desk.run(&["redrive", "--prefix", "nothing/"]).await;
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.stdout.starts_with("nothing to redrive"), "{}", ran.stdout);
}

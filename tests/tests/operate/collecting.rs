//! The commands of the operator, for the other direction.

use bridge::collect::{CollectOutcome, RemoteFile};
use bridge::{CollectReceiptKey, DayCollectReceiptKey, FailureKey, Outcome, VersionMark};
use integration_tests::small_stack::{Afterwards, Flow};
use serde_json::{Value, json};

use crate::Desk;

/// What makes a stack of the bridge's collect.
const COLLECTS: [(&str, &str); 3] =
    [("SftpLocation", "in"), ("CollectBucket", "collected"), ("CollectDirectory", "out")];

/// A desk whose stack collects, too.
async fn desk(name: &str) -> Desk {
    Desk::deploy(name, &COLLECTS).await
}

fn file(path: &str) -> RemoteFile {
    let (host, directory) = ("sftp.example.com".into(), "out".into());
    RemoteFile { host, directory, path: path.into(), size: 5, modified: Some(7) }
}

/// The input of an execution, which says what it does.
fn input(file: &RemoteFile, first: &str, then: &str) -> Value {
    json!({"file": file, "first": first, "then": then})
}

/// Writes the record of a failure.
async fn record(desk: &Desk, subject: &str, version: VersionMark, error: &str, execution: &str, arn: &str) {
    let key = FailureKey::open(subject, version, "2026-11-27T09:15:00Z", error, "it failed");
    let record = json!({
        "error": error, "cause": "it failed", "execution": arn, "object": subject, "attempts": [],
        "destination": "s3://collected/",
    });
    desk.stack.record(&key.of_execution(execution, 0).to_string(), &record).await.unwrap();
}

/// A collection that has failed.
async fn failed(desk: &Desk, path: &str, then: &str, error: &str) -> String {
    let file = file(path);
    let name = file.execution_name();
    let arn = desk.stack.fail_in(Flow::Collection, &name, &input(&file, "fail", then)).await.unwrap();
    record(desk, &file.url(), (&file).into(), error, &name, &arn).await;
    arn
}

async fn receipt(desk: &Desk, path: &str, outcome: CollectOutcome, finished_at: &str) {
    let file = file(path);
    let record = json!({
        "outcome": outcome.as_str(), "file": file, "finished_at": finished_at, "execution_id": "collect-by-hand",
        "object": {"bucket": "collected", "object_key": path}, "afterwards": "deleted",
    });
    let key = CollectReceiptKey { file: file.url(), version: (&file).into(), outcome };
    desk.stack.record(&key.to_string(), &record).await.unwrap();
    let day = DayCollectReceiptKey {
        finished_at: finished_at.into(),
        outcome,
        bytes: file.size,
        execution: file.execution_name(),
    };
    desk.stack.record(&day.to_string(), &record).await.unwrap();
}

#[tokio::test]
async fn redrive_finishes_both_directions_and_looks_each_in_its_own_state_machine() {
    let desk = desk("collect-redrive").await;
    let delivery = desk.stack.fail("d1", "a.txt", "RemoteFull", Afterwards::Succeeds).await.unwrap();
    let collection = failed(&desk, "a b.csv", "succeed", "RemoteUnreadable").await;
    let running = failed(&desk, "c.csv", "run", "RemoteUnreadable").await;
    let look = json!({"look": true, "first": "fail", "then": "succeed"});
    let look = desk.stack.fail_in(Flow::Look, "look-1", &look).await.unwrap();
    record(&desk, "sftp://sftp.example.com/out", VersionMark::look(), "ConnectFailed", "look-1", &look).await;

    let (report, status) = desk.json(&["redrive"]).await;
    assert_eq!((status, &report["redriven"], &report["not_done"]), (0, &4.into(), &0.into()), "{report}");
    let mut redriven: Vec<String> = desk.redriver.redriven().into_keys().collect();
    redriven.sort();
    let mut expected = [delivery, collection.clone(), running, look];
    expected.sort();
    assert_eq!(redriven, expected);

    // What could not settle its own record is settled; what runs is left alone.
    let settled = loop {
        let (report, _) = desk.json(&["redrive"]).await;
        if report["running"] == 1 && report["succeeded"] != 0 {
            break report;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    assert_eq!(settled["not_done"], 0, "{settled}");
    let (shown, _) = desk.json(&["failures", "show", "sftp://sftp.example.com/out/a b.csv"]).await;
    assert_eq!(
        (&shown["state"], &shown["record"]["settled_outcome"]),
        (&json!("settled"), &json!("collected"))
    );
    assert_eq!(shown["record"]["settled_by"], collection, "{shown}");
}

#[tokio::test]
async fn a_collection_that_step_functions_has_forgotten_is_started_anew_from_its_record() {
    let desk = desk("collect-forgotten").await;
    let arn = failed(&desk, "a b.csv", "succeed", "RemoteUnreadable").await;
    desk.redriver.forget(&arn);
    let (report, status) = desk.json(&["redrive"]).await;
    assert_eq!((status, &report["started"]), (0, &1.into()), "{report}");
    let started = report["deliveries"][0]["runs_as"].as_str().unwrap();
    assert!(started.contains("-collect:rerun-"), "{started}");
    let described = desk.stack.aws.sfn().describe_execution().execution_arn(started).send().await.unwrap();
    let input: Value = serde_json::from_str(&described.input.unwrap()).unwrap();
    assert_eq!(input, json!({"file": file("a b.csv")}));
}

#[tokio::test]
async fn failures_of_both_directions_are_listed_and_shown() {
    let desk = desk("collect-failures").await;
    desk.stack.fail("d1", "a.txt", "RemoteFull", Afterwards::Succeeds).await.unwrap();
    let arn = failed(&desk, "a.csv", "succeed", "RemoteUnreadable").await;
    let (report, status) = desk.json(&["failures"]).await;
    assert_eq!((status, &report["open"]), (1, &2.into()), "{report}");
    let (report, _) = desk.json(&["failures", "--prefix", "sftp://"]).await;
    assert_eq!(report["groups"][0]["example"]["object"], "sftp://sftp.example.com/out/a.csv", "{report}");
    assert_eq!(report["open"], 1, "{report}");
    for name in ["sftp://sftp.example.com/out/a.csv", &arn] {
        let (shown, status) = desk.json(&["failures", "show", name]).await;
        assert_eq!((status, &shown["record"]["error"]), (0, &json!("RemoteUnreadable")), "{name}: {shown}");
    }
    let ran = desk.run(&["failures", "show", "sftp://sftp.example.com/out/a"]).await;
    assert_eq!(ran.status, 1, "{ran:?}");
}

#[tokio::test]
async fn status_tells_of_both_directions() {
    let desk = desk("collect-status").await;
    let now = aws::now();
    receipt(&desk, "a.csv", CollectOutcome::Collected, &now).await;
    receipt(&desk, "b.csv", CollectOutcome::Changed, &now).await;
    let running = file("running.csv");
    let name = running.execution_name();
    desk.stack.start_in(Flow::Collection, &name, &input(&running, "run", "run")).await.unwrap();
    let look = json!({"look": true, "first": "run", "then": "run"});
    desk.stack.start_in(Flow::Look, "look-1", &look).await.unwrap();
    let (told, status) = desk.json(&["status"]).await;
    assert_eq!((status, &told["health"], &told["running"]), (0, &json!("ok"), &json!(0)), "{told}");
    let collections = &told["collections"];
    assert_eq!((&collections["running"], &collections["looks_running"]), (&json!(1), &json!(1)), "{told}");
    let hour = json!({"files": 1, "bytes": 5, "without_file": 1});
    assert_eq!(collections["collected"]["last_hour"], hour, "{told}");
    assert_eq!(told["delivered"]["last_hour"]["files"], 0, "{told}");
    let oldest: Vec<&Value> = told["oldest_running"].as_array().unwrap().iter().collect();
    assert!(oldest.iter().any(|it| it["object_key"] == running.url()), "{told}");
    assert_eq!(told["oldest_undelivered"], Value::Null, "nothing is to be delivered: {told}");

    failed(&desk, "bad.csv", "succeed", "RemoteUnreadable").await;
    let ran = desk.run(&["status"]).await;
    assert!(ran.stdout.starts_with("failing: 1 collection has failed (1 RemoteUnreadable)\n"), "{ran:?}");
    assert!(ran.stdout.contains("\ncollections under way  1\n"), "{ran:?}");
    assert_eq!(ran.status, 1);
}

#[tokio::test]
async fn check_of_a_bucket_says_nothing_of_files_that_are_collected() {
    let desk = desk("collect-check").await;
    failed(&desk, "bad.csv", "succeed", "RemoteUnreadable").await;
    receipt(&desk, "skipped.csv", CollectOutcome::Skipped, "2026-11-27T09:15:00Z").await;
    let bucket = format!("s3://{}", desk.stack.bucket());
    let ran = desk.run(&["check", &bucket]).await;
    assert_eq!((ran.status, ran.stdout.as_str()), (0, ""), "{ran:?}");
    let ran = desk.run(&["check", &file("bad.csv").url()]).await;
    assert!(ran.status == 2 && ran.stderr.contains("s3-sftp-bridge list"), "{ran:?}");
    assert_eq!(Outcome::parse("skipped"), Some(Outcome::Skipped), "both directions have this outcome");
}

#[tokio::test]
async fn where_tells_what_became_of_a_file() {
    let desk = desk("collect-where").await;
    let ask = async |path: &str| {
        let url = file(path).url();
        let (told, status) = desk.json(&["where", &url]).await;
        assert_eq!(told["file"], url, "{told}");
        (told["verdict"].as_str().unwrap().to_owned(), status, told)
    };
    receipt(&desk, "a.csv", CollectOutcome::Collected, "2026-11-27T09:15:00Z").await;
    let (verdict, status, told) = ask("a.csv").await;
    assert_eq!((verdict.as_str(), status), ("collected", 0), "{told}");
    let words = "collected: sftp://sftp.example.com/out/a.csv at 2026-11-27T09:15:00Z to s3://collected/a.csv (5 bytes; \
                 deleted)";
    assert_eq!(told["in_words"], words);

    let arn = failed(&desk, "bad.csv", "succeed", "RemoteUnreadable").await;
    let (verdict, status, told) = ask("bad.csv").await;
    assert_eq!((verdict.as_str(), status), ("failed", 1), "{told}");
    let events: Vec<&str> =
        told["history"].as_array().unwrap().iter().map(|it| it["event"].as_str().unwrap()).collect();
    assert!(events.contains(&"failure") && events.contains(&"ended"), "{told}");
    assert!(told["history"].to_string().contains(&arn), "{told}");

    let running = file("running.csv");
    let name = running.execution_name();
    desk.stack.start_in(Flow::Collection, &name, &input(&running, "run", "run")).await.unwrap();
    assert_eq!(ask("running.csv").await.0, "under_way");
    assert_eq!((ask("none.csv").await.0.as_str(), ask("none.csv").await.1), ("unknown", 1));

    // As `collect` prints it if the port is not 22.
    let (told, status) = desk.json(&["where", "sftp://sftp.example.com:2222/out/a.csv"]).await;
    assert_eq!((&told["verdict"], status), (&json!("collected"), 0), "{told}");
    let ran = desk.run(&["where", &file("a.csv").url()]).await;
    assert!(ran.stdout.starts_with(words) && ran.stdout.contains("receipt"), "{ran:?}");
}

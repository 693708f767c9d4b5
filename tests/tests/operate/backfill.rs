//! `backfill`: what no event started is delivered, once, and below the partner's cap.

use bridge::Outcome;
use integration_tests::backfill::{Deliveries, most_at_once};
use serde_json::json;

use crate::shelf::Shelf;

/// As few as go to the state machine, and some.
const MANY: usize = 310;

async fn started(shelf: &Shelf) -> Vec<String> {
    shelf.desk.stack.executions().await.unwrap()
}

#[tokio::test]
async fn story_225_many_are_each_started_once_below_the_cap_also_twice_and_after_an_abort() {
    let shelf = Shelf::unversioned("backfill-many", &[("MaxConnections", "8")]).await;
    for index in 0..MANY {
        shelf.put(&format!("slow/{index:03}"), "x").await;
    }
    let (aws, state_machine) = (shelf.desk.stack.aws, shelf.desk.stack.state_machine());
    let deliveries = Deliveries { aws, state_machine: &state_machine };
    let all = format!("s3://{}/slow/", shelf.bucket());
    let backfill = ["backfill", &all, "--yes"];

    let (first, status) = shelf.desk.json(&backfill).await;
    assert_eq!((status, &first["backfill"]["state"]), (0, &json!("started")), "{first}");
    deliveries.until_started(20).await.unwrap();
    let (twice, status) = shelf.desk.json(&backfill).await;
    assert_eq!((status, &twice["backfill"]["state"]), (0, &json!("runs")), "{twice}");
    assert_eq!(twice["backfill"]["execution_arn"], first["backfill"]["execution_arn"]);
    shelf.put("other/1", "x").await;
    let everything = format!("s3://{}", shelf.bucket());
    let (other, status) = shelf.desk.json(&["backfill", &everything, "--yes"]).await;
    assert_eq!((status, &other["backfill"]["state"]), (1, &json!("another_runs")), "{other}");

    // The local AWS goes on with the children of a Map that was aborted: two backfills at once, which is harder.
    deliveries.until_started(100).await.unwrap();
    let arn = first["backfill"]["execution_arn"].as_str().unwrap();
    aws.sfn().stop_execution().execution_arn(arn).send().await.unwrap();
    let (again, status) = shelf.desk.json(&backfill).await;
    assert_eq!((status, &again["backfill"]["state"]), (0, &json!("started")), "{again}");
    assert!(again["delivered_by_a_backfill"].as_u64() > Some(50), "{again}");

    let executions = deliveries.until_ended(MANY).await.unwrap();
    let last = Deliveries { state_machine: &format!("{state_machine}-backfill"), ..deliveries };
    let backfills = last.until_ended(2).await.unwrap();
    let succeeded = backfills.iter().filter(|it| it.status.as_str() == "SUCCEEDED").count();
    assert_eq!((backfills.len(), succeeded), (2, 1), "{backfills:?}");
    assert_eq!(executions.len(), MANY, "each was started once");
    let at_once = most_at_once(&executions);
    assert!((2..=8).contains(&at_once), "{at_once} at once");

    let (end, status) = shelf.desk.json(&backfill).await;
    assert_eq!((status, &end["to_start"]), (0, &json!(0)), "{end}");
    assert_eq!(started(&shelf).await.len(), MANY);
}

#[tokio::test]
async fn story_226_a_few_are_started_at_once_and_what_the_records_know_is_left_alone() {
    let shelf = Shelf::new("backfill-few", &[("KeyPrefix", "in/"), ("S3Exclude", "**/*.tmp")]).await;
    for name in ["in/a", "in/b", "in/c.tmp", "in/d", "out/e", "in/f"] {
        let put = shelf.put(name, "x").await;
        match name {
            "in/b" => shelf.receipt(&put, Outcome::Delivered, json!({})).await,
            "in/d" => shelf.failure(&put, "failed", "RemoteFull").await,
            "in/f" => shelf.receipt(&put, Outcome::Skipped, json!({})).await,
            _ => {}
        }
    }
    let bucket = format!("s3://{}/", shelf.bucket());
    let backfill = ["backfill", &bucket, "--not-delivered"];
    let (dry, status) = shelf.desk.json(&[&backfill[..], &["--dry-run"]].concat()).await;
    let expected = json!({
        "to_start": 2, "under_way": 0, "delivered": 1, "delivered_by_a_backfill": 0, "failed": 1,
        "passed_over": 1, "older": 0, "missing": [],
    });
    assert_eq!((status, &dry), (1, &expected), "one has failed");
    assert_eq!(started(&shelf).await, ["failed"], "a dry run starts nothing");

    let (first, status) = shelf.desk.json(&backfill).await;
    assert_eq!((status, &first["started"]), (1, &json!(2)), "{first}");
    let (again, _) = shelf.desk.json(&backfill).await;
    assert!(again["started_before"] == 2 || again["under_way"] == 2, "{again}");
    let executions = started(&shelf).await;
    assert_eq!(executions.len(), 3, "{executions:?}");
    assert!(executions.iter().filter(|name| name.starts_with("backfill-")).count() == 2, "{executions:?}");

    // Without --not-delivered also what has a receipt.
    let text = shelf.desk.run(&["backfill", &bucket]).await;
    assert!(text.stdout.contains("1 failed: `s3-sftp-bridge redrive --stack backfill-few`"), "{text:?}");
    assert!(text.stdout.contains("1 delivery started"), "{text:?}");
    let (none, _) = shelf.desk.json(&["backfill", &bucket, "--newer-than", "2100-01-01"]).await;
    assert_eq!((&none["to_start"], &none["older"]), (&json!(0), &json!(4)), "{none}");
}

#[tokio::test]
async fn story_227_a_file_names_the_objects() {
    let shelf = Shelf::new("backfill-file", &[("KeyPrefix", "in/")]).await;
    let old = shelf.put("in/a b+c%2B", "old").await;
    for name in ["in/a b+c%2B", "in/b", "out/c"] {
        shelf.put(name, "new").await;
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    let version = json!({"object_key": old.object_key, "version_id": old.version_id});
    let lines = format!("in/a b+c%2B\n{version}\nin/nowhere\nout/c\n");
    std::fs::write(file.path(), lines).unwrap();
    let (named, status) = shelf.desk.json(&["backfill", "--manifest", file.path().to_str().unwrap()]).await;
    assert_eq!(
        (status, &named["started"], &named["missing"]),
        (1, &json!(2), &json!(["in/nowhere"])),
        "{named}"
    );
    assert_eq!(named["passed_over"], 1, "{named}");
    let mut versions = Vec::new();
    for name in started(&shelf).await {
        let arn = shelf.desk.stack.arn(&name);
        let execution =
            shelf.desk.stack.aws.sfn().describe_execution().execution_arn(arn).send().await.unwrap();
        let input: serde_json::Value = serde_json::from_str(execution.input().unwrap()).unwrap();
        assert_eq!(input["detail"]["object"]["key"], "in/a b+c%2B");
        versions.push(input["detail"]["object"]["version-id"].clone());
    }
    versions.sort_by_key(|version| *version == json!(old.version_id));
    assert_eq!(versions.len(), 2);
    assert_eq!(versions[1], json!(old.version_id));
}

#[tokio::test]
async fn story_228_what_ended_without_success_and_without_a_record_is_started_again_under_the_next_name() {
    let shelf = Shelf::unversioned("backfill-aborted", &[]).await;
    shelf.put("slow/a", "x").await;
    let bucket = format!("s3://{}/", shelf.bucket());
    shelf.desk.json(&["backfill", &bucket]).await;
    let name = started(&shelf).await.remove(0);
    let sfn = shelf.desk.stack.aws.sfn();
    sfn.stop_execution().execution_arn(shelf.desk.stack.arn(&name)).send().await.unwrap();
    let (again, status) = shelf.desk.json(&["backfill", &bucket]).await;
    assert_eq!((status, &again["started"]), (0, &json!(1)), "{again}");
    assert_eq!(started(&shelf).await, [name.clone(), format!("{name}-2")]);
}

#[tokio::test]
async fn story_229_nothing_is_started_without_consent() {
    let shelf = Shelf::unversioned("backfill-consent", &[]).await;
    for index in 0..11 {
        shelf.put(&format!("{index}"), "x").await;
    }
    let bucket = format!("s3://{}/", shelf.bucket());
    let asked = shelf.desk.run(&["backfill", &bucket]).await;
    assert_eq!(asked.status, 2, "{asked:?}");
    assert!(asked.stderr.contains("start 11 deliveries") && asked.stderr.contains("--yes"), "{asked:?}");
    assert_eq!(started(&shelf).await, [""; 0]);
}

//! What was in the bucket before the stack: the state machine for backfills with the real functions and a real partner.

use std::time::Duration;

use integration_tests::backfill::{Deliveries, most_at_once};
use integration_tests::cli;
use integration_tests::embedded::Quirks;
use integration_tests::fault_proxy::FaultProxy;
use integration_tests::ministack::{self, MiniStack};
use integration_tests::partner::Partner;
use integration_tests::stack::Stack;
use serde_json::{Value, json};
use tokio::time::Instant;

/// As few as go to the state machine, and some. `BACKFILL_OBJECTS` is for a measurement.
const MANY: usize = 302;
const CAP: i64 = 8;
const NAME: &str = "backfill-real";
const PATIENCE: Duration = Duration::from_secs(3_000);

/// Objects in a bucket that sends no events.
async fn fill(aws: &MiniStack, keys: &[String]) {
    let s3 = aws.s3();
    s3.create_bucket().bucket(NAME).send().await.unwrap();
    for key in keys {
        s3.put_object().bucket(NAME).key(key).body(key.clone().into_bytes().into()).send().await.unwrap();
    }
}

async fn backfill(aws: &MiniStack) -> Value {
    let objects = format!("s3://{NAME}/many/");
    let arguments = ["backfill", &objects, "--stack", NAME, "--not-delivered", "--yes", "--json"];
    let ran = cli::run(cli::operate(aws.environment(), &arguments).await).await;
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

fn arn(backfill: &Value) -> &str {
    backfill["backfill"]["execution_arn"].as_str().unwrap_or_else(|| panic!("{backfill}"))
}

#[tokio::test]
async fn story_225_the_partner_never_sees_more_than_the_cap() {
    let aws = ministack::shared().await;
    let many = std::env::var("BACKFILL_OBJECTS").ok().and_then(|many| many.parse().ok()).unwrap_or(MANY);
    let keys: Vec<String> = (0..many).map(|index| format!("many/{index:05}.txt")).collect();
    fill(aws, &keys).await;
    let partner = Partner::embedded(Quirks::default()).await.unwrap();
    let proxy = FaultProxy::start(partner.port).await.unwrap();
    let (port, cap) = (proxy.port.to_string(), CAP.to_string());
    let more = [("BucketName", NAME), ("MaxConnections", &cap), ("SftpPort", &port)];
    let stack = Stack::deploy_for(aws, NAME, &partner, &more).await.unwrap();
    // The local AWS enforces no reserved concurrency, so a connection that a process keeps would count beside the others.
    for function in ["TransferFunctionName", "VerifyRemoteFunctionName"] {
        aws.reconfigure(&stack.outputs[function], 900, &[("SFTP_KEEP_CONNECTION", "0")]).await.unwrap();
    }
    let deliveries = Deliveries { aws, state_machine: stack.state_machine() };
    let began = Instant::now();

    let first = backfill(aws).await;
    assert_eq!(
        (&first["to_start"], &first["backfill"]["state"]),
        (&json!(many), &json!("started")),
        "{first}"
    );
    deliveries.until_started(many / 5).await.unwrap();
    let twice = backfill(aws).await;
    assert_eq!((&twice["backfill"]["state"], arn(&twice)), (&json!("runs"), arn(&first)), "{twice}");
    deliveries.until_started(many / 3).await.unwrap();
    aws.sfn().stop_execution().execution_arn(arn(&first)).send().await.unwrap();
    let again = backfill(aws).await;
    assert_eq!(again["backfill"]["state"], "started", "{again}");
    let end = stack.wait(arn(&again), PATIENCE).await.unwrap();
    assert_eq!(end.output.as_ref().map(|output| &output["not_started"]), Some(&json!(0)), "{end:?}");

    let executions = deliveries.until_ended(many).await.unwrap();
    let seconds = began.elapsed().as_secs();
    let (at_once, connections) = (most_at_once(&executions), proxy.open_max());
    println!("{many} objects in {seconds} s: {at_once} deliveries and {connections} connections at once");
    assert_eq!(executions.len(), many, "each was started once");
    assert!(executions.iter().all(|execution| execution.status.as_str() == "SUCCEEDED"));
    assert!(at_once <= CAP && connections <= 8, "{at_once} deliveries, {connections} connections at once");
    for key in &keys {
        assert_eq!(std::fs::read(partner.root.join(key)).unwrap(), key.as_bytes());
    }
}

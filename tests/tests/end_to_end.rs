//! The whole chain: the unchanged template, deployed with SAM; the real binaries; a real partner.

use std::time::Duration;

use integration_tests::ministack::{self, MiniStack};
use integration_tests::partner::Partner;
use integration_tests::stack::{Execution, Stack};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(120);

async fn deployed(name: &str, more: &[(&str, &str)]) -> (Stack<'static>, Partner, &'static MiniStack) {
    let aws = ministack::shared().await;
    let partner = Partner::start().await.unwrap();
    let stack = Stack::deploy_for(aws, name, &partner, more).await.unwrap();
    (stack, partner, aws)
}

fn receipt(execution: &Execution) -> &Value {
    execution.receipt().unwrap_or_else(|| panic!("{:?}: {:?}", execution.error, execution.cause))
}

#[tokio::test]
async fn an_upload_arrives_and_a_failure_is_recorded_and_run_again() {
    let (stack, mut partner, aws) =
        deployed("end-to-end", &[("SftpLocation", "in"), ("KeyPrefix", "out/")]).await;
    std::fs::create_dir(partner.root.join("in")).unwrap();

    // Not below the prefix: the rule must not start anything.
    stack.upload("elsewhere.txt", b"not for the partner".to_vec()).await.unwrap();
    let execution = stack.deliver("out/a b+c%2B.txt", b"hello".to_vec()).await.unwrap();
    assert_eq!(receipt(&execution)["outcome"], "delivered");
    assert_eq!(std::fs::read(partner.root.join("in/out/a b+c%2B.txt")).unwrap(), b"hello");
    assert_eq!(stack.executions().await.unwrap().len(), 1);

    partner.stop();
    let failed = stack.deliver("out/later.txt", b"later".to_vec()).await.unwrap();
    assert_eq!(failed.error.as_deref(), Some("ConnectFailed"), "{:?}", failed.cause);
    let record = stack.failure_record(&failed).await.unwrap().unwrap();
    let record: Value = serde_json::from_str(&record).unwrap();
    assert_eq!(record["error"], "ConnectFailed");
    assert!(record["attempts"].as_array().unwrap().len() > 1, "it was tried again: {record}");
    assert!(record["redrive_command"].as_str().unwrap().contains(&failed.arn));

    partner.start_again().await.unwrap();
    let again = stack.start(&failed.input).await.unwrap();
    let again = stack.wait(&again, PATIENCE).await.unwrap();
    assert_eq!(receipt(&again)["outcome"], "delivered");
    assert_eq!(std::fs::read(partner.root.join("in/out/later.txt")).unwrap(), b"later");

    // Typed into the console by hand.
    let input = json!({"detail": {"bucket": {"name": stack.bucket()}, "object": {"key": "out/later.txt"}}});
    let by_hand = stack.start(&input).await.unwrap();
    let by_hand = stack.wait(&by_hand, PATIENCE).await.unwrap();
    assert_eq!(receipt(&by_hand)["bytes_sent"], 0, "it was there already");

    let logs = aws.logs().await.unwrap();
    assert!(logs.contains(by_hand.name()), "the functions' logs name the execution");
    let key = partner.client_key.private.lines().nth(1).unwrap();
    for place in [logs, format!("{:?}", stack.executions().await.unwrap()), record.to_string()] {
        assert!(!place.contains(key), "the private key is in there");
    }
}

//! Receipts, failure records, notices and events on the local stack.

use std::collections::BTreeSet;
use std::time::Duration;

use bridge::{DayReceiptKey, FailureKey, FailureState, ReceiptKey};
use integration_tests::cli;
use integration_tests::ministack;
use integration_tests::partner::Partner;
use integration_tests::schema;
use integration_tests::stack::{Execution, Stack};
use integration_tests::tools::workspace;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{PATIENCE, deployed, receipt};

async fn assert_described(name: &str, document: &Value) {
    assert_eq!(schema::problems(name, document).await.unwrap(), [""; 0], "{document:#}");
}

/// Waits until the functions' logs have these words and this execution in one line.
pub(crate) async fn logged(stack: &Stack<'_>, words: &str, execution: &Execution) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let logs = stack.aws.logs().await.unwrap();
        if logs.lines().any(|line| line.contains(words) && line.contains(execution.name())) {
            return;
        }
        assert!(Instant::now() < deadline, "no line of the logs has {words:?} and {}", execution.name());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The keys of the open failures.
async fn open(stack: &Stack<'_>) -> Vec<FailureKey> {
    let keys = stack.records("failures/open/").await.unwrap();
    keys.keys().map(|key| FailureKey::parse(key).unwrap()).collect()
}

#[tokio::test]
async fn story_185_a_failure_has_one_record_and_a_delivery_a_receipt_as_the_schemas_say() {
    let (stack, partner, _) = deployed("records", &[]).await;
    std::fs::write(partner.root.join("file"), "in the way").unwrap();
    let failed = stack.deliver("file/below.txt", b"x".to_vec()).await.unwrap();
    // Step Functions' event comes after the state has written the record.
    logged(&stack, "nothing to record", &failed).await;
    let records = stack.failure_records().await.unwrap();
    assert_eq!(records.len(), 1, "{records:?}");
    let (key, record) = records.first_key_value().unwrap();
    assert_described("failure", &serde_json::from_str(record).unwrap()).await;
    let key = FailureKey::parse(key).unwrap();
    assert_eq!((key.error.as_str(), key.is_by(failed.name())), ("RemotePathRejected", true));

    let delivered = stack.deliver("in/good.txt", b"good".to_vec()).await.unwrap();
    let receipt = receipt(&delivered);
    assert!(receipt["warnings"].is_null(), "{receipt}");
    let written = stack.records(&ReceiptKey::prefix("in/good.txt")).await.unwrap();
    let by_day = &receipt["finished_at"].as_str().unwrap()[..10];
    let by_day = stack.records(&DayReceiptKey::prefix(by_day)).await.unwrap();
    assert_eq!((written.len(), by_day.len()), (1, 1), "{written:?} {by_day:?}");
    for body in written.values().chain(by_day.values()) {
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!(body, *receipt);
        assert_described("receipt", &body).await;
    }

    // The repair, and a new execution with the same input.
    std::fs::remove_file(partner.root.join("file")).unwrap();
    let again = crate::run(&stack, &failed.input).await;
    assert_eq!(crate::receipt(&again)["outcome"], "delivered");
    assert_eq!(open(&stack).await, []);
    let settled = stack.records("failures/settled/file/below.txt/").await.unwrap();
    let settled: Value = serde_json::from_str(settled.values().next().unwrap()).unwrap();
    assert_eq!(
        (&settled["settled_by"], &settled["error"]),
        (&json!(again.arn), &json!("RemotePathRejected"))
    );
    assert_described("failure", &settled).await;
}

/// The local EventBridge calls a function only once, so the call is made as Lambda gets it.
#[tokio::test]
async fn story_237_a_failure_that_could_not_be_recorded_waits_in_the_queue() {
    let (stack, _partner, _) = deployed("unrecorded", &[]).await;
    let ended = json!({
        "detail-type": "Step Functions Execution Status Change", "source": "aws.states",
        "detail": {
            "executionArn": format!("{}:nobody-knows-it", stack.state_machine()), "name": "nobody-knows-it",
            "stateMachineArn": stack.state_machine(), "status": "ABORTED",
        },
    });
    stack.aws.call_later(&stack.outputs["RecordFailureFunctionName"], &ended).await.unwrap();
    let mut environment = stack.aws.environment();
    environment.push(("S3_SFTP_BRIDGE_STACK", "unrecorded".to_owned()));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let ran = cli::run(cli::operate(environment.clone(), &["status", "--json"]).await).await;
        let status: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"));
        if status["undelivered_events"] == 1 {
            assert_eq!((ran.status, &status["health"]), (1, &json!("failing")), "{status}");
            return;
        }
        assert!(Instant::now() < deadline, "{status}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test]
async fn story_184_an_execution_that_was_stopped_has_a_record_and_a_notice() {
    let aws = ministack::shared().await;
    let mut partner = Partner::start().await.unwrap();
    let queue = aws.create_queue("notices").await.unwrap();
    let topic = aws.create_topic("notices", &queue).await.unwrap();
    let stack = Stack::deploy_for(aws, "stopped", &partner, &[("NoticeTopicArn", &topic)]).await.unwrap();
    partner.stop();
    stack.upload("waits for the partner.txt", b"x".to_vec()).await.unwrap();
    let running = wait_until_it_retries(&stack).await;
    let sfn = aws.sfn();
    sfn.stop_execution().execution_arn(&running.arn).cause("by mistake").send().await.unwrap();

    let deadline = Instant::now() + PATIENCE;
    while open(&stack).await.is_empty() {
        assert!(Instant::now() < deadline, "no record of {running:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let record = stack.failure_record(&running).await.unwrap().unwrap();
    let record: Value = serde_json::from_str(&record).unwrap();
    assert_described("failure", &record).await;
    assert_eq!((&record["error"], &record["state"]), (&json!("ExecutionAborted"), &json!("Transfer")));
    assert!(record["cause"].as_str().unwrap().contains("by mistake"), "{record}");
    assert_eq!(record["object"], format!("s3://{}/waits for the partner.txt", stack.bucket()));
    assert_eq!(record["attempts"][0]["error"], "ConnectFailed");

    // One message, in words.
    let messages = queue.take_many(1, PATIENCE).await.unwrap();
    assert_eq!(messages.len(), 1, "{messages:?}");
    let subject = messages[0]["Subject"].as_str().unwrap();
    assert_eq!(subject, "Not delivered: ExecutionAborted: waits for the partner.txt");
    let message = messages[0]["Message"].as_str().unwrap();
    let key = &open(&stack).await[0];
    for words in [
        &format!("s3://{}/waits for the partner.txt (1 bytes)", stack.bucket()),
        // It was stopped before its path was known.
        "Where to:   sftp://127.0.0.1/\n",
        "ExecutionAborted: somebody stopped the execution: by mistake",
        record["what_to_do"].as_str().unwrap(),
        record["redrive_command"].as_str().unwrap(),
        "docs/errors.md#executionaborted",
        &format!("s3://{}/{key}", stack.record_bucket()),
    ] {
        assert!(message.contains(words), "{words:?} is not in {message}");
    }

    // A failure that the state machine records itself has one, too, and what is settled has none.
    partner.start_again().await.unwrap();
    stack.start_anew().await.unwrap();
    crate::run(&stack, &running.input).await;
    assert_eq!(open(&stack).await, []);
    let failed = stack.deliver("back\\slash", b"x".to_vec()).await.unwrap();
    logged(&stack, "nothing to record", &failed).await;
    let messages = queue.take_many(1, PATIENCE).await.unwrap();
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert!(messages[0]["Subject"].as_str().unwrap().contains("RemotePathRejected"), "{messages:?}");
    assert!(FailureState::Open == open(&stack).await[0].state);
}

async fn wait_until_it_retries(stack: &Stack<'_>) -> Execution {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(running) = stack.executions().await.unwrap().into_iter().next() {
            let history = stack.history(&running.arn).await.unwrap();
            if history.iter().any(|event| event.task_failed_event_details().is_some()) {
                return running;
            }
        }
        assert!(Instant::now() < deadline, "nothing is tried again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The patterns of `docs/events.md`, by their headings, for this state machine.
fn patterns(stack: &Stack<'_>) -> Vec<(String, Value)> {
    let page = std::fs::read_to_string(workspace().join("docs/events.md")).unwrap();
    let (_, page) = page.split_once("\n## Patterns\n").unwrap();
    let sections = page.split("\n### ").skip(1).map(|section| {
        let (heading, rest) = section.split_once('\n').unwrap();
        let (_, rest) = rest.split_once("```json\n").unwrap();
        let (pattern, _) = rest.split_once("\n```").unwrap();
        let example = "arn:aws:states:eu-west-1:123456789012:stateMachine:acme";
        assert!(pattern.contains(example), "{pattern}");
        let pattern = pattern.replace(example, stack.state_machine());
        (heading.to_owned(), serde_json::from_str(&pattern).unwrap())
    });
    sections.collect()
}

#[tokio::test]
async fn story_189_the_patterns_of_the_page_about_events_match_what_they_say() {
    let (stack, mut partner, aws) = deployed("events", &[]).await;
    let other = Stack::deploy_for(aws, "other-events", &partner, &[]).await.unwrap();
    let mut queues = Vec::new();
    for (number, (heading, pattern)) in patterns(&stack).into_iter().enumerate() {
        let queue = aws.create_queue(&format!("events-{number}")).await.unwrap();
        queue.collect_events(&format!("events-{number}"), &pattern).await.unwrap();
        queues.push((heading, queue));
    }
    stack.deliver("acme/report.csv", b"1".to_vec()).await.unwrap();
    stack.deliver("acme/other.csv", b"2".to_vec()).await.unwrap();
    stack.deliver("delivered", b"3".to_vec()).await.unwrap();
    // A folder of the console: skipped.
    stack.deliver("acme/", Vec::new()).await.unwrap();
    stack.deliver("back\\slash", b"4".to_vec()).await.unwrap();
    other.deliver("acme/report.csv", b"5".to_vec()).await.unwrap();
    partner.change_host_key().await.unwrap();
    // A session may have been kept.
    stack.start_anew().await.unwrap();
    stack.deliver("acme/refused.csv", b"6".to_vec()).await.unwrap();

    let (report, other, plain, folder) = ("acme/report.csv", "acme/other.csv", "delivered", "acme/");
    let (bad, refused) = ("back\\slash", "acme/refused.csv");
    let expected: [(&str, &[&str]); 6] = [
        ("Every delivery that succeeded", &[report, other, plain, folder]),
        ("Files that were sent", &[report, other, plain]),
        ("One object", &[report]),
        ("The objects below a prefix", &[report, other, folder]),
        ("Failures", &[bad, refused]),
        ("Failures of one kind", &[refused]),
    ];
    assert_eq!(
        queues.iter().map(|(heading, _)| heading.as_str()).collect::<Vec<_>>(),
        expected.map(|(heading, _)| heading)
    );
    for ((heading, queue), (_, keys)) in queues.iter().zip(expected) {
        let events = queue.take_many(keys.len(), PATIENCE).await.unwrap();
        let of_object = |event: &Value| -> String {
            let input: Value = serde_json::from_str(event["detail"]["input"].as_str().unwrap()).unwrap();
            input["detail"]["object"]["key"].as_str().unwrap().to_owned()
        };
        let found: BTreeSet<String> = events.iter().map(of_object).collect();
        assert_eq!(found, keys.iter().map(|key| (*key).to_owned()).collect(), "{heading}");
        assert_eq!(events.len(), keys.len(), "{heading}");
    }
}

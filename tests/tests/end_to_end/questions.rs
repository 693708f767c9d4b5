//! The operator's questions to a real stack: while the partner is away, after a failure, and once all is delivered.

use std::time::{Duration, Instant};

use integration_tests::cli::{self, Ran};
use integration_tests::ministack;
use integration_tests::partner::Partner;
use integration_tests::stack::Stack;
use serde_json::{Value, json};

use crate::PATIENCE;

const NAME: &str = "questions";
const FILES: [&str; 3] = ["in/a.txt", "in/b c.txt", "in/ü.txt"];

async fn ask(stack: &Stack<'_>, arguments: &[&str]) -> Ran {
    let mut environment = stack.aws.environment();
    environment.push(("S3_SFTP_BRIDGE_STACK", NAME.to_owned()));
    cli::run(cli::operate(environment, arguments).await).await
}

async fn status(stack: &Stack<'_>) -> Value {
    let ran = ask(stack, &["status", "--json"]).await;
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

/// The first character of each line.
fn symbols(ran: &Ran) -> String {
    ran.stdout.lines().filter_map(|line| line.chars().next()).collect()
}

#[tokio::test]
async fn story_218_an_operator_sees_that_the_partner_is_away_and_that_nothing_is_owed_afterwards() {
    let aws = ministack::shared().await;
    let mut partner = Partner::start().await.unwrap();
    let stack = Stack::deploy_for(aws, NAME, &partner, &[("S3Exclude", "**/*.tmp")]).await.unwrap();
    let bucket = format!("s3://{}", stack.bucket());
    let object = |key: &str| format!("{bucket}/{key}");
    partner.stop();
    for key in FILES {
        stack.upload(key, key.as_bytes().to_vec()).await.unwrap();
    }
    stack.deliver("in/a.tmp", b"excluded".to_vec()).await.unwrap();

    let start = Instant::now();
    let away = loop {
        let status = status(&stack).await;
        if status["health"] == "waiting" {
            break status;
        }
        assert!(start.elapsed() < PATIENCE, "{status}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert!(away["in_words"].as_str().unwrap().contains("cannot be reached since"), "{away}");
    assert_eq!((&away["running"], &away["open_failures"]["count"]), (&json!(3), &json!(0)), "{away}");
    let ran = ask(&stack, &["check", &bucket]).await;
    assert_eq!((ran.status, symbols(&ran)), (1, "-~~~".to_owned()), "{ran:?}");
    let ran = ask(&stack, &["where", &object(FILES[1])]).await;
    assert!(ran.stdout.starts_with("under way: ") && ran.stdout.contains("ConnectFailed"), "{ran:?}");
    assert_eq!(ran.status, 1);

    partner.start_again().await.unwrap();
    for execution in stack.executions().await.unwrap() {
        stack.wait(&execution.arn, PATIENCE).await.unwrap();
    }
    let ran = ask(&stack, &["check", &bucket, "--remote"]).await;
    assert_eq!((ran.status, symbols(&ran)), (0, "-".to_owned()), "{ran:?}");
    assert!(ran.stderr.contains("3 have their size"), "{ran:?}");
    let ran = ask(&stack, &["where", &object(FILES[2])]).await;
    assert!(ran.stdout.starts_with("delivered: ") && ran.stdout.contains("proof: "), "{ran:?}");
    assert!(ran.stdout.contains("times until"), "its attempts: {ran:?}");
    let well = status(&stack).await;
    assert_eq!(
        (&well["health"], &well["delivered"]["last_hour"]["files"]),
        (&json!("ok"), &json!(3)),
        "{well}"
    );

    // Two slashes in a row make no path.
    let failed = stack.deliver("in//c.txt", b"c".to_vec()).await.unwrap();
    assert_eq!(failed.error.as_deref(), Some("RemotePathRejected"));
    let ran = ask(&stack, &["check", &bucket]).await;
    assert_eq!((ran.status, symbols(&ran)), (1, "!-".to_owned()), "{ran:?}");
    let ran = ask(&stack, &["where", &object("in//c.txt")]).await;
    assert!(ran.stdout.starts_with("failed: ") && ran.stdout.contains("RemotePathRejected"), "{ran:?}");
    assert_eq!(status(&stack).await["health"], "failing");
}

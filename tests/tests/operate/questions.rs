//! Commands that only ask: wrong arguments, no credentials, no such stack, throttling. A clear message, and nothing is
//! changed.

use std::collections::BTreeMap;
use std::time::Duration;

use bridge::Outcome;
use integration_tests::cli;
use integration_tests::ministack;
use integration_tests::redrive::{Options, Quota};
use serde_json::json;

use crate::shelf::Shelf;

#[tokio::test]
async fn story_211_wrong_questions_are_refused() {
    let shelf = Shelf::new("questions-wrong", &[]).await;
    let bucket = format!("s3://{}/", shelf.bucket());
    for (arguments, words) in [
        (&["check"][..], "<PREFIX>"),
        (&["check", "s3://another/in/"], "delivers from the bucket"),
        (&["check", &bucket, "--since", "yesterday"], "expected an age"),
        (&["check", &bucket, "--stack", "no-such-stack"], "no stack \"no-such-stack\" in us-east-1"),
        (&["where"], "<OBJECT>"),
        (&["where", &bucket], "expected s3://BUCKET/KEY"),
        (&["where", "s3://another/k"], "delivers from the bucket"),
        (&["status", "now"], "unexpected argument"),
        (&["status", "--stack", "no-such-stack"], "no stack \"no-such-stack\""),
    ] {
        let ran = shelf.desk.run(arguments).await;
        assert_eq!(ran.status, 2, "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains(words) && ran.stdout.is_empty(), "{arguments:?}: {ran:?}");
    }
    let aws = ministack::shared().await;
    let mut environment = aws.environment();
    environment.retain(|(name, _)| !["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].contains(name));
    for arguments in [&["check", "s3://b/"][..], &["where", "s3://b/k"], &["status"]] {
        let arguments = [arguments, &["--stack", "s"]].concat();
        let ran = cli::run(cli::operate(environment.clone(), &arguments).await).await;
        assert_eq!(ran.status, 2, "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains("no AWS credentials were found"), "{arguments:?}: {ran:?}");
    }
}

#[tokio::test]
async fn story_213_a_throttled_question_is_asked_again() {
    let quota = Quota { per_second: 2.0, bucket: 1.0 };
    let quotas = BTreeMap::from([("ListExecutions", quota), ("DescribeExecution", quota)]);
    let shelf = Shelf::with("questions-throttled", Options { quotas, ..Options::default() }).await;
    for number in 0..5 {
        let put = shelf.put(&format!("running-{number}"), "1").await;
        shelf.desk.stack.start(&format!("e{number}"), &shelf.input(&put, "run")).await.unwrap();
    }
    let ran = shelf.check(&[]).await;
    assert_eq!((ran.status, ran.stdout.matches('~').count()), (1, 5), "{ran:?}");
    assert!(shelf.desk.redriver.calls("DescribeExecution") > 5, "some were throttled");
}

#[tokio::test]
async fn story_213_a_delivery_that_ends_while_it_is_looked_for_is_not_owed() {
    let quotas = BTreeMap::from([("ListExecutions", Quota { per_second: 0.3, bucket: 1.0 })]);
    let shelf = Shelf::with("questions-race", Options { quotas, ..Options::default() }).await;
    // Uses up the quota: the next listing of executions is throttled, so that there is time for a receipt.
    assert_eq!(shelf.desk.run(&["status"]).await.status, 0);
    let put = shelf.put("in/a", "1").await;
    let calls = || shelf.desk.redriver.calls("ListExecutions");
    let before = calls();
    let racing = async {
        while calls() == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        shelf.receipt(&put, Outcome::Delivered, json!({})).await;
    };
    let (ran, ()) = tokio::join!(shelf.check(&[]), racing);
    assert_eq!((ran.status, ran.stdout.as_str()), (0, ""), "{ran:?}");
    assert!(calls() > before + 1, "it was not throttled");
}

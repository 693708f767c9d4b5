//! A partner that is away, and comes back.

use std::time::{Duration, Instant};

use aws_sdk_sfn::types::{ExecutionStatus, HistoryEventType};
use integration_tests::ministack;
use integration_tests::partner::Partner;
use integration_tests::stack::Stack;

const FILES: usize = 12;
/// More than a partner had before.
const RETRIES: usize = 15;

async fn failures(stack: &Stack<'_>, arn: &str) -> usize {
    let history = stack.history(arn).await.unwrap();
    history.iter().filter(|event| event.r#type == HistoryEventType::TaskFailed).count()
}

#[tokio::test]
async fn story_170_files_arrive_without_a_hand_when_the_partner_is_back() {
    let aws = ministack::shared().await;
    let mut partner = Partner::start().await.unwrap();
    let stack = Stack::deploy_for(aws, "weekend", &partner, &[]).await.unwrap();
    partner.stop();
    for number in 0..FILES {
        stack.upload(&format!("{number}.txt"), b"Friday evening".to_vec()).await.unwrap();
    }
    let started = Instant::now();
    let away = loop {
        let executions = stack.executions().await.unwrap();
        let mut least = if executions.len() < FILES { 0 } else { usize::MAX };
        for execution in &executions {
            assert!(!execution.ended, "{:?} gave up", execution.error);
            least = least.min(failures(&stack, &execution.arn).await);
        }
        if least >= RETRIES {
            break executions;
        }
        assert!(started.elapsed() < Duration::from_secs(120), "only {least} retries");
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    partner.start_again().await.unwrap();
    for execution in away {
        let ended = stack.wait(&execution.arn, Duration::from_secs(240)).await.unwrap();
        let outcome = ended.receipt().map(|receipt| receipt["outcome"].clone());
        assert_eq!(outcome, Some("delivered".into()), "{:?}: {:?}", ended.error, ended.cause);
        assert_eq!(std::fs::read(partner.root.join(ended.object_key())).unwrap(), b"Friday evening");
    }
    let records = stack.failure_records().await.unwrap();
    assert!(!records.keys().any(|object_key| object_key.starts_with("failures/")), "{records:?}");
}

/// The figures of docs/operating.md. Takes minutes, so it is run by hand, with `--ignored --nocapture`.
#[tokio::test]
#[ignore = "takes minutes"]
async fn a_thousand_files_at_a_cap_of_ten() {
    const THOUSAND: usize = 1_000;
    let aws = ministack::shared().await;
    let mut partner = Partner::start().await.unwrap();
    let stack = Stack::deploy_for(aws, "thousand", &partner, &[("MaxConnections", "10")]).await.unwrap();
    stack.reserve(5).await.unwrap();

    let started = Instant::now();
    upload(&stack, "up", THOUSAND).await;
    let (transitions, retries) = all_delivered(&stack, THOUSAND).await;
    eprintln!(
        "{THOUSAND} files: {:?}, {transitions} transitions, {retries} of them retries",
        started.elapsed()
    );

    partner.stop();
    upload(&stack, "down", THOUSAND).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    partner.start_again().await.unwrap();
    let returned = Instant::now();
    let (transitions, retries) = all_delivered(&stack, 2 * THOUSAND).await;
    eprintln!(
        "after the return: {:?}, {transitions} transitions in all, {retries} retries",
        returned.elapsed()
    );
    assert_eq!(std::fs::read_dir(partner.root.join("down")).unwrap().count(), THOUSAND);
    let records = stack.failure_records().await.unwrap();
    assert!(!records.keys().any(|object_key| object_key.starts_with("failures/")), "{records:?}");
}

async fn upload(stack: &Stack<'_>, folder: &str, files: usize) {
    for number in 0..files {
        stack.upload(&format!("{folder}/{number}.txt"), b"small".to_vec()).await.unwrap();
    }
}

/// Waits until this number of executions has succeeded. Returns the transitions that AWS would bill, and the retries
/// among them.
async fn all_delivered(stack: &Stack<'_>, count: usize) -> (usize, usize) {
    let sfn = stack.aws.sfn();
    let list =
        || sfn.list_executions().state_machine_arn(stack.state_machine()).into_paginator().items().send();
    let executions: Vec<_> = loop {
        let executions: Vec<_> = list().collect::<Result<_, _>>().await.unwrap();
        let of = |status: ExecutionStatus| executions.iter().filter(|it| it.status == status).count();
        assert_eq!(of(ExecutionStatus::Failed), 0);
        if of(ExecutionStatus::Succeeded) >= count {
            break executions;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    };
    let (mut entered, mut retried) = (0, 0);
    for execution in executions {
        for event in stack.history(&execution.execution_arn).await.unwrap() {
            entered += usize::from(event.state_entered_event_details.is_some());
            retried += usize::from(event.r#type == HistoryEventType::TaskFailed);
        }
    }
    (count + entered + retried, retried)
}

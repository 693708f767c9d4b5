//! A partner that is away, and comes back.

use std::time::{Duration, Instant};

use aws_sdk_sfn::types::HistoryEventType;
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

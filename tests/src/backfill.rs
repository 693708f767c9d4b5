//! What the tests of `s3-sftp-bridge backfill` share: the executions of a state machine, counted.

use std::time::Duration;

use anyhow::{Result, bail};
use aws_sdk_sfn::types::ExecutionListItem;
use tokio::time::{Instant, sleep};

use crate::ministack::MiniStack;

/// How long a backfill may take in a test.
const PATIENCE: Duration = Duration::from_secs(3_000);

/// The executions of a state machine.
#[derive(Clone, Copy, Debug)]
pub struct Deliveries<'a> {
    /// The AWS that it is in.
    pub aws: &'a MiniStack,
    /// Its ARN.
    pub state_machine: &'a str,
}

impl Deliveries<'_> {
    /// All executions so far, without their inputs.
    pub async fn list(&self) -> Result<Vec<ExecutionListItem>> {
        let sfn = self.aws.sfn();
        let pages = sfn.list_executions().state_machine_arn(self.state_machine).into_paginator();
        Ok(pages.items().send().collect::<Result<_, _>>().await?)
    }

    /// Waits until this many have been started.
    pub async fn until_started(&self, count: usize) -> Result<()> {
        self.until(|executions| executions.len() >= count).await.map(drop)
    }

    /// Waits until this many have been started and all have ended.
    pub async fn until_ended(&self, count: usize) -> Result<Vec<ExecutionListItem>> {
        let all = |executions: &[ExecutionListItem]| executions.iter().all(|it| it.stop_date.is_some());
        self.until(|executions| executions.len() >= count && all(executions)).await
    }

    async fn until(
        &self,
        is_reached: impl Fn(&[ExecutionListItem]) -> bool,
    ) -> Result<Vec<ExecutionListItem>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let executions = self.list().await?;
            if is_reached(&executions) {
                return Ok(executions);
            }
            if Instant::now() > deadline {
                bail!("after {PATIENCE:?} there are {} executions", executions.len());
            }
            sleep(Duration::from_millis(200)).await;
        }
    }
}

/// How many ran at the same time.
pub fn most_at_once(executions: &[ExecutionListItem]) -> i64 {
    let starts = executions.iter().map(|it| (it.start_date.as_secs_f64(), 1));
    let ends = executions.iter().filter_map(|it| Some((it.stop_date.as_ref()?.as_secs_f64(), -1)));
    let mut changes: Vec<(f64, i64)> = starts.chain(ends).collect();
    // Of two at the same moment, the end comes first.
    changes.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let mut running = 0;
    let mut most = 0;
    for (_, change) in changes {
        running += change;
        most = most.max(running);
    }
    most
}

//! The end of a look at the directory that is collected.

use bridge::{Deadline, Execution, FailureState};

use super::RecordBucket;
use super::receipt::limit;
use super::settle::Settlement;

/// What settled the failure of an earlier look.
const COMPLETE: &str = "look_complete";

/// After a look that has come to its end: the failures of earlier looks are settled. `directory` is
/// `sftp://HOST/DIRECTORY`. What cannot be done is logged, and the next look does it.
pub async fn conclude_look(
    bucket: Option<RecordBucket>,
    directory: &str,
    execution: &Execution,
    deadline: Deadline,
) {
    let Some(bucket) = bucket else { return };
    let settling = tokio::time::timeout(limit(deadline), bucket.settle_looks(directory, execution)).await;
    match settling.unwrap_or_else(|_| Err("no answer in time".into())) {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "the failures of earlier looks are settled"),
        Err(problem) => tracing::warn!(problem, "the failures of earlier looks may still be open"),
    }
}

impl RecordBucket {
    async fn settle_looks(&self, directory: &str, execution: &Execution) -> Result<usize, String> {
        let failures = self.failures_of_looks(FailureState::Open, directory).await?;
        for failure in &failures {
            let settlement = Settlement { execution: &execution.id, outcome: COMPLETE };
            self.settle(failure, settlement).await?;
        }
        Ok(failures.len())
    }
}

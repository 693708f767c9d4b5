//! The end of a delivery or a collection in the record bucket.

use std::time::Duration;

use bridge::collect::CollectProgress;
use bridge::{Deadline, Execution, Progress};
use serde_json::Value;

use super::RecordBucket;
use super::ended::Ended;

/// Maximum time for it. A slow record bucket must not end the invocation.
const LIMIT: Duration = Duration::from_secs(10);

/// If the delivery has ended, writes the receipt, and settles the failures that it makes good for. What cannot be done
/// is a warning in the receipt.
pub async fn conclude(
    bucket: Option<RecordBucket>,
    progress: Progress,
    execution: &Execution,
    deadline: Deadline,
) -> Progress {
    match (bucket, progress) {
        (Some(bucket), Progress::Receipt(receipt)) => {
            Progress::Receipt(Box::new(bucket.keep(*receipt, execution, limit(deadline)).await))
        }
        (_, progress) => progress,
    }
}

/// The same for a collection.
pub async fn conclude_collection(
    bucket: Option<RecordBucket>,
    progress: CollectProgress,
    execution: &Execution,
    deadline: Deadline,
) -> CollectProgress {
    match (bucket, progress) {
        (Some(bucket), CollectProgress::Receipt(receipt)) => {
            CollectProgress::Receipt(Box::new(bucket.keep(*receipt, execution, limit(deadline)).await))
        }
        (_, progress) => progress,
    }
}

/// At most half of the time that is left.
pub(super) fn limit(deadline: Deadline) -> Duration {
    LIMIT.min(deadline.remaining() / 2)
}

impl RecordBucket {
    async fn keep<R: Ended>(&self, mut receipt: R, execution: &Execution, limit: Duration) -> R {
        if let Some(finished_at) = self.first_finished(&receipt, execution, limit).await {
            *receipt.finished_at() = finished_at;
        }
        let (written, settled) = tokio::join!(
            tokio::time::timeout(limit, self.write(&receipt, &execution.name)),
            tokio::time::timeout(limit, self.settle_by(&receipt, &execution.name)),
        );
        let late = || format!("no answer within {} s", limit.as_secs_f32());
        let mut warnings = Vec::new();
        match written.unwrap_or_else(|_| Err(late())) {
            Ok(()) => tracing::info!(place = self.location(&receipt.key()), "the receipt is written"),
            Err(why) => warnings.push(format!("RECORD_BUCKET: the receipt was not written: {why}")),
        }
        match settled.unwrap_or_else(|_| Err(late())) {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "earlier failures are settled"),
            Err(why) => {
                warnings
                    .push(format!("RECORD_BUCKET: earlier failures of this file may still be open: {why}"));
            }
        }
        for warning in &warnings {
            tracing::warn!(warning, "nothing has failed");
        }
        receipt.warnings().append(&mut warnings);
        receipt
    }

    /// The time at which an earlier call of this execution ended, if it has written its receipt: then both keys are the
    /// same.
    async fn first_finished(
        &self,
        receipt: &impl Ended,
        execution: &Execution,
        limit: Duration,
    ) -> Option<String> {
        if execution.retry_count == 0 && execution.redrive_count == 0 {
            return None;
        }
        let earlier = tokio::time::timeout(limit / 2, self.get(&receipt.key())).await.ok()?.ok()??;
        let text = |field: &str| earlier.get(field).and_then(Value::as_str);
        let is_by_this = text("execution_id") == Some(receipt.execution_id());
        text("finished_at").filter(|_| is_by_this).map(str::to_owned)
    }

    async fn write(&self, receipt: &impl Ended, execution: &str) -> Result<(), String> {
        let (key, day_key) = (receipt.key(), receipt.day_key(execution));
        tokio::try_join!(self.put(&key, receipt), self.put(&day_key, receipt)).map(drop)
    }
}

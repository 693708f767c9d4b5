//! The end of a delivery in the record bucket.

use std::time::Duration;

use bridge::{DayReceiptKey, Deadline, Execution, Progress, Receipt, ReceiptKey};
use serde_json::Value;

use super::RecordBucket;

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
            let receipt = bucket.keep(*receipt, execution, LIMIT.min(deadline.remaining() / 2)).await;
            Progress::Receipt(Box::new(receipt))
        }
        (_, progress) => progress,
    }
}

impl RecordBucket {
    async fn keep(&self, receipt: Receipt, execution: &Execution, limit: Duration) -> Receipt {
        let receipt = self.first_finished(receipt, execution, limit).await;
        let place = ReceiptKey::prefix_of(&receipt.object.object_key, &(&receipt.object).into());
        let (written, settled) = tokio::join!(
            tokio::time::timeout(limit, self.write(&receipt, &execution.name)),
            tokio::time::timeout(limit, self.settle_by(&receipt, &execution.name)),
        );
        let late = || format!("no answer within {} s", limit.as_secs_f32());
        let mut warnings = receipt.warnings.clone();
        match written.unwrap_or_else(|_| Err(late())) {
            Ok(()) => tracing::info!(place = self.location(&place), "the receipt is written"),
            Err(why) => warnings.push(format!("RECORD_BUCKET: the receipt was not written: {why}")),
        }
        match settled.unwrap_or_else(|_| Err(late())) {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "failures of this object are settled"),
            Err(why) => warnings
                .push(format!("RECORD_BUCKET: earlier failures of this object may still be open: {why}")),
        }
        for warning in &warnings[receipt.warnings.len()..] {
            tracing::warn!(warning, "the delivery has not failed");
        }
        Receipt { warnings, ..receipt }
    }

    /// With the time at which an earlier call of this execution ended, if it has written its receipt: then both keys are
    /// the same.
    async fn first_finished(&self, receipt: Receipt, execution: &Execution, limit: Duration) -> Receipt {
        if execution.retry_count == 0 && execution.redrive_count == 0 {
            return receipt;
        }
        let key = ReceiptKey::new(&receipt);
        let Ok(Ok(Some(earlier))) = tokio::time::timeout(limit / 2, self.get(&key)).await else {
            return receipt;
        };
        let text = |field: &str| earlier.get(field).and_then(Value::as_str);
        match text("finished_at") {
            Some(finished_at) if text("execution_id") == Some(&receipt.execution_id) => {
                Receipt { finished_at: finished_at.to_owned(), ..receipt }
            }
            _ => receipt,
        }
    }

    async fn write(&self, receipt: &Receipt, execution: &str) -> Result<(), String> {
        let (by_object, by_day) = (ReceiptKey::new(receipt), DayReceiptKey::new(receipt, execution));
        tokio::try_join!(self.put(&by_object, receipt), self.put(&by_day, receipt)).map(drop)
    }
}

//! What the end of sending means for the delivery.

use std::time::Duration;

use aws::{Newer, Standing};
use bridge::{Checkpoint, Error, ErrorName, ObjectSummary, Outcome, Progress, Receipt, Result};

use crate::call::Call;
use crate::send::Sending;

/// Pause before a call that lost its session returns: a partner that cuts every connection is not called back at once.
const PAUSE: Duration = Duration::from_secs(1);

impl Call<'_> {
    /// Returns a checkpoint if the call has sent anything, or a receipt if there is nothing left to deliver.
    pub(crate) async fn conclude(&self, sending: &Sending<'_>, outcome: Result<()>) -> Result<Progress> {
        if let Err(error) = outcome {
            if sending.has_progressed() {
                tracing::warn!(%error, "stopped after making progress; the next call continues from the checkpoint");
                tokio::time::sleep(PAUSE.min(self.deadline.remaining() / 2)).await;
            } else if matches!(error.name, ErrorName::ObjectChanged | ErrorName::ObjectUnreadable) {
                return self.explain_unreadable(sending, error).await;
            } else {
                return Err(error);
            }
        }
        let checkpoint = sending.checkpoint();
        let (offset, size) = (checkpoint.sent.offset, checkpoint.object.size);
        tracing::info!(offset, size, phase = ?checkpoint.phase, "acknowledged");
        Ok(Progress::Checkpoint(Box::new(checkpoint)))
    }

    /// The object cannot be read any more: because a newer upload came, or because another execution of the same event
    /// was faster and took the object away, or because it is refused, archived or out of reach.
    async fn explain_unreadable(&self, sending: &Sending<'_>, error: Error) -> Result<Progress> {
        let checkpoint = sending.checkpoint();
        let s3 = &self.deps.clients.s3;
        match aws::standing(s3, &checkpoint.object, self.deliverable()).await {
            Ok(Standing::Superseded(newer)) => Ok(self.superseded(sending, newer).await),
            // If this execution repairs what it overwrote, a file on the server proves nothing.
            Ok(Standing::Gone)
                if error.name == ErrorName::ObjectUnreadable && checkpoint.report.repairs.is_none() =>
            {
                let object = ObjectSummary::from(&checkpoint.object);
                let reason = Box::pin(self.was_delivered(&object, error)).await?;
                Box::pin(sending.discard()).await;
                Ok(self.ended_after(Outcome::AlreadyDelivered, &checkpoint, reason))
            }
            _ => Err(error),
        }
    }

    /// A newer upload has an event of its own. What was sent of this one is removed.
    pub(crate) async fn superseded(&self, sending: &Sending<'_>, newer: Newer) -> Progress {
        Box::pin(sending.discard()).await;
        self.ended_after(Outcome::Superseded, &sending.checkpoint(), newer.reason)
    }

    fn ended_after(&self, outcome: Outcome, checkpoint: &Checkpoint, reason: String) -> Progress {
        let receipt = self.receipt(outcome, (&checkpoint.object).into(), &checkpoint.report, reason);
        Progress::Receipt(Box::new(Receipt { synced: checkpoint.sent.synced, ..receipt }))
    }
}

//! What the end of a call means for the delivery.

use std::time::Duration;

use bridge::{Checkpoint, Error, ErrorName, Progress, Receipt, Report, Result, Sent};

use crate::call::Call;

/// Pause before a call that lost its session returns: a partner that cuts every connection is not called back at once.
const PAUSE: Duration = Duration::from_secs(1);

/// Maximum number of times that a newer upload is sent again, after an older one was published over it.
const REPAIRS_MAX: u32 = 3;

/// Maximum number of setbacks in the middle of publishing after which a call still returns a checkpoint.
const SETBACKS_MAX: u32 = 10;

impl Call<'_> {
    /// An error is returned only if the call has brought nothing that the next one needs.
    pub(crate) async fn conclude(
        &self,
        checkpoint: Checkpoint,
        outcome: Result<Option<Receipt>>,
    ) -> Result<Progress> {
        match outcome {
            Ok(Some(receipt)) => Ok(Progress::Receipt(Box::new(receipt))),
            Ok(None) => Ok(Progress::Checkpoint(Box::new(checkpoint))),
            // The state machine would begin again with the version that the event announced.
            Err(error) if error.name == ErrorName::RemoteMismatch && checkpoint.report.repairs.is_some() => {
                repair_again(checkpoint, &error)
            }
            Err(error) if must_be_kept(&self.input.checkpoint, &checkpoint, &error) => {
                tracing::warn!(%error, "stopped after making progress; the next call continues from the checkpoint");
                tokio::time::sleep(PAUSE.min(self.deadline.remaining() / 2)).await;
                Ok(Progress::Checkpoint(Box::new(checkpoint)))
            }
            Err(error) => Err(error),
        }
    }
}

/// Sends the newer upload, which this execution has overwritten, once more from the start.
fn repair_again(checkpoint: Checkpoint, mismatch: &Error) -> Result<Progress> {
    let restarts = checkpoint.sent.restarts;
    if restarts >= REPAIRS_MAX {
        return Err(ErrorName::RemoteFailure.error(format!(
            "the final name may hold an older version. The newer one was sent {REPAIRS_MAX} times, and each time the file on the server differed: {}. Start a new execution with the newer upload's event",
            mismatch.message()
        )));
    }
    tracing::warn!(error = %mismatch, "sending the newer upload once more");
    let Checkpoint { object, route, report, .. } = checkpoint;
    let begun = Checkpoint::start(object, route, report.started_at.clone());
    let sent = Sent { restarts: restarts + 1, distrusted: true, ..begun.sent };
    let report = Report { resumes: 0, warnings: Vec::new(), ..report };
    Ok(Progress::Checkpoint(Box::new(Checkpoint { sent, report, ..begun })))
}

/// Whether the next call has to know something that this one has brought, although it failed: that the file is published,
/// whatever came after it; how far it was read; that something was asked for and not answered. What no retry cures is
/// reported at once.
fn must_be_kept(before: &Checkpoint, now: &Checkpoint, error: &Error) -> bool {
    if now.phase.publication() != before.phase.publication() {
        return true;
    }
    let is_further = now.reached() > before.reached();
    let is_unanswered = now.phase.is_renaming() != before.phase.is_renaming()
        || now.publishing.aside != before.publishing.aside
        || now.publishing.marker_aside != before.publishing.marker_aside;
    let may_return = is_further || is_unanswered && now.publishing.setbacks <= SETBACKS_MAX;
    error.name.retryable() && may_return
}

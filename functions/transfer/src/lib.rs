//! Step `Transfer`: admits the object, sends it into the partial file, and says how far it came.

mod admit;
mod conclude;
mod gone;
mod send;

use std::sync::Arc;
use std::time::Duration;

use aws::Deliverable;
use bridge::{
    Deadline, Error, ErrorName, ObjectCreated, ObjectSummary, OnProgress, Outcome, Parties, Progress,
    Receipt, Report, Result, Settings, TransferInput,
};
use partner::Partner;

use crate::admit::Admission;
use crate::send::Sending;

/// What the handler works with.
pub struct Deps {
    /// The partner's server, with the settings and the clients.
    pub partner: Arc<Partner>,
    /// Is told how many bytes the server has acknowledged, and of how many.
    pub on_progress: OnProgress,
}

/// Time for the last acknowledgements and the answer.
const RESERVE: Duration = Duration::from_secs(20);

/// One call: what it is asked to do, and how long it may take.
struct Call<'a> {
    deps: &'a Deps,
    input: &'a TransferInput,
    event: ObjectCreated,
    deadline: Deadline,
    /// No new bytes are sent after this.
    stop: Deadline,
    /// The call waits for nothing after this: a server may keep it waiting in a single write.
    limit: Deadline,
}

/// Sends what is left of the object, until it is complete or the deadline is near.
///
/// An error means that this call made no progress. A call that made progress returns a checkpoint whatever stopped it. The
/// next call continues there, and meets the same error at once if it is still there.
///
/// # Errors
/// Any of the runbook's but `RemoteMismatch`.
pub async fn handle(deps: &Deps, input: TransferInput, deadline: Deadline) -> Result<Progress> {
    // Boxed: the future of a whole call is too large for the stack of a small thread.
    Box::pin(transfer(deps, input, deadline)).await
}

async fn transfer(deps: &Deps, input: TransferInput, deadline: Deadline) -> Result<Progress> {
    let event = ObjectCreated::from_event(input.event.clone())?;
    let (stop, limit) = (deadline.less(RESERVE, 4), deadline.less(RESERVE / 4, 16));
    let call = Call { deps, input: &input, event, deadline, stop, limit };
    let sending = match call.admit().await? {
        Admission::Ended(receipt) => return Ok(Progress::Receipt(receipt)),
        Admission::SentBefore(checkpoint) => return Ok(Progress::Checkpoint(checkpoint)),
        Admission::New { checkpoint, body } => Sending::new(&call, *checkpoint, body),
        Admission::Continue(checkpoint) => {
            let sending = Sending::new(&call, *checkpoint, None);
            if let Some(newer) = sending.superseded_by().await? {
                return Ok(call.superseded(&sending, newer).await);
            }
            sending
        }
    };
    let outcome = sending.run().await;
    call.conclude(&sending, outcome).await
}

impl Call<'_> {
    fn settings(&self) -> &Settings {
        &self.deps.partner.settings
    }

    /// The time that a date in the remote path is taken from: the same in every call of an execution.
    fn time(&self) -> &str {
        self.event.event_time.as_ref().unwrap_or(&self.input.execution.start_time)
    }

    fn no_answer(&self) -> Error {
        ErrorName::ConnectionLost.error(format!("{}: no answer until the deadline", self.settings().host))
    }

    fn deliverable(&self) -> Deliverable {
        Deliverable { skip_empty: self.settings().policy.skip_empty }
    }

    /// The receipt of a delivery that ends without a file of its own.
    fn receipt(&self, outcome: Outcome, object: ObjectSummary, report: &Report, reason: String) -> Receipt {
        tracing::info!(?outcome, reason, "nothing to send");
        let parties = Parties {
            remote_host: &self.settings().host,
            credential: &self.input.credential,
            execution: &self.input.execution,
        };
        Receipt { reason: Some(reason), ..Receipt::new(outcome, object, report, parties, aws::now()) }
    }
}

//! Step `VerifyRemote`: finds the file on the server, proves it, publishes it by a rename, puts the marker beside it, settles
//! the object, and writes the receipt.

mod asides;
mod conclude;
mod find;
mod follow;
mod mark;
mod prove;
mod publish;
mod session;
mod settle;

use std::sync::Arc;
use std::time::Duration;

use aws::{Deliverable, Standing};
use bridge::{
    Checkpoint, Deadline, Error, ErrorName, Marker, OnProgress, Outcome, Parties, Progress, Receipt, Result,
    Settings, VerifyRemoteInput,
};
use partner::Partner;

use crate::session::Next;

/// What the handler works with.
pub struct Deps {
    /// The partner's server, with the settings and the clients.
    pub partner: Arc<Partner>,
    /// Is told how many bytes were read back, and of how many.
    pub on_progress: OnProgress,
}

/// Time for publishing and the answer.
const RESERVE: Duration = Duration::from_secs(20);

/// One call: what it is asked to do, and how long it may take.
struct Call<'a> {
    deps: &'a Deps,
    input: &'a VerifyRemoteInput,
    deadline: Deadline,
    /// Nothing that takes long is begun after this.
    stop: Deadline,
}

/// Proves and publishes. If reading back takes longer than the invocation may, returns a checkpoint instead of a receipt.
///
/// # Errors
/// `RemoteMismatch` if the file is not what was sent; the partial file is removed. Else any of the runbook's.
pub async fn handle(deps: &Deps, input: VerifyRemoteInput, deadline: Deadline) -> Result<Progress> {
    if input.checkpoint.is_sending() {
        return Err(ErrorName::InvalidInput
            .error("field `checkpoint.phase.name`: expected a phase after sending, got sending"));
    }
    // Nothing is waited for after the limit, not even an answer of the server.
    let (stop, limit) = (deadline.less(RESERVE, 4), deadline.less(RESERVE / 4, 16));
    let call = Call { deps, input: &input, deadline, stop };
    let mut checkpoint = input.checkpoint.clone();
    // Boxed, here and below: the future of a whole delivery is too large for the stack of a small thread.
    let running = Box::pin(call.run(&mut checkpoint));
    let outcome = tokio::time::timeout(limit.remaining(), running).await;
    let outcome = outcome.unwrap_or_else(|_| Err(call.no_answer()));
    call.conclude(checkpoint, outcome).await
}

impl Call<'_> {
    /// Runs the phases that are left. `None` if the state machine is to call again with the checkpoint.
    async fn run(&self, checkpoint: &mut Checkpoint) -> Result<Option<Receipt>> {
        if !self.is_done_on_server(checkpoint) {
            match self.on_server(checkpoint).await? {
                Next::Settle => {}
                Next::End(receipt) => return Ok(Some(*receipt)),
                Next::CallAgain => return Ok(None),
            }
        }
        self.settle(checkpoint).await
    }

    /// Whether the file and its marker are published, and S3 knew of no newer upload after that.
    fn is_done_on_server(&self, checkpoint: &Checkpoint) -> bool {
        checkpoint.phase.publication().is_some_and(|publication| {
            let has_marker = publication.marker.is_some() || self.settings().marker == Marker::None;
            publication.is_newest && has_marker
        })
    }

    fn settings(&self) -> &Settings {
        &self.deps.partner.settings
    }

    /// Whether an earlier call of this step may have been killed in the middle of publishing.
    fn is_retry(&self) -> bool {
        self.input.execution.retry_count > 0 || self.input.execution.redrive_count > 0
    }

    /// What S3 says of the pinned object now.
    async fn standing(&self, checkpoint: &Checkpoint) -> Result<Standing> {
        let deliverable = Deliverable { skip_empty: self.settings().policy.skip_empty };
        aws::standing(&self.deps.partner.clients.s3, &checkpoint.object, deliverable).await
    }

    fn no_answer(&self) -> Error {
        ErrorName::ConnectionLost.error(format!("{}: no answer until the deadline", self.settings().host))
    }

    /// The receipt without what was published.
    fn receipt(&self, outcome: Outcome, checkpoint: &Checkpoint) -> Receipt {
        tracing::info!(?outcome, path = checkpoint.final_path(), "the delivery has ended");
        let parties = Parties {
            remote_host: &self.settings().host,
            credential: &self.input.credential,
            execution: &self.input.execution,
        };
        let object = (&checkpoint.object).into();
        let receipt = Receipt::new(outcome, object, &checkpoint.report, parties, aws::now());
        Receipt { synced: checkpoint.sent.synced, ..receipt }
    }
}

//! Step `VerifyRemote`: finds the file on the server, proves it, publishes it by a rename, puts the marker beside it, settles
//! the object, and writes the receipt.

mod asides;
mod call;
mod conclude;
mod find;
mod follow;
mod mark;
mod prove;
mod publish;
mod session;
mod settle;
mod subject;
mod turn;
mod work;

use aws::records::{self, RecordBucket};
use bridge::{Checkpoint, Deadline, ErrorName, Progress, Receipt, Result, VerifyRemoteInput};

pub use crate::call::Deps;

use crate::call::{Call, RESERVE};
use crate::work::Next;

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
    let progress = call.conclude(checkpoint, outcome).await?;
    let bucket = RecordBucket::of(&deps.clients.s3, &deps.settings);
    Ok(Box::pin(records::conclude(bucket, progress, &input.execution, deadline)).await)
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
}

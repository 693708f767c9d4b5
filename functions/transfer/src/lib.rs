//! Step `Transfer`: admits the object, sends it into the partial file, and says how far it came.

mod admit;
mod call;
mod conclude;
mod gone;
mod send;

use aws::records::{self, RecordBucket};
use bridge::{Deadline, Progress, Result, TransferInput};

pub use crate::call::Deps;

use crate::admit::Admission;
use crate::call::Call;
use crate::send::Sending;

/// Sends what is left of the object, until it is complete or the deadline is near.
///
/// An error means that this call made no progress. A call that made progress returns a checkpoint whatever stopped it. The
/// next call continues there, and meets the same error at once if it is still there.
///
/// # Errors
/// Any of the runbook's but `RemoteMismatch`.
pub async fn handle(deps: &Deps, input: TransferInput, deadline: Deadline) -> Result<Progress> {
    // Boxed: the future of a whole call is too large for the stack of a small thread.
    let progress = Box::pin(transfer(deps, &input, deadline)).await?;
    let bucket = RecordBucket::of(&deps.clients.s3, &deps.settings);
    Ok(Box::pin(records::conclude(bucket, progress, &input.execution, deadline)).await)
}

async fn transfer(deps: &Deps, input: &TransferInput, deadline: Deadline) -> Result<Progress> {
    let call = Call::new(deps, input, deadline)?;
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

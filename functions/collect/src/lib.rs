//! Steps `Collect` and `VerifyObject`: reads a file from the partner's server, stores it in S3 if it is still the same at
//! the end, and looks at the object.

mod admit;
mod call;
mod conclude;
mod destination;
mod ending;
mod publish;
mod read;
mod verify;

use aws::records::{self, RecordBucket};
use bridge::collect::{CollectInput, CollectProgress, CollectStep};
use bridge::{Deadline, Result};

pub use crate::call::{Deps, OnCheckpoint};

use crate::admit::Admission;
use crate::call::Call;

/// One call of the state that the input names.
///
/// `Collect` reads what is left of the file, until S3 has it or the deadline is near. An error means that this call made no
/// progress. A call that made progress returns a checkpoint whatever stopped it. The next call continues there, and meets
/// the same error at once if it is still there.
///
/// # Errors
/// Those of the runbook that concern the server, the credential, and the objects that are written.
pub async fn handle(deps: &Deps, input: CollectInput, deadline: Deadline) -> Result<CollectProgress> {
    let call = Call::new(deps, &input, deadline);
    // Boxed: the future of a whole call is too large for the stack of a small thread.
    let progress = match input.step {
        CollectStep::Collect => Box::pin(call.collect()).await,
        CollectStep::VerifyObject => Box::pin(call.verify()).await,
    }?;
    let bucket = RecordBucket::of(&deps.clients.s3, &deps.settings);
    Ok(Box::pin(records::conclude_collection(bucket, progress, &input.execution, deadline)).await)
}

impl Call<'_> {
    async fn collect(&self) -> Result<CollectProgress> {
        let mut collecting = match self.admit().await? {
            Admission::Ended(progress) => return Ok(progress),
            Admission::Read(collecting) => *collecting,
        };
        let outcome = collecting.run().await;
        collecting.conclude(outcome).await
    }
}

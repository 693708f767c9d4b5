//! Step `SettleRemote`: S3 has confirmed the object, so its file on the server is archived, deleted or left. The
//! collection has succeeded by then, whatever the server answers here.

mod archive;
mod call;
mod delete;
mod identity;
mod marker;
mod session;
mod show;
mod work;

use aws::records::{self, RecordBucket};
use bridge::collect::{
    CollectCheckpoint, CollectOutcome, CollectPhase, CollectProgress, CollectReceipt, SettleRemoteInput,
    StoredObject,
};
use bridge::{Deadline, ErrorName, Parties, Result};

pub use crate::call::Deps;

use crate::call::Call;
use crate::work::Became;

/// Archives, deletes or leaves the file, and writes the receipt. A server that refuses is no error: the file stays, and
/// the receipt says so.
///
/// # Errors
/// `InvalidInput` if S3 has not confirmed the object; the server cannot be reached, or the session was lost.
pub async fn handle(deps: &Deps, input: SettleRemoteInput, deadline: Deadline) -> Result<CollectProgress> {
    let CollectPhase::Verified(stored) = input.checkpoint.phase.clone() else {
        // Nothing is touched on the server before.
        return Err(ErrorName::InvalidInput
            .error("field `checkpoint.phase.name`: expected verified, got an earlier phase"));
    };
    let call = Call::new(deps, &input, deadline);
    let mut checkpoint = input.checkpoint.clone();
    // Boxed: the future of a whole call is too large for the stack of a small thread.
    let became = Box::pin(call.settle(&mut checkpoint, &stored)).await?;
    tracing::info!(?became, path = checkpoint.file.path, "the file is settled");
    let receipt = receipt(&call, &checkpoint, &stored, &became);
    let progress = CollectProgress::Receipt(Box::new(receipt));
    let bucket = RecordBucket::of(&deps.clients.s3, &deps.settings);
    Ok(Box::pin(records::conclude_collection(bucket, progress, &input.execution, deadline)).await)
}

fn receipt(
    call: &Call<'_>,
    checkpoint: &CollectCheckpoint,
    stored: &StoredObject,
    became: &Became,
) -> CollectReceipt {
    let outcome = if stored.was_there { CollectOutcome::AlreadyCollected } else { CollectOutcome::Collected };
    let CollectCheckpoint { file, report, .. } = checkpoint;
    let parties = Parties {
        remote_host: &file.host,
        credential: &call.input.credential,
        execution: &call.input.execution,
    };
    let found = match stored {
        StoredObject { was_there: false, .. } => None,
        StoredObject { by_contents: true, .. } => Some(
            "an object with the same contents was there already, so none was stored (COLLECT_IF_EXISTS): its metadata is its own",
        ),
        _ => Some("an earlier execution stored it: the object's metadata names this file"),
    };
    CollectReceipt {
        reason: found.map(str::to_owned),
        object: checkpoint.object(),
        checksum: Some(stored.checksum.clone()),
        afterwards: Some(became.words()),
        ..CollectReceipt::new(outcome, file.clone(), report, parties, aws::now())
    }
}

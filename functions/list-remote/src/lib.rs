//! Step `ListRemote`: looks at the directory that is collected, and starts one execution for each file that is due.
//!
//! The name of an execution is made of server, path, size and time, so Step Functions itself refuses to collect a file
//! twice. No ledger is kept.

mod again;
mod call;
mod collections;
mod confirm;
mod judge;
mod known;
mod limits;
mod look;
mod markers;
mod purge;
mod running;
mod selection;
mod verdict;
mod walk;

use aws::records::{self, RecordBucket};
use bridge::collect::{ListProgress, ListRemoteInput, RemoteFile, url};
use bridge::{CredentialReference, Deadline, ErrorName, Result};

pub use crate::call::Deps;
pub use crate::collections::{COLLECT_STATE_MACHINE_ARN, Collections};
pub use crate::limits::Limits;
pub use crate::verdict::{Listed, Verdict};

use crate::call::Call;
use crate::confirm::confirm;
use crate::judge::Judge;
use crate::look::Look;
use crate::verdict::Confirmed;
use crate::walk::{Walk, Walked};

/// Looks at the directory, and starts what is due, oldest first. If time runs short, returns a cursor, and the next
/// call goes on there.
///
/// An error means that this call has started nothing. A call that has returns its progress whatever stopped it.
///
/// # Errors
/// `RemoteUnreadable` if the directory cannot be listed; `InvalidConfig` if the server lists without end, or no
/// execution can be started; `StepFunctionsUnavailable`; those of the session.
pub async fn handle(deps: &Deps, input: ListRemoteInput, deadline: Deadline) -> Result<ListProgress> {
    let Some(collections) = &deps.collections else {
        return Err(ErrorName::InvalidConfig.error(format!(
            "{COLLECT_STATE_MACHINE_ARN} is not set: set it to the state machine that collects files"
        )));
    };
    if input.listing.is_none()
        && let Some(name) = running::older(collections, &input.execution).await
    {
        tracing::info!(name, "another look is under way");
        let reason = Some(format!("the look {name} is under way, and goes on"));
        return Ok(ListProgress { reason, ..ListProgress::default() });
    }
    let call = Call::new(deps, &input, deadline);
    let mut look = Look::new(&call, collections);
    // Boxed: the future of a whole call is too large for the stack of a small thread.
    let outcome = Box::pin(look.run()).await;
    if let Err(error) = outcome {
        if !look.has_progressed() {
            return Err(error);
        }
        tracing::warn!(%error, "stopped after making progress; the next call goes on from the cursor");
        look.leave_to_the_next_call();
    }
    let is_complete = look.is_complete();
    let progress = look.progress;
    if is_complete {
        let bucket = RecordBucket::of(&deps.clients.s3, &deps.settings);
        let directory = url(&deps.settings.host, &deps.collect.directory);
        Box::pin(records::conclude_look(bucket, &directory, &input.execution, deadline)).await;
    }
    Ok(progress)
}

/// Lists the directory and starts nothing: gives each entry to `sink`, as the server lists it. `time` is the moment
/// that dates in object keys are taken from, in RFC 3339. Returns the number of names.
///
/// # Errors
/// Those of [`handle`] that concern the server, and those of `sink`.
pub async fn list(
    deps: &Deps,
    credential: &CredentialReference,
    time: &str,
    mut sink: impl AsyncFnMut(Listed) -> Result<()>,
) -> Result<u64> {
    let judge = Judge { collect: &deps.collect, host: &deps.settings.host, time };
    deps.partner
        .with_session(credential, None, async |session| {
            let mut walk = Walk::new(session.sftp(), judge, deps.limits, Deadline::NEVER);
            match Box::pin(walk.run(&mut sink)).await? {
                // `sink` was told where it broke off.
                Walked::Whole | Walked::BrokenOff(_) => Ok(walk.seen),
                Walked::CutOff => Err(ErrorName::Internal.error("a walk without a deadline was cut off")),
            }
        })
        .await
}

/// Files that [`list`] has listed, as a look at each of them alone shows it. `None` if it is not there any more, or is not
/// to be collected. Some servers list other sizes and times; the collection compares with these.
///
/// # Errors
/// Those of the session.
pub async fn look_closely(
    deps: &Deps,
    credential: &CredentialReference,
    time: &str,
    files: &[RemoteFile],
) -> Result<Vec<Option<RemoteFile>>> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let judge = Judge { collect: &deps.collect, host: &deps.settings.host, time };
    let looking = deps
        .partner
        .with_session(credential, None, async |session| confirm(session.sftp(), judge, files).await);
    let due = |confirmed| match confirmed {
        Confirmed::Due(file) => Some(file),
        Confirmed::PassedOver | Confirmed::Gone => None,
    };
    Ok(looking.await?.into_iter().map(due).collect())
}

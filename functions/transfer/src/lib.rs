//! Step `Transfer`: streams the pinned object into the partial file, and says how far it came.

mod acknowledged;
mod already_there;
mod direct;
mod gone;
mod slice;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws::{Deliverable, Pin, Standing};
use bridge::{
    Checkpoint, CredentialLocation, Deadline, ErrorName, ObjectCreated, OnProgress, Outcome, PinnedObject,
    Progress, Receipt, RemotePaths, Result, Settings, Status, TransferInput,
};

use partner::Partner;

use crate::acknowledged::Acknowledged;
use crate::slice::Slice;

/// What the handler works with.
pub struct Deps {
    /// The partner's server, with the settings and the clients.
    pub partner: Arc<Partner>,
    /// Hears how many bytes the server has acknowledged, and of how many.
    pub on_progress: OnProgress,
}

/// Time for the last acknowledgements and the answer.
const RESERVE: Duration = Duration::from_secs(20);

/// Before the state machine calls again after a lost session.
const PAUSE: Duration = Duration::from_secs(1);

/// Sends what is left of the object, until it is complete or the deadline is near.
///
/// An error means that this call made no progress. If it did, it returns a checkpoint whatever stopped it; the next
/// call goes on there, and meets the same error at once if it is still there.
///
/// # Errors
/// Any of the runbook's but `RemoteMismatch`.
pub async fn handle(deps: &Deps, input: TransferInput, deadline: Deadline) -> Result<Progress> {
    // Boxed: the future of a whole call is too large for the stack of a small thread.
    Box::pin(transfer(deps, input, deadline)).await
}

async fn transfer(deps: &Deps, input: TransferInput, deadline: Deadline) -> Result<Progress> {
    let event = ObjectCreated::from_event(input.event.clone())?;
    let Settings { location, policy, .. } = &deps.partner.settings;
    if input.checkpoint.is_none()
        && let Some(reason) = policy.passes_over(&event.object_key)
    {
        return Ok(skipped(deps, &input, announced(&event), reason));
    }
    // The same in every try and rerun of an execution.
    let time = event.event_time.as_ref().unwrap_or(&input.execution.start_time);
    // A folder marker ends in `/`; what makes it one is known later.
    if !event.object_key.ends_with('/') {
        RemotePaths::check(policy, &event.bucket, &event.object_key, time)?;
    }
    // The slice looks at its stop between writes; the limit is for a server that keeps us waiting in one.
    let (stop, limit) = (deadline.less(RESERVE, 4), deadline.less(RESERVE / 4, 16));
    let deliverable = Deliverable { skip_empty: policy.skip_empty };
    let mut contents = None;
    let checkpoint = match &input.checkpoint {
        Some(checkpoint) if checkpoint.status != Status::InProgress => {
            return Ok(Progress { checkpoint: Some(checkpoint.clone()), receipt: None });
        }
        Some(checkpoint) => checkpoint.clone(),
        None => match aws::pin(&deps.partner.clients.s3, &event, deliverable).await? {
            Pin::Superseded { object, reason } => return Ok(superseded(deps, &input, object, reason)),
            Pin::Missing(error) => {
                // A hand-typed input does not tell enough to recognise anything by.
                let Some(size) = event.size else { return Err(error) };
                let object = PinnedObject {
                    bucket: event.bucket,
                    object_key: event.object_key,
                    etag: event.etag.unwrap_or_default(),
                    version_id: event.version_id,
                    size,
                    last_modified: event.event_time.as_deref().and_then(bridge::unix_seconds),
                    checksum: None,
                    hash: None,
                };
                let reason = Box::pin(gone::was_delivered(deps, &input, &object, time, error, limit)).await?;
                return Ok(delivered_before(deps, &input, object, reason));
            }
            Pin::Object { object, .. } if object.size == 0 && object.object_key.ends_with('/') => {
                let reason = "a folder marker: the key ends in `/` and the object is empty".to_owned();
                return Ok(skipped(deps, &input, object, reason));
            }
            Pin::Object { object, .. } if object.size == 0 && policy.skip_empty => {
                let reason = "the object is empty, and SFTP_SKIP_EMPTY is true".to_owned();
                return Ok(skipped(deps, &input, object, reason));
            }
            Pin::Object { object, .. } if is_credential(&deps.partner.settings, &object) => {
                let reason = "this object is the bridge's own private key; it is never delivered".to_owned();
                return Ok(skipped(deps, &input, object, reason));
            }
            Pin::Object { object, body } => {
                contents = body;
                let remote = RemotePaths::new(location, policy, &object, &input.execution.id, time)?;
                if let Some(suffix) = deps.partner.settings.marker.suffix() {
                    // A name that is too long with the marker's suffix is refused while nothing is published.
                    remote.marker(suffix, policy)?;
                }
                Checkpoint::start(object, remote, aws::now())
            }
        },
    };
    let object = checkpoint.object.clone();
    let acknowledged = Acknowledged::new(checkpoint)?;
    let start = acknowledged.mark();
    let body = Mutex::new(contents);
    let resumes = AtomicBool::new(false);
    let slice = Slice { deps, input: &input, acknowledged: &acknowledged, body, stop, limit, resumes };
    if input.checkpoint.is_some()
        && let Some(reason) = aws::superseded_by(&deps.partner.clients.s3, &object, deliverable).await?
    {
        Box::pin(slice.discard()).await;
        return Ok(superseded(deps, &input, object, reason));
    }
    let outcome = tokio::time::timeout(limit.remaining(), Box::pin(slice.run())).await;
    let outcome = outcome.unwrap_or_else(|_| {
        Err(ErrorName::ConnectionLost
            .error(format!("{}: no answer until the deadline", deps.partner.settings.host)))
    });
    match outcome {
        Ok(()) => {}
        Err(error) if acknowledged.is_beyond(start) || is_warier(&acknowledged, &input) => {
            tracing::warn!(%error, "stopped after making progress; going on from the checkpoint");
            // A partner who cuts every connection is not to be called back at once.
            tokio::time::sleep(PAUSE.min(deadline.remaining() / 2)).await;
        }
        Err(error) if matches!(error.name, ErrorName::ObjectChanged | ErrorName::ObjectUnreadable) => {
            let standing = aws::standing(&deps.partner.clients.s3, &object, deliverable).await;
            match standing {
                // Changed by a newer upload: no failure of anything.
                Ok(Standing::Superseded(newer)) => {
                    Box::pin(slice.discard()).await;
                    return Ok(superseded(deps, &input, object, newer.reason));
                }
                // Perhaps because another execution of the same event was faster.
                // Of one that is sent because an older one came over it, the file that lies there tells nothing.
                Ok(Standing::Gone)
                    if error.name == ErrorName::ObjectUnreadable
                        && acknowledged.checkpoint().reason.is_none() =>
                {
                    let reason =
                        Box::pin(gone::was_delivered(deps, &input, &object, time, error, limit)).await?;
                    Box::pin(slice.discard()).await;
                    return Ok(delivered_before(deps, &input, object, reason));
                }
                // Refused, archived, or out of reach: it is still there.
                _ => return Err(error),
            }
        }
        Err(error) => return Err(error),
    }
    let checkpoint = acknowledged.checkpoint();
    let (offset, size) = (checkpoint.offset, checkpoint.object.size);
    tracing::info!(offset, size, status = ?checkpoint.status, "acknowledged");
    Ok(Progress { checkpoint: Some(checkpoint), receipt: None })
}

/// Whether this call has learned that the partial file is not to be believed. It is said once: with a server that refuses
/// each CLOSE, the error follows.
fn is_warier(acknowledged: &Acknowledged, input: &TransferInput) -> bool {
    let before = input.checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.distrusted);
    !before && acknowledged.checkpoint().distrusted
}

/// With `SFTP_S3_SSH_KEY` the key may lie in the very bucket that is watched.
fn is_credential(settings: &Settings, object: &PinnedObject) -> bool {
    match &settings.credential {
        CredentialLocation::S3 { bucket, object_key } => {
            *bucket == object.bucket && *object_key == object.object_key
        }
        CredentialLocation::SecretsManager { .. } => false,
    }
}

/// What the event says of an object that nobody looks at.
fn announced(event: &ObjectCreated) -> PinnedObject {
    PinnedObject {
        bucket: event.bucket.clone(),
        object_key: event.object_key.clone(),
        etag: event.etag.clone().unwrap_or_default(),
        version_id: event.version_id.clone(),
        size: event.size.unwrap_or_default(),
        last_modified: None,
        checksum: None,
        hash: None,
    }
}

fn skipped(deps: &Deps, input: &TransferInput, object: PinnedObject, reason: String) -> Progress {
    nothing_to_send(deps, input, Status::Skipped, Outcome::Skipped, object, reason)
}

fn superseded(deps: &Deps, input: &TransferInput, object: PinnedObject, reason: String) -> Progress {
    nothing_to_send(deps, input, Status::Superseded, Outcome::Superseded, object, reason)
}

fn delivered_before(deps: &Deps, input: &TransferInput, object: PinnedObject, reason: String) -> Progress {
    nothing_to_send(deps, input, Status::Skipped, Outcome::AlreadyDelivered, object, reason)
}

fn nothing_to_send(
    deps: &Deps,
    input: &TransferInput,
    status: Status,
    outcome: Outcome,
    object: PinnedObject,
    reason: String,
) -> Progress {
    tracing::info!(?outcome, reason, "nothing to send");
    let checkpoint = match &input.checkpoint {
        Some(checkpoint) => Checkpoint { status, ..checkpoint.clone() },
        None => Checkpoint { status, ..Checkpoint::start(object, RemotePaths::nowhere(), aws::now()) },
    };
    let host = &deps.partner.settings.host;
    let receipt = Receipt::new(outcome, &checkpoint, host, &input.credential, &input.execution, aws::now());
    Progress { checkpoint: Some(checkpoint), receipt: Some(Receipt { reason: Some(reason), ..receipt }) }
}

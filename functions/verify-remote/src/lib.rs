//! Step `VerifyRemote`: proves the partial file, gives it its mode and time, publishes it by a rename, puts the marker
//! beside it, sees to the object, and writes the receipt.

mod afterwards;
mod hashes;
mod marker;
mod proof;
mod publication;
mod publish;

use std::sync::Arc;
use std::time::Duration;

use aws::{Newer, Standing};
use bridge::{
    AfterDelivery, Checkpoint, Deadline, ErrorName, Marker, ObjectCreated, OnProgress, Outcome, Progress,
    Publication, Receipt, RemotePaths, Result, Settings, Status, VerifyRemoteInput, compare_with_stored,
};
use partner::files::{discard, put_back};
use partner::{Partner, Persistence};
use sftp::{Session, Sftp};

use crate::hashes::Known;
use crate::marker::MarkerFile;
use crate::publication::{Step, publish_proved};

/// What the handler works with.
pub struct Deps {
    /// The partner's server, with the settings and the clients.
    pub partner: Arc<Partner>,
    /// Hears how many bytes were read back, and of how many.
    pub on_progress: OnProgress,
}

/// Time for publishing and the answer.
const RESERVE: Duration = Duration::from_secs(20);

/// Before the state machine calls again after a lost session.
const PAUSE: Duration = Duration::from_secs(1);

/// Proves and publishes; where reading back takes longer than the invocation may, returns a checkpoint instead.
///
/// # Errors
/// `RemoteMismatch` if the file is not what was sent; the partial file is removed. Else any of the runbook's.
pub async fn handle(deps: &Deps, input: VerifyRemoteInput, deadline: Deadline) -> Result<Progress> {
    // Boxed, here and below: the future of a whole delivery is too large for the stack of a small thread.
    Box::pin(verify(deps, input, deadline)).await
}

async fn verify(deps: &Deps, input: VerifyRemoteInput, deadline: Deadline) -> Result<Progress> {
    if input.checkpoint.status != Status::Complete {
        return Err(ErrorName::InvalidInput.error("field `checkpoint.status`: expected complete"));
    }
    let mut checkpoint = input.checkpoint.clone();
    let stop = deadline.less(RESERVE, 4);
    let limit = deadline.less(RESERVE / 4, 16);
    let running = Box::pin(run(deps, &input, &mut checkpoint, stop));
    let outcome = tokio::time::timeout(limit.remaining(), running).await;
    let outcome = outcome.unwrap_or_else(|_| {
        Err(ErrorName::ConnectionLost
            .error(format!("{}: no answer until the deadline", deps.partner.settings.host)))
    });
    match outcome {
        Ok(receipt) => Ok(Progress { checkpoint: Some(checkpoint), receipt }),
        // The state machine would begin with the version that the event announced.
        Err(error) if error.name == ErrorName::RemoteMismatch && checkpoint.reason.is_some() => {
            if checkpoint.restarts >= FOLLOWING_RESTARTS {
                return Err(ErrorName::RemoteFailure.error(format!(
                    "an older version may lie over a newer one, which was sent {FOLLOWING_RESTARTS} times and differed: {}. Start a new execution with the newer upload's event",
                    error.message()
                )));
            }
            tracing::warn!(%error, "sending the newer upload once more");
            Ok(Progress { checkpoint: Some(begun_again(checkpoint)), receipt: None })
        }
        Err(error) if must_be_kept(&input.checkpoint, &checkpoint, &error) => {
            tracing::warn!(%error, "stopped after making progress; going on from the checkpoint");
            // A partner who cuts every connection is not to be called back at once.
            tokio::time::sleep(PAUSE.min(deadline.remaining() / 2)).await;
            Ok(Progress { checkpoint: Some(checkpoint), receipt: None })
        }
        Err(error) => Err(error),
    }
}

/// Maximum number of times that a newer upload is sent again, after an older one was published over it.
const FOLLOWING_RESTARTS: u32 = 3;

/// The same delivery from its beginning.
fn begun_again(checkpoint: Checkpoint) -> Checkpoint {
    let Checkpoint { object, remote, started_at, reason, bytes_sent, credential_version_id, .. } = checkpoint;
    let restarts = checkpoint.restarts + 1;
    let begun = Checkpoint::start(object, remote, started_at);
    Checkpoint { restarts, distrusted: true, reason, bytes_sent, credential_version_id, ..begun }
}

/// Maximum number of lost sessions, or refusals, in the middle of publishing of which a checkpoint is returned.
const PUBLISH_LOSSES_MAX: u32 = 10;

/// Whether the call has brought something that the next one has to know although it failed: that the file is published,
/// whatever came after it; what was read; what was asked for and not answered. What no retry cures is said at once.
fn must_be_kept(before: &Checkpoint, now: &Checkpoint, error: &bridge::Error) -> bool {
    let is_published = now.publication != before.publication;
    let is_further = how_far(now) > how_far(before);
    let is_unanswered = now.publishing != before.publishing
        || now.aside != before.aside
        || now.marker_aside != before.marker_aside;
    is_published
        || error.name.retryable()
            && (is_further || is_unanswered && now.publish_refusals <= PUBLISH_LOSSES_MAX)
}

/// What can be compared: more is further. What comes later in a delivery stands first; then bytes, whatever they were
/// read for.
fn how_far(checkpoint: &Checkpoint) -> (bool, bool, bool, u32, u64) {
    let Checkpoint { publication, vanished, hash_given_up, number, .. } = checkpoint;
    let read = [&checkpoint.read_back, &checkpoint.comparing].into_iter().flatten();
    let bytes = read.map(|read| read.offset).sum::<u64>()
        + checkpoint.read_for_hash.as_ref().map_or(0, |read| read.offset);
    (publication.is_some(), *vanished, *hash_given_up, *number, bytes)
}

/// Proves, publishes, and sees to what comes after it. `None` if there is more to do in another call.
async fn run(
    deps: &Deps,
    input: &VerifyRemoteInput,
    checkpoint: &mut Checkpoint,
    stop: Deadline,
) -> Result<Option<Receipt>> {
    let Settings { marker, after_delivery, .. } = &deps.partner.settings;
    let is_complete = |publication: &Publication| {
        publication.is_newest && (*marker == Marker::None || publication.marker.is_some())
    };
    if !checkpoint.publication.as_ref().is_some_and(is_complete) {
        match on_the_server(deps, input, checkpoint, stop).await? {
            End::Published => {}
            End::Superseded(receipt) => return Ok(Some(*receipt)),
            End::FollowsNewest | End::StopCame => return Ok(None),
        }
    }
    let Some(publication) = checkpoint.publication.clone() else { return Ok(None) };
    // The object may go only when the state machine's document says that it was published: whoever has to do this
    // again then needs neither the object nor the file. The next call has all its time for it, too.
    if input.checkpoint.publication.is_none()
        && !publication.unconfirmed
        && (after_delivery.removes() || *after_delivery != AfterDelivery::Keep && stop.has_passed())
    {
        return Ok(None);
    }
    Ok(Some(delivered(deps, input, checkpoint, publication, stop).await))
}

/// Sees to the object, and writes the receipt.
async fn delivered(
    deps: &Deps,
    input: &VerifyRemoteInput,
    checkpoint: &Checkpoint,
    publication: Publication,
    stop: Deadline,
) -> Receipt {
    let Publication { outcome, path, proof, host_key_fingerprint, marker, unconfirmed, .. } = publication;
    let after = match unconfirmed && deps.partner.settings.after_delivery.removes() {
        true => {
            Err("S3_AFTER_DELIVERY: the object stays, because the file was not seen under its final name"
                .into())
        }
        false => afterwards::run(deps, &checkpoint.object, &input.execution, outcome, stop).await,
    };
    let receipt = receipt(deps, input, outcome, checkpoint);
    let mut warnings = receipt.warnings.clone();
    let after_delivery = after.unwrap_or_else(|warning| {
        warnings.push(warning);
        None
    });
    Receipt {
        remote_path: Some(path),
        marker,
        proof: Some(proof),
        checksum: Some(checkpoint.checksum.clone()),
        source_checksum_matched: compare_with_stored(checkpoint).map(|compared| compared.is_ok()),
        host_key_fingerprint,
        after_delivery,
        warnings,
        ..receipt
    }
}

fn receipt(deps: &Deps, input: &VerifyRemoteInput, outcome: Outcome, checkpoint: &Checkpoint) -> Receipt {
    tracing::info!(?outcome, path = checkpoint.final_path(), "the delivery has ended");
    let (host, credential, execution) = (&deps.partner.settings.host, &input.credential, &input.execution);
    Receipt::new(outcome, checkpoint, host, credential, execution, aws::now())
}

/// How the part that needs a session ends.
enum End {
    /// With its marker, if there is to be one and it can be made.
    Published,
    /// A newer upload takes the object's place.
    Superseded(Box<Receipt>),
    /// The checkpoint begins the delivery of a newer upload.
    FollowsNewest,
    StopCame,
}

/// What needs a session; one that is lost on the way is followed by another.
async fn on_the_server(
    deps: &Deps,
    input: &VerifyRemoteInput,
    checkpoint: &mut Checkpoint,
    stop: Deadline,
) -> Result<End> {
    let mut persistence = Persistence::default();
    loop {
        let start = how_far(checkpoint);
        let accepted = checkpoint.credential_version_id.clone();
        let outcome = deps.partner.with_session(&input.credential, accepted.as_deref(), async |session| {
            checkpoint.credential_version_id = input.credential.accepted(session.label());
            prove_and_publish(deps, input, checkpoint, session, stop).await
        });
        let error = match outcome.await {
            Ok(end) => return Ok(end),
            Err(error) => error,
        };
        let progress = how_far(checkpoint) > start;
        if stop.has_passed() || !persistence.goes_on(&error, progress, stop).await {
            return Err(error);
        }
    }
}

/// Fills in the checkpoint's publication, unless the stop comes first.
async fn prove_and_publish(
    deps: &Deps,
    input: &VerifyRemoteInput,
    checkpoint: &mut Checkpoint,
    session: &Session,
    stop: Deadline,
) -> Result<End> {
    let sftp = session.sftp();
    let host_key_fingerprint = Some(session.host_key_fingerprint().to_owned());
    let mut asked = false;
    if checkpoint.publication.is_none() {
        let is_retry = input.execution.retry_count > 0 || input.execution.redrive_count > 0;
        let ended = match Box::pin(publish_proved(deps, checkpoint, sftp, stop, is_retry)).await? {
            Step::Published(ended) => ended,
            Step::Superseded(reason) => {
                let receipt = receipt(deps, input, Outcome::Superseded, checkpoint);
                let receipt = Receipt { reason: Some(reason), host_key_fingerprint, ..receipt };
                return Ok(End::Superseded(Box::new(receipt)));
            }
            Step::StopCame => return Ok(End::StopCame),
        };
        checkpoint.publication = Some(Publication {
            outcome: ended.outcome,
            path: checkpoint.final_path(),
            proof: ended.proof,
            host_key_fingerprint,
            marker: None,
            unconfirmed: ended.unconfirmed,
            // What was there before was not put there by us.
            is_newest: ended.outcome == Outcome::AlreadyDelivered,
        });
        if let Some(standing) = ended.standing {
            asked = true;
            if let Some(end) = follow(deps, input, checkpoint, sftp, standing).await? {
                return Ok(end);
            }
        }
    }
    Box::pin(finish(deps, input, checkpoint, sftp, stop, asked)).await
}

/// Sees to it that what lies there is the newest upload, and puts the marker beside it. `asked`: S3 has just said that it
/// is.
async fn finish(
    deps: &Deps,
    input: &VerifyRemoteInput,
    checkpoint: &mut Checkpoint,
    sftp: &Sftp,
    stop: Deadline,
    asked: bool,
) -> Result<End> {
    let Some(publication) = checkpoint.publication.clone() else { return Ok(End::StopCame) };
    let needs_marker = deps.partner.settings.marker != Marker::None && publication.marker.is_none();
    // A marker speaks of the file that lies there: it is not written for one that was replaced since.
    if !publication.is_newest || needs_marker && !asked {
        let standing = publish::standing(deps, checkpoint).await?;
        if let Some(end) = follow(deps, input, checkpoint, sftp, standing).await? {
            return Ok(end);
        }
    }
    clear_asides(checkpoint, sftp).await?;
    if !needs_marker {
        return Ok(End::Published);
    }
    match put_marker(deps, checkpoint, sftp, stop).await? {
        Marked::Written => {
            let standing = publish::standing(deps, checkpoint).await?;
            Ok(follow(deps, input, checkpoint, sftp, standing).await?.unwrap_or(End::Published))
        }
        Marked::AsItWas => Ok(End::Published),
        Marked::StopCame => Ok(End::StopCame),
    }
}

/// An older version must not stay over a newer one: if there is a newer upload after anything was written under a final
/// name, this execution delivers that as well. The newer one's own execution may have published it before.
async fn follow(
    deps: &Deps,
    input: &VerifyRemoteInput,
    checkpoint: &mut Checkpoint,
    sftp: &Sftp,
    standing: Standing,
) -> Result<Option<End>> {
    let outcome = checkpoint.publication.as_ref().map(|publication| publication.outcome);
    let policy = &deps.partner.settings.policy;
    // With `fail` and `keep-both` nothing was replaced. With a date in its path, the newer one has another name.
    let may_replace = !policy.if_exists.keeps() && !policy.remote_path.has_date();
    let Newer { reason, version_id } = match standing {
        Standing::Superseded(newer) if may_replace => newer,
        _ => {
            mark_newest(checkpoint);
            return Ok(None);
        }
    };
    if outcome == Some(Outcome::AlreadyDelivered) {
        clear_asides(checkpoint, sftp).await?;
        let receipt = receipt(deps, input, Outcome::Superseded, checkpoint);
        return Ok(Some(End::Superseded(Box::new(Receipt { reason: Some(reason), ..receipt }))));
    }
    let event = ObjectCreated::from_event(input.event.clone())?;
    let Some(newest) = aws::pin_newer(&deps.partner.clients.s3, &event, version_id.as_deref()).await? else {
        let warning = format!(
            "{reason}; the newer upload was deleted meanwhile. Ask the partner whether the newer file arrived"
        );
        checkpoint.warnings.push(warning);
        mark_newest(checkpoint);
        return Ok(None);
    };
    clear_asides(checkpoint, sftp).await?;
    tracing::warn!(reason, "published, and overtaken at the same time; delivering the newer upload as well");
    let Settings { location, policy, .. } = &deps.partner.settings;
    let time = event.event_time.as_ref().unwrap_or(&input.execution.start_time);
    let remote = RemotePaths::new(location, policy, &newest, &input.execution.id, time)?;
    let former = std::mem::replace(checkpoint, Checkpoint::start(newest, remote, aws::now()));
    checkpoint.reason = Some(format!(
        "{reason}. It came while an older one was being published, so this execution delivered the newer one as well"
    ));
    checkpoint.credential_version_id = former.credential_version_id;
    checkpoint.bytes_sent = former.bytes_sent;
    Ok(Some(End::FollowsNewest))
}

fn mark_newest(checkpoint: &mut Checkpoint) {
    if let Some(publication) = &mut checkpoint.publication {
        publication.is_newest = true;
    }
}

/// What was moved aside, and is not needed any more once ours lies there. If nothing lies there, the former file has its
/// name back.
async fn clear_asides(checkpoint: &mut Checkpoint, sftp: &Sftp) -> Result<()> {
    if let Some(aside) = &checkpoint.aside {
        put_back(sftp, aside, &checkpoint.final_path()).await?;
        checkpoint.aside = None;
    }
    if let Some(aside) = checkpoint.marker_aside.take() {
        discard(sftp, &aside).await;
    }
    Ok(())
}

enum Marked {
    Written,
    /// It was there and right, or it is not known what it has to say.
    AsItWas,
    StopCame,
}

async fn put_marker(deps: &Deps, checkpoint: &mut Checkpoint, sftp: &Sftp, stop: Deadline) -> Result<Marked> {
    let settings = &deps.partner.settings;
    match hashes::know(deps, checkpoint, settings.marker.hashes(), stop).await? {
        Known::Yes => {}
        Known::NotYet => return Ok(Marked::StopCame),
        // The execution that delivered the file has put its marker there.
        Known::Never(why) => {
            let warning = format!("the marker was not looked at: {why}");
            // Each call comes by here.
            if !checkpoint.warnings.contains(&warning) {
                checkpoint.warnings.push(warning);
            }
            return Ok(Marked::AsItWas);
        }
    }
    let Some(publication) = &checkpoint.publication else { return Ok(Marked::AsItWas) };
    let Some(marker) = MarkerFile::new(settings, checkpoint, &publication.path)? else {
        return Ok(Marked::AsItWas);
    };
    let written = marker.publish(sftp).await?;
    let path = marker.path().to_owned();
    if let Some(publication) = &mut checkpoint.publication {
        publication.marker = Some(path);
    }
    Ok(if written { Marked::Written } else { Marked::AsItWas })
}

//! Step `VerifyRemote`: proves the partial file, gives it its mode and time, publishes it by a rename, puts the marker
//! beside it, sees to the object, and writes the receipt.

mod afterwards;
mod attributes;
mod hashes;
mod marker;
mod proof;
mod publication;
mod publish;

use std::sync::Arc;
use std::time::Duration;

use bridge::{
    AfterDelivery, Checkpoint, Deadline, ErrorName, Marker, OnProgress, Outcome, Progress, Publication,
    Receipt, Result, Settings, Status, VerifyRemoteInput, compare_with_stored,
};
use partner::{Partner, Persistence};
use sftp::Session;

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

/// Proves and publishes; where reading back takes longer than the invocation may, returns a checkpoint instead.
///
/// # Errors
/// `RemoteMismatch` if the file is not what was sent; the partial file is removed. Else any of the runbook's.
pub async fn handle(deps: &Deps, input: VerifyRemoteInput, deadline: Deadline) -> Result<Progress> {
    if input.checkpoint.status != Status::Complete {
        return Err(ErrorName::InvalidInput.error("field `checkpoint.status`: expected complete"));
    }
    let start = how_far(&input.checkpoint);
    let mut checkpoint = input.checkpoint.clone();
    let stop = deadline.less(RESERVE, 4);
    let limit = deadline.less(RESERVE / 4, 16);
    let outcome = tokio::time::timeout(limit.remaining(), run(deps, &input, &mut checkpoint, stop)).await;
    let outcome = outcome.unwrap_or_else(|_| {
        Err(ErrorName::ConnectionLost
            .error(format!("{}: no answer until the deadline", deps.partner.settings.host)))
    });
    match outcome {
        Ok(receipt) => Ok(Progress { checkpoint: Some(checkpoint), receipt }),
        // That it is published must not be forgotten, whatever came after it. Nor what was read, where it is of use: what
        // no retry cures is said at once.
        Err(error)
            if checkpoint.publication.is_some() != input.checkpoint.publication.is_some()
                || error.name.retryable()
                    && (how_far(&checkpoint) > start
                        || checkpoint.publishing != input.checkpoint.publishing) =>
        {
            tracing::warn!(%error, "stopped after making progress; going on from the checkpoint");
            Ok(Progress { checkpoint: Some(checkpoint), receipt: None })
        }
        Err(error) => Err(error),
    }
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
    let is_complete = |publication: &Publication| *marker == Marker::None || publication.marker.is_some();
    if !checkpoint.publication.as_ref().is_some_and(is_complete) {
        match on_the_server(deps, input, checkpoint, stop).await? {
            End::Published => {}
            End::Superseded(receipt) => return Ok(Some(*receipt)),
            End::StopCame => return Ok(None),
        }
    }
    let Some(publication) = checkpoint.publication.clone() else { return Ok(None) };
    // The object may go only when the state machine's document says that it was published: whoever has to do this
    // again then needs neither the object nor the file. The next call has all its time for it, too.
    if input.checkpoint.publication.is_none()
        && (after_delivery.removes() || *after_delivery != AfterDelivery::Keep && stop.has_passed())
    {
        return Ok(None);
    }
    let Publication { outcome, path, proof, host_key_fingerprint, marker } = publication;
    let after = afterwards::run(deps, &checkpoint.object, &input.execution, outcome, stop).await;
    let receipt = receipt(deps, input, outcome, checkpoint);
    let mut warnings = receipt.warnings.clone();
    let after_delivery = after.unwrap_or_else(|warning| {
        warnings.push(warning);
        None
    });
    Ok(Some(Receipt {
        remote_path: Some(path),
        marker,
        proof: Some(proof),
        checksum: Some(checkpoint.checksum.clone()),
        source_checksum_matched: compare_with_stored(checkpoint).map(|compared| compared.is_ok()),
        host_key_fingerprint,
        after_delivery,
        warnings,
        ..receipt
    }))
}

fn receipt(deps: &Deps, input: &VerifyRemoteInput, outcome: Outcome, checkpoint: &Checkpoint) -> Receipt {
    tracing::info!(?outcome, path = checkpoint.final_path(), "the delivery has ended");
    let (host, credential, execution) = (&deps.partner.settings.host, &input.credential, &input.execution);
    Receipt::new(outcome, checkpoint, host, credential, execution, aws::now())
}

/// How the part that needs a session ends.
enum End {
    /// With its marker, if there is to be one and it can be had.
    Published,
    /// A newer upload takes the object's place.
    Superseded(Box<Receipt>),
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
    let (sftp, settings) = (session.sftp(), &deps.partner.settings);
    let host_key_fingerprint = Some(session.host_key_fingerprint().to_owned());
    if checkpoint.publication.is_none() {
        let (outcome, proof) = match publish_proved(deps, checkpoint, sftp, stop).await? {
            Step::Published(outcome, proof) => (outcome, proof),
            Step::Superseded(reason) => {
                let receipt = receipt(deps, input, Outcome::Superseded, checkpoint);
                let receipt = Receipt { reason: Some(reason), host_key_fingerprint, ..receipt };
                return Ok(End::Superseded(Box::new(receipt)));
            }
            Step::StopCame => return Ok(End::StopCame),
        };
        let path = checkpoint.final_path();
        checkpoint.publication =
            Some(Publication { outcome, path, proof, host_key_fingerprint, marker: None });
    }
    match hashes::know(deps, checkpoint, settings.marker.hashes(), stop).await? {
        Known::Yes => {}
        Known::NotYet => return Ok(End::StopCame),
        // Whoever has delivered it has put its marker there.
        Known::Never(why) => {
            let warning = format!("the marker was not looked at: {why}");
            // Each call comes by here.
            if !checkpoint.warnings.contains(&warning) {
                checkpoint.warnings.push(warning);
            }
            return Ok(End::Published);
        }
    }
    if let Some(publication) = &checkpoint.publication
        && let Some(marker) = MarkerFile::new(settings, checkpoint, &publication.path)?
    {
        marker.publish(sftp).await?;
        let marker = Some(marker.path().to_owned());
        checkpoint.publication = Some(Publication { marker, ..publication.clone() });
    }
    Ok(End::Published)
}

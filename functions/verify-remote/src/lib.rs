//! Step `VerifyRemote`: proves the partial file, publishes it by a rename, and writes the receipt.

mod proof;
mod publish;

use std::sync::Arc;
use std::time::Duration;

use bridge::{
    Checkpoint, Deadline, ErrorName, OnProgress, Outcome, Progress, Proof, ProofPolicy, Receipt, Result,
    Status, VerifyRemoteInput, compare_with_stored,
};
use partner::{Partner, Persistence};
use sftp::Sftp;

use crate::proof::{Prover, Search, Subject, Verdict};
use crate::publish::{LOST_ANSWER, Published, discard, publish};

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
    let start = read_back(&input.checkpoint);
    let mut checkpoint = input.checkpoint.clone();
    let stop = deadline.less(RESERVE, 4);
    let limit = deadline.less(RESERVE / 4, 16).remaining();
    let outcome = tokio::time::timeout(limit, run(deps, &input, &mut checkpoint, stop)).await;
    let outcome = outcome.unwrap_or_else(|_| {
        Err(ErrorName::ConnectionLost
            .error(format!("{}: no answer until the deadline", deps.partner.settings.host)))
    });
    match outcome {
        Ok(receipt) => Ok(Progress { checkpoint: Some(checkpoint), receipt }),
        Err(error)
            if matches!(error.name, ErrorName::ConnectionLost | ErrorName::ConnectFailed)
                // That a rename was asked for is not to be forgotten.
                && (read_back(&checkpoint) > start || checkpoint.publishing != input.checkpoint.publishing) =>
        {
            tracing::warn!(%error, "stopped after making progress; going on from the checkpoint");
            Ok(Progress { checkpoint: Some(checkpoint), receipt: None })
        }
        Err(error) => Err(error),
    }
}

/// Bytes read back so far.
fn read_back(checkpoint: &Checkpoint) -> u64 {
    checkpoint.read_back.as_ref().map_or(0, |read_back| read_back.offset)
}

/// A session that is lost while reading back is followed by another.
async fn run(
    deps: &Deps,
    input: &VerifyRemoteInput,
    checkpoint: &mut Checkpoint,
    stop: Deadline,
) -> Result<Option<Receipt>> {
    let mut persistence = Persistence::default();
    loop {
        let start = read_back(checkpoint);
        let session = deps.partner.session(&input.credential).await;
        let error = match session {
            Ok(session) => {
                let outcome = prove_and_publish(deps, input, checkpoint, session.sftp(), stop).await;
                let host_key_fingerprint = Some(session.host_key_fingerprint().to_owned());
                match outcome {
                    Ok(receipt) => {
                        deps.partner.give_back(session).await;
                        return Ok(receipt.map(|receipt| Receipt { host_key_fingerprint, ..receipt }));
                    }
                    Err(error) => {
                        deps.partner.discard(session).await;
                        error
                    }
                }
            }
            Err(error) => error,
        };
        let progress = read_back(checkpoint) > start;
        if stop.has_passed() || !persistence.goes_on(&error, progress, stop).await {
            return Err(error);
        }
    }
}

async fn prove_and_publish(
    deps: &Deps,
    input: &VerifyRemoteInput,
    checkpoint: &mut Checkpoint,
    sftp: &Sftp,
    stop: Deadline,
) -> Result<Option<Receipt>> {
    let prover = Prover { deps, sftp, stop };
    let settings = &deps.partner.settings;
    let direct = checkpoint.remote.is_direct();
    let keeps = settings.policy.if_exists.keeps() && !direct;
    let receipt = |outcome, checkpoint: &Checkpoint| {
        tracing::info!(?outcome, path = checkpoint.final_path(), "the delivery has ended");
        Receipt::new(outcome, checkpoint, &settings.host, &input.credential, &input.execution, aws::now())
    };
    let delivered = |outcome, proof, warnings, checkpoint: &Checkpoint| Receipt {
        remote_path: Some(checkpoint.final_path()),
        proof: Some(proof),
        checksum: Some(checkpoint.checksum.clone()),
        source_checksum_matched: compare_with_stored(checkpoint).map(|compared| compared.is_ok()),
        warnings,
        ..receipt(outcome, checkpoint)
    };
    let superseded = async |checkpoint: &Checkpoint| {
        let reason = aws::superseded_by(&deps.partner.clients.s3, &checkpoint.object).await?;
        Ok::<_, bridge::Error>(
            reason.map(|reason| Receipt { reason: Some(reason), ..receipt(Outcome::Superseded, checkpoint) }),
        )
    };
    if keeps && !checkpoint.already_there {
        match prover.search(checkpoint).await? {
            Search::Free => {}
            Search::StopCame => return Ok(None),
            Search::Same(proof) => {
                // Without a partial file it was us: the answer to an earlier rename was lost.
                let again = discard(sftp, &checkpoint.remote.partial).await;
                let outcome = if again { Outcome::AlreadyDelivered } else { Outcome::Delivered };
                return Ok(Some(delivered(outcome, proof, Vec::new(), checkpoint)));
            }
            Search::Taken => {
                if let superseded @ Some(_) = superseded(checkpoint).await? {
                    discard(sftp, &checkpoint.remote.partial).await;
                    return Ok(superseded);
                }
                return Err(ErrorName::RemotePathRejected.error(format!(
                    "{:?} exists, with other contents, and SFTP_IF_EXISTS is {}; nothing was published",
                    checkpoint.final_path(),
                    settings.policy.if_exists.as_str()
                )));
            }
        }
    }
    let subject = match Subject::find(sftp, checkpoint).await? {
        Some(subject) if direct => match grown(subject, sftp, checkpoint, stop).await? {
            Some(subject) => subject,
            None => return Ok(None),
        },
        Some(subject) => subject,
        None if direct || checkpoint.publishing => {
            if direct && let superseded @ Some(_) = superseded(checkpoint).await? {
                return Ok(superseded);
            }
            if !matches!(settings.proof, ProofPolicy::Auto | ProofPolicy::None) {
                return Err(ErrorName::InvalidConfig.error(format!(
                    "SFTP_PROOF demands a proof, but {:?} is gone: the server takes files away at once. Set it to auto or none",
                    checkpoint.final_path()
                )));
            }
            let taken = if direct { TAKEN } else { LOST_ANSWER };
            let warnings = vec![taken.to_owned()];
            return Ok(Some(delivered(Outcome::Delivered, Proof::Unverified, warnings, checkpoint)));
        }
        None => {
            return Err(ErrorName::RemoteMismatch.error(format!(
                "{:?} is gone: the server, or someone on it, removed it after every byte was acknowledged. If it takes files away at once, set SFTP_PUBLISH to direct",
                checkpoint.remote.partial
            )));
        }
    };
    let verdict = match prover.prove(&subject, checkpoint).await {
        Err(error) if error.name == ErrorName::RemoteMismatch && subject.is_partial() => {
            // By now it may be a newer version that lies there.
            if direct && let superseded @ Some(_) = superseded(checkpoint).await? {
                return Ok(superseded);
            }
            discard(sftp, &checkpoint.remote.partial).await;
            return Err(error);
        }
        other => other?,
    };
    let (proof, mut warnings) = match verdict {
        Verdict::Proved { proof, warnings } => (proof, warnings),
        Verdict::StopCame => return Ok(None),
    };
    if !checkpoint.already_there
        && let superseded @ Some(_) = superseded(checkpoint).await?
    {
        if subject.is_partial() && !direct {
            discard(sftp, &checkpoint.remote.partial).await;
        }
        return Ok(superseded);
    }
    let outcome = if subject.is_partial() {
        match publish(sftp, checkpoint, keeps).await? {
            Published::Now(more) => {
                warnings.extend(more);
                Outcome::Delivered
            }
            Published::ByAnother => Outcome::AlreadyDelivered,
            Published::Taken => return Ok(None),
        }
    } else if checkpoint.already_there {
        Outcome::AlreadyDelivered
    } else {
        // What we sent is under the final name already: the answer to an earlier rename was lost, or another
        // execution of the same version was faster.
        Outcome::Delivered
    };
    Ok(Some(delivered(outcome, proof, warnings, checkpoint)))
}

const TAKEN: &str = "the file was gone before it could be proved: the server takes files away at once";

/// A file that gets longer without our doing is being written by another execution of the same version, to which ours
/// lost it. Waits until it is whole, or does not grow any more; `None` if the stop comes first.
async fn grown(
    mut subject: Subject,
    sftp: &Sftp,
    checkpoint: &Checkpoint,
    stop: Deadline,
) -> Result<Option<Subject>> {
    const PATIENCE: Duration = Duration::from_secs(3);
    while subject.is_shorter(checkpoint.object.size) {
        if stop.has_passed() {
            return Ok(None);
        }
        tokio::time::sleep(PATIENCE.min(stop.remaining())).await;
        match Subject::find(sftp, checkpoint).await? {
            Some(now) if now.size() != subject.size() => subject = now,
            _ => break,
        }
    }
    Ok(Some(subject))
}

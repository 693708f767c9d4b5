//! Step `VerifyRemote`: proves the partial file, publishes it by a rename, and writes the receipt.

mod proof;
mod publish;

use std::sync::Arc;
use std::time::Duration;

use bridge::{
    Checkpoint, Deadline, ErrorName, OnProgress, Outcome, Progress, Receipt, Result, Status,
    VerifyRemoteInput, compare_with_stored,
};
use partner::{Partner, Persistence};
use sftp::Sftp;

use crate::proof::{Prover, Subject, Verdict};
use crate::publish::{Published, publish};

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
                && read_back(&checkpoint) > start =>
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
        let session =
            deps.partner.session(&input.credential, checkpoint.credential_version_id.as_deref()).await;
        let error = match session {
            Ok(session) => {
                checkpoint.credential_version_id = input.credential.accepted(session.label());
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
    let subject = Subject::find(sftp, checkpoint).await?;
    let prover = Prover { deps, sftp, stop };
    let verdict = match prover.prove(&subject, checkpoint).await {
        Err(error) if error.name == ErrorName::RemoteMismatch && subject.is_partial() => {
            discard(sftp, &checkpoint.remote.partial).await;
            return Err(error);
        }
        other => other?,
    };
    let (proof, mut warnings) = match verdict {
        Verdict::Proved { proof, warnings } => (proof, warnings),
        Verdict::StopCame => return Ok(None),
    };
    let receipt = |outcome, checkpoint: &Checkpoint| {
        tracing::info!(?outcome, ?proof, path = checkpoint.remote.path, "the delivery has ended");
        let (host, credential, execution) =
            (&deps.partner.settings.host, &input.credential, &input.execution);
        Receipt::new(outcome, checkpoint, host, credential, execution, aws::now())
    };
    if !checkpoint.already_there
        && let reason @ Some(_) = aws::superseded_by(&deps.partner.clients.s3, &checkpoint.object).await?
    {
        if subject.is_partial() {
            discard(sftp, &checkpoint.remote.partial).await;
        }
        return Ok(Some(Receipt { reason, ..receipt(Outcome::Superseded, checkpoint) }));
    }
    let outcome = if subject.is_partial() {
        match publish(sftp, &checkpoint.remote, checkpoint.object.size).await? {
            Published::Now(more) => {
                warnings.extend(more);
                Outcome::Delivered
            }
            Published::ByAnother => Outcome::AlreadyDelivered,
        }
    } else if checkpoint.already_there {
        Outcome::AlreadyDelivered
    } else {
        // What we sent is under the final name already: the answer to an earlier rename was lost, or another
        // execution of the same version was faster.
        Outcome::Delivered
    };
    warnings.extend(input.credential.warning(checkpoint.credential_version_id.as_deref()));
    Ok(Some(Receipt {
        remote_path: Some(checkpoint.remote.path.clone()),
        proof: Some(proof),
        checksum: Some(checkpoint.checksum.clone()),
        source_checksum_matched: compare_with_stored(checkpoint).map(|compared| compared.is_ok()),
        warnings,
        ..receipt(outcome, checkpoint)
    }))
}

/// Removes a partial file that is of no more use. One that cannot be removed is not worth failing for: it is not
/// under the final name.
async fn discard(sftp: &Sftp, partial: &str) {
    match sftp.remove(partial).await {
        Ok(()) => {}
        Err(error) if error.is_not_found() => {}
        Err(error) => tracing::warn!(%error, "the partial file could not be removed"),
    }
}

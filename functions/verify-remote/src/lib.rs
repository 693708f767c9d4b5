//! Step `VerifyRemote`: proves the partial file, publishes it by a rename, and writes the receipt.

mod proof;
mod publish;

use std::time::Duration;

use aws::credential::{self, Clients};
use bridge::{
    Checkpoint, Deadline, ErrorName, OnProgress, Outcome, Progress, Receipt, Result, Settings, Status,
    VerifyRemoteInput,
};
use sftp::{Endpoint, Login, Session, Sftp};

use crate::proof::{Prover, Subject, Verdict};
use crate::publish::{Published, publish};

/// What the handler works with.
pub struct Deps {
    /// The settings.
    pub settings: Settings,
    /// Clients for the object and the credential.
    pub clients: Clients,
    /// How the partner's server is talked to.
    pub sftp: sftp::Options,
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
    let read_back_start = input.checkpoint.read_back.clone();
    let mut checkpoint = input.checkpoint.clone();
    let stop = deadline.less(RESERVE, 4);
    let limit = deadline.less(RESERVE / 4, 16).remaining();
    let outcome = tokio::time::timeout(limit, run(deps, &input, &mut checkpoint, stop)).await;
    let outcome = outcome.unwrap_or_else(|_| {
        Err(ErrorName::ConnectionLost.error(format!("{}: no answer until the deadline", deps.settings.host)))
    });
    match outcome {
        Ok(receipt) => Ok(Progress { checkpoint: Some(checkpoint), receipt }),
        Err(error) if error.name == ErrorName::ConnectionLost && checkpoint.read_back != read_back_start => {
            tracing::warn!(%error, "stopped after making progress; going on from the checkpoint");
            Ok(Progress { checkpoint: Some(checkpoint), receipt: None })
        }
        Err(error) => Err(error),
    }
}

async fn run(
    deps: &Deps,
    input: &VerifyRemoteInput,
    checkpoint: &mut Checkpoint,
    stop: Deadline,
) -> Result<Option<Receipt>> {
    let Deps { settings, clients, sftp: options, .. } = deps;
    let credential = credential::read(clients, &input.credential.location).await?;
    let login = Login::new(
        input.credential.user_name.clone(),
        credential.private_key.as_ref(),
        credential.passphrase.as_ref(),
        credential.password,
    )?;
    let endpoint = Endpoint { host: settings.host.clone(), port: settings.port };
    let session = Session::connect(&endpoint, &login, &settings.trusted_host_keys, options).await?;
    let outcome = prove_and_publish(deps, input, checkpoint, session.sftp(), stop).await;
    let host_key_fingerprint = Some(session.host_key_fingerprint().to_owned());
    session.disconnect().await;
    Ok(outcome?.map(|receipt| Receipt { host_key_fingerprint, ..receipt }))
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
        let (host, credential, execution) = (&deps.settings.host, &input.credential, &input.execution);
        Receipt::new(outcome, checkpoint, host, credential, execution, aws::now())
    };
    if !checkpoint.already_there
        && let reason @ Some(_) = aws::superseded_by(&deps.clients.s3, &checkpoint.object).await?
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
    let stored = checkpoint.object.checksum.as_ref();
    Ok(Some(Receipt {
        remote_path: Some(checkpoint.remote.path.clone()),
        proof: Some(proof),
        checksum: Some(checkpoint.checksum.clone()),
        source_checksum_matched: stored.map(|stored| *stored == checkpoint.checksum),
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

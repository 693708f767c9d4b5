//! From the partial file to the final name, within one session: it is found, proved, and published.

use std::time::Duration;

use aws::Standing;
use bridge::{Checkpoint, Deadline, ErrorName, IfExists, Outcome, Proof, ProofPolicy, Result};
use sftp::Sftp;

use crate::hashes::{self, Known};
use crate::marker::MarkerFile;
use crate::proof::{Prover, Search, Subject, Verdict};
use crate::publish::{LOST_ANSWER, Published, discard, publish};
use crate::{Deps, attributes};

pub(crate) enum Step {
    Published(Outcome, Proof),
    /// Says by what.
    Superseded(String),
    /// There is more to do in another call.
    StopCame,
}

/// Proves what was sent, and publishes it unless a newer upload or another file stands against it.
pub(crate) async fn publish_proved(
    deps: &Deps,
    checkpoint: &mut Checkpoint,
    sftp: &Sftp,
    stop: Deadline,
) -> Result<Step> {
    let prover = Prover { deps, sftp, stop };
    let settings = &deps.partner.settings;
    let direct = checkpoint.remote.is_direct();
    let keeps = settings.policy.if_exists.keeps() && !direct;
    if keeps
        && !checkpoint.already_there
        && let Some(step) = keep_what_is_there(&prover, checkpoint).await?
    {
        return Ok(step);
    }
    let subject = match Subject::find(sftp, checkpoint).await? {
        Some(subject) if direct => match grown(subject, sftp, checkpoint, stop).await? {
            Some(subject) => subject,
            None => return Ok(Step::StopCame),
        },
        Some(subject) => subject,
        None => return gone(deps, checkpoint).await,
    };
    let published_before = checkpoint.already_there || checkpoint.publishing || direct;
    if !subject.is_partial() && !published_before && !checkpoint.vanished {
        // What was read back so far was read of the partial file.
        checkpoint.vanished = true;
        checkpoint.read_back = None;
    }
    let verdict = match prover.prove(&subject, checkpoint).await {
        Err(error) if error.name == ErrorName::RemoteMismatch && subject.is_partial() => {
            // By now it may be a newer version that lies there.
            if direct && let Some(reason) = superseded(deps, checkpoint).await? {
                return Ok(Step::Superseded(reason));
            }
            discard(sftp, &checkpoint.remote.partial).await;
            return Err(error);
        }
        other => other?,
    };
    let (proof, mut warnings) = match verdict {
        Verdict::Proved { proof, warnings } => (proof, warnings),
        Verdict::StopCame | Verdict::Differs => return Ok(Step::StopCame),
    };
    // Before the file is published: the partner is not to wait for the marker while an object is read again.
    if let Known::NotYet = hashes::know(deps, checkpoint, settings.marker.hashes(), stop).await? {
        return Ok(Step::StopCame);
    }
    if !checkpoint.already_there
        && let Some(step) = overtaken(deps, checkpoint, &subject, sftp, keeps).await?
    {
        return Ok(step);
    }
    let outcome = if subject.is_partial() {
        warnings.extend(attributes::set(sftp, settings.attributes, checkpoint, subject.path()).await?);
        let marker = MarkerFile::new(settings, checkpoint, &checkpoint.final_path())?;
        checkpoint.proved = Some(proof);
        match publish(sftp, checkpoint, marker.as_ref(), keeps).await? {
            Published::Now(more) => {
                warnings.extend(more);
                Outcome::Delivered
            }
            Published::ByAnother => Outcome::AlreadyDelivered,
            Published::LookAgain => return Ok(Step::StopCame),
        }
    } else if checkpoint.already_there {
        if !direct && checkpoint.offset > 0 {
            // What was sent before it was found.
            discard(sftp, &checkpoint.remote.partial).await;
        }
        // It may be what a try left that wrote to the final name directly, and could set neither.
        if direct && settings.policy.if_exists != IfExists::Skip {
            warnings.extend(attributes::set(sftp, settings.attributes, checkpoint, subject.path()).await?);
        }
        Outcome::AlreadyDelivered
    } else {
        // What we sent is under the final name already: the answer to an earlier rename was lost, or another
        // execution of the same version was faster.
        Outcome::Delivered
    };
    checkpoint.warnings.append(&mut warnings);
    Ok(Step::Published(outcome, proof))
}

/// What stands against publishing: a newer upload, or that nobody can tell whether there was one.
async fn overtaken(
    deps: &Deps,
    checkpoint: &mut Checkpoint,
    subject: &Subject,
    sftp: &Sftp,
    keeps: bool,
) -> Result<Option<Step>> {
    let to_be_renamed = subject.is_partial() && !checkpoint.remote.is_direct();
    match aws::standing(&deps.partner.clients.s3, &checkpoint.object).await? {
        Standing::Superseded(reason) => {
            if to_be_renamed {
                discard(sftp, &checkpoint.remote.partial).await;
            }
            Ok(Some(Step::Superseded(reason)))
        }
        // Under a free name nothing is overwritten, whatever there was.
        Standing::Gone if to_be_renamed && !keeps => {
            let path = checkpoint.final_path();
            let there = match sftp.stat(&path).await {
                Ok(None) => return Ok(None),
                Ok(Some(attributes)) => attributes.size,
                Err(error) if error.is_status() => None,
                Err(error) => return Err(error.into()),
            };
            if there == Some(checkpoint.object.size) {
                // Perhaps another execution of the same event has delivered this very file.
                checkpoint.already_there = true;
                checkpoint.read_back = None;
                return Ok(Some(Step::StopCame));
            }
            let aws_object = format!("s3://{}/{}", checkpoint.object.bucket, checkpoint.object.object_key);
            Err(ErrorName::ObjectUnreadable.error(format!(
                "{aws_object} was deleted before its file was published, and there is a {path:?} already: nobody can tell any more which of the two is newer. Nothing was published; {:?} stays. If it is this one, upload it again",
                checkpoint.remote.partial
            )))
        }
        Standing::Newest | Standing::Gone => Ok(None),
    }
}

/// Looks among the files that are to be kept for one with the same contents. `None` if ours may be published, under the
/// number that the checkpoint now has.
async fn keep_what_is_there(prover: &Prover<'_>, checkpoint: &mut Checkpoint) -> Result<Option<Step>> {
    let Prover { deps, sftp, .. } = prover;
    if checkpoint.publishing
        && let Some(proof) = checkpoint.proved
        && matches!(sftp.stat(&checkpoint.remote.partial).await, Ok(None))
    {
        // It was renamed, whether it can be looked at or not.
        return Ok(Some(Step::Published(Outcome::Delivered, proof)));
    }
    match prover.search(checkpoint).await? {
        Search::Free => Ok(None),
        Search::StopCame => Ok(Some(Step::StopCame)),
        Search::Same(proof) => {
            // Without a partial file it was us: the answer to an earlier rename was lost.
            let again = discard(sftp, &checkpoint.remote.partial).await;
            let outcome = if again { Outcome::AlreadyDelivered } else { Outcome::Delivered };
            Ok(Some(Step::Published(outcome, proof)))
        }
        Search::Taken => {
            if let Some(reason) = superseded(deps, checkpoint).await? {
                discard(sftp, &checkpoint.remote.partial).await;
                return Ok(Some(Step::Superseded(reason)));
            }
            Err(ErrorName::RemotePathRejected.error(format!(
                "{:?} exists, with other contents, and SFTP_IF_EXISTS is {}; nothing was published",
                checkpoint.final_path(),
                deps.partner.settings.policy.if_exists.as_str()
            )))
        }
    }
}

/// There is neither a partial file nor a final one.
async fn gone(deps: &Deps, checkpoint: &mut Checkpoint) -> Result<Step> {
    let direct = checkpoint.remote.is_direct();
    if checkpoint.publishing
        && let Some(proof) = checkpoint.proved
    {
        checkpoint.warnings.push(LOST_ANSWER.to_owned());
        return Ok(Step::Published(Outcome::Delivered, proof));
    }
    if !direct && !checkpoint.publishing {
        return Err(ErrorName::RemoteMismatch.error(format!(
            "{:?} is gone: the server, or someone on it, removed it after every byte was acknowledged. If it takes files away at once, set SFTP_PUBLISH to direct",
            checkpoint.remote.partial
        )));
    }
    if direct && let Some(reason) = superseded(deps, checkpoint).await? {
        return Ok(Step::Superseded(reason));
    }
    if !matches!(deps.partner.settings.proof, ProofPolicy::Auto | ProofPolicy::None) {
        return Err(ErrorName::InvalidConfig.error(format!(
            "SFTP_PROOF demands a proof, but {:?} is gone: the server takes files away at once. Set it to auto or none",
            checkpoint.final_path()
        )));
    }
    let taken = if direct { TAKEN } else { LOST_ANSWER };
    checkpoint.warnings.push(taken.to_owned());
    Ok(Step::Published(Outcome::Delivered, Proof::Unverified))
}

/// By what, if by anything.
async fn superseded(deps: &Deps, checkpoint: &Checkpoint) -> Result<Option<String>> {
    aws::superseded_by(&deps.partner.clients.s3, &checkpoint.object).await
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

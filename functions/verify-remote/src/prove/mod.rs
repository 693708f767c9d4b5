//! Proves that the file on the server is the pinned object.

mod attempt;
mod hash;
pub(crate) mod hashes;
mod read_back;

use bridge::{Checkpoint, Comparison, Error, ErrorName, IfExists, Proof, ProofPolicy, Result};
use partner::files::{Reply, discard};
use sftp::{FileHandle, OpenFlags};

use crate::prove::attempt::Attempt;
use crate::prove::hash::Requirement;
use crate::prove::read_back::Cursor;
use crate::subject::{Place, Subject};
use crate::turn::{End, Turn};
use crate::work::Work;

/// Outcome of proving.
pub(crate) enum Proved {
    Yes(Proof),
    No(Turn),
}

/// Outcome of all ways that `SFTP_PROOF` allows. That none of them proves the file is an error.
enum Tried {
    Proved {
        proof: Proof,
        warnings: Vec<String>,
    },
    /// It was cut short. The checkpoint says where.
    OutOfTime,
}

/// Outcome of comparing a file that may stay as it is.
pub(crate) enum Compared {
    Same(Proof),
    Different,
    /// It was cut short. The checkpoint says where.
    OutOfTime,
}

impl Work<'_> {
    /// Proves the file. A partial file that differs is removed, unless a newer upload takes its place.
    pub(crate) async fn prove(&self, subject: &mut Subject, checkpoint: &mut Checkpoint) -> Result<Proved> {
        match self.try_to_prove(subject, checkpoint).await {
            Ok(Tried::Proved { proof, warnings }) => {
                warnings.into_iter().for_each(|warning| checkpoint.warn(warning));
                Ok(Proved::Yes(proof))
            }
            Ok(Tried::OutOfTime) => Ok(Proved::No(Turn::Ended(End::OutOfTime))),
            Err(error) if error.name == ErrorName::RemoteMismatch => {
                // Some systems do not remove an open file.
                subject.open = None;
                self.put_former_back(checkpoint).await?;
                if let Some(newer) = self.superseded_by(checkpoint).await? {
                    return Ok(Proved::No(Turn::Ended(self.give_way(checkpoint, newer).await)));
                }
                if subject.place == Place::Upload {
                    discard(self.sftp, &subject.path).await;
                }
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Checks the size, if the server tells it; then the contents, as `SFTP_PROOF` asks.
    async fn try_to_prove(&self, subject: &mut Subject, checkpoint: &mut Checkpoint) -> Result<Tried> {
        let expected = checkpoint.object.size;
        let other_size = subject.size.filter(|size| *size != expected);
        // Some servers report 0 for every file. Then the contents decide.
        let reports_empty = other_size == Some(0) && subject.place == Place::Upload;
        if let Some(size) = other_size.filter(|_| !reports_empty) {
            return Err(ErrorName::RemoteMismatch
                .error(format!("{:?} has {size} bytes on the server; {expected} were sent", subject.path)));
        }
        if let Some(Comparison::Different { ours, stored }) =
            checkpoint.sent.digests.compare_with_stored(&checkpoint.object)
        {
            return Err(ErrorName::RemoteMismatch.error(format!(
                "the bytes sent to {:?} have the checksum {ours}, but S3 stored {stored} for the object",
                subject.path
            )));
        }
        let policy = self.proof_policy(checkpoint);
        let attempt = match policy {
            ProofPolicy::None => Attempt::proved(Proof::Unverified),
            ProofPolicy::Size => size_proof(subject),
            ProofPolicy::Hash => self.server_hash(subject, checkpoint, Requirement::Required).await?,
            ProofPolicy::ReadBack => self.read_back(subject, checkpoint, Cursor::Proving).await?,
            ProofPolicy::Auto => self.best_proof(subject, checkpoint).await?,
        };
        let attempt =
            if reports_empty { proof_without_size(attempt, policy, subject, checkpoint)? } else { attempt };
        match attempt {
            Attempt::Proved { proof, warnings } => Ok(Tried::Proved { proof, warnings }),
            Attempt::OutOfTime => Ok(Tried::OutOfTime),
            Attempt::Refused(why) => Err(self.not_provable(subject, checkpoint, &why)),
        }
    }

    pub(crate) fn proof_policy(&self, checkpoint: &Checkpoint) -> ProofPolicy {
        match self.call.settings().proof {
            // Only its contents prove a file that someone else may have put there.
            ProofPolicy::Size | ProofPolicy::None if checkpoint.phase.needs_contents() => {
                ProofPolicy::ReadBack
            }
            policy => policy,
        }
    }

    /// `auto`: the best that the server allows. What it does not allow becomes warnings.
    async fn best_proof(&self, subject: &mut Subject, checkpoint: &mut Checkpoint) -> Result<Attempt> {
        match self.server_hash(subject, checkpoint, Requirement::IfPossible).await? {
            Attempt::Refused(_) => {}
            proved_or_cut_short => return Ok(proved_or_cut_short),
        }
        let mut refusals = match self.read_back(subject, checkpoint, Cursor::Proving).await? {
            Attempt::Refused(why) if !checkpoint.phase.needs_contents() => vec![why],
            read_or_needed => return Ok(read_or_needed),
        };
        let proof = match size_proof(subject) {
            Attempt::Refused(why) => {
                refusals.push(why);
                Proof::Unverified
            }
            _ => Proof::Size,
        };
        tracing::warn!(?proof, ?refusals, "the server does not let the contents be proved");
        Ok(Attempt::Proved { proof, warnings: refusals })
    }

    fn not_provable(&self, subject: &Subject, checkpoint: &Checkpoint, why: &str) -> Error {
        if checkpoint.phase.needs_contents() {
            return ErrorName::RemoteMismatch.error(format!(
                "{:?} may be this file already, but cannot be read to prove it",
                subject.path
            ));
        }
        let stands = if checkpoint.route.is_direct() {
            "the file is there, and is not proved"
        } else {
            "nothing was published"
        };
        ErrorName::InvalidConfig.error(format!(
            "SFTP_PROOF demands a proof that the server does not give: {why}; {stands}. Set it to auto, or to what the server gives"
        ))
    }

    /// Opens the file, unless it is open.
    async fn open_to_read(&self, subject: &mut Subject) -> Result<Reply<FileHandle>> {
        match subject.open.take() {
            Some(file) => Ok(Reply::Done(file)),
            None => Ok(Reply::of(self.sftp.open(&subject.path, OpenFlags::READ).await)?),
        }
    }

    /// Compares the contents of a file that may stay as it is.
    pub(crate) async fn compare(
        &self,
        subject: &mut Subject,
        checkpoint: &mut Checkpoint,
    ) -> Result<Compared> {
        let demand = match self.call.settings().proof {
            ProofPolicy::Hash => Requirement::Required,
            _ => Requirement::IfPossible,
        };
        let mut attempt = self.server_hash(subject, checkpoint, demand).await;
        if demand == Requirement::IfPossible && matches!(attempt, Ok(Attempt::Refused(_))) {
            attempt = self.read_back(subject, checkpoint, Cursor::Comparing).await;
        }
        match attempt {
            Ok(Attempt::Proved { proof, .. }) => Ok(Compared::Same(proof)),
            Ok(Attempt::OutOfTime) => Ok(Compared::OutOfTime),
            Ok(Attempt::Refused(why)) => Err(cannot_compare(self.call.settings().policy.if_exists, &why)),
            Err(error) if error.name == ErrorName::RemoteMismatch => Ok(Compared::Different),
            Err(error) => Err(error),
        }
    }
}

/// The server does not show whether a file that exists is this very file.
pub(crate) fn cannot_compare(if_exists: IfExists, why: &str) -> Error {
    ErrorName::InvalidConfig.error(format!(
        "SFTP_IF_EXISTS is {}, but the server does not allow the existing file to be read and compared: {why}; nothing was published. Set it to replace",
        if_exists.as_str()
    ))
}

/// [`Work::try_to_prove`] has compared the size already, if there is one.
fn size_proof(subject: &Subject) -> Attempt {
    match subject.size {
        Some(_) => Attempt::proved(Proof::Size),
        None => Attempt::Refused("the server does not tell the size".into()),
    }
}

/// The server reports size 0 for a file that was sent whole. That is not believed if the contents say otherwise, or if
/// no proof is asked for.
fn proof_without_size(
    attempt: Attempt,
    policy: ProofPolicy,
    subject: &Subject,
    checkpoint: &mut Checkpoint,
) -> Result<Attempt> {
    let expected = checkpoint.object.size;
    match attempt {
        Attempt::Proved { proof, mut warnings }
            if matches!(proof, Proof::ServerHash | Proof::ReadBack) || policy == ProofPolicy::None =>
        {
            checkpoint.proving.sizes_unreliable = true;
            warnings.push(format!(
                "the server reports size 0 for {:?} after {expected} bytes were sent: its sizes are ignored",
                subject.path
            ));
            Ok(Attempt::Proved { proof, warnings })
        }
        Attempt::OutOfTime => Ok(attempt),
        Attempt::Proved { .. } | Attempt::Refused(_) => Err(ErrorName::RemoteMismatch.error(format!(
            "{:?} has 0 bytes on the server; {expected} were sent. If the server reports size 0 for every file and does not allow reading, set SFTP_PROOF to none",
            subject.path
        ))),
    }
}

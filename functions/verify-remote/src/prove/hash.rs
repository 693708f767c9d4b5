//! Proof by a hash that the server computes (`check-file`).

use std::time::Duration;

use bridge::{Checkpoint, ErrorName, Hashes, Proof, Result, RunningSha256};
use partner::files::Reply;

use crate::prove::attempt::Attempt;
use crate::prove::hashes::Known;
use crate::subject::Subject;
use crate::work::Work;

/// Whether the server's hash is the only proof that is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Requirement {
    /// The object is read from S3 again if its SHA-256 was not computed while sending, and the server may take all the
    /// time there is.
    Required,
    /// Reading back will do.
    IfPossible,
}

/// A server may take as long as for any request to hash a file, and one second more for this number of bytes: a slow
/// disk.
const BYTES_PER_SECOND: u64 = 50_000_000;

impl Work<'_> {
    pub(super) async fn server_hash(
        &self,
        subject: &mut Subject,
        checkpoint: &mut Checkpoint,
        demand: Requirement,
    ) -> Result<Attempt> {
        if !self.sftp.can_hash() {
            return Ok(Attempt::Refused("it offers no check-file extension".into()));
        }
        let is_required = demand == Requirement::Required;
        if checkpoint.proving.hash_given_up && !is_required {
            return Ok(Attempt::Refused("it did not finish hashing the file".into()));
        }
        let patience =
            self.sftp.stall_timeout() + Duration::from_secs(checkpoint.object.size / BYTES_PER_SECOND);
        if patience > self.call.stop.remaining() && !is_required {
            // Reading back can be cut short, and continues in the next call.
            return Ok(Attempt::Refused(format!("it may take {} s to hash the file", patience.as_secs())));
        }
        match self.know_hashes(checkpoint, Hashes { sha256: is_required, md5: false }).await? {
            Known::Yes => {}
            Known::NotYet => return Ok(Attempt::OutOfTime),
            Known::Never(why) => return Ok(Attempt::Proved { proof: Proof::Size, warnings: vec![why] }),
        }
        let Some(expected) = checkpoint.sent.digests.sha256.as_ref().map(RunningSha256::digest) else {
            return Ok(Attempt::Refused("no SHA-256 was computed on the way".into()));
        };
        self.ask_for_hash(subject, checkpoint, &expected, patience, demand).await
    }

    async fn ask_for_hash(
        &self,
        subject: &mut Subject,
        checkpoint: &mut Checkpoint,
        expected: &[u8],
        patience: Duration,
        demand: Requirement,
    ) -> Result<Attempt> {
        let size = checkpoint.object.size;
        let file = match self.open_to_read(subject).await? {
            Reply::Done(file) => file,
            Reply::Refused(refusal) => return Ok(Attempt::Refused(refusal.to_string())),
        };
        let reply = match Reply::of(self.sftp.sha256(&file, size, patience).await) {
            Ok(reply) => reply,
            Err(error) => {
                // Some servers do nothing else meanwhile, and seem dead. The file is read back in another session.
                checkpoint.proving.hash_given_up = true;
                return Err(error.into());
            }
        };
        match reply {
            Reply::Done(Some(hash)) if hash[..] == *expected => {
                subject.open = Some(file);
                Ok(Attempt::proved(Proof::ServerHash))
            }
            Reply::Done(Some(_)) => Err(ErrorName::RemoteMismatch.error(format!(
                "{:?}: the server's SHA-256 differs from that of the bytes sent",
                subject.path
            ))),
            Reply::Done(None) => Ok(Attempt::Refused("it hashes, but not with SHA-256".into())),
            // ProFTPD hashes nothing that begins at the end of a file. For an empty one the size is proof enough.
            Reply::Refused(_) if demand == Requirement::Required && (subject.size, size) == (Some(0), 0) => {
                Ok(Attempt::proved(Proof::Size))
            }
            Reply::Refused(refusal) => Ok(Attempt::Refused(refusal.to_string())),
        }
    }
}

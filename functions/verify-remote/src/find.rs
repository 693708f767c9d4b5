//! Which file is to be proved: the one that was sent, or the one that already has the final name.

use std::ops::ControlFlow;
use std::time::Duration;

use bridge::{Checkpoint, ErrorName, IfExists, NUMBER_MAX, Outcome, Phase, Proof, ProofPolicy, Result};
use partner::Answer;
use partner::files::{Discarded, Patience, Reply, Seen, discard, look, look_closely, look_on};
use sftp::{Attributes, FileHandle, OpenFlags};

use crate::prove::{Compared, cannot_compare};
use crate::subject::{Glance, Place, Subject};
use crate::turn::{End, LOST_ANSWER, Published, Turn};
use crate::work::Work;

/// Outcome of the search among the files that must not be replaced.
enum Search {
    /// One has the same contents. The checkpoint says which.
    Same(Proof),
    /// None has, and the checkpoint names a free name.
    Free,
    /// None has, and every name is taken.
    Taken,
    /// It was cut short. The checkpoint says where.
    OutOfTime,
}

const TAKEN: &str = "the file was gone before it could be proved: the server takes files away at once";

impl Work<'_> {
    /// Finds the file to prove, unless what the server shows decides the delivery already.
    pub(crate) async fn find(&self, checkpoint: &mut Checkpoint) -> Result<ControlFlow<Turn, Subject>> {
        if !checkpoint.phase.has_vanished() {
            self.restore_former(checkpoint).await?;
        }
        if self.keeps(checkpoint)
            && !matches!(checkpoint.phase, Phase::Found(_))
            && let Some(end) = self.keep_what_is_there(checkpoint).await?
        {
            return Ok(ControlFlow::Break(Turn::Ended(end)));
        }
        let Some(subject) = self.look_for_subject(checkpoint).await? else {
            // Ours is not there: the former file is better than none.
            self.put_former_back(checkpoint).await?;
            return Ok(ControlFlow::Break(Turn::Ended(self.gone(checkpoint).await?)));
        };
        if checkpoint.route.is_direct() {
            return Ok(match self.grown(subject, checkpoint).await? {
                Some(subject) => ControlFlow::Continue(subject),
                None => ControlFlow::Break(Turn::Ended(End::OutOfTime)),
            });
        }
        // What was read back so far was read of the partial file.
        let was_upload =
            matches!(checkpoint.phase, Phase::Sent(_) | Phase::Renaming { had_vanished: true, .. });
        if subject.place == Place::Final && was_upload {
            checkpoint.phase = Phase::vanished();
        }
        Ok(ControlFlow::Continue(subject))
    }

    /// Whether a file that exists must not be replaced.
    pub(crate) fn keeps(&self, checkpoint: &Checkpoint) -> bool {
        self.call.settings().policy.if_exists.keeps() && !checkpoint.route.is_direct()
    }

    /// The file that was sent; or the final one, if it was found there or the partial file has become it. `None` if there
    /// is neither. An unexpected size or absence is believed only after some seconds.
    async fn look_for_subject(&self, checkpoint: &Checkpoint) -> Result<Option<Subject>> {
        let upload = (checkpoint.route.upload_path().to_owned(), Place::Upload);
        let final_one = (checkpoint.final_path(), Place::Final);
        let candidates = match checkpoint.phase {
            Phase::Found(_) => vec![final_one],
            _ => vec![upload, final_one],
        };
        for (path, place) in candidates {
            let was_just_written = place == Place::Upload && !checkpoint.phase.is_renaming();
            if was_just_written {
                if let Some(subject) = self.look_at_sent(path, checkpoint).await? {
                    return Ok(Some(subject));
                }
                continue;
            }
            match look(self.sftp, &path).await? {
                Seen::File(size) => return Ok(Some(Subject::new(path, place, size))),
                // What was acknowledged is all that is known.
                Seen::Hidden => return Ok(Some(Subject::new(path, place, None))),
                Seen::Nothing | Seen::Directory => {}
            }
        }
        Ok(None)
    }

    /// The file that was sent. In the flight of the first look it is also opened, if its proof is to read it, and the final
    /// name is looked at. What the session was just told is not asked again.
    async fn look_at_sent(&self, path: String, checkpoint: &Checkpoint) -> Result<Option<Subject>> {
        let (seen, told, open, final_name) = match self.told(&path) {
            Some(Answer { seen, attributes }) => (seen, attributes, None, None),
            None => {
                let (partial, final_name, open) = tokio::join!(
                    biased;
                    look_closely(self.sftp, &path),
                    self.glance(checkpoint),
                    self.open_early(&path, checkpoint)
                );
                let (seen, told) = partial?;
                (seen, told, open?, final_name?)
            }
        };
        let is_expected = |seen| is_as_sent(seen, checkpoint);
        let (seen, attributes, open) = if is_expected(seen) {
            (seen, told, open)
        } else {
            // What was opened may not be what is seen later.
            drop(open);
            let seen = look_on(self.sftp, &path, seen, self.call.stop, is_expected, patience).await?;
            (seen, Attributes::default(), None)
        };
        let size = match seen {
            Seen::File(size) => size,
            // What was acknowledged is all that is known.
            Seen::Hidden => None,
            Seen::Nothing | Seen::Directory => return Ok(None),
        };
        Ok(Some(Subject { path, place: Place::Upload, size, attributes, open, final_name }))
    }

    /// A look at the final name, if it can help to confirm the rename.
    pub(crate) async fn glance(&self, checkpoint: &Checkpoint) -> Result<Option<Glance>> {
        // What must not be replaced is looked for at the last moment.
        if checkpoint.route.is_direct() || self.keeps(checkpoint) {
            return Ok(None);
        }
        Ok(Some(Glance::of(look(self.sftp, &checkpoint.final_path()).await?)))
    }

    /// `None` if the server refuses: the proof asks once more.
    async fn open_early(&self, path: &str, checkpoint: &Checkpoint) -> Result<Option<FileHandle>> {
        if !self.reads(checkpoint) {
            return Ok(None);
        }
        Ok(Reply::of(self.sftp.open(path, OpenFlags::READ).await)?.done())
    }

    /// Whether the proof begins with opening the partial file, as far as can be said now.
    fn reads(&self, checkpoint: &Checkpoint) -> bool {
        let reads = match self.proof_policy(checkpoint) {
            ProofPolicy::Auto | ProofPolicy::ReadBack => true,
            ProofPolicy::Hash => self.sftp.can_hash(),
            ProofPolicy::Size | ProofPolicy::None => false,
        };
        reads && !checkpoint.route.is_direct()
    }

    /// With a direct route, a file that gets longer without our doing is written by another execution of the same
    /// version, to which ours lost the name. Waits until it is whole, or does not grow any more. `None` if the stop comes
    /// first.
    async fn grown(&self, mut subject: Subject, checkpoint: &Checkpoint) -> Result<Option<Subject>> {
        const PATIENCE: Duration = Duration::from_secs(3);
        let stop = self.call.stop;
        while subject.size.is_some_and(|size| size < checkpoint.object.size) {
            if stop.has_passed() {
                return Ok(None);
            }
            tokio::time::sleep(PATIENCE.min(stop.remaining())).await;
            match self.look_for_subject(checkpoint).await? {
                Some(now) if now.size != subject.size => subject = now,
                _ => break,
            }
        }
        Ok(Some(subject))
    }

    /// Neither the file that was sent nor a final one is there.
    async fn gone(&self, checkpoint: &mut Checkpoint) -> Result<End> {
        if let Phase::Renaming { proof, .. } = checkpoint.phase {
            checkpoint.warn(LOST_ANSWER);
            return Ok(End::Published(Published::unconfirmed(proof)));
        }
        if let Some(partial) = checkpoint.route.partial() {
            return Err(ErrorName::RemoteMismatch.error(format!(
                "{partial:?} is gone: the server, or someone on it, removed it after every byte was acknowledged. If it takes files away at once, set SFTP_PUBLISH to direct"
            )));
        }
        if let Some(newer) = self.superseded_by(checkpoint).await? {
            return Ok(End::Superseded(newer.reason));
        }
        if !matches!(self.call.settings().proof, ProofPolicy::Auto | ProofPolicy::None) {
            return Err(ErrorName::InvalidConfig.error(format!(
                "SFTP_PROOF demands a proof, but {:?} is gone: the server takes files away at once. Set it to auto or none",
                checkpoint.final_path()
            )));
        }
        checkpoint.warn(TAKEN);
        Ok(End::Published(Published::unconfirmed(Proof::Unverified)))
    }

    /// Looks among the files that must not be replaced for one with the same contents. `None` if ours may be published,
    /// under the name that the checkpoint has now.
    async fn keep_what_is_there(&self, checkpoint: &mut Checkpoint) -> Result<Option<End>> {
        if let Some(end) = self.renamed_before(checkpoint).await? {
            return Ok(Some(end));
        }
        match self.search(checkpoint).await? {
            Search::Free => Ok(None),
            Search::OutOfTime => Ok(Some(End::OutOfTime)),
            Search::Same(proof) => {
                // If there is no partial file, it was us: the answer to an earlier rename was lost.
                let outcome = match discard(self.sftp, checkpoint.route.upload_path()).await {
                    Discarded::Nothing => Outcome::Delivered,
                    Discarded::Removed | Discarded::Refused => Outcome::AlreadyDelivered,
                };
                Ok(Some(End::Published(Published::new(outcome, proof))))
            }
            Search::Taken => {
                if let Some(newer) = self.superseded_by(checkpoint).await? {
                    discard(self.sftp, checkpoint.route.upload_path()).await;
                    return Ok(Some(End::Superseded(newer.reason)));
                }
                Err(ErrorName::RemotePathRejected.error(format!(
                    "{:?} exists, with other contents, and SFTP_IF_EXISTS is {}; nothing was published",
                    checkpoint.final_path(),
                    self.call.settings().policy.if_exists.as_str()
                )))
            }
        }
    }

    /// Whether an earlier request to rename was carried out: then the partial file is gone.
    async fn renamed_before(&self, checkpoint: &mut Checkpoint) -> Result<Option<End>> {
        let Phase::Renaming { proof, .. } = checkpoint.phase else { return Ok(None) };
        if look(self.sftp, checkpoint.route.upload_path()).await? != Seen::Nothing {
            return Ok(None);
        }
        Ok(match look(self.sftp, &checkpoint.final_path()).await? {
            // Another file: ours is not published.
            Seen::File(Some(size)) if size != checkpoint.object.size => None,
            Seen::File(_) | Seen::Hidden => Some(End::Published(Published::new(Outcome::Delivered, proof))),
            Seen::Nothing | Seen::Directory => {
                checkpoint.warn(LOST_ANSWER);
                Some(End::Published(Published::unconfirmed(proof)))
            }
        })
    }

    /// Compares contents, not size and time: fixed lengths are common, the clocks of two servers differ, and no version
    /// may end up there twice.
    async fn search(&self, checkpoint: &mut Checkpoint) -> Result<Search> {
        let if_exists = self.call.settings().policy.if_exists;
        loop {
            let path = checkpoint.final_path();
            let size = match Reply::of(self.sftp.stat(&path).await)? {
                Reply::Done(None) => return Ok(Search::Free),
                Reply::Done(Some(existing)) => existing.size,
                Reply::Refused(refusal) => return Err(cannot_compare(if_exists, &refusal.to_string())),
            };
            if size.is_none_or(|size| size == checkpoint.object.size) {
                let mut subject = Subject::new(path, Place::Final, size);
                match self.compare(&mut subject, checkpoint).await? {
                    Compared::Same(proof) => return Ok(Search::Same(proof)),
                    Compared::OutOfTime => return Ok(Search::OutOfTime),
                    Compared::Different => {}
                }
            }
            checkpoint.name.compared = None;
            if if_exists != IfExists::KeepBoth || checkpoint.name.number >= NUMBER_MAX {
                return Ok(Search::Taken);
            }
            checkpoint.name.number += 1;
        }
    }
}

fn is_as_sent(seen: Seen, checkpoint: &Checkpoint) -> bool {
    match seen {
        Seen::File(Some(size)) => size == checkpoint.object.size || checkpoint.proving.sizes_unreliable,
        Seen::File(None) | Seen::Hidden => true,
        Seen::Nothing | Seen::Directory => false,
    }
}

fn patience(seen: Seen) -> Patience {
    if seen == Seen::Nothing { Patience::Short } else { Patience::Long }
}

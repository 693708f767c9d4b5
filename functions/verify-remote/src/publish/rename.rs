//! The rename to the final name, with patience for a server that refuses it.

use std::time::Duration;

use aws::Newer;
use bridge::{Checkpoint, Error, ErrorName, Phase, Proof, Result};
use partner::files::{Attempt, Onto, Reply, Seen, attempt, attempt_and_look, discard, look};
use sftp::{FileHandle, OpenFlags, Status};

use crate::mark::MarkerFile;
use crate::publish::confirm::has_appeared;
use crate::publish::permission::Permission;
use crate::turn::LOST_ANSWER;
use crate::work::Work;

/// How giving the file its final name ended.
pub(crate) enum Renamed {
    /// It has the name. What the server showed under it, if that can only be ours.
    Now(Option<Seen>),
    /// Something changed meanwhile: what is there is to be found and proved again.
    LookAgain,
    /// A newer upload has taken the object's place.
    Superseded(Newer),
    /// The stop came first.
    OutOfTime,
}

/// Outcome of one attempt.
pub(super) enum Try {
    /// As in [`Renamed::Now`].
    Renamed(Option<Seen>),
    Refused(Status),
    Ended(Renamed),
}

/// Pauses after a refused rename, 32 seconds in all. A virus scanner may hold the file, and no status says whether the
/// refusal will pass.
const PAUSES: [Duration; 7] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2500),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(8),
    Duration::from_secs(8),
];

/// Refusals by a server that announces an atomic replace before the former file is moved aside instead.
const REPLACE_REFUSALS: u32 = 2;

impl Permission {
    /// Why the attempt ends here, if it does.
    fn refused(self) -> Option<Renamed> {
        match self {
            Self::Granted => None,
            Self::Superseded(newer) => Some(Renamed::Superseded(newer)),
            Self::LookAgain => Some(Renamed::LookAgain),
        }
    }
}

/// The file that was proved is to be renamed.
pub(super) struct Renaming<'a, 'w> {
    pub(super) work: &'a Work<'w>,
    /// The final name.
    pub(super) path: &'a str,
    pub(super) partial: &'a str,
    /// How the partial file was proved.
    proof: Proof,
    marker: Option<&'a MarkerFile>,
}

impl Work<'_> {
    /// Renames the proved partial file to the final name. The marker of the former file is moved aside before, and put
    /// back if nothing is published. `before` is what this session was just shown under the final name, if it was. The
    /// partial file may be `open` to be read.
    pub(super) async fn give_final_name(
        &self,
        checkpoint: &mut Checkpoint,
        proof: Proof,
        marker: Option<&MarkerFile>,
        mut before: Option<Seen>,
        open: Option<FileHandle>,
    ) -> Result<Renamed> {
        let path = checkpoint.final_path();
        if self.keeps(checkpoint) {
            let seen = look(self.sftp, &path).await?;
            // Not every server refuses to rename onto a name that exists.
            if matches!(seen, Seen::File(_)) {
                return Ok(Renamed::LookAgain);
            }
            before = Some(seen);
        }
        let Some(partial) = checkpoint.route.partial().map(str::to_owned) else {
            if let Some(marker) = marker {
                marker.withdraw(self.sftp).await?;
            }
            return Ok(Renamed::Now(None));
        };
        let renaming = Renaming { work: self, path: &path, partial: &partial, proof, marker };
        let renamed = Box::pin(renaming.run(checkpoint, before, open)).await;
        match &renamed {
            // What was moved aside is removed once ours was seen.
            Ok(Renamed::Now(_)) => {}
            // Whether ours is there is found out first.
            Ok(Renamed::LookAgain) if checkpoint.phase.has_vanished() => {}
            Err(error) if error.name.is_connection_failure() => checkpoint.publishing.setbacks += 1,
            _ => {
                let file = self.put_former_back(checkpoint).await;
                if let Some(marker) = marker {
                    marker.put_back(self.sftp, checkpoint).await?;
                }
                file?;
            }
        }
        renamed
    }
}

impl Renaming<'_, '_> {
    /// Requests the rename until it is done, or until the server has refused it for long enough to be believed.
    async fn run(
        &self,
        checkpoint: &mut Checkpoint,
        mut before: Option<Seen>,
        mut open: Option<FileHandle>,
    ) -> Result<Renamed> {
        loop {
            // The CLOSE travels just ahead of the rename.
            let was_open = open.take().is_some();
            // `before` is taken: after a refusal and a pause it is too old.
            let refusal = match self.try_with_marker(checkpoint, before.take()).await? {
                Try::Renamed(seen) => return Ok(Renamed::Now(seen)),
                Try::Ended(renamed) => return Ok(renamed),
                Try::Refused(refusal) => refusal,
            };
            if was_open {
                // Some servers rename no file that is open, and now it is closed.
                continue;
            }
            let pause = PAUSES.get(checkpoint.publishing.setbacks as usize).copied();
            let Some(pause) = pause else { return Err(self.refused_for_good(refusal, checkpoint)) };
            checkpoint.publishing.setbacks += 1;
            if self.work.call.stop.remaining() <= pause {
                return Ok(Renamed::OutOfTime);
            }
            tracing::info!(%refusal, ?pause, "the rename was refused; asking again");
            tokio::time::sleep(pause).await;
            if let Some(ended) = self.permission_refused(checkpoint).await? {
                return Ok(ended);
            }
        }
    }

    /// S3 is asked before anything is replaced.
    pub(super) async fn permission_refused(&self, checkpoint: &Checkpoint) -> Result<Option<Renamed>> {
        Ok(self.work.permission(checkpoint).await?.refused())
    }

    async fn try_with_marker(&self, checkpoint: &mut Checkpoint, before: Option<Seen>) -> Result<Try> {
        if let Some(marker) = self.marker.filter(|_| checkpoint.publishing.marker_aside.is_none())
            && let Some(refusal) = marker.move_aside(self.work.sftp, checkpoint).await?
            && !refusal.is_unsupported()
        {
            return Ok(Try::Refused(refusal));
        }
        self.try_once(checkpoint, before).await
    }

    async fn try_once(&self, checkpoint: &mut Checkpoint, before: Option<Seen>) -> Result<Try> {
        let requested_before = self.request(checkpoint);
        let (attempted, seen) = self.ask(checkpoint, before).await?;
        match attempted {
            Attempt::Renamed => Ok(Try::Renamed(seen)),
            // An earlier request was carried out late.
            Attempt::Missing(_) if requested_before => Ok(Try::Ended(Renamed::LookAgain)),
            Attempt::Gone => Ok(Try::Ended(self.vanished(checkpoint))),
            // It was there when it was proved.
            Attempt::Missing(_) => {
                self.not_renamed(checkpoint);
                Ok(Try::Ended(Renamed::LookAgain))
            }
            Attempt::Unseen(refusal) => self.unseen(refusal, requested_before, checkpoint).await,
            Attempt::Refused(refusal) if refusal.is_unsupported() => {
                self.not_renamed(checkpoint);
                // A direct route needs no partial file.
                discard(self.work.sftp, self.partial).await;
                Err(ErrorName::InvalidConfig.error(format!(
                    "SFTP_PUBLISH is rename, but the server cannot rename: {refusal}; nothing was published. Set it to direct"
                )))
            }
            Attempt::Refused(refusal) => {
                self.not_renamed(checkpoint);
                self.refused_now(refusal, checkpoint).await
            }
        }
    }

    /// Asks for the rename, and in the same flight for what has the final name then, unless the answer could also show
    /// what was there before.
    async fn ask(&self, checkpoint: &Checkpoint, before: Option<Seen>) -> Result<(Attempt, Option<Seen>)> {
        let (sftp, size) = (self.work.sftp, checkpoint.object.size);
        let onto = if self.work.keeps(checkpoint) { Onto::Free } else { Onto::Any };
        let Some(before) = before.filter(|before| has_appeared(*before, Seen::File(Some(size)), size)) else {
            return Ok((attempt(sftp, self.partial, self.path, onto).await?, None));
        };
        let (attempted, after) = attempt_and_look(sftp, self.partial, self.path, onto).await?;
        Ok((attempted, after.filter(|after| has_appeared(before, *after, size))))
    }

    /// The partial file is still there. What is done about it depends on what has the final name.
    async fn refused_now(&self, refusal: Status, checkpoint: &mut Checkpoint) -> Result<Try> {
        match look(self.work.sftp, self.path).await? {
            Seen::File(_) if self.work.keeps(checkpoint) => Ok(Try::Ended(Renamed::LookAgain)),
            Seen::File(_) if self.moves_aside(checkpoint) => Box::pin(self.replace(checkpoint)).await,
            Seen::Directory => Err(ErrorName::RemotePathRejected.error(format!(
                "{:?} is a directory; nothing was published. Ask the partner to remove or rename the directory. {:?} stays for the next try",
                self.path, self.partial
            ))),
            _ => Ok(Try::Refused(refusal)),
        }
    }

    /// Without an atomic replace, an existing file is in the way. Some servers announce one and refuse it.
    fn moves_aside(&self, checkpoint: &Checkpoint) -> bool {
        !self.work.sftp.can_replace()
            || checkpoint.publishing.setbacks >= REPLACE_REFUSALS
            || self.work.call.deps.partner.learned.moves_aside()
    }

    /// The server hides the partial file.
    async fn unseen(
        &self,
        refusal: Status,
        requested_before: bool,
        checkpoint: &mut Checkpoint,
    ) -> Result<Try> {
        if !refusal.is_not_found() {
            // It may have been carried out: the phase stays, and the next answer tells.
            return Ok(Try::Refused(refusal));
        }
        self.not_renamed(checkpoint);
        let is_ours = look(self.work.sftp, self.path).await?.size() == Some(checkpoint.object.size);
        if !is_ours && !requested_before && !self.work.call.is_retry() {
            return Ok(Try::Refused(refusal));
        }
        // An earlier request may have been carried out: then there is nothing left to open.
        match Reply::of(self.work.sftp.open(self.partial, OpenFlags::WRITE).await)? {
            Reply::Refused(_) => {
                self.request(checkpoint);
                checkpoint.warn(LOST_ANSWER);
                Ok(Try::Renamed(None))
            }
            // Some servers truncate a file when they open it, and this one hides its size.
            Reply::Done(file) => {
                self.work.sftp.close(file).await?;
                Err(ErrorName::RemoteMismatch.error(format!(
                    "{refusal}, but {:?} exists, and the server does not show its size; nothing was published, and the file is sent once more",
                    self.partial
                )))
            }
        }
    }

    /// Records that the rename is requested, before it is. Returns whether an earlier request is unanswered.
    pub(super) fn request(&self, checkpoint: &mut Checkpoint) -> bool {
        let requested_before = checkpoint.phase.is_renaming();
        let had_vanished = checkpoint.phase.has_vanished();
        let reading = checkpoint.phase.reading().map(std::mem::take).unwrap_or_default();
        checkpoint.phase = Phase::Renaming { proof: self.proof, had_vanished, reading };
        requested_before
    }

    /// The partial file is known to be there.
    pub(super) fn not_renamed(&self, checkpoint: &mut Checkpoint) {
        if checkpoint.phase.has_vanished() {
            checkpoint.phase = Phase::vanished();
            return;
        }
        let reading = checkpoint.phase.reading().map(std::mem::take).unwrap_or_default();
        checkpoint.phase = Phase::Sent(reading);
    }

    /// The partial file is not seen any more, although the server refused to rename it. Contents prove what has the final
    /// name.
    pub(super) fn vanished(&self, checkpoint: &mut Checkpoint) -> Renamed {
        checkpoint.phase = Phase::vanished();
        Renamed::LookAgain
    }

    /// The partial file stays: what the server refuses today it may allow tomorrow.
    fn refused_for_good(&self, refusal: Status, checkpoint: &Checkpoint) -> Error {
        let error = Error::from(sftp::Error::from(refusal));
        let mut message = format!(
            "{} to {:?}; nothing was published. {:?} stays, and the next try of this execution publishes it",
            error.message(),
            self.path,
            self.partial
        );
        if let Some(aside) = &checkpoint.publishing.aside {
            message += &format!(". The former {:?} lies at {aside:?}", self.path);
        }
        let warnings = &checkpoint.report.warnings;
        let removed = warnings.iter().find(|warning| warning.contains("the former file was removed"));
        if let Some(removed) = removed {
            message += &format!(". Note: {removed}");
        }
        error.name.error(message)
    }
}

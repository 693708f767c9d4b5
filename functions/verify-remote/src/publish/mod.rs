//! From the partial file to the final name: it is found, proved, and published.
//!
//! This is the only place where a final name comes into being, unless it is written to directly. A file under the final
//! name is never removed before ours is there, unless the server refuses every other way.

mod confirm;
mod permission;
mod rename;
mod replace;

use std::ops::ControlFlow;
use std::time::Duration;

use aws::{Newer, Standing};
use bridge::{Checkpoint, ErrorName, IfExists, Outcome, Phase, Proof, Result};
use partner::files::{AttributesOf, Discarded, FileAttributes, Seen, discard, set_file_attributes};
use sftp::FileHandle;

use crate::mark::MarkerFile;
use crate::prove::Proved;
use crate::prove::hashes::Known;
use crate::publish::permission::Permission;
use crate::publish::rename::Renamed;
use crate::subject::{Glance, Place, Subject};
use crate::turn::{End, Published, Turn};
use crate::work::Work;

/// Maximum number of times that something else is found than the time before.
const LOOKS_MAX: u32 = 10;
/// Pause before the second look; it grows by this much with each.
const LOOK_PAUSE: Duration = Duration::from_millis(200);

/// The proved file is ready to be renamed.
struct Ready {
    warnings: Vec<String>,
    /// What was seen under the final name, if it matters.
    before: Option<Seen>,
    /// The file is still open to be read.
    open: Option<FileHandle>,
}

impl Work<'_> {
    /// Publishes what was sent, unless a newer upload or another file stands against it.
    pub(crate) async fn publish_file(&self, checkpoint: &mut Checkpoint) -> Result<End> {
        loop {
            match Box::pin(self.turn(checkpoint)).await? {
                Turn::Ended(end) => return Ok(end),
                Turn::LookAgain => checkpoint.publishing.setbacks += 1,
            }
            let looks = checkpoint.publishing.setbacks;
            if looks > LOOKS_MAX {
                return Err(ErrorName::RemoteFailure.error(format!(
                    "{:?} changed at each of {looks} checks; nothing was published. Another program writes to this name: stop it",
                    checkpoint.final_path()
                )));
            }
            let pause = LOOK_PAUSE * looks;
            if self.call.stop.remaining() <= pause {
                return Ok(End::OutOfTime);
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn turn(&self, checkpoint: &mut Checkpoint) -> Result<Turn> {
        let mut subject = match self.find(checkpoint).await? {
            ControlFlow::Continue(subject) => subject,
            ControlFlow::Break(turn) => return Ok(turn),
        };
        let proof = match self.prove(&mut subject, checkpoint).await? {
            Proved::Yes(proof) => proof,
            Proved::No(turn) => return Ok(turn),
        };
        // Before the file is published: the partner must not wait for the marker while an object is read again.
        let wanted = self.call.settings().marker.hashes();
        if let Known::NotYet = self.know_hashes(checkpoint, wanted).await? {
            return Ok(Turn::Ended(End::OutOfTime));
        }
        match subject.place {
            Place::Final => self.found_in_place(checkpoint, subject, proof).await.map(Turn::Ended),
            Place::Upload => Box::pin(self.publish(checkpoint, subject, proof)).await,
        }
    }

    /// Asks S3 whether the file may be published, just before it is. S3 is asked again after publishing.
    async fn may_publish(&self, checkpoint: &Checkpoint) -> Result<Permission> {
        if !checkpoint.route.is_direct() && !self.keeps(checkpoint) {
            return self.permission(checkpoint).await;
        }
        // Nothing is replaced by a rename, so it does not matter whether the object is still there.
        Ok(self.superseded_by(checkpoint).await?.map_or(Permission::Granted, Permission::Superseded))
    }

    /// What follows from what stands against publishing: a newer upload, or that nothing tells whether there was one.
    async fn stands_against(&self, permission: Permission, checkpoint: &mut Checkpoint) -> Option<Turn> {
        match permission {
            Permission::Granted => None,
            Permission::Superseded(newer) => Some(Turn::Ended(self.give_way(checkpoint, newer).await)),
            // Perhaps another execution of the same event has delivered this very file.
            Permission::LookAgain => {
                checkpoint.phase = Phase::found();
                Some(Turn::LookAgain)
            }
        }
    }

    /// The upload that has taken the object's place, if there is one.
    pub(crate) async fn superseded_by(&self, checkpoint: &Checkpoint) -> Result<Option<Newer>> {
        let (s3, deliverable) = (&self.call.deps.clients.s3, self.call.deliverable());
        aws::superseded_by(s3, &checkpoint.object, deliverable).await
    }

    /// A newer upload takes the object's place, so the partial file is removed. If it is gone already, a rename that was
    /// requested before was carried out late, and may have replaced the newer file.
    pub(crate) async fn give_way(&self, checkpoint: &Checkpoint, newer: Newer) -> End {
        let Some(partial) = checkpoint.route.partial() else { return End::Superseded(newer.reason) };
        let is_renamed = match discard(self.sftp, partial).await {
            Discarded::Removed => false,
            Discarded::Nothing => !matches!(checkpoint.phase, Phase::Found(_)),
            Discarded::Refused => checkpoint.phase.is_renaming(),
        };
        if !is_renamed {
            return End::Superseded(newer.reason);
        }
        let standing = Some(Standing::Superseded(newer));
        End::Published(Published { standing, ..Published::unconfirmed(Proof::Unverified) })
    }

    async fn publish(&self, checkpoint: &mut Checkpoint, mut subject: Subject, proof: Proof) -> Result<Turn> {
        let settings = self.call.settings();
        let Ready { warnings, before, open } = match self.ask_and_make_ready(checkpoint, &mut subject).await?
        {
            ControlFlow::Continue(ready) => ready,
            ControlFlow::Break(turn) => return Ok(turn),
        };
        warnings.into_iter().for_each(|warning| checkpoint.warn(warning));
        let marker = MarkerFile::new(settings, checkpoint, &checkpoint.final_path())?;
        if let Some(marker) = &marker {
            if self.call.is_retry() {
                marker.find_aside(self.sftp, checkpoint).await?;
            }
            marker.put_back(self.sftp, checkpoint).await?;
        }
        let shown = match self.give_final_name(checkpoint, proof, marker.as_ref(), before, open).await? {
            Renamed::Now(shown) => shown,
            Renamed::LookAgain => return Ok(Turn::LookAgain),
            Renamed::OutOfTime => return Ok(Turn::Ended(End::OutOfTime)),
            Renamed::Superseded(newer) => {
                return Ok(Turn::Ended(self.give_way(checkpoint, newer).await));
            }
        };
        self.confirm_and_ask(checkpoint, proof, shown)
            .await
            .map(|published| Turn::Ended(End::Published(published)))
    }

    /// At the same time: what is under the final name, and whether a newer upload has come since S3 was asked.
    async fn confirm_and_ask(
        &self,
        checkpoint: &mut Checkpoint,
        proof: Proof,
        shown: Option<Seen>,
    ) -> Result<Published> {
        let before = checkpoint.clone();
        let (confirmed, standing) =
            tokio::join!(self.confirm(checkpoint, shown), self.call.standing(&before));
        let standing = standing.map_err(|error| tracing::warn!(%error, "S3 will be asked again")).ok();
        let is_overtaken = matches!(standing, Some(Standing::Superseded(_)));
        let is_seen = match confirmed {
            Ok(is_seen) => is_seen,
            // It may be the newer one that was seen.
            Err(error) if error.name == ErrorName::RemoteMismatch && is_overtaken => false,
            Err(error) if error.name == ErrorName::RemoteMismatch => return Err(error),
            Err(error) => {
                // That it is published must not be forgotten.
                tracing::warn!(%error, "the published file could not be looked at");
                checkpoint.warn(format!("the published file could not be looked at: {error}"));
                false
            }
        };
        Ok(Published { unconfirmed: !is_seen, standing, ..Published::new(Outcome::Delivered, proof) })
    }

    /// The file has the final name already, and is proved.
    async fn found_in_place(
        &self,
        checkpoint: &mut Checkpoint,
        mut subject: Subject,
        proof: Proof,
    ) -> Result<End> {
        if !matches!(checkpoint.phase, Phase::Found(_)) {
            // The answer to an earlier rename was lost, or the call that requested it was killed.
            return Ok(End::Published(Published::new(Outcome::Delivered, proof)));
        }
        match checkpoint.route.partial() {
            // What was sent before the file was found.
            Some(partial) if checkpoint.sent.offset > 0 => drop(discard(self.sftp, partial).await),
            Some(_) => {}
            // A call that wrote to the final name may have been killed before it set mode and time.
            None if self.call.settings().policy.if_exists != IfExists::Skip => {
                let warnings = self.set_attributes(checkpoint, &mut subject).await?;
                warnings.into_iter().for_each(|warning| checkpoint.warn(warning));
            }
            None => {}
        }
        Ok(End::Published(Published::new(Outcome::AlreadyDelivered, proof)))
    }

    /// At the same time: what S3 says of the upload, and what is left to do on the server before the rename.
    async fn ask_and_make_ready(
        &self,
        checkpoint: &mut Checkpoint,
        subject: &mut Subject,
    ) -> Result<ControlFlow<Turn, Ready>> {
        let asked = self.may_publish(checkpoint);
        if checkpoint.route.is_direct() {
            // It may be the newer file that has the name: its attributes are not set before S3 has answered.
            let permission = asked.await?;
            return Ok(match self.stands_against(permission, checkpoint).await {
                Some(turn) => ControlFlow::Break(turn),
                None => ControlFlow::Continue(self.make_ready(checkpoint, subject).await?),
            });
        }
        let (permission, ready) = tokio::join!(biased; asked, self.make_ready(checkpoint, subject));
        let mut ready = match ready {
            // What follows from the permission needs a session.
            Err(error) if error.name.is_connection_failure() => return Err(error),
            ready => ready,
        };
        let permission = permission?;
        if let (Ok(ready), false) = (&mut ready, matches!(permission, Permission::Granted)) {
            // Some systems do not remove an open file.
            ready.open = None;
        }
        Ok(match self.stands_against(permission, checkpoint).await {
            Some(turn) => ControlFlow::Break(turn),
            None => ControlFlow::Continue(ready?),
        })
    }

    /// In one flight: the attributes that the file does not have yet, and a look at the final name, unless what is there is
    /// known. If there is nothing to set, the file is still open.
    async fn make_ready(&self, checkpoint: &Checkpoint, subject: &mut Subject) -> Result<Ready> {
        // Taken in any case: after the rename it is not true any more.
        let told = self.told(&checkpoint.final_path()).map(|told| told.seen);
        let known = told.or_else(|| subject.final_name.and_then(Glance::if_fresh));
        let look = async {
            match known {
                Some(seen) => Ok::<_, bridge::Error>(Some(seen)),
                None => Ok(self.glance(checkpoint).await?.and_then(Glance::if_fresh)),
            }
        };
        let (warnings, before) = tokio::join!(biased; self.set_attributes(checkpoint, subject), look);
        Ok(Ready { warnings: warnings?, before: before?, open: subject.open.take() })
    }

    /// Returns warnings.
    async fn set_attributes(&self, checkpoint: &Checkpoint, subject: &mut Subject) -> Result<Vec<String>> {
        let of = if checkpoint.route.is_direct() {
            AttributesOf::FinalFile
        } else {
            AttributesOf::PartialFile { rename_requested: checkpoint.phase.is_renaming() }
        };
        let (settings, modified) = (self.call.settings().attributes, checkpoint.object.last_modified);
        let wanted = FileAttributes::wanted(settings, modified).missing_from(&subject.attributes);
        let open = wanted.together().and_then(|_| subject.open.take());
        set_file_attributes(self.sftp, &subject.path, wanted, of, open).await
    }
}

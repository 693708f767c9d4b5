//! One session's share: open, send, close.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use aws::ObjectReader;
use bridge::{Checkpoint, Demand, ErrorName, Hashes, PinnedObject, ProofPolicy, Result, Route};
use partner::files::{OpenAs, PartialFile, explain, look};
use sftp::{Caps, Error, FileHandle, Session, Sftp, Upload};

use crate::send::acknowledged::Journal;
use crate::send::direct::Prepared;
use crate::send::resume::Reach;
use crate::send::sending::Sending;

/// How a session's share of the object ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Streamed {
    /// Every byte was sent and acknowledged.
    Completely,
    /// The stop came first.
    InPart,
}

impl Sending<'_> {
    pub(super) async fn send(&self, session: &Arc<Session>, caps: Caps) -> Result<()> {
        let sftp = session.sftp();
        let Checkpoint { object, route, sent, .. } = self.checkpoint();
        self.ensure_possible(sftp)?;
        if route.is_direct() {
            self.ensure_current().await?;
        }
        // Both in the time of one round trip. The file under the final name matters only while nothing is sent.
        let (found, partial) = tokio::join!(
            self.find_delivered(sftp, &object, &route, sent.offset),
            look(sftp, route.upload_path())
        );
        if let Some(found) = found? {
            tracing::info!(
                path = route.numbered(found.number),
                "a file is there that may be this one already"
            );
            return self.acknowledged.found(found);
        }
        let before = self.size_before(sftp, &route, sent.offset, partial?).await?;
        let open_as = if route.is_direct() {
            match self.prepare_direct(sftp, &route, &object, sent.offset, before).await? {
                Prepared::Complete => {
                    self.acknowledged.sent();
                    return Ok(());
                }
                Prepared::Continue => OpenAs::Resume,
                Prepared::Fresh => OpenAs::Fresh,
            }
        } else {
            self.open_as(before, sent.offset)
        };
        let (file, reach) = self.open(sftp, &route, open_as, before).await?;
        let reader = self.continue_at(sftp, &object, reach).await?;
        self.upload(session, caps, file, reach, reader).await
    }

    /// What the settings demand and the server does not do is an error before anything is sent.
    fn ensure_possible(&self, sftp: &Sftp) -> Result<()> {
        let settings = self.settings();
        let (setting, why) = if settings.proof == ProofPolicy::Hash && !sftp.can_hash() {
            ("SFTP_PROOF is hash", "it offers no check-file extension. Set it to auto or read-back")
        } else if settings.attributes.fsync == Some(Demand::Require) && !sftp.can_sync() {
            ("SFTP_FSYNC is require", "it offers no fsync@openssh.com. Set it to try")
        } else {
            return Ok(());
        };
        Err(ErrorName::InvalidConfig
            .error(format!("{setting}, which this server cannot do: {why}; nothing was sent")))
    }

    /// Opens the file. Returns how far its contents may be believed: as far as the open file reaches, and no further than
    /// it did before. Some servers truncate a file when they open it.
    async fn open(
        &self,
        sftp: &Sftp,
        route: &Route,
        open_as: OpenAs,
        before: Reach,
    ) -> Result<(FileHandle, Reach)> {
        let settings = self.settings();
        self.resumes.store(open_as == OpenAs::Resume, Ordering::Relaxed);
        let dir_mode = settings.attributes.dir_mode;
        let partial = PartialFile { sftp, remote: route, policy: &settings.policy, dir_mode };
        let mut file = partial.open(open_as, |warning| self.acknowledged.warn(warning)).await?;
        if route.is_direct() {
            file.leave_open_if_dropped();
        }
        if open_as == OpenAs::Fresh {
            return Ok((file, before.truncated()));
        }
        self.call.deps.partner.learned.set_never_continues(false);
        let after = Reach::of_open_file(sftp, &file, route.upload_path()).await?;
        Ok((file, after.at_most(before)))
    }

    async fn upload(
        &self,
        session: &Arc<Session>,
        caps: Caps,
        file: FileHandle,
        reach: Reach,
        mut reader: ObjectReader,
    ) -> Result<()> {
        let sftp = session.sftp();
        let Checkpoint { object, route, sent, .. } = self.checkpoint();
        // A server that cannot rename is most often a gateway to an object store, which takes a file in one piece.
        let caps = if route.is_direct() { Caps::ONE } else { caps };
        let spread = session.spread(object.size - sent.offset, caps);
        let journal = self.acknowledged.journal(&self.call.deps.on_progress);
        // If the size is not known, nothing tells whether several channels write to the same file.
        let size = reach.bytes().unwrap_or(u64::MAX);
        let upload = session.upload(file).offset(sent.offset).held(size).spread(spread);
        let mut upload = upload.journal(journal).start();
        let streamed = match self.stream(&mut upload, &mut reader, &object).await {
            Err(error) if error.name == ErrorName::RemoteFailure => Err(explain(sftp, &route, error).await),
            other => other,
        }?;
        if streamed == Streamed::Completely && route.is_direct() {
            self.ensure_current().await?;
        }
        self.close(sftp, upload, &route, streamed).await
    }

    async fn stream(
        &self,
        upload: &mut Upload<Journal<'_>>,
        reader: &mut ObjectReader,
        object: &PinnedObject,
    ) -> Result<Streamed> {
        while let Some(bytes) = reader.next().await? {
            upload.push(bytes).await?;
            if self.call.stop.has_passed() {
                tracing::info!("the deadline is near");
                break;
            }
        }
        upload.flush().await?;
        Ok(if upload.acknowledged() == object.size { Streamed::Completely } else { Streamed::InPart })
    }

    async fn close(
        &self,
        sftp: &Sftp,
        upload: Upload<Journal<'_>>,
        route: &Route,
        streamed: Streamed,
    ) -> Result<()> {
        let fsync = self.settings().attributes.fsync;
        let is_complete = streamed == Streamed::Completely;
        let closed = match upload.finish(is_complete && fsync.is_some()).await {
            Err(refusal @ Error::Refused(_)) => return Err(self.close_refused(sftp, route, refusal).await),
            other => other?,
        };
        match closed.synced {
            Some(Ok(())) => self.acknowledged.synced(),
            Some(Err(error)) if fsync == Some(Demand::Require) => {
                // The next call closes it once more.
                return Err(ErrorName::RemoteFailure.error(format!(
                    "SFTP_FSYNC is require: {error}. Ask the partner about the disk, or set it to try"
                )));
            }
            Some(Err(error)) => self.acknowledged.warn(format!("SFTP_FSYNC: {error}")),
            None => {}
        }
        if is_complete {
            self.acknowledged.sent();
        }
        Ok(())
    }

    /// What was acknowledged is taken back: neither this call nor a later one believes it.
    async fn close_refused(&self, sftp: &Sftp, route: &Route, refusal: Error) -> bridge::Error {
        self.acknowledged.start_over(Hashes::default());
        match sftp.remove(route.upload_path()).await {
            Ok(()) => refusal.into(),
            Err(error) if error.is_not_found() => refusal.into(),
            Err(Error::Refused(_)) => {
                self.acknowledged.distrust();
                refusal.into()
            }
            Err(error) => {
                self.acknowledged.distrust();
                error.into()
            }
        }
    }
}

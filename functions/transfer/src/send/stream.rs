//! One session's share: look, open, send, close.

use std::sync::Arc;

use aws::ObjectReader;
use bridge::{Checkpoint, Demand, ErrorName, PinnedObject, ProofPolicy, Result};
use partner::files::{OpenAs, explain, look};
use sftp::{Caps, FileHandle, Session, Sftp, Upload};

use crate::send::acknowledged::Journal;
use crate::send::close::{Closing, Sent, Streamed};
use crate::send::direct::Prepared;
use crate::send::resume::Reach;
use crate::send::sending::Sending;

impl Sending<'_> {
    /// Sends in this session what is left. A server that does not keep the order of what travels together gets the file a
    /// second time, one thing after the other.
    pub(super) async fn send(&self, session: &Arc<Session>, caps: Caps) -> Result<()> {
        if self.send_once(session, caps).await? == Sent::OutOfOrder {
            self.slow_down();
            self.acknowledged.send_again();
            self.send_once(session, caps).await?;
            self.call.deps.partner.learned.set_closes_late();
        }
        Ok(())
    }

    async fn send_once(&self, session: &Arc<Session>, caps: Caps) -> Result<Sent> {
        let sftp = session.sftp();
        let Checkpoint { object, route, sent, .. } = self.checkpoint();
        self.ensure_possible(sftp)?;
        if route.is_direct() {
            self.ensure_current().await?;
        }
        let told = &self.call.deps.partner.told;
        [route.path(), route.upload_path()].into_iter().for_each(|path| told.forget(path));
        // All in the time of one round trip. The file under the final name matters only while nothing is sent.
        let (found, partial, opened) = tokio::join!(
            self.find_delivered(session, &object, &route, sent.offset),
            look(sftp, route.upload_path()),
            self.open_at_once(sftp, &route)
        );
        if let (0, Ok(found)) = (sent.offset, &found) {
            self.call.deps.partner.learned.set_has_files_already(found.is_some());
        }
        if !matches!(found, Ok(None)) {
            self.leave_nothing(sftp, &route, &found, &partial, opened).await?;
            let Some(found) = found? else { return Ok(Sent::Nothing) };
            tracing::info!(
                path = route.numbered(found.number),
                "a file is there that may be this one already"
            );
            self.acknowledged.found(found)?;
            return Ok(Sent::Nothing);
        }
        let (before, opened) = (self.size_before(sftp, &route, sent.offset, partial?).await?, opened?);
        let open_as = if route.is_direct() {
            match self.prepare_direct(sftp, &route, &object, sent.offset, before).await? {
                Prepared::Complete => {
                    self.acknowledged.sent();
                    return Ok(Sent::Nothing);
                }
                Prepared::Continue => OpenAs::Resume,
                Prepared::Fresh => OpenAs::Fresh,
            }
        } else if opened.is_some() {
            OpenAs::Fresh
        } else {
            self.open_as(before, sent.offset)
        };
        let (file, reach) = self.open(sftp, &route, open_as, before, opened).await?;
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

    async fn upload(
        &self,
        session: &Arc<Session>,
        caps: Caps,
        file: FileHandle,
        reach: Reach,
        mut reader: ObjectReader,
    ) -> Result<Sent> {
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
        let closing = self.closing(&object, &route);
        let streamed = match self.stream(&mut upload, &mut reader, &object, closing).await {
            Err(error) if error.name == ErrorName::RemoteFailure => Err(explain(sftp, &route, error).await),
            other => other,
        }?;
        match streamed {
            Streamed::InPart => self.close(sftp, upload, &route, streamed).await,
            Streamed::Completely if route.is_direct() => {
                self.ensure_current().await?;
                self.close(sftp, upload, &route, streamed).await
            }
            Streamed::Completely | Streamed::ToTheLastWrite => {
                let sent = self.close_at_once(session, upload, &route, &object).await;
                let is_lost = sent.as_ref().is_err_and(|error| error.name.is_connection_failure());
                if is_lost && streamed == Streamed::ToTheLastWrite {
                    // Perhaps the server ends a session when it gets a WRITE after the CLOSE. It would do so for every file.
                    self.call.deps.partner.learned.set_closes_late();
                }
                sent
            }
        }
    }

    async fn stream(
        &self,
        upload: &mut Upload<Journal<'_>>,
        reader: &mut ObjectReader,
        object: &PinnedObject,
        closing: Closing,
    ) -> Result<Streamed> {
        loop {
            let Some(bytes) = reader.next().await? else {
                if closing == Closing::WithTheLastWrites {
                    return Ok(Streamed::ToTheLastWrite);
                }
                break;
            };
            upload.push(bytes).await?;
            if self.call.stop.has_passed() {
                tracing::info!("the deadline is near");
                break;
            }
        }
        upload.flush().await?;
        Ok(if upload.acknowledged() == object.size { Streamed::Completely } else { Streamed::InPart })
    }
}

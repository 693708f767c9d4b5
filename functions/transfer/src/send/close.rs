//! Closing the file: when, and what the server's answers say of what was sent.

use std::sync::Arc;

use bridge::{Demand, ErrorName, Hashes, PinnedObject, Result, Route};
use partner::Answer;
use partner::files::{FileAttributes, Seen, explain};
use sftp::{Attributes, Closed, Error, ErrorKind, Session, Sftp, Unfinished, Upload};

use crate::send::acknowledged::Journal;
use crate::send::sending::Sending;

/// How far a session's share of the object went to the server.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Streamed {
    /// Every byte was sent and acknowledged.
    Completely,
    /// The last bytes are not acknowledged yet, or not even sent: the CLOSE goes along with them.
    ToTheLastWrite,
    /// The stop came first.
    InPart,
}

/// What became of a session's share.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// Some of the object, or all of it, and the file is closed.
    AndClosed,
    /// There was nothing to send.
    Nothing,
    /// All of it, but the server may have lost some: perhaps it does not keep the order of what travels together.
    OutOfOrder,
}

/// When the CLOSE is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Closing {
    WithTheLastWrites,
    WhenAllIsAcknowledged,
}

/// Maximum size of a file that is closed along with its last WRITEs, in bytes. A server that does not keep the order gets all
/// of it again. The round trip that a larger file would save is a small part of its time.
const SENT_AGAIN_MAX: u64 = 16 * 1024 * 1024;

impl Sending<'_> {
    pub(super) fn closing(&self, object: &PinnedObject, route: &Route) -> Closing {
        let is_new = self.acknowledged.offset() == 0 && !route.is_direct();
        let keeps_order = self.hurries() && !self.call.deps.partner.learned.closes_late();
        if is_new && keeps_order && object.size <= SENT_AGAIN_MAX {
            Closing::WithTheLastWrites
        } else {
            Closing::WhenAllIsAcknowledged
        }
    }

    /// Closes a partial file that is complete, along with what is left to send, and looks at it behind the CLOSE.
    pub(super) async fn close_at_once(
        &self,
        session: &Arc<Session>,
        upload: Upload<Journal<'_>>,
        route: &Route,
        object: &PinnedObject,
    ) -> Result<Sent> {
        let sftp = session.sftp();
        let explained = async |error: Error| match bridge::Error::from(error) {
            error if error.name == ErrorName::RemoteFailure => explain(sftp, route, error).await,
            error => error,
        };
        let settings = self.settings().attributes;
        // `verify-remote` sets what is not seen then.
        let attributes = FileAttributes::wanted(settings, object.last_modified).together();
        let refusal = match upload.finish_at_once(settings.fsync.is_some(), attributes).await {
            Ok(_) if self.acknowledged.offset() != object.size => return Ok(Sent::AndClosed),
            Ok(closed) => {
                self.closed_completely(&closed)?;
                self.remember(session, route, object, closed.attributes);
                return Ok(Sent::AndClosed);
            }
            Err(Unfinished::Sending(error)) => return Err(explained(error).await),
            Err(Unfinished::OutOfOrder(None)) => None,
            Err(Unfinished::OutOfOrder(Some(refusal))) => Some(explained(refusal).await),
            Err(Unfinished::ClosingEarly(refusal)) if refusal.kind() != ErrorKind::RemoteFull => {
                Some(refusal.into())
            }
            Err(Unfinished::Closing(refusal) | Unfinished::ClosingEarly(refusal)) => {
                return Err(self.close_refused(sftp, route, refusal).await);
            }
        };
        match refusal {
            Some(error) if error.name == ErrorName::RemoteFull => Err(error),
            refusal => {
                let why = refusal.map_or_else(String::new, |refusal| refusal.to_string());
                tracing::warn!(why, "the last requests were not done in their order; the file is sent again");
                Ok(Sent::OutOfOrder)
            }
        }
    }

    /// `verify-remote` need not ask this session again. If the server shows something else, it will look for itself.
    fn remember(
        &self,
        session: &Arc<Session>,
        route: &Route,
        object: &PinnedObject,
        told: Option<Attributes>,
    ) {
        let Some(told) = told else { return };
        let answer = Answer::of(Some(told));
        if answer.seen == Seen::File(Some(object.size)) {
            self.call.deps.partner.told.remember(session, route.upload_path(), answer);
        }
    }

    pub(super) async fn close(
        &self,
        sftp: &Sftp,
        upload: Upload<Journal<'_>>,
        route: &Route,
        streamed: Streamed,
    ) -> Result<Sent> {
        let syncs = streamed == Streamed::Completely && self.settings().attributes.fsync.is_some();
        let closed = match upload.finish(syncs).await {
            Err(refusal @ Error::Refused(_)) => return Err(self.close_refused(sftp, route, refusal).await),
            other => other?,
        };
        if streamed == Streamed::Completely {
            self.closed_completely(&closed)?;
        }
        Ok(Sent::AndClosed)
    }

    fn closed_completely(&self, closed: &Closed) -> Result<()> {
        let fsync = self.settings().attributes.fsync;
        match &closed.synced {
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
        self.acknowledged.sent();
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

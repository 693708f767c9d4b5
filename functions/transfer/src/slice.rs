//! One call's share of a transfer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws::{ByteStream, ObjectReader};
use bridge::{
    Checkpoint, Checksum, Deadline, ErrorName, PinnedObject, ProofPolicy, RemotePaths, Result, Status,
    TransferInput,
};
use partner::Persistence;
use sftp::{AHEAD_MAX, Attributes, Caps, Session, Sftp, Upload};

use crate::Deps;
use crate::acknowledged::{Acknowledged, Sending};
use crate::remote::{explain, open_partial};

pub(crate) struct Slice<'a> {
    pub(crate) deps: &'a Deps,
    pub(crate) input: &'a TransferInput,
    pub(crate) acknowledged: &'a Acknowledged,
    /// The object's contents, as they came with the answer about it; for the first session.
    pub(crate) body: Mutex<Option<ByteStream>>,
    /// No new bytes are sent after this.
    pub(crate) stop: Deadline,
    /// Nothing is waited for after this.
    pub(crate) limit: Deadline,
}

/// A partial file that is in nobody's way is not waited for longer.
const DISCARD_MAX: Duration = Duration::from_secs(10);

/// Between being refused and asking again: it may have been a hiccup, and much may be at stake.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);

impl Slice<'_> {
    /// Sends until the object is complete or the stop has come; `acknowledged` says how far. A session that is lost
    /// on the way is followed by another.
    ///
    /// Gateways to object stores take a file from its beginning to its end, and nothing that goes on in the middle: who
    /// refuses that twice in a row is sent all of it again. A file too large for one call has to fail there.
    pub(crate) async fn run(&self) -> Result<()> {
        let mut persistence = Persistence::default();
        let mut caps = self.deps.partner.caps();
        let mut refusals = 0;
        let mut refusal = None;
        loop {
            let start = self.acknowledged.offset();
            let Err(error) = self.run_session(caps).await else {
                let complete = self.acknowledged.checkpoint().status == Status::Complete;
                // The next call would be refused, too, and start over for ever.
                return refusal.filter(|_| !complete).map_or(Ok(()), Err);
            };
            let progress = self.acknowledged.offset() > start;
            let refused = matches!(error.name, ErrorName::RemoteFailure | ErrorName::RemotePathRejected);
            if start > 0 && !progress && refused && refusals < 2 && !self.stop.has_passed() {
                refusals += 1;
                tracing::warn!(%error, start, refusals, "the server does not let the partial file be continued");
                if refusals == 2 {
                    self.discard().await;
                    self.acknowledged.start_over(false);
                    refusal = Some(error);
                }
                self.acknowledged.resume();
                tokio::time::sleep(REFUSED_PAUSE.min(self.stop.remaining())).await;
                continue;
            }
            // A server that breaks off may do so because of a second channel or connection, and so early that nothing
            // was acknowledged: it would do so in every call.
            let alone = caps != Caps::ONE && error.name == ErrorName::ConnectionLost;
            caps = Caps::ONE;
            let goes_on = persistence.goes_on(&error, progress, self.stop).await || alone;
            if self.stop.has_passed() || !goes_on {
                return Err(error);
            }
            self.acknowledged.resume();
        }
    }

    async fn run_session(&self, caps: Caps) -> Result<()> {
        let partner = &self.deps.partner;
        let session = partner.session(&self.input.credential).await?;
        let outcome = self.send(&session, caps).await;
        match &outcome {
            Ok(()) => partner.give_back(session).await,
            Err(_) => partner.discard(session).await,
        }
        outcome
    }

    /// Removes the partial file of a version that is not to be published any more. One that cannot be removed is not
    /// worth failing for: it is not under the final name.
    pub(crate) async fn discard(&self) {
        let partial = self.acknowledged.checkpoint().remote.partial;
        let removing = async {
            let session = self.deps.partner.session(&self.input.credential).await?;
            let removed = session.sftp().remove(&partial).await;
            self.deps.partner.discard(session).await;
            Ok::<(), bridge::Error>(removed?)
        };
        let patience = DISCARD_MAX.min(self.limit.remaining());
        let removed = tokio::time::timeout(patience, removing).await;
        let late = || ErrorName::ConnectionLost.error("no answer");
        if let Err(error) = removed.unwrap_or_else(|_| Err(late())) {
            tracing::warn!(%error, partial, "the partial file could not be removed");
        }
    }

    async fn send(&self, session: &Arc<Session>, caps: Caps) -> Result<()> {
        let sftp = session.sftp();
        let Checkpoint { object, remote, offset, .. } = self.acknowledged.checkpoint();
        let spread = session.spread(object.size - offset, caps);
        // Asked in one round trip; only the second answer is of use where bytes were acknowledged before.
        let (already_there, partial) =
            tokio::join!(self.is_already_there(sftp, &object, &remote, offset), async {
                told_size(sftp.stat(&remote.partial).await)
            });
        if let Some(stored) = already_there? {
            tracing::info!(
                path = remote.path,
                "the final name holds a file of this size, stored after the object"
            );
            return self.acknowledged.is_already_there(stored);
        }
        let mut partial = partial?;
        let file = open_partial(sftp, &remote).await?;
        if partial.is_none() && offset > 0 {
            // A server that refuses STAT may answer FSTAT.
            partial = told_size(sftp.fstat(&file).await.map(Some))?;
        }
        let mut reader = self.continue_at(sftp, &object, partial).await?;
        let offset = self.acknowledged.offset();
        let journal = self.acknowledged.journal(&self.deps.on_progress);
        // Of a file whose size is not told, nobody can tell whether several channels write to the same.
        let size = partial.unwrap_or(u64::MAX);
        let mut upload = session.upload(file, offset, size, spread, journal);
        let complete = match self.stream(&mut upload, &mut reader, &object).await {
            Err(error) if error.name == ErrorName::RemoteFailure => Err(explain(sftp, &remote, error).await),
            other => other,
        }?;
        let attributes = upload.finish().await?;
        if complete {
            let size = attributes.and_then(|attributes| attributes.size);
            if let Some(size) = size.filter(|size| *size != object.size) {
                tracing::warn!(
                    size,
                    expected = object.size,
                    "the server tells another size than it acknowledged"
                );
            }
            self.acknowledged.complete();
        }
        Ok(())
    }

    /// A duplicate event or a rerun: is there a file under the final name that may be this very version? Returns the
    /// checksum by which `verify-remote` proves it before anyone relies on it.
    async fn is_already_there<'o>(
        &self,
        sftp: &Sftp,
        object: &'o PinnedObject,
        remote: &RemotePaths,
        offset: u64,
    ) -> Result<Option<&'o Checksum>> {
        let (Some(stored_at), Some(checksum)) = (object.last_modified, &object.checksum) else {
            return Ok(None);
        };
        if offset > 0 || self.input.resends > 0 {
            return Ok(None);
        }
        match sftp.stat(&remote.path).await {
            Ok(Some(attributes)) => {
                let later = attributes.modified.is_some_and(|modified| i64::from(modified) >= stored_at);
                Ok((later && attributes.size == Some(object.size)).then_some(checksum))
            }
            Ok(None) => Ok(None),
            // A server that lets nothing be seen is no reason not to deliver.
            Err(error) if error.is_status() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Brings `acknowledged` to where to go on, and returns a reader from there: the checkpoint, if the partial file
    /// reaches that far; further, if it proves more; else the start.
    async fn continue_at(
        &self,
        sftp: &Sftp,
        object: &PinnedObject,
        partial: Option<u64>,
    ) -> Result<ObjectReader> {
        let offset = self.acknowledged.offset();
        let partial = partial.unwrap_or_default();
        if partial < offset || offset == 0 {
            if offset > 0 {
                tracing::warn!(
                    offset,
                    partial,
                    "the partial file does not reach the checkpoint; starting over"
                );
            }
            let wants_hash =
                matches!(self.deps.partner.settings.proof, ProofPolicy::Auto | ProofPolicy::Hash);
            self.acknowledged.start_over(wants_hash && sftp.can_hash());
        }
        let offset = self.acknowledged.offset();
        let s3 = &self.deps.partner.clients.s3;
        let body = self.body.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut reader = match offset {
            0 => ObjectReader::with_body(s3, object, body),
            _ => ObjectReader::new(s3, object, offset),
        };
        // A call that was killed left no checkpoint, but it never sent further than this ahead of what was acknowledged.
        // Of a file that differed on arrival, nothing is believed.
        let proved = partial.min(object.size).saturating_sub(AHEAD_MAX);
        if self.input.resends == 0 && proved > offset {
            tracing::info!(offset, proved, "the partial file proves more than the checkpoint says");
            reader.pass(proved, |bytes| self.acknowledged.add_proved(bytes)).await?;
        }
        if self.acknowledged.offset() > 0 {
            tracing::info!(offset = self.acknowledged.offset(), "resuming");
        }
        Ok(reader)
    }

    /// Returns whether every byte was sent and acknowledged.
    async fn stream(
        &self,
        upload: &mut Upload<Sending<'_>>,
        reader: &mut ObjectReader,
        object: &PinnedObject,
    ) -> Result<bool> {
        while let Some(bytes) = reader.next().await? {
            upload.push(bytes).await?;
            if self.stop.has_passed() {
                tracing::info!("the deadline is near");
                break;
            }
        }
        upload.flush().await?;
        Ok(upload.acknowledged() == object.size)
    }
}

/// Bytes, zero if there is no file; `None` if the server does not say.
fn told_size(answer: sftp::Result<Option<Attributes>>) -> Result<Option<u64>> {
    match answer {
        Ok(Some(attributes)) => Ok(attributes.size),
        Ok(None) => Ok(Some(0)),
        Err(error) if error.is_status() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

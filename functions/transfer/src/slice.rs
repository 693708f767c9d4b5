//! One call's share of a transfer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws::{ByteStream, Deliverable, ObjectReader};
use bridge::{
    Checkpoint, Checksum, Deadline, Demand, ErrorName, Hashes, PinnedObject, ProofPolicy, RemotePaths,
    Result, TransferInput,
};
use partner::Persistence;
use partner::files::{OpenAs, PartialFile, Patience, Seen, explain, look, look_until};
use sftp::{AHEAD_MAX, Attributes, Caps, FileHandle, Session, Sftp, Upload};

use crate::acknowledged::{Acknowledged, Sending};
use crate::direct::{self, Prepared};
use crate::{Deps, already_there};

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
    /// Whether the file was last asked for to continue it.
    pub(crate) resumes: AtomicBool,
}

/// A partial file that is in nobody's way is not waited for longer.
const DISCARD_MAX: Duration = Duration::from_secs(10);

/// Pauses after the server refused to continue the partial file, 92 seconds in all, before all of it is sent again. A
/// session that was lost may hold the file locked for a minute.
const REFUSED_PAUSES: [Duration; 6] = [
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(20),
    Duration::from_secs(25),
    Duration::from_secs(30),
];

impl Slice<'_> {
    /// Sends until the object is complete or the stop has come; `acknowledged` says how far. A session that is lost
    /// on the way is followed by another.
    ///
    /// Gateways to object stores take a file from its beginning to its end, and nothing that goes on in the middle: who
    /// keeps refusing that is sent all of it again, once. A file too large for one call has to fail there.
    pub(crate) async fn run(&self) -> Result<()> {
        let mut persistence = Persistence::default();
        let mut caps = self.deps.partner.caps();
        // In this call or in an earlier one.
        let mut had_session = self.input.checkpoint.is_some();
        // A server that has refused for all of them before in this process is waited for less.
        let known = self.deps.partner.learned.never_continues();
        let mut pauses = REFUSED_PAUSES.into_iter().take(if known { 2 } else { REFUSED_PAUSES.len() });
        let call = self.acknowledged.mark();
        loop {
            let start = self.acknowledged.mark();
            let run = self.with_session(async |session| {
                if std::mem::replace(&mut had_session, true) {
                    self.acknowledged.resume();
                }
                let sent = Box::pin(self.send(session, caps)).await;
                if sent.is_err() && self.acknowledged.checkpoint().remote.is_direct() {
                    // Some servers publish what is closed, and the file may be open still.
                    session.poison();
                }
                sent
            });
            let Err(error) = run.await else { return Ok(()) };
            let progress = self.acknowledged.is_beyond(start);
            if matches!(error.name, ErrorName::RemoteFailure | ErrorName::RemotePathRejected) {
                if progress {
                    // A quota, most likely: it is not about continuing.
                    self.acknowledged.refused_here();
                }
                let continues = start.offset > 0 || self.resumes.load(Ordering::Relaxed);
                let about_continuing = continues && !progress && !self.acknowledged.was_refused_here();
                // What this call has brought goes into a checkpoint first.
                if !about_continuing || self.acknowledged.is_beyond(call) || self.stop.has_passed() {
                    return Err(error);
                }
                let offset = start.offset;
                tracing::warn!(%error, offset, "the server does not let the partial file be continued");
                if let Some(pause) = pauses.next() {
                    tokio::time::sleep(pause.min(self.stop.remaining())).await;
                } else {
                    let why = format!("the server did not let it be continued: {}", error.message());
                    self.may_start_over(&why)?;
                    self.deps.partner.learned.set_never_continues(true);
                    self.acknowledged.distrust();
                    Box::pin(self.discard()).await;
                    self.acknowledged.start_over(Hashes::default());
                }
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
        }
    }

    /// Once in an execution, and once more for each redrive: a server for which the file is too large would be sent it
    /// without end.
    fn may_start_over(&self, why: &str) -> Result<()> {
        let Checkpoint { offset, restarts, remote, .. } = self.acknowledged.checkpoint();
        if restarts > self.input.execution.redrive_count {
            return Err(ErrorName::RemoteFailure.error(format!(
                "{:?} would have to be sent again from its beginning, for the second time, after {offset} bytes: {why}. To this server a file has to go without a break, in one call of at most 15 minutes",
                remote.partial
            )));
        }
        self.acknowledged.warn(format!("after {offset} bytes all was sent again from the beginning: {why}"));
        Ok(())
    }

    async fn with_session<T>(&self, work: impl AsyncFnOnce(&Arc<Session>) -> Result<T>) -> Result<T> {
        let credential = &self.input.credential;
        let accepted = self.acknowledged.credential_version_id();
        let logged_in = async |session: &Arc<Session>| {
            self.acknowledged.logged_in_with(credential.accepted(session.label()));
            work(session).await
        };
        self.deps.partner.with_session(credential, accepted.as_deref(), logged_in).await
    }

    /// Removes the partial file of a version that is not to be published any more. One that cannot be removed is not
    /// worth failing for: it is not under the final name.
    pub(crate) async fn discard(&self) {
        let RemotePaths { path, partial } = self.acknowledged.checkpoint().remote;
        if partial == path {
            // By now it may be the newer version that lies there.
            return;
        }
        let removing = self.with_session(async |session| Ok(session.sftp().remove(&partial).await?));
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
        let direct = remote.is_direct();
        self.ensure_possible(sftp)?;
        if direct {
            self.is_current(&object).await?;
        }
        // Who cannot rename is most often a gateway to an object store, which takes a file in one piece.
        let spread = session.spread(object.size - offset, if direct { Caps::ONE } else { caps });
        // Asked in one round trip; only the second answer is of use where bytes were acknowledged before.
        let (already_there, partial) =
            tokio::join!(self.is_already_there(sftp, &object, &remote, offset), look(sftp, &remote.partial));
        if let Some((number, stored)) = already_there? {
            tracing::info!(path = remote.numbered(number), "a file is there that may be this one already");
            return self.acknowledged.is_already_there(number, stored);
        }
        let before = self.size_before(sftp, &remote, offset, partial?).await?;
        let open_as = match direct {
            false => self.open_as(before, offset),
            true => {
                let marker = self.deps.partner.settings.marker;
                match direct::prepare(sftp, marker, &remote, &object, offset, before).await? {
                    Prepared::Complete => {
                        self.acknowledged.complete();
                        return Ok(());
                    }
                    Prepared::Continue => OpenAs::Resume,
                    Prepared::Fresh => OpenAs::Fresh,
                }
            }
        };
        let (file, reaches) = self.open(sftp, &remote, open_as, before).await?;
        let mut reader = self.continue_at(sftp, &object, reaches).await?;
        let offset = self.acknowledged.offset();
        let journal = self.acknowledged.journal(&self.deps.on_progress);
        // Of a file whose size is not told, nobody can tell whether several channels write to the same.
        let size = reaches.unwrap_or(u64::MAX);
        let upload = session.upload(file).offset(offset).held(size).spread(spread);
        let mut upload = upload.journal(journal).start();
        let complete = match self.stream(&mut upload, &mut reader, &object).await {
            Err(error) if error.name == ErrorName::RemoteFailure => Err(explain(sftp, &remote, error).await),
            other => other,
        }?;
        if complete && direct {
            self.is_current(&object).await?;
        }
        self.close(sftp, upload, &remote, complete).await
    }

    /// What the settings demand and the server does not do is said before anything is sent.
    fn ensure_possible(&self, sftp: &Sftp) -> Result<()> {
        let settings = &self.deps.partner.settings;
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

    /// What the partial file holds before it is opened, bytes. A size below what was acknowledged is believed only after
    /// some seconds: caches tell old ones.
    async fn size_before(
        &self,
        sftp: &Sftp,
        remote: &RemotePaths,
        offset: u64,
        seen: Seen,
    ) -> Result<Option<u64>> {
        let is_expected = |seen: Seen| match seen {
            Seen::File(size) => size.is_none_or(|size| size >= offset),
            Seen::Nothing | Seen::Directory => offset == 0,
            Seen::Hidden => true,
        };
        let seen = match is_expected(seen) || remote.is_direct() {
            true => seen,
            false => look_until(sftp, &remote.partial, self.stop, is_expected, |_| Patience::Short).await?,
        };
        Ok(match seen {
            Seen::File(size) => size,
            Seen::Nothing => Some(0),
            Seen::Directory | Seen::Hidden => None,
        })
    }

    /// How the partial file is to be opened: what it holds is kept only if some of it is believed.
    fn open_as(&self, before: Option<u64>, offset: u64) -> OpenAs {
        let proves = self.is_believed() && before.is_some_and(|size| size > AHEAD_MAX);
        match offset > 0 || proves {
            true => OpenAs::Resume,
            false => OpenAs::Fresh,
        }
    }

    /// Opens the file, and says up to where its contents may be believed, bytes: as far as the open file reaches, and no
    /// further than it did before. Some servers cut a file as they open it.
    async fn open(
        &self,
        sftp: &Sftp,
        remote: &RemotePaths,
        open_as: OpenAs,
        before: Option<u64>,
    ) -> Result<(FileHandle, Option<u64>)> {
        let settings = &self.deps.partner.settings;
        self.resumes.store(open_as == OpenAs::Resume, Ordering::Relaxed);
        let partial =
            PartialFile { sftp, remote, policy: &settings.policy, dir_mode: settings.attributes.dir_mode };
        let mut file = partial.open(open_as, |warning| self.acknowledged.warn(warning)).await?;
        if remote.is_direct() {
            file.leave_open_if_dropped();
        }
        if open_as == OpenAs::Fresh {
            return Ok((file, before.map(|_| 0)));
        }
        self.deps.partner.learned.set_never_continues(false);
        let after = match told_size(sftp.fstat(&file).await.map(Some))? {
            Some(size) => Some(size),
            None => told_size(sftp.stat(&remote.partial).await)?,
        };
        Ok((file, after.map(|after| before.map_or(after, |before| before.min(after)))))
    }

    async fn close(
        &self,
        sftp: &Sftp,
        upload: Upload<Sending<'_>>,
        remote: &RemotePaths,
        complete: bool,
    ) -> Result<()> {
        let fsync = self.deps.partner.settings.attributes.fsync;
        let closed = match upload.finish(complete && fsync.is_some()).await {
            Err(error) if error.is_status() => return Err(self.close_refused(sftp, remote, error).await),
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
        if complete {
            self.acknowledged.complete();
        }
        Ok(())
    }

    /// What was acknowledged is taken back: nothing of it is to be believed any more, in this call or in a later one.
    async fn close_refused(&self, sftp: &Sftp, remote: &RemotePaths, refusal: sftp::Error) -> bridge::Error {
        self.acknowledged.start_over(Hashes::default());
        match sftp.remove(&remote.partial).await {
            Ok(()) => refusal.into(),
            Err(error) if error.is_not_found() => refusal.into(),
            Err(error) => {
                self.acknowledged.distrust();
                if error.is_status() { refusal.into() } else { error.into() }
            }
        }
    }

    /// Whether the size of the partial file proves its beginning. Not of a file that differed on arrival, or whose close
    /// was refused, nor of one whose name does not stand for a version.
    fn is_believed(&self) -> bool {
        let Checkpoint { remote, distrusted, .. } = self.acknowledged.checkpoint();
        self.input.resends == 0 && !distrusted && !remote.is_direct()
    }

    async fn is_already_there<'o>(
        &self,
        sftp: &Sftp,
        object: &'o PinnedObject,
        remote: &RemotePaths,
        offset: u64,
    ) -> Result<Option<(u32, &'o Checksum)>> {
        if offset > 0 {
            return Ok(None);
        }
        // A wrong guess costs the one time that a file may be sent again.
        let Checkpoint { reason, restarts, .. } = self.acknowledged.checkpoint();
        let may_guess = self.input.resends == 0 && (reason.is_none() || restarts == 0);
        already_there::find(sftp, self.deps.partner.settings.policy.if_exists, object, remote, may_guess)
            .await
    }

    /// Where the final name itself is written to, an older version would be written over a newer one.
    async fn is_current(&self, object: &PinnedObject) -> Result<()> {
        let deliverable = Deliverable { skip_empty: self.deps.partner.settings.policy.skip_empty };
        match aws::superseded_by(&self.deps.partner.clients.s3, object, deliverable).await? {
            Some(reason) => Err(ErrorName::ObjectChanged.error(reason)),
            None => Ok(()),
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
        let reaches = partial.unwrap_or_default();
        if reaches < offset || offset == 0 {
            if offset > 0 {
                tracing::warn!(
                    offset,
                    partial,
                    "the partial file does not reach the checkpoint; starting over"
                );
                self.may_start_over(&match partial {
                    Some(0) => "the partial file was gone, or empty".to_owned(),
                    Some(partial) => format!("the partial file had no more than {partial} of them"),
                    None => "the server does not tell how far the partial file reaches".to_owned(),
                })?;
            }
            let wants_hash =
                matches!(self.deps.partner.settings.proof, ProofPolicy::Auto | ProofPolicy::Hash);
            let mut hashes = self.deps.partner.settings.marker.hashes();
            hashes.sha256 |= wants_hash && sftp.can_hash();
            self.acknowledged.start_over(hashes);
        }
        let offset = self.acknowledged.offset();
        let s3 = &self.deps.partner.clients.s3;
        let body = self.body.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut reader = match offset {
            0 => ObjectReader::with_body(s3, object, body),
            _ => ObjectReader::new(s3, object, offset),
        };
        // A call that was killed left no checkpoint, but it never sent further than this ahead of what was acknowledged.
        let proved = reaches.min(object.size).saturating_sub(AHEAD_MAX);
        if self.is_believed() && proved > offset {
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

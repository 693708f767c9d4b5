//! Sends the object: what one call can do of it, over as many sessions as it takes.

mod acknowledged;
mod direct;
mod found;
mod resume;
mod stream;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws::{ByteStream, Newer};
use bridge::{Checkpoint, Error, ErrorName, Hashes, PinnedObject, Result, Settings};
use partner::Persistence;
use partner::files::discard;
use sftp::{Caps, Session};

use crate::Call;
use crate::send::acknowledged::{Acknowledged, Mark};

/// What one call sends.
pub(crate) struct Sending<'a> {
    call: &'a Call<'a>,
    acknowledged: Acknowledged,
    /// Where the call began.
    start: Mark,
    /// The object's contents, as they came with the answer that pinned it; for the first session.
    body: Mutex<Option<ByteStream>>,
    /// Whether the file was last opened to continue it.
    resumes: AtomicBool,
}

/// Maximum time to remove a partial file that nobody needs.
const DISCARD_MAX: Duration = Duration::from_secs(10);

/// Pauses after the server refused to continue the partial file, 92 seconds in all, before everything is sent again. A
/// lost session may keep the file locked for a minute.
const REFUSED_PAUSES: [Duration; 6] = [
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(20),
    Duration::from_secs(25),
    Duration::from_secs(30),
];

/// Number of these pauses for a server that has refused through all of them before in this process.
const KNOWN_PAUSES: usize = 2;

impl<'a> Sending<'a> {
    pub(crate) fn new(call: &'a Call<'a>, checkpoint: Checkpoint, body: Option<ByteStream>) -> Self {
        let acknowledged = Acknowledged::new(checkpoint);
        let start = acknowledged.mark();
        Self { call, acknowledged, start, body: Mutex::new(body), resumes: AtomicBool::new(false) }
    }

    /// Sends until the object is complete or the stop has come. [`checkpoint`](Self::checkpoint) says how far it came.
    pub(crate) async fn run(&self) -> Result<()> {
        let limit = self.call.limit.remaining();
        let sent = tokio::time::timeout(limit, Box::pin(self.over_sessions())).await;
        sent.unwrap_or_else(|_| Err(self.call.no_answer()))
    }

    /// How far it has come.
    pub(crate) fn checkpoint(&self) -> Checkpoint {
        self.acknowledged.checkpoint()
    }

    /// Whether the call has brought anything that the next one needs: acknowledged bytes, or that the partial file is not
    /// to be trusted. The latter counts once. If a server refuses each CLOSE, the second call fails with the error.
    pub(crate) fn has_progressed(&self) -> bool {
        let before = self.call.input.checkpoint.as_ref().is_some_and(|before| before.sent.distrusted);
        let distrusts_now = !before && self.checkpoint().sent.distrusted;
        self.acknowledged.is_beyond(self.start) || distrusts_now
    }

    /// The upload that has taken the object's place, if there is one.
    pub(crate) async fn superseded_by(&self) -> Result<Option<Newer>> {
        let object = self.checkpoint().object;
        aws::superseded_by(&self.call.deps.partner.clients.s3, &object, self.call.deliverable()).await
    }

    /// Removes the partial file, which will not be published. Best effort: it does not have the final name. A file that
    /// was written directly stays: it may be the newer version's by now.
    pub(crate) async fn discard(&self) {
        let route = self.checkpoint().route;
        let Some(partial) = route.partial() else { return };
        let removing = self.with_session(async |session| {
            discard(session.sftp(), partial).await;
            Ok(())
        });
        let limit = DISCARD_MAX.min(self.call.limit.remaining());
        match tokio::time::timeout(limit, removing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, partial, "the partial file could not be removed"),
            Err(_) => tracing::warn!(partial, "the partial file could not be removed: no answer"),
        }
    }

    /// A lost session is followed by another.
    ///
    /// Gateways to object stores accept a file only from its beginning to its end. If the server keeps refusing to
    /// continue the file, it is sent once more from the start. On such a server, a file too large for one call fails.
    async fn over_sessions(&self) -> Result<()> {
        let mut persistence = Persistence::default();
        let mut refusals = Refusals::new(self.call.deps.partner.learned.never_continues());
        let mut caps = self.call.deps.partner.caps();
        // In this call or in an earlier one.
        let mut had_session = self.call.input.checkpoint.is_some();
        loop {
            let session_start = self.acknowledged.mark();
            let had_one = std::mem::replace(&mut had_session, true);
            let Err(error) = self.one_session(caps, had_one).await else { return Ok(()) };
            let progress = self.acknowledged.is_beyond(session_start);
            if matches!(error.name, ErrorName::RemoteFailure | ErrorName::RemotePathRejected) {
                self.after_refusal(error, session_start, progress, &mut refusals).await?;
                continue;
            }
            // The server may have ended the session because of a second channel or connection, before it acknowledged
            // anything. It would do so in every call.
            let try_alone = caps != Caps::ONE && error.name == ErrorName::ConnectionLost;
            caps = Caps::ONE;
            let goes_on = persistence.goes_on(&error, progress, self.call.stop).await || try_alone;
            if self.call.stop.has_passed() || !goes_on {
                return Err(error);
            }
        }
    }

    async fn one_session(&self, caps: Caps, had_session: bool) -> Result<()> {
        let sending = self.with_session(async |session| {
            if had_session {
                self.acknowledged.resume();
            }
            let sent = Box::pin(self.send(session, caps)).await;
            if sent.is_err() && self.checkpoint().route.is_direct() {
                // Some servers publish what is closed, and the file may still be open.
                session.poison();
            }
            sent
        });
        sending.await
    }

    /// The server refused something. If that may be about continuing the file, waits for the next attempt.
    ///
    /// # Errors
    /// `error`, if it is about something else.
    async fn after_refusal(
        &self,
        error: Error,
        session_start: Mark,
        progress: bool,
        refusals: &mut Refusals,
    ) -> Result<()> {
        if progress {
            // Most likely a quota.
            self.acknowledged.refused_here();
        }
        let continues = session_start.offset > 0 || self.resumes.load(Ordering::Relaxed);
        let is_about_continuing = continues && !progress && !self.acknowledged.was_refused_here();
        // What this call has sent goes into a checkpoint first.
        if !is_about_continuing || self.acknowledged.is_beyond(self.start) || self.call.stop.has_passed() {
            return Err(error);
        }
        let offset = session_start.offset;
        tracing::warn!(%error, offset, "the server does not let the partial file be continued");
        match refusals.next_pause() {
            Some(pause) => tokio::time::sleep(pause.min(self.call.stop.remaining())).await,
            None => self.start_over(&error).await?,
        }
        Ok(())
    }

    async fn start_over(&self, refusal: &Error) -> Result<()> {
        self.may_start_over(&format!("the server did not let it be continued: {}", refusal.message()))?;
        self.call.deps.partner.learned.set_never_continues(true);
        self.acknowledged.distrust();
        Box::pin(self.discard()).await;
        self.acknowledged.start_over(Hashes::default());
        Ok(())
    }

    /// Everything is sent again at most once in an execution, and once more for each redrive. A server for which the file
    /// is too large would otherwise be sent it without end.
    fn may_start_over(&self, why: &str) -> Result<()> {
        let checkpoint = self.checkpoint();
        let offset = checkpoint.sent.offset;
        if checkpoint.sent.restarts > self.call.input.execution.redrive_count {
            return Err(ErrorName::RemoteFailure.error(format!(
                "{:?} would have to be sent again from its beginning, for the second time, after {offset} bytes: {why}. To this server a file has to go without a break, in one call of at most 15 minutes",
                checkpoint.route.upload_path()
            )));
        }
        self.acknowledged.warn(format!("after {offset} bytes all was sent again from the beginning: {why}"));
        Ok(())
    }

    async fn with_session<T>(&self, work: impl AsyncFnOnce(&Arc<Session>) -> Result<T>) -> Result<T> {
        let credential = &self.call.input.credential;
        let accepted = self.acknowledged.credential_version_id();
        let logged_in = async |session: &Arc<Session>| {
            self.acknowledged.logged_in_with(credential.accepted(session.label()));
            work(session).await
        };
        self.call.deps.partner.with_session(credential, accepted.as_deref(), logged_in).await
    }

    fn settings(&self) -> &Settings {
        self.call.settings()
    }

    /// With a direct route, an older version would be written over a newer one.
    async fn ensure_current(&self, object: &PinnedObject) -> Result<()> {
        let s3 = &self.call.deps.partner.clients.s3;
        match aws::superseded_by(s3, object, self.call.deliverable()).await? {
            Some(newer) => Err(ErrorName::ObjectChanged.error(newer.reason)),
            None => Ok(()),
        }
    }
}

/// Refusals to continue the file, in one call.
struct Refusals {
    pauses: std::iter::Take<std::array::IntoIter<Duration, { REFUSED_PAUSES.len() }>>,
}

impl Refusals {
    fn new(is_known: bool) -> Self {
        let count = if is_known { KNOWN_PAUSES } else { REFUSED_PAUSES.len() };
        Self { pauses: REFUSED_PAUSES.into_iter().take(count) }
    }

    /// `None` if the server has refused for long enough.
    fn next_pause(&mut self) -> Option<Duration> {
        self.pauses.next()
    }
}

//! Over as many sessions as it takes: what follows a lost session or a refusal.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bridge::{Error, ErrorName, Hashes, Result};
use partner::Persistence;
use sftp::Caps;

use crate::send::acknowledged::Mark;
use crate::send::sending::Sending;

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

impl Sending<'_> {
    /// Sends until the object is complete or the stop has come. [`checkpoint`](Self::checkpoint) says how far it came.
    pub(crate) async fn run(&self) -> Result<()> {
        let limit = self.call.limit.remaining();
        let sent = tokio::time::timeout(limit, Box::pin(self.over_sessions())).await;
        sent.unwrap_or_else(|_| Err(self.call.no_answer()))
    }

    /// A lost session is followed by another.
    ///
    /// Gateways to object stores accept a file only from its beginning to its end. If the server keeps refusing to
    /// continue the file, it is sent once more from the start. On such a server, a file too large for one call fails.
    async fn over_sessions(&self) -> Result<()> {
        let mut persistence = Persistence::with(self.call.deps.partner.caps());
        let known = self.call.deps.partner.learned.never_continues();
        let mut pauses =
            REFUSED_PAUSES.into_iter().take(if known { KNOWN_PAUSES } else { REFUSED_PAUSES.len() });
        // In this call or in an earlier one.
        let mut had_session = self.call.input.checkpoint.is_some();
        loop {
            let session_start = self.acknowledged.mark();
            let Err(error) = self.one_session(persistence.caps(), &mut had_session).await else {
                return Ok(());
            };
            let progress = self.acknowledged.is_beyond(session_start);
            if matches!(error.name, ErrorName::RemoteFailure | ErrorName::RemotePathRejected) {
                self.after_refusal(error, session_start, progress, pauses.next()).await?;
                continue;
            }
            let stop = self.call.stop;
            if stop.has_passed() || !persistence.goes_on(&error, progress, stop).await {
                return Err(error);
            }
        }
    }

    async fn one_session(&self, caps: Caps, had_session: &mut bool) -> Result<()> {
        let sending = self.with_session(async |session| {
            if std::mem::replace(had_session, true) {
                self.acknowledged.resume();
            }
            let sent = Box::pin(self.send(session, caps)).await;
            if sent.is_err() {
                self.slow_down();
            }
            if sent.is_err() && self.checkpoint().route.is_direct() {
                // Some servers publish what is closed, and the file may still be open.
                session.poison();
            }
            sent
        });
        sending.await
    }

    /// The server refused something. If that may be about continuing the file, waits for the next attempt; without a
    /// `pause`, the server has refused for long enough, and the file is sent from the start.
    ///
    /// # Errors
    /// `error`, if it is about something else.
    async fn after_refusal(
        &self,
        error: Error,
        session_start: Mark,
        progress: bool,
        pause: Option<Duration>,
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
        match pause {
            Some(pause) => tokio::time::sleep(pause.min(self.call.stop.remaining())).await,
            None => self.start_over(&error).await?,
        }
        Ok(())
    }

    async fn start_over(&self, refusal: &Error) -> Result<()> {
        self.may_start_over(&format!(
            "the server refused to continue the partial file: {}",
            refusal.message()
        ))?;
        self.call.deps.partner.learned.set_never_continues(true);
        self.acknowledged.distrust();
        Box::pin(self.discard()).await;
        self.acknowledged.start_over(Hashes::default());
        Ok(())
    }
}

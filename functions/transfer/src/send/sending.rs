//! What one call sends, and what all its sessions share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws::{ByteStream, Newer};
use bridge::{Checkpoint, ErrorName, Result, Settings};
use partner::files::Reply;
use sftp::Session;

use crate::call::Call;
use crate::send::acknowledged::{Acknowledged, Mark};

/// What one call sends.
pub(crate) struct Sending<'a> {
    pub(super) call: &'a Call<'a>,
    pub(super) acknowledged: Acknowledged,
    /// Where the call began.
    pub(super) start: Mark,
    /// The object's contents, as they came with the answer that pinned it; for the first session.
    pub(super) body: Mutex<Option<ByteStream>>,
    /// Whether the file was last opened to continue it.
    pub(super) resumes: AtomicBool,
    /// Whether requests travel together that otherwise wait for each other's answers: in a first attempt, until something
    /// goes wrong.
    hurries: AtomicBool,
}

/// Maximum time to remove a partial file that nobody needs.
const DISCARD_MAX: Duration = Duration::from_secs(10);

impl<'a> Sending<'a> {
    pub(crate) fn new(call: &'a Call<'a>, checkpoint: Checkpoint, body: Option<ByteStream>) -> Self {
        let acknowledged = Acknowledged::new(checkpoint);
        let start = acknowledged.mark();
        Self {
            call,
            acknowledged,
            start,
            body: Mutex::new(body),
            resumes: AtomicBool::new(false),
            hurries: AtomicBool::new(call.is_first_attempt()),
        }
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
        aws::superseded_by(&self.call.deps.clients.s3, &object, self.call.deliverable()).await
    }

    /// Removes the partial file, which will not be published. Best effort: it does not have the final name. A file that
    /// was written directly stays: it may be the newer version's by now.
    pub(crate) async fn discard(&self) {
        let route = self.checkpoint().route;
        let Some(partial) = route.partial() else { return };
        let removing =
            self.with_session(async |session| match Reply::of(session.sftp().remove(partial).await)? {
                Reply::Refused(refusal) if !refusal.is_not_found() => Err(sftp::Error::from(refusal).into()),
                _ => Ok(()),
            });
        let limit = DISCARD_MAX.min(self.call.limit.remaining());
        match tokio::time::timeout(limit, removing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, partial, "the partial file could not be removed"),
            Err(_) => tracing::warn!(partial, "the partial file could not be removed: no answer"),
        }
    }

    /// Everything is sent again at most once in an execution, and once more for each redrive. A server for which the file
    /// is too large would otherwise be sent it without end.
    pub(super) fn may_start_over(&self, why: &str) -> Result<()> {
        let checkpoint = self.checkpoint();
        let offset = checkpoint.sent.offset;
        if checkpoint.sent.restarts > self.call.input.execution.redrive_count {
            return Err(ErrorName::RemoteFailure.error(format!(
                "{:?} would have to be sent again from its beginning, for the second time, after {offset} bytes: {why}. This server accepts only files that can be sent without a break, on Lambda within 15 minutes",
                checkpoint.route.upload_path()
            )));
        }
        self.acknowledged
            .warn(format!("after {offset} bytes the file was sent again from the first byte: {why}"));
        Ok(())
    }

    pub(super) async fn with_session<T>(
        &self,
        work: impl AsyncFnOnce(&Arc<Session>) -> Result<T>,
    ) -> Result<T> {
        let credential = &self.call.input.credential;
        let accepted = self.acknowledged.credential_version_id();
        let logged_in = async |session: &Arc<Session>| {
            self.acknowledged.logged_in_with(credential.accepted(session.label()));
            work(session).await
        };
        self.call.deps.partner.with_session(credential, accepted.as_deref(), logged_in).await
    }

    /// Never with a direct route: there the final name is looked at before it is opened, and S3 is asked before it is
    /// closed.
    pub(super) fn hurries(&self) -> bool {
        self.hurries.load(Ordering::Relaxed) && !self.checkpoint().route.is_direct()
    }

    /// Something went wrong: from now on, one thing after the other.
    pub(super) fn slow_down(&self) {
        self.hurries.store(false, Ordering::Relaxed);
    }

    pub(super) fn settings(&self) -> &Settings {
        self.call.settings()
    }

    /// With a direct route, an older version would be written over a newer one.
    pub(super) async fn ensure_current(&self) -> Result<()> {
        match self.superseded_by().await? {
            Some(newer) => Err(ErrorName::ObjectChanged.error(newer.reason)),
            None => Ok(()),
        }
    }
}

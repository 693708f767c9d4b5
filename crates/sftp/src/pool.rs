//! Keeping a connection for the next file.

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::runtime::Handle;

use crate::Session;

/// Keeps one session, so that the next file needs no log-in: for as long as it is known to be alive, and only for whom
/// it was made.
#[derive(Default)]
pub struct SessionPool {
    /// How long a session may be unused; zero keeps none.
    idle_max: Duration,
    /// Held while connecting: whoever comes meanwhile waits for the same session.
    connecting: tokio::sync::Mutex<()>,
    kept: Mutex<Option<Arc<Kept>>>,
}

/// A session, and who uses it.
struct Kept {
    identity: String,
    session: Arc<Session>,
    usage: Mutex<Usage>,
}

struct Usage {
    /// Counted here. Whatever else holds the session, such as a channel that is being opened for a file that has ended,
    /// has no say in how long it lasts.
    users: usize,
    /// By the wall clock: a process that is frozen between two calls, as on Lambda, does not hear the other ones tick.
    used_at: SystemTime,
}

/// A session that was used so recently is not asked whether it is alive.
const FRESH: Duration = Duration::from_secs(1);
/// A server that takes longer to answer than to be logged in to anew.
const PATIENCE: Duration = Duration::from_secs(2);

impl SessionPool {
    /// Keeps a session for `idle_max` after its last use.
    pub fn new(idle_max: Duration) -> Self {
        Self { idle_max, ..Self::default() }
    }

    /// The kept session if it was made for the same `identity` (server, settings, credential), is not too old and
    /// answers; else a new one. Callers side by side share one.
    ///
    /// # Errors
    /// Those of `connect`.
    pub async fn lease<E>(
        &self,
        identity: &str,
        connect: impl Future<Output = std::result::Result<Session, E>>,
    ) -> std::result::Result<Lease<'_>, E> {
        let _connecting = self.connecting.lock().await;
        let serves = |kept: &Arc<Kept>| kept.identity == identity && !kept.session.sftp().is_poisoned();
        let former = {
            let mut slot = self.kept();
            if let Some(kept) = slot.as_ref().filter(|kept| serves(kept) && kept.usage().users > 0) {
                return Ok(self.lend(kept));
            }
            slot.take()
        };
        let kept = match former {
            Some(kept) if serves(&kept) && self.is_alive(&kept).await => kept,
            former => {
                // Who still uses it says goodbye when he is done.
                if let Some(unused) = former.filter(|kept| kept.usage().users == 0) {
                    unused.session.disconnect().await;
                }
                Arc::new(Kept::new(identity, connect.await?))
            }
        };
        let lease = self.lend(&kept);
        *self.kept() = Some(kept);
        Ok(lease)
    }

    fn kept(&self) -> MutexGuard<'_, Option<Arc<Kept>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that nobody uses.
    async fn is_alive(&self, kept: &Kept) -> bool {
        let used_at = kept.usage().used_at;
        // A clock that was set back says nothing.
        match SystemTime::now().duration_since(used_at) {
            Ok(idle) if idle <= FRESH.min(self.idle_max) => true,
            Ok(idle) => idle <= self.idle_max && kept.session.is_alive(PATIENCE).await,
            Err(_) => false,
        }
    }

    fn lend(&self, kept: &Arc<Kept>) -> Lease<'_> {
        kept.usage().users += 1;
        Lease { pool: self, kept: Arc::clone(kept), is_over: false }
    }

    /// A user less. Returns the session if it has to end: nobody uses it, and nobody will.
    fn take_back(&self, kept: &Arc<Kept>, is_good: bool) -> Option<Arc<Session>> {
        let mut slot = self.kept();
        let is_unused = {
            let mut usage = kept.usage();
            usage.users -= 1;
            usage.used_at = SystemTime::now();
            usage.users == 0
        };
        let is_kept = slot.as_ref().is_some_and(|it| Arc::ptr_eq(it, kept));
        if is_kept && (!is_good || is_unused && self.idle_max.is_zero()) {
            slot.take();
        }
        let stays = is_kept && slot.is_some();
        (is_unused && !stays).then(|| Arc::clone(&kept.session))
    }

    /// Ends the kept session.
    pub async fn close(&self) {
        let kept = self.kept().take();
        if let Some(kept) = kept.filter(|kept| kept.usage().users == 0) {
            kept.session.disconnect().await;
        }
    }
}

impl Kept {
    fn new(identity: &str, session: Session) -> Self {
        let usage = Usage { users: 0, used_at: SystemTime::now() };
        Self { identity: identity.to_owned(), session: Arc::new(session), usage: Mutex::new(usage) }
    }

    fn usage(&self) -> MutexGuard<'_, Usage> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session that is used, and has to be given back or discarded. One that is dropped was in the middle of something:
/// nobody gets it any more.
pub struct Lease<'a> {
    pool: &'a SessionPool,
    kept: Arc<Kept>,
    is_over: bool,
}

impl Deref for Lease<'_> {
    type Target = Arc<Session>;

    fn deref(&self) -> &Arc<Session> {
        &self.kept.session
    }
}

impl Lease<'_> {
    /// It did its work, and may be kept.
    pub async fn give_back(self) {
        self.end(true).await;
    }

    /// It failed, or may have: nobody gets it any more. Others who still use it find out by themselves.
    pub async fn discard(self) {
        self.end(false).await;
    }

    async fn end(mut self, is_good: bool) {
        self.is_over = true;
        if let Some(session) = self.pool.take_back(&self.kept, is_good) {
            session.disconnect().await;
        }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        self.kept.session.poison();
        // Nobody waits for the goodbye, but whoever cut this off has something to do yet.
        if let Some(session) = self.pool.take_back(&self.kept, false)
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(async move { session.disconnect().await });
        }
    }
}

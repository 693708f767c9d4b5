//! Keeping a session for the next file.

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use terms::lock;
use tokio::runtime::Handle;

use crate::session::Session;

/// Keeps one session, so that the next file needs no login. The session is kept while it is known to be alive, and used
/// only with the identity for which it was opened.
pub struct SessionPool {
    keep: Keep,
    /// Held while connecting. Other callers wait for the same session.
    connecting: tokio::sync::Mutex<()>,
    kept: Mutex<Option<Arc<Kept>>>,
}

/// How long a session that nobody uses is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// For a process that may be frozen between two files, as on Lambda: for this time after its last use, and not at
    /// all with zero. A session that was unused for more than a second is asked whether it is alive.
    AtMost(Duration),
    /// For a process that runs all the time: until the pool is closed. Nobody asks, because keepalives tell whether it is
    /// alive.
    UntilClosed,
}

/// Where a session comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// It was kept, or others use it, too.
    Kept,
    /// It was opened for this lease.
    New,
}

/// A session, and how it is used.
struct Kept {
    identity: String,
    session: Arc<Session>,
    usage: Mutex<Usage>,
}

struct Usage {
    /// Number of leases. Other owners of the session, such as a channel that is being opened for a file that has ended, do
    /// not keep it alive.
    users: usize,
    /// By the wall clock: other clocks stand still while a process is frozen between two calls, as on Lambda.
    used_at: SystemTime,
}

/// A session that was used within this time is not checked.
const FRESH: Duration = Duration::from_secs(1);
/// Time limit for the check. A new login takes less time than this.
const PATIENCE: Duration = Duration::from_secs(2);

impl SessionPool {
    /// A pool that keeps a session like this.
    pub fn new(keep: Keep) -> Self {
        Self { keep, connecting: tokio::sync::Mutex::default(), kept: Mutex::default() }
    }

    /// The kept session, if it was opened for the same `identity` (server, settings, credential), has not been unused for
    /// too long, and is alive; otherwise a new one. Callers at the same time share a session.
    ///
    /// # Errors
    /// Those of `connect`.
    ///
    /// # Cancel safety
    /// Cancel safe. A connection that was being opened is closed.
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
                return Ok(self.lend(kept, Origin::Kept));
            }
            slot.take()
        };
        let (kept, origin) = match former {
            Some(kept) if serves(&kept) && self.is_alive(&kept).await => (kept, Origin::Kept),
            former => {
                // A session that is still in use is disconnected by its last lease.
                if let Some(unused) = former.filter(|kept| kept.usage().users == 0) {
                    unused.session.disconnect().await;
                }
                (Arc::new(Kept::new(identity, connect.await?)), Origin::New)
            }
        };
        let lease = self.lend(&kept, origin);
        *self.kept() = Some(kept);
        Ok(lease)
    }

    fn kept(&self) -> MutexGuard<'_, Option<Arc<Kept>>> {
        lock(&self.kept)
    }

    /// Whether an unused session can be used again.
    async fn is_alive(&self, kept: &Kept) -> bool {
        let Keep::AtMost(idle_max) = self.keep else { return true };
        let used_at = kept.usage().used_at;
        // The clock may have been set back.
        match SystemTime::now().duration_since(used_at) {
            Ok(idle) if idle <= FRESH.min(idle_max) => true,
            Ok(idle) => idle <= idle_max && kept.session.is_alive(PATIENCE).await,
            Err(_) => false,
        }
    }

    fn lend(&self, kept: &Arc<Kept>, origin: Origin) -> Lease<'_> {
        kept.usage().users += 1;
        Lease { pool: self, kept: Arc::clone(kept), origin, is_over: false }
    }

    /// Ends a lease. Returns the session if it has to end: it is not used, and not kept.
    fn take_back(&self, kept: &Arc<Kept>, is_good: bool) -> Option<Arc<Session>> {
        let mut slot = self.kept();
        let is_unused = {
            let mut usage = kept.usage();
            usage.users -= 1;
            usage.used_at = SystemTime::now();
            usage.users == 0
        };
        let is_kept = slot.as_ref().is_some_and(|it| Arc::ptr_eq(it, kept));
        if is_kept && (!is_good || is_unused && self.keep == Keep::AtMost(Duration::ZERO)) {
            slot.take();
        }
        let stays = is_kept && slot.is_some();
        (is_unused && !stays).then(|| Arc::clone(&kept.session))
    }

    /// Ends the kept session.
    ///
    /// # Cancel safety
    /// Cancel safe. The session is closed in any case.
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
        lock(&self.usage)
    }
}

/// The right to use a session. It has to be given back or discarded.
///
/// Dropping it poisons the session, since something may have been interrupted.
pub struct Lease<'a> {
    pool: &'a SessionPool,
    kept: Arc<Kept>,
    origin: Origin,
    is_over: bool,
}

impl Deref for Lease<'_> {
    type Target = Arc<Session>;

    fn deref(&self) -> &Arc<Session> {
        &self.kept.session
    }
}

impl Lease<'_> {
    /// Where the session comes from.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// The session can be used again.
    ///
    /// # Cancel safety
    /// Cancel safe. A session that is not kept is closed in any case.
    pub async fn give_back(self) {
        self.end(true).await;
    }

    /// The session must not be used again. Other leases of it are not affected.
    ///
    /// # Cancel safety
    /// Cancel safe. The session is closed in any case.
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
        // Nobody waits for the disconnect.
        if let Some(session) = self.pool.take_back(&self.kept, false)
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(async move { session.disconnect().await });
        }
    }
}

impl std::fmt::Debug for SessionPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let keeps_session = self.kept().is_some();
        f.debug_struct("SessionPool")
            .field("keep", &self.keep)
            .field("keeps_session", &keeps_session)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Lease<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease").field("session", &self.kept.session).finish_non_exhaustive()
    }
}

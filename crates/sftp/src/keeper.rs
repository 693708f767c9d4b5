//! Keeping a connection for the next file.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::Mutex;

use crate::Session;

/// Keeps one session, so that the next file needs no log-in: for as long as it is known to be alive, and only for whom
/// it was made.
#[derive(Default)]
pub struct Keeper {
    /// How long a session may be unused; zero keeps none.
    idle_max: Duration,
    kept: Mutex<Option<Kept>>,
}

struct Kept {
    identity: String,
    session: Arc<Session>,
    /// By the wall clock: a process that is frozen between two calls, as on Lambda, does not hear the other ones tick.
    used_at: SystemTime,
}

/// A session that was used so recently is not asked whether it is alive.
const FRESH: Duration = Duration::from_secs(1);
/// A server that takes longer to answer than to be logged in to anew.
const PATIENCE: Duration = Duration::from_secs(2);

impl Keeper {
    /// Keeps a session for `idle_max` after its last use.
    pub fn new(idle_max: Duration) -> Self {
        Self { idle_max, kept: Mutex::default() }
    }

    /// The kept session if it was made for the same `identity` (server, settings, credential), is not too old and
    /// answers; else a new one. Callers side by side share one.
    ///
    /// # Errors
    /// Those of `connect`.
    pub async fn session<E>(
        &self,
        identity: &str,
        connect: impl Future<Output = std::result::Result<Session, E>>,
    ) -> std::result::Result<Arc<Session>, E> {
        // Held while connecting: whoever comes meanwhile waits for the same session.
        let mut slot = self.kept.lock().await;
        if let Some(kept) = &mut *slot {
            if self.is_usable(kept, identity).await {
                kept.used_at = SystemTime::now();
                return Ok(Arc::clone(&kept.session));
            }
            end(slot.take()).await;
        }
        let session = Arc::new(connect.await?);
        *slot = Some(Kept {
            identity: identity.to_owned(),
            session: Arc::clone(&session),
            used_at: SystemTime::now(),
        });
        Ok(session)
    }

    async fn is_usable(&self, kept: &Kept, identity: &str) -> bool {
        if kept.identity != identity || kept.session.sftp().is_doubtful() {
            return false;
        }
        if kept.is_in_use() {
            return true;
        }
        // A clock that was set back says nothing.
        match SystemTime::now().duration_since(kept.used_at) {
            Ok(idle) if idle <= FRESH.min(self.idle_max) => true,
            Ok(idle) => idle <= self.idle_max && kept.session.is_alive(PATIENCE).await,
            Err(_) => false,
        }
    }

    /// The caller is done with its session, and it did its work: it may be kept.
    pub async fn give_back(&self, session: Arc<Session>) {
        let mut slot = self.kept.lock().await;
        drop(session);
        if let Some(kept) = &mut *slot {
            kept.used_at = SystemTime::now();
            if self.idle_max.is_zero() && !kept.is_in_use() {
                end(slot.take()).await;
            }
        }
    }

    /// The caller's session failed, or may have: nobody gets it any more.
    pub async fn discard(&self, session: Arc<Session>) {
        let mut slot = self.kept.lock().await;
        if slot.as_ref().is_some_and(|kept| Arc::ptr_eq(&kept.session, &session)) {
            slot.take();
        }
        drop(slot);
        // Others may still be using it: they find out by themselves.
        if Arc::strong_count(&session) == 1 {
            session.disconnect().await;
        }
    }

    /// Ends the kept session.
    pub async fn close(&self) {
        end(self.kept.lock().await.take()).await;
    }
}

impl Kept {
    fn is_in_use(&self) -> bool {
        Arc::strong_count(&self.session) > 1
    }
}

async fn end(kept: Option<Kept>) {
    if let Some(kept) = kept.filter(|kept| !kept.is_in_use()) {
        kept.session.disconnect().await;
    }
}

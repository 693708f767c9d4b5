//! The sessions of a process with the partner's server.

use std::sync::{Arc, Mutex, MutexGuard};

use aws::credential::Clients;
use bridge::{CredentialReference, Error, Result, Settings, lock};
use sftp::{Caps, Keep, Lease, Origin, Session, SessionPool};

use crate::learned::Learned;
#[cfg(feature = "internals")]
use crate::login::Connector;
use crate::login::{Logins, Server};
use crate::manners::Manners;
use crate::reachability::Reachability;
use crate::refusals::is_refusal;
use crate::told::Told;

/// The partner's server, for all files of a process.
pub struct Partner {
    /// What this process has learned about the server.
    pub learned: Learned,
    /// What its sessions were told a moment ago.
    pub told: Told,
    caps: Caps,
    pool: SessionPool,
    /// Where the sessions come from that were used since somebody asked.
    origin: Mutex<Option<Origin>>,
    logins: Logins,
    /// The last refused login, unless a later one succeeded.
    refusal: Mutex<Option<Error>>,
}

impl Partner {
    /// Does not connect yet. `options` gives the values that the settings leave open.
    pub fn new(settings: &Settings, clients: Clients, options: sftp::Options) -> Self {
        Self {
            learned: Learned::default(),
            told: Told::default(),
            caps: Caps { connections: settings.max_connections, ..Caps::default() },
            pool: SessionPool::new(Keep::AtMost(settings.keep_connection)),
            origin: Mutex::default(),
            logins: Logins::new(Server::new(settings, options), clients, Manners::LAMBDA),
            refusal: Mutex::default(),
        }
    }

    /// With sessions that a test makes.
    #[cfg(feature = "internals")]
    #[must_use]
    pub fn connecting_with(self, connector: Connector) -> Self {
        Self { logins: self.logins.connecting_with(connector), ..self }
    }

    /// Keeps the session until [`disconnect`](Self::disconnect): for a process that is not frozen between two steps.
    #[must_use]
    pub fn keeping_its_session(self) -> Self {
        Self { pool: SessionPool::new(Keep::UntilClosed), ..self }
    }

    /// With other manners than those of a Lambda function.
    #[must_use]
    pub fn with_manners(self, manners: Manners) -> Self {
        Self { logins: self.logins.with_manners(manners), ..self }
    }

    /// Why further files should not be tried now: the server refuses our logins, or it has been unreachable until the pauses
    /// between connections reached their maximum.
    pub fn refusal(&self) -> Option<Error> {
        let refusal = self.last_refusal().clone();
        refusal.or_else(|| self.logins.spacing.out_of_reach())
    }

    /// Whether the server could be reached when this process last tried. A new process knows nothing.
    pub fn reachability(&self) -> Reachability {
        self.logins.spacing.reachability()
    }

    /// Where the sessions come from that were used since this was last asked: new, if any of them was. `None` if none was
    /// used.
    pub fn take_origin(&self) -> Option<Origin> {
        lock(&self.origin).take()
    }

    fn last_refusal(&self) -> MutexGuard<'_, Option<Error>> {
        lock(&self.refusal)
    }

    /// How many connections and channels a transfer may use.
    pub fn caps(&self) -> Caps {
        self.caps
    }

    /// Works on a session that is logged in with this credential. The session of the last call is used if it is alive, and
    /// others may use it at the same time. Afterwards it is kept for the next call, unless it was lost or poisoned or the
    /// work was cut off. That a server refuses a file is no reason to log in again.
    ///
    /// `accepted` is the version of the secret that the server accepted earlier in this delivery, if it was not the current
    /// one.
    ///
    /// # Errors
    /// Those of reading the credential, of connecting and of the work.
    pub async fn with_session<T>(
        &self,
        reference: &CredentialReference,
        accepted: Option<&str>,
        work: impl AsyncFnOnce(&Arc<Session>) -> Result<T>,
    ) -> Result<T> {
        // If the work is cut off, the lease is dropped, and the session with it.
        let session = self.session(reference, accepted).await?;
        let outcome = work(&session).await;
        let lost = outcome.as_ref().err().filter(|error| error.name.is_connection_failure());
        match lost {
            Some(error) if !session.has_carried_data() => self.logins.spacing.lost(&session, error),
            _ => self.logins.spacing.worked(),
        }
        if lost.is_some() || session.sftp().is_poisoned() {
            session.discard().await;
        } else {
            session.give_back().await;
        }
        outcome
    }

    async fn session(&self, reference: &CredentialReference, accepted: Option<&str>) -> Result<Lease<'_>> {
        // Only the credential changes from call to call. A session serves all calls that name the same two versions of it,
        // whichever of the two it is logged in with.
        let identity = format!("{reference:?}");
        let failures = self.logins.spacing.total();
        let connecting = self.logins.connect(reference, accepted, failures);
        let session = self.pool.lease(&identity, connecting).await;
        match &session {
            Ok(lease) => {
                *self.last_refusal() = None;
                let mut origin = lock(&self.origin);
                *origin = (*origin).max(Some(lease.origin()));
            }
            Err(error) if is_refusal(error) => drop(self.last_refusal().get_or_insert(error.clone())),
            Err(_) => {}
        }
        session
    }

    /// Ends all sessions.
    pub async fn disconnect(&self) {
        self.pool.close().await;
    }
}

//! The partner's server as the settings describe it, reached with the pinned credential: what `transfer` and
//! `verify-remote` have in common.

pub mod files;
mod learned;
mod manners;
mod persistence;
mod refusals;
mod remedy;
mod spacing;

#[cfg(feature = "internals")]
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws::credential::{self, Clients, Credential};
use bridge::{CredentialReference, Error, ErrorName, Result, Settings};
use sftp::{Caps, Endpoint, Lease, Login, Session, SessionPool};

pub use learned::Learned;
pub use manners::Manners;
pub use persistence::Persistence;
pub use remedy::with_setting;

use crate::refusals::{Refusals, both_refused, is_refusal};
use crate::spacing::Spacing;

/// The partner's server.
pub struct Partner {
    /// The settings.
    pub settings: Settings,
    /// Clients for the object and the credential.
    pub clients: Clients,
    /// What this process has learned of the server.
    pub learned: Learned,
    options: sftp::Options,
    pool: SessionPool,
    refusals: Refusals,
    spacing: Spacing,
    /// How the last attempt to log in was refused, if it was.
    refusal: Mutex<Option<Error>>,
    #[cfg(feature = "internals")]
    connector: Option<Connector>,
}

/// Makes a session without TCP and SSH, for tests.
#[cfg(feature = "internals")]
pub type Connector = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<Session>> + Send>> + Send + Sync>;

/// Who logs in, as the settings and the credential say.
///
/// # Errors
/// `InvalidConfig` if no user is named, `InvalidPrivateKey`.
pub fn login(settings: &Settings, credential: Credential) -> Result<Login> {
    let user_name = settings.user.clone().or(credential.user_name);
    let user_name = user_name.ok_or_else(|| {
        ErrorName::InvalidConfig
            .error("SFTP_USER is not set, and the credential has no `Username`: one of them is needed")
    })?;
    let Credential { private_key, passphrase, password, certificate, .. } = credential;
    let login = Login::new(user_name, private_key.as_ref(), passphrase.as_ref(), password)?;
    let login = login.with_certificate(certificate.as_deref())?;
    Ok(Login { methods: settings.login.methods.clone(), ..login })
}

impl Partner {
    /// Nothing is connected to yet.
    pub fn new(settings: Settings, clients: Clients, options: sftp::Options) -> Self {
        let pool = SessionPool::new(settings.keep_connection);
        let login = &settings.login;
        let options = sftp::Options {
            algorithms: login.algorithms.clone(),
            connect_timeout: login.connect_timeout.unwrap_or(options.connect_timeout),
            login_timeout: login.login_timeout.unwrap_or(options.login_timeout),
            ..options
        };
        let manners = Manners::LAMBDA;
        Self {
            settings,
            clients,
            learned: Learned::default(),
            options,
            pool,
            refusals: Refusals::new(manners),
            spacing: Spacing::new(manners),
            refusal: Mutex::default(),
            #[cfg(feature = "internals")]
            connector: None,
        }
    }

    /// With sessions that a test makes.
    #[cfg(feature = "internals")]
    #[must_use]
    pub fn connecting_with(self, connector: Connector) -> Self {
        Self { connector: Some(connector), ..self }
    }

    /// With other manners than those of a Lambda function.
    #[must_use]
    pub fn with_manners(self, manners: Manners) -> Self {
        Self { refusals: Refusals::new(manners), spacing: Spacing::new(manners), ..self }
    }

    /// Why further files need not be tried now: the server refuses to let us in, or it has been out of reach until the
    /// pauses between connections became the longest.
    pub fn refusal(&self) -> Option<Error> {
        let refusal = self.last_refusal().clone();
        refusal.or_else(|| self.spacing.out_of_reach())
    }

    fn last_refusal(&self) -> MutexGuard<'_, Option<Error>> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far a transfer may spread out.
    pub fn caps(&self) -> Caps {
        Caps { connections: self.settings.max_connections, ..Caps::default() }
    }

    /// Works on a session that is logged in with this credential: the one of the last call, where it is known to be
    /// alive. It is kept for the next one, and for others who use it now, unless the work leaves it in doubt: a server
    /// that refuses a file is no reason to log in again, but a connection that was lost, or work that was cut off, is.
    ///
    /// `accepted` is the version of the secret that the server took earlier in this delivery, if it was not the current
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
        // One that is cut off is dropped, and so is the session then.
        let session = self.session(reference, accepted).await?;
        let outcome = work(&session).await;
        let lost = outcome.as_ref().err().filter(|error| error.name.is_connection_failure());
        match lost {
            Some(error) if !session.has_carried_data() => self.spacing.lost(&session, error),
            _ => self.spacing.worked(),
        }
        if lost.is_some() || session.sftp().is_poisoned() {
            session.discard().await;
        } else {
            session.give_back().await;
        }
        outcome
    }

    async fn session(&self, reference: &CredentialReference, accepted: Option<&str>) -> Result<Lease<'_>> {
        // The settings are those of the process; what may change from call to call is the credential. Whichever of its
        // two versions a session is logged in with, it serves those who have the same two.
        let identity = format!("{reference:?}");
        let failures = self.spacing.total();
        let session = self.pool.lease(&identity, self.connect(reference, accepted, failures)).await;
        match &session {
            Ok(_) => *self.last_refusal() = None,
            Err(error) if is_refusal(error) => drop(self.last_refusal().get_or_insert(error.clone())),
            Err(_) => {}
        }
        session
    }

    /// A rotation must not stop deliveries: where the server refuses one version of the secret, the other is tried, once,
    /// on a connection of its own. What was refused is remembered, here and in the checkpoint, so that it is not refused
    /// at every step and for every file.
    async fn connect(
        &self,
        current: &CredentialReference,
        accepted: Option<&str>,
        failures: u64,
    ) -> Result<Session> {
        let Some(previous) = current.previous.as_deref() else {
            return match self.refusals.in_force(current) {
                Some(refusal) => Err(refusal.into_error()),
                None => self.try_version(current, failures).await,
            };
        };
        let was_taken = accepted.is_some() && previous.version_id() == accepted;
        let refused = [current, previous].map(|version| self.refusals.in_force(version));
        let (first, second) = match refused {
            [Some(refusal), Some(other)] => return Err(refusal.joined(other).into_error()),
            // What the partner will install is the current one: it is the one to ask for.
            [None, Some(_)] => return self.try_version(current, failures).await,
            [Some(_), None] => (previous, current),
            [None, None] if was_taken => (previous, current),
            [None, None] => (current, previous),
        };
        let refusal = match self.try_version(first, failures).await {
            Err(error) if error.name == ErrorName::AuthenticationRejected => error,
            Err(error) if is_refusal(&error) => {
                // It is about the server: no other credential helps.
                self.refusals.remember(second, &error);
                return Err(error);
            }
            outcome => return outcome,
        };
        tracing::warn!(error = %refusal, "the server refused one version of the secret; trying the other");
        match self.try_version(second, failures).await {
            Err(error) if !error.name.retryable() => {
                // From now on the current one alone is shown.
                self.refusals.postpone(previous, &error);
                Err(both_refused(&refusal, &error))
            }
            // Taken, or in the way is what passes: the next call begins with this version.
            outcome => {
                self.refusals.postpone(first, &refusal);
                outcome
            }
        }
    }

    /// Logs in with one version of the credential, and remembers what comes of it. `failures` is what [`Spacing::total`]
    /// said when the call began.
    async fn try_version(&self, reference: &CredentialReference, failures: u64) -> Result<Session> {
        self.spacing.wait(failures).await?;
        // The key exchange needs much room, which would be in the future of every caller.
        let session = Box::pin(self.log_in(reference)).await;
        match &session {
            Ok(_) => self.refusals.forget(reference),
            Err(error) if is_refusal(error) => self.refusals.remember(reference, error),
            Err(error) if error.name.is_connection_failure() => self.spacing.failed(error),
            Err(_) => {}
        }
        session
    }

    async fn log_in(&self, reference: &CredentialReference) -> Result<Session> {
        #[cfg(feature = "internals")]
        if let Some(connector) = &self.connector {
            return connector().await;
        }
        let Settings { host, port, trusted_host_keys, .. } = &self.settings;
        let credential = credential::read(&self.clients, &reference.location).await?;
        let login = login(&self.settings, credential)?;
        let login = Login {
            user_name: reference.user_name.clone(),
            label: reference.version_id().map(str::to_owned),
            ..login
        };
        let endpoint = Endpoint { host: host.clone(), port: *port };
        Session::connect(&endpoint, &login, trusted_host_keys, &self.options).await.map_err(with_setting)
    }

    /// Ends what is still connected.
    pub async fn disconnect(&self) {
        self.pool.close().await;
    }
}

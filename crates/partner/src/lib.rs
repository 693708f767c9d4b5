//! The partner's server as the settings describe it, reached with the pinned credential: what `transfer` and
//! `verify-remote` have in common.

mod attributes;
mod learned;
mod look;
mod persistence;

#[cfg(feature = "internals")]
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws::credential::{self, Clients, Credential};
use bridge::{CredentialReference, ErrorName, Result, Settings};
use sftp::{Caps, Endpoint, Keeper, Loan, Login, Session};

pub use attributes::set_attributes;
pub use learned::Learned;
pub use look::{Patience, Seen, look, look_until};
pub use persistence::Persistence;

/// The partner's server.
pub struct Partner {
    /// The settings.
    pub settings: Settings,
    /// Clients for the object and the credential.
    pub clients: Clients,
    /// What this process has learned of the server.
    pub learned: Learned,
    options: sftp::Options,
    keeper: Keeper,
    refused: Mutex<Option<Refused>>,
    #[cfg(feature = "internals")]
    connector: Option<Connector>,
}

/// Makes a session without TCP and SSH, for tests.
#[cfg(feature = "internals")]
pub type Connector = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<Session>> + Send>> + Send + Sync>;

/// A version of the secret that the server refused: it took the other one, or this is the previous one and it took none.
struct Refused {
    version_id: String,
    at: SystemTime,
}

/// For so long it is not shown to the server again.
const REFUSED_FOR: Duration = Duration::from_secs(15 * 60);

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
        let keeper = Keeper::new(settings.keep_connection);
        let options = sftp::Options { algorithms: settings.login.algorithms.clone(), ..options };
        Self {
            settings,
            clients,
            learned: Learned::default(),
            options,
            keeper,
            refused: Mutex::default(),
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
        let lost = outcome.as_ref().is_err_and(|error| error.name.is_connection_failure());
        if lost || session.sftp().is_doubtful() {
            session.discard().await;
        } else {
            session.give_back().await;
        }
        outcome
    }

    async fn session(&self, reference: &CredentialReference, accepted: Option<&str>) -> Result<Loan<'_>> {
        // The settings are those of the process; what may change from call to call is the credential. Whichever of its
        // two versions a session is logged in with, it serves those who have the same two.
        let identity = format!("{reference:?}");
        self.keeper.session(&identity, self.connect(reference, accepted)).await
    }

    /// A rotation must not stop deliveries: where the server refuses one version of the secret, the other is tried, once,
    /// on a connection of its own. What was refused is remembered, here and in the checkpoint, so that it is not refused
    /// at every step and for every file.
    async fn connect(&self, current: &CredentialReference, accepted: Option<&str>) -> Result<Session> {
        let Some(previous) = current.previous.as_deref() else { return self.log_in(current).await };
        let was_taken = accepted.is_some() && previous.version_id() == accepted;
        let begins_with_previous = was_taken || self.was_refused(current);
        let (first, second) = if begins_with_previous { (previous, current) } else { (current, previous) };
        let refusal = match self.log_in(first).await {
            Err(error) if error.name == ErrorName::AuthenticationRejected => error,
            outcome => return outcome,
        };
        // A partner who knows neither is shown one for each file. The current one: it is what he will install.
        if !begins_with_previous && self.was_refused(previous) {
            return Err(refusal);
        }
        tracing::warn!(error = %refusal, "the server refused one version of the secret; trying the other");
        match self.log_in(second).await {
            Err(error) if !error.name.retryable() => {
                self.remember_refused(previous);
                Err(refusal.name.error(format!(
                    "{}; nor did the other version of the secret help: {}",
                    refusal.message(),
                    error.message()
                )))
            }
            // Taken, or in the way is what passes: the next call begins with this version.
            outcome => {
                self.remember_refused(first);
                outcome
            }
        }
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
        Ok(Session::connect(&endpoint, &login, trusted_host_keys, &self.options).await?)
    }

    fn was_refused(&self, reference: &CredentialReference) -> bool {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.as_ref().is_some_and(|refused| {
            let is_recent = refused.at.elapsed().is_ok_and(|elapsed| elapsed < REFUSED_FOR);
            is_recent && reference.version_id() == Some(refused.version_id.as_str())
        })
    }

    fn remember_refused(&self, reference: &CredentialReference) {
        let refused = reference
            .version_id()
            .map(|version_id| Refused { version_id: version_id.to_owned(), at: SystemTime::now() });
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = refused;
    }

    /// Ends what is still connected.
    pub async fn disconnect(&self) {
        self.keeper.close().await;
    }
}

//! Logging in, with the version of the credential that the server accepts.

#[cfg(feature = "internals")]
use std::pin::Pin;

use aws::credential::{self, Clients, Credential};
use bridge::{CredentialReference, ErrorName, Methods, Result, Settings, TrustedHostKeys};
use sftp::{Endpoint, Login, Session};

use crate::manners::Manners;
use crate::refusals::{Refusals, both_refused, is_refusal};
use crate::remedy::with_setting;
use crate::spacing::Spacing;

/// Makes a session without TCP and SSH, for tests.
#[cfg(feature = "internals")]
pub type Connector = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<Session>> + Send>> + Send + Sync>;

/// The partner's server, and how to connect to it.
#[derive(Clone, Debug)]
pub struct Server {
    /// Host and port.
    pub endpoint: Endpoint,
    /// The pinned host keys.
    pub trusted_host_keys: TrustedHostKeys,
    /// Time limits and algorithms.
    pub options: sftp::Options,
    /// `SFTP_USER`.
    pub user_name: Option<String>,
    /// The permitted methods of logging in.
    pub methods: Methods,
}

impl Server {
    /// As the settings describe it; `options` gives the values that they leave open.
    pub fn new(settings: &Settings, options: sftp::Options) -> Self {
        let login = &settings.login;
        Self {
            endpoint: Endpoint { host: settings.host.clone(), port: settings.port },
            trusted_host_keys: settings.trusted_host_keys.clone(),
            options: sftp::Options {
                algorithms: login.algorithms.clone(),
                connect_timeout: login.connect_timeout.unwrap_or(options.connect_timeout),
                login_timeout: login.login_timeout.unwrap_or(options.login_timeout),
                ..options
            },
            user_name: settings.user.clone(),
            methods: login.methods.clone(),
        }
    }

    /// The login with this credential.
    fn login(&self, credential: Credential) -> Result<Login> {
        login_as(self.user_name.as_ref(), &self.methods, credential)
    }
}

/// The login that the settings and the credential describe.
///
/// # Errors
/// `InvalidConfig` if neither names a user, `InvalidPrivateKey`.
pub fn login(settings: &Settings, credential: Credential) -> Result<Login> {
    login_as(settings.user.as_ref(), &settings.login.methods, credential)
}

fn login_as(user_name: Option<&String>, methods: &Methods, credential: Credential) -> Result<Login> {
    let user_name = user_name.cloned().or(credential.user_name);
    let user_name = user_name.ok_or_else(|| {
        ErrorName::InvalidConfig
            .error("SFTP_USER is not set, and the credential has no `Username`: one of them is needed")
    })?;
    let Credential { private_key, passphrase, password, certificate, .. } = credential;
    let login = Login::new(user_name, private_key.as_ref(), passphrase.as_ref(), password)?;
    let login = login.with_certificate(certificate.as_deref())?;
    Ok(Login { methods: methods.clone(), ..login })
}

/// The logins of this process, and what became of them.
pub(crate) struct Logins {
    server: Server,
    clients: Clients,
    refusals: Refusals,
    pub(crate) spacing: Spacing,
    #[cfg(feature = "internals")]
    connector: Option<Connector>,
}

impl Logins {
    pub(crate) fn new(server: Server, clients: Clients, manners: Manners) -> Self {
        Self {
            server,
            clients,
            refusals: Refusals::new(manners),
            spacing: Spacing::new(manners),
            #[cfg(feature = "internals")]
            connector: None,
        }
    }

    pub(crate) fn with_manners(self, manners: Manners) -> Self {
        Self { refusals: Refusals::new(manners), spacing: Spacing::new(manners), ..self }
    }

    #[cfg(feature = "internals")]
    pub(crate) fn connecting_with(self, connector: Connector) -> Self {
        Self { connector: Some(connector), ..self }
    }

    /// Connects. A rotation of the secret must not stop deliveries: if the server refuses one version, the other one is
    /// tried, once, on a connection of its own. Refusals are remembered, here and in the checkpoint, so that they are not
    /// repeated in every step and for every file.
    ///
    /// `accepted` is the version that the server accepted earlier. `failures` is what [`Spacing::total`] returned when the
    /// call began.
    pub(crate) async fn connect(
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
        let previous_was_accepted = accepted.is_some() && previous.version_id() == accepted;
        let refused = [current, previous].map(|version| self.refusals.in_force(version));
        let (first, second) = match refused {
            [Some(refusal), Some(other)] => return Err(refusal.joined(other).into_error()),
            // The partner will install the current version, so that one is tried.
            [None, Some(_)] => return self.try_version(current, failures).await,
            [Some(_), None] => (previous, current),
            [None, None] if previous_was_accepted => (previous, current),
            [None, None] => (current, previous),
        };
        let refusal = match self.try_version(first, failures).await {
            Err(error) if error.name == ErrorName::AuthenticationRejected => error,
            Err(error) if is_refusal(&error) => {
                // The reason is the server: no other credential helps.
                self.refusals.remember(second, &error);
                return Err(error);
            }
            outcome => return outcome,
        };
        tracing::warn!(error = %refusal, "the server refused one version of the secret; trying the other");
        match self.try_version(second, failures).await {
            Err(error) if !error.name.retryable() => {
                // From now on only the current version is tried.
                self.refusals.postpone(previous, &error);
                Err(both_refused(&refusal, &error))
            }
            // Accepted, or failed for a transient reason: the next call tries this version first.
            outcome => {
                self.refusals.postpone(first, &refusal);
                outcome
            }
        }
    }

    /// Logs in with one version of the credential, and remembers the outcome.
    async fn try_version(&self, reference: &CredentialReference, failures: u64) -> Result<Session> {
        self.spacing.wait(failures).await?;
        // Boxed: the key exchange needs much space, which would be part of the future of every caller.
        let session = Box::pin(self.log_in(reference)).await;
        match &session {
            Ok(_) => self.refusals.forget(reference),
            Err(error) if is_refusal(error) => {
                self.refusals.remember(reference, error);
                self.spacing.worked();
            }
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
        let credential = credential::read(&self.clients, &reference.location).await?;
        let login = Login {
            user_name: reference.user_name.clone(),
            label: reference.version_id().map(str::to_owned),
            ..self.server.login(credential)?
        };
        let Server { endpoint, trusted_host_keys, options, .. } = &self.server;
        Session::connect(endpoint, &login, trusted_host_keys, options).await.map_err(with_setting)
    }
}

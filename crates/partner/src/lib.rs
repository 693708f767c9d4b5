//! The partner's server as the settings describe it, reached with the pinned credential: what `transfer` and
//! `verify-remote` have in common.

mod attributes;
mod persistence;

use std::sync::Arc;

use aws::credential::{self, Clients};
use bridge::{CredentialReference, Result, Settings};
use sftp::{Caps, Endpoint, Keeper, Login, Session};

pub use attributes::set_attributes;
pub use persistence::Persistence;

/// The partner's server.
pub struct Partner {
    /// The settings.
    pub settings: Settings,
    /// Clients for the object and the credential.
    pub clients: Clients,
    options: sftp::Options,
    keeper: Keeper,
}

impl Partner {
    /// Nothing is connected to yet.
    pub fn new(settings: Settings, clients: Clients, options: sftp::Options) -> Self {
        let keeper = Keeper::new(settings.keep_connection);
        Self { settings, clients, options, keeper }
    }

    /// How far a transfer may spread out.
    pub fn caps(&self) -> Caps {
        Caps { connections: self.settings.max_connections, ..Caps::default() }
    }

    /// Works on a session that is logged in with this credential: the one of the last call, where it is known to be
    /// alive. It is kept for the next one, and for others who use it now, unless the work leaves it in doubt: a server
    /// that refuses a file is no reason to log in again, but a connection that was lost, or work that was cut off, is.
    ///
    /// # Errors
    /// Those of reading the credential, of connecting and of the work.
    pub async fn with_session<T>(
        &self,
        reference: &CredentialReference,
        work: impl AsyncFnOnce(&Arc<Session>) -> Result<T>,
    ) -> Result<T> {
        let session = self.session(reference).await?;
        let cut_off = CutOff(&session);
        let outcome = work(&session).await;
        std::mem::forget(cut_off);
        let lost = outcome.as_ref().is_err_and(|error| error.name.is_connection_failure());
        if lost || session.sftp().is_doubtful() {
            self.keeper.discard(session).await;
        } else {
            self.keeper.give_back(session).await;
        }
        outcome
    }

    async fn session(&self, reference: &CredentialReference) -> Result<Arc<Session>> {
        let Settings { host, port, trusted_host_keys, .. } = &self.settings;
        // The settings are those of the process; what may change from call to call is the credential.
        let identity = format!("{reference:?}");
        let connect = async {
            let credential = credential::read(&self.clients, &reference.location).await?;
            let login = Login::new(
                reference.user_name.clone(),
                credential.private_key.as_ref(),
                credential.passphrase.as_ref(),
                credential.password,
            )?;
            let endpoint = Endpoint { host: host.clone(), port: *port };
            Ok(Session::connect(&endpoint, &login, trusted_host_keys, &self.options).await?)
        };
        self.keeper.session(&identity, connect).await
    }

    /// Ends what is still connected.
    pub async fn disconnect(&self) {
        self.keeper.close().await;
    }
}

/// On work that is dropped before its end: nobody knows what the server would have said.
struct CutOff<'a>(&'a Session);

impl Drop for CutOff<'_> {
    fn drop(&mut self) {
        self.0.doubt();
    }
}

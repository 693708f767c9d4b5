//! Step `FetchKey`: reads and checks the credential, and pins its version. The private key never leaves the function.

use aws::credential::{self, Clients};
use bridge::{
    CredentialReference, ErrorName, FetchKeyInput, FetchKeyOutput, Result, SecretLocation, Settings, Started,
};
use sftp::{Login, PrivateKey};

/// What the handler works with.
pub struct Deps {
    /// The settings.
    pub settings: Settings,
    /// Clients to read the credential with.
    pub clients: Clients,
}

/// Returns a pinned reference to the credential, with the user name and the public key's algorithm and fingerprint. The
/// previous version is referenced as well: the partner may not have followed a rotation yet.
///
/// # Errors
/// `InvalidInput`, `InvalidConfig`, `SecretUnavailable`, `SecretUnreadable`, `InvalidPrivateKey`.
pub async fn handle(deps: &Deps, input: FetchKeyInput) -> Result<FetchKeyOutput> {
    // A bad input ends here, before any request is sent.
    Started::of(input.event)?;
    let Deps { settings, clients } = deps;
    let (current, previous) = tokio::join!(
        credential::pin(clients, &settings.credential),
        credential::pin_previous(clients, &settings.credential)
    );
    let (location, credential) = current?;
    let login = partner::login(settings, credential)?;
    if login.usable().next().is_none() {
        return Err(ErrorName::InvalidConfig.error(format!(
            "SFTP_AUTHENTICATION permits {}, and the credential contains nothing for that. Add a private key or a password to the secret, or change the setting",
            settings.login.methods
        )));
    }
    tracing::info!(login.user_name, key = ?login.private_key, "the credential is pinned");
    // Ignore a previous version that cannot be parsed, cannot log in, or is identical.
    let previous = previous.and_then(|(location, credential)| {
        let previous = partner::login(settings, credential).ok()?;
        let is_useful = previous.usable().next().is_some() && !previous.is_same(&login);
        is_useful.then(|| Box::new(reference(location, &previous)))
    });
    Ok(FetchKeyOutput { credential: CredentialReference { previous, ..reference(location, &login) } })
}

fn reference(location: SecretLocation, login: &Login) -> CredentialReference {
    CredentialReference {
        location,
        user_name: login.user_name.clone(),
        algorithm: login.private_key.as_ref().map(PrivateKey::algorithm),
        public_key_fingerprint: login.private_key.as_ref().map(PrivateKey::fingerprint),
        previous: None,
    }
}

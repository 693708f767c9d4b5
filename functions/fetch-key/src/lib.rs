//! Step `FetchKey`: reads and checks the credential, and pins its version. The key itself never leaves.

use aws::credential::{self, Clients};
use bridge::{
    CredentialReference, ErrorName, FetchKeyInput, FetchKeyOutput, ObjectCreated, Result, Settings,
};
use sftp::{Login, PrivateKey};

/// What the handler works with.
pub struct Deps {
    /// The settings.
    pub settings: Settings,
    /// Clients to read the credential with.
    pub clients: Clients,
}

/// Returns a pinned reference to the credential, the user name, and the public key's algorithm and fingerprint.
///
/// # Errors
/// `InvalidInput`, `InvalidConfig`, `SecretUnavailable`, `SecretUnreadable`, `InvalidPrivateKey`.
pub async fn handle(deps: &Deps, input: FetchKeyInput) -> Result<FetchKeyOutput> {
    // A bad event ends here, before anything is asked of anyone.
    ObjectCreated::from_event(input.event)?;
    let (location, credential) = credential::pin(&deps.clients, &deps.settings.credential).await?;
    let user_name = deps.settings.user.clone().or(credential.user_name);
    let user_name = user_name.ok_or_else(|| {
        ErrorName::InvalidConfig
            .error("SFTP_USER is not set, and the credential has no `Username`: one of them is needed")
    })?;
    let login = Login::new(
        user_name.clone(),
        credential.private_key.as_ref(),
        credential.passphrase.as_ref(),
        credential.password,
    )?;
    let private_key = login.private_key.as_ref();
    tracing::info!(user_name, key = ?private_key, "the credential is pinned");
    Ok(FetchKeyOutput {
        credential: CredentialReference {
            location,
            user_name,
            algorithm: private_key.map(PrivateKey::algorithm),
            public_key_fingerprint: private_key.map(PrivateKey::fingerprint),
        },
    })
}

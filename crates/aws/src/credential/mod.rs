//! The credential: `fetch-key` pins a version of it, and the functions that connect read that version again.

mod clients;
mod contents;
mod object;
mod read_error;
mod secret;

use bridge::{CredentialLocation, Result, SecretLocation};

use object::KeyObject;
use secret::{Secret, Version};

pub use clients::Clients;
pub use contents::{Credential, parse};
pub use read_error::READ_LIMIT;

/// Reads the current version, and returns the location of exactly this version.
///
/// # Errors
/// `SecretUnavailable`, `SecretUnreadable`.
pub async fn pin(clients: &Clients, location: &CredentialLocation) -> Result<(SecretLocation, Credential)> {
    match location {
        CredentialLocation::SecretsManager { secret_id } => {
            pin_secret(clients, secret_id, Version::Current).await
        }
        CredentialLocation::S3 { bucket, object_key } => {
            let name = format!("s3://{bucket}/{object_key}");
            let object = KeyObject::current(clients, bucket, object_key).await;
            let KeyObject { version_id, etag, text } = object.map_err(|error| error.named(&name))?;
            let (bucket, object_key) = (bucket.clone(), object_key.clone());
            let pinned = SecretLocation::S3 { bucket, object_key, version_id, etag };
            Ok((pinned, parse(&text, &name)?))
        }
    }
}

/// Reads the version before the current one. `None` if it does not exist or is not usable: a delivery needs it only if
/// the server refuses the current one.
pub async fn pin_previous(
    clients: &Clients,
    location: &CredentialLocation,
) -> Option<(SecretLocation, Credential)> {
    // S3 does not say which version of an object was the credential before.
    let CredentialLocation::SecretsManager { secret_id } = location else { return None };
    let previous = pin_secret(clients, secret_id, Version::Previous).await;
    previous.map_err(|error| tracing::debug!(%error, "no previous version of the credential")).ok()
}

async fn pin_secret(
    clients: &Clients,
    secret_id: &str,
    version: Version<'_>,
) -> Result<(SecretLocation, Credential)> {
    let secret = Secret::get(clients, secret_id, version).await;
    let Secret { arn, version_id, text } = secret.map_err(|error| error.unconfirmed(secret_id))?;
    let credential = parse(&text, &arn)?;
    Ok((SecretLocation::SecretsManager { arn, version_id }, credential))
}

/// Reads the pinned version.
///
/// # Errors
/// `CredentialExpired` if that version is gone; otherwise as [`pin`].
pub async fn read(clients: &Clients, location: &SecretLocation) -> Result<Credential> {
    match location {
        SecretLocation::SecretsManager { arn, version_id } => {
            let secret = Secret::get(clients, arn, Version::Id(version_id)).await;
            let secret = secret.map_err(|error| error.expired_or_named(arn))?;
            parse(&secret.text, arn)
        }
        SecretLocation::S3 { bucket, object_key, version_id, etag } => {
            let name = format!("s3://{bucket}/{object_key}");
            let object = KeyObject::pinned(clients, bucket, object_key, version_id.as_deref(), etag).await;
            let object = object.map_err(|error| error.expired_or_named(&name))?;
            parse(&object.text, &name)
        }
    }
}

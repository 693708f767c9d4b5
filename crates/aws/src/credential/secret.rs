//! A credential in Secrets Manager.

use bridge::ErrorName;
use secrecy::SecretString;

use super::clients::Clients;
use super::read_error::{ReadError, in_time, utf8};
use crate::error::CallError;

/// One version of a secret.
pub(super) struct Secret {
    pub(super) arn: String,
    pub(super) version_id: String,
    pub(super) text: SecretString,
}

/// Which version of a secret to read.
#[derive(Clone, Copy)]
pub(super) enum Version<'a> {
    Current,
    Previous,
    Id(&'a str),
}

impl Secret {
    pub(super) async fn get(
        clients: &Clients,
        secret_id: &str,
        version: Version<'_>,
    ) -> Result<Self, ReadError> {
        let request = clients.secrets_manager.get_secret_value().secret_id(secret_id);
        let request = match version {
            Version::Current => request,
            Version::Previous => request.version_stage("AWSPREVIOUS"),
            Version::Id(version_id) => request.version_id(version_id),
        };
        let value =
            in_time(async { request.send().await.map_err(|error| ReadError::Call(CallError::of(&error))) });
        let value = value.await?;
        let text = match (value.secret_string, value.secret_binary) {
            (Some(text), _) => text,
            (None, Some(bytes)) => utf8(bytes.into_inner())?,
            (None, None) => return Err(ReadError::Contents("has no value", ErrorName::SecretUnreadable)),
        };
        match (value.arn, value.version_id) {
            (Some(arn), Some(version_id)) => Ok(Self { arn, version_id, text: text.into() }),
            _ => Err(ReadError::Contents("came without ARN or version id", ErrorName::SecretUnavailable)),
        }
    }
}

//! The credential: pinned by `fetch-key`, read again by the functions that connect.

use std::time::Duration;

use aws_sdk_s3::operation::get_object::builders::GetObjectFluentBuilder;
use aws_sdk_s3::primitives::ByteStream;
use bridge::{CredentialLocation, Error, ErrorName, Result, SecretLocation};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::clients;
use crate::error::Failed;

/// For reading the credential, the SDK's retries included. Shorter than what a function has: an error that names the
/// endpoint is worth more than a function that Lambda ends.
pub const READ_LIMIT: Duration = Duration::from_secs(45);

/// Clients that a credential may be read with.
#[derive(Clone, Debug)]
pub struct Clients {
    /// For `SFTP_SECRET_ID`.
    pub secrets_manager: aws_sdk_secretsmanager::Client,
    /// For `SFTP_S3_SSH_KEY`.
    pub s3: aws_sdk_s3::Client,
}

impl Clients {
    /// From the configuration of the environment.
    pub fn new(config: &aws_config::SdkConfig) -> Self {
        Self { secrets_manager: clients::secrets_manager(config), s3: clients::s3(config) }
    }
}

/// What the secret holds. Its `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct Credential {
    /// `Username`.
    pub user_name: Option<String>,
    /// `PrivateKey`.
    pub private_key: Option<SecretString>,
    /// `Certificate` of the private key's public half, as OpenSSH has them. It is no secret.
    pub certificate: Option<String>,
    /// `Passphrase` of the private key.
    pub passphrase: Option<SecretString>,
    /// `Password`.
    pub password: Option<SecretString>,
}

/// Reads the current version and says which one that is.
///
/// # Errors
/// `SecretUnavailable`, `SecretUnreadable`.
pub async fn pin(clients: &Clients, location: &CredentialLocation) -> Result<(SecretLocation, Credential)> {
    match location {
        CredentialLocation::SecretsManager { secret_id } => {
            let value = secret_value(clients, secret_id, Which::Current).await;
            let (arn, version_id, text) = value.map_err(|failed| failed.unconfirmed(secret_id))?;
            let credential = parse(&text, &arn)?;
            Ok((SecretLocation::SecretsManager { arn, version_id }, credential))
        }
        CredentialLocation::S3 { bucket, object_key } => {
            let name = format!("s3://{bucket}/{object_key}");
            let (version_id, etag, text) = object_text(clients, bucket, object_key, None, None)
                .await
                .map_err(|failed| failed.named(&name))?;
            let pinned = SecretLocation::S3 {
                bucket: bucket.clone(),
                object_key: object_key.clone(),
                version_id,
                etag,
            };
            Ok((pinned, parse(&text, &name)?))
        }
    }
}

/// Reads the version before the current one, and says which one that is. `None` if there is none, or none that is of
/// use: a delivery does not need it as long as the current one is accepted.
pub async fn pin_previous(
    clients: &Clients,
    location: &CredentialLocation,
) -> Option<(SecretLocation, Credential)> {
    // S3 knows no stages: which of an object's versions was the credential before, nobody can say.
    let CredentialLocation::SecretsManager { secret_id } = location else { return None };
    let value = secret_value(clients, secret_id, Which::Previous).await;
    let previous =
        value.map_err(|failed| failed.unconfirmed(secret_id)).and_then(|(arn, version_id, text)| {
            let credential = parse(&text, &arn)?;
            Ok((SecretLocation::SecretsManager { arn, version_id }, credential))
        });
    previous.map_err(|error| tracing::debug!(%error, "no previous version of the credential")).ok()
}

/// Reads the pinned version.
///
/// # Errors
/// `CredentialExpired` if that version is gone, else as [`pin`].
pub async fn read(clients: &Clients, location: &SecretLocation) -> Result<Credential> {
    match location {
        SecretLocation::SecretsManager { arn, version_id } => {
            let value = secret_value(clients, arn, Which::Id(version_id)).await;
            let (_, _, text) = value.map_err(|failed| failed.expired_or_named(arn))?;
            parse(&text, arn)
        }
        SecretLocation::S3 { bucket, object_key, version_id, etag } => {
            let name = format!("s3://{bucket}/{object_key}");
            let text = object_text(clients, bucket, object_key, version_id.clone(), Some(etag)).await;
            let (_, _, text) = match text {
                Err(Problem::Call(failed))
                    if failed.status == Some(403) && was_replaced(clients, location).await =>
                {
                    return Err(expired(&name, &failed));
                }
                text => text.map_err(|failed| failed.expired_or_named(&name))?,
            };
            parse(&text, &name)
        }
    }
}

/// Who may not list a bucket is told 403 of a version that is gone. It is gone if another one can be read in its place;
/// if the same one can, or none, the 403 means what it says.
async fn was_replaced(clients: &Clients, location: &SecretLocation) -> bool {
    let SecretLocation::S3 { bucket, object_key, version_id: pinned, etag: pinned_etag } = location else {
        return false;
    };
    match object_text(clients, bucket, object_key, None, None).await {
        // The same key, uploaded again, has the same etag.
        Ok((version_id, etag, _)) => etag != *pinned_etag || version_id.is_some() && version_id != *pinned,
        Err(_) => false,
    }
}

fn expired(what: &str, failed: &Failed) -> Error {
    ErrorName::CredentialExpired
        .error(format!("the pinned version of the credential {what} is gone: {failed}"))
}

enum Problem {
    Call(Failed),
    /// The body broke off, or is not what was expected.
    Body(&'static str, ErrorName),
}

impl Problem {
    fn named(self, what: &str) -> Error {
        match self {
            Self::Call(failed) if failed.is_transient() => {
                ErrorName::SecretUnavailable.error(format!("reading the credential {what}: {failed}"))
            }
            Self::Call(failed) => {
                ErrorName::SecretUnreadable.error(format!("reading the credential {what}: {failed}"))
            }
            Self::Body(words, name) => name.error(format!("the credential {what} {words}")),
        }
    }

    /// Of a secret that AWS has not said to be there. What is no ARN may be a password that was pasted for a name, and
    /// AWS repeats what may not be read.
    fn unconfirmed(self, secret_id: &str) -> Error {
        if secret_id.starts_with("arn:") {
            return self.named(secret_id);
        }
        let error = self.named("that SFTP_SECRET_ID names");
        let repeated = format!("on resource: {secret_id}");
        error.name.error(error.message().replace(&repeated, "on resource: SFTP_SECRET_ID"))
    }

    fn expired_or_named(self, what: &str) -> Error {
        match &self {
            Self::Call(failed)
                if matches!(failed.status, Some(404 | 412))
                    || failed.code.as_deref() == Some("ResourceNotFoundException") =>
            {
                expired(what, failed)
            }
            _ => self.named(what),
        }
    }
}

/// Ends a reading that the SDK would still try to do when Lambda ends the function.
async fn in_time<T>(
    limit: Duration,
    reading: impl Future<Output = std::result::Result<T, Problem>>,
) -> std::result::Result<T, Problem> {
    let late = "could not be read in time: AWS has not answered";
    let read = tokio::time::timeout(limit, reading).await;
    read.unwrap_or(Err(Problem::Body(late, ErrorName::SecretUnavailable)))
}

type Text = SecretString;

/// Which version of a secret.
#[derive(Clone, Copy)]
enum Which<'a> {
    Current,
    Previous,
    Id(&'a str),
}

async fn secret_value(
    clients: &Clients,
    secret_id: &str,
    which: Which<'_>,
) -> std::result::Result<(String, String, Text), Problem> {
    let request = clients.secrets_manager.get_secret_value().secret_id(secret_id);
    let request = match which {
        Which::Current => request,
        Which::Previous => request.version_stage("AWSPREVIOUS"),
        Which::Id(version_id) => request.version_id(version_id),
    };
    let value = in_time(READ_LIMIT, async {
        request.send().await.map_err(|error| Problem::Call(Failed::of(&error)))
    });
    let value = value.await?;
    let text = match (value.secret_string, value.secret_binary) {
        (Some(text), _) => text,
        (None, Some(bytes)) => utf8(bytes.into_inner())?,
        (None, None) => return Err(Problem::Body("has no value", ErrorName::SecretUnreadable)),
    };
    match (value.arn, value.version_id) {
        (Some(arn), Some(version_id)) => Ok((arn, version_id, text.into())),
        _ => Err(Problem::Body("came without ARN or version id", ErrorName::SecretUnavailable)),
    }
}

async fn object_text(
    clients: &Clients,
    bucket: &str,
    object_key: &str,
    version_id: Option<String>,
    etag: Option<&String>,
) -> std::result::Result<(Option<String>, String, Text), Problem> {
    let request = clients.s3.get_object().bucket(bucket).key(object_key).set_version_id(version_id);
    let request = request.set_if_match(etag.map(|etag| format!("\"{etag}\"")));
    in_time(READ_LIMIT, text_of(request)).await
}

async fn text_of(
    request: GetObjectFluentBuilder,
) -> std::result::Result<(Option<String>, String, Text), Problem> {
    let object = request.send().await.map_err(|error| Problem::Call(Failed::of(&error)))?;
    // No private key is that long; an object that is was named by mistake.
    if object.content_length.is_some_and(|length| length > 64 * 1024) {
        return Err(Problem::Body("is longer than 64 KiB: not a private key", ErrorName::SecretUnreadable));
    }
    let etag = object.e_tag.unwrap_or_default().trim_matches('"').to_owned();
    let version_id = object.version_id.filter(|version_id| version_id != "null");
    let bytes = ByteStream::collect(object.body).await;
    let bytes =
        bytes.map_err(|_| Problem::Body("broke off while it was read", ErrorName::SecretUnavailable))?;
    Ok((version_id, etag, utf8(bytes.to_vec())?.into()))
}

fn utf8(bytes: Vec<u8>) -> std::result::Result<String, Problem> {
    String::from_utf8(bytes).map_err(|_| Problem::Body("is not text", ErrorName::SecretUnreadable))
}

/// JSON as AWS Transfer Family writes it, or a bare private key. The messages name fields and never values; `what` is
/// where it came from.
///
/// # Errors
/// `SecretUnreadable`.
pub fn parse(text: &SecretString, what: &str) -> Result<Credential> {
    let unreadable =
        |problem: String| ErrorName::SecretUnreadable.error(format!("the credential {what} {problem}"));
    let bare = text.expose_secret().trim();
    if bare.is_empty() {
        return Err(unreadable("is empty".into()));
    }
    if !bare.starts_with('{') {
        let private_key = Some(SecretString::from(bare.to_owned()));
        return Ok(Credential {
            user_name: None,
            private_key,
            certificate: None,
            passphrase: None,
            password: None,
        });
    }
    let Ok(Value::Object(mut fields)) = serde_json::from_str::<Value>(bare) else {
        return Err(unreadable("starts with `{` and is not JSON".into()));
    };
    let mut field = |name: &str| match fields.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
        Some(_) => Err(unreadable(format!("has a field `{name}` that is not a string"))),
    };
    let (user_name, certificate) = (field("Username")?, field("Certificate")?);
    let [private_key, passphrase, password] =
        [field("PrivateKey")?, field("Passphrase")?, field("Password")?];
    if private_key.is_none() && password.is_none() {
        return Err(unreadable("has neither `PrivateKey` nor `Password`".into()));
    }
    Ok(Credential {
        user_name,
        private_key: private_key.map(Into::into),
        certificate,
        passphrase: passphrase.map(Into::into),
        password: password.map(Into::into),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Credential> {
        parse(&text.into(), "partner")
    }

    #[test]
    fn transfer_familys_json_with_extra_fields() {
        let text = r#"{"Username":"u","PrivateKey":"k","Passphrase":"p","Password":"","Certificate":"c",
            "HostKey":["x"]}"#;
        let credential = parsed(text).unwrap();
        assert_eq!(credential.user_name.as_deref(), Some("u"));
        assert_eq!(credential.private_key.unwrap().expose_secret(), "k");
        assert_eq!(credential.passphrase.unwrap().expose_secret(), "p");
        assert_eq!(credential.certificate.as_deref(), Some("c"));
        assert!(credential.password.is_none());
    }

    #[test]
    fn a_bare_private_key() {
        let credential = parsed("\n-----BEGIN X-----\nabc\n").unwrap();
        assert_eq!(credential.private_key.unwrap().expose_secret(), "-----BEGIN X-----\nabc");
    }

    #[test]
    fn what_is_wrong_is_named_without_the_value() {
        for (text, words) in [
            ("", "empty"),
            ("{hunter2", "not JSON"),
            (r#"{"Username":"hunter2"}"#, "neither"),
            (r#"{"PrivateKey":["hunter2"]}"#, "`PrivateKey`"),
        ] {
            let error = parsed(text).unwrap_err();
            assert_eq!(error.name, ErrorName::SecretUnreadable);
            assert!(error.message().contains(words) && !error.message().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_name_that_aws_does_not_know_is_not_repeated() {
        use aws_sdk_s3::primitives::SdkBody;
        use aws_sdk_secretsmanager::config::http::HttpResponse;
        use aws_sdk_secretsmanager::error::{ErrorMetadata, SdkError};
        use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;

        let denied = |name: &str| {
            let message = format!(
                "User: arn:aws:sts::1:assumed-role/r is not authorized to perform: secretsmanager:GetSecretValue on resource: {name} because no identity-based policy allows it"
            );
            let metadata = ErrorMetadata::builder().code("AccessDeniedException").message(message).build();
            let response = HttpResponse::new(400.try_into().unwrap(), SdkBody::empty());
            let error = SdkError::service_error(GetSecretValueError::generic(metadata), response);
            Problem::Call(Failed::of(&error)).unconfirmed(name)
        };
        let error = denied("hunter2");
        assert_eq!(error.name, ErrorName::SecretUnreadable);
        assert!(error.message().contains("that SFTP_SECRET_ID names: AccessDeniedException"), "{error}");
        assert!(!error.message().contains("hunter2"), "{error}");
        let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:partner";
        assert!(denied(arn).message().starts_with(&format!("reading the credential {arn}: ")));
    }

    #[tokio::test]
    async fn what_aws_does_not_answer_is_unavailable() {
        let silent = in_time(Duration::from_millis(20), std::future::pending::<std::result::Result<(), _>>());
        let error = silent.await.unwrap_err().named("partner");
        assert_eq!(error.name, ErrorName::SecretUnavailable);
        assert_eq!(error.message(), "the credential partner could not be read in time: AWS has not answered");
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!(
            "{:?}",
            parsed(r#"{"Username":"u","PrivateKey":"hunter2","Password":"hunter2"}"#).unwrap()
        );
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

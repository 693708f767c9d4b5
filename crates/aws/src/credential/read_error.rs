//! Why a credential could not be read.

use std::time::Duration;

use bridge::{Error, ErrorName};

use crate::error::CallError;

/// Maximum time to read a credential, including the SDK's retries. It is shorter than a function's time-out, so that the
/// error names the endpoint.
pub const READ_LIMIT: Duration = Duration::from_secs(45);

/// Why a credential could not be read.
pub(super) enum ReadError {
    /// AWS refused, or did not answer.
    Call(CallError),
    /// The pinned version is gone.
    Expired(CallError),
    /// The contents are wrong, or broke off.
    Contents(&'static str, ErrorName),
}

impl ReadError {
    /// The error for a credential with this name.
    pub(super) fn named(self, credential: &str) -> Error {
        match self {
            Self::Call(error) => {
                let name = if error.is_transient() {
                    ErrorName::SecretUnavailable
                } else {
                    ErrorName::SecretUnreadable
                };
                name.error(format!("reading the credential {credential}: {error}"))
            }
            Self::Expired(error) => ErrorName::CredentialExpired
                .error(format!("the pinned version of the credential {credential} is gone: {error}")),
            Self::Contents(problem, name) => name.error(format!("the credential {credential} {problem}")),
        }
    }

    /// The error for a secret that AWS has not confirmed to exist. Unless it is an ARN, its name may be a password that was
    /// pasted by mistake, and AWS repeats it in the message.
    pub(super) fn unconfirmed(self, secret_id: &str) -> Error {
        if secret_id.starts_with("arn:") {
            return self.named(secret_id);
        }
        let error = self.named("that SFTP_SECRET_ID names");
        let repeated = format!("on resource: {secret_id}");
        error.name.error(error.message().replace(&repeated, "on resource: SFTP_SECRET_ID"))
    }

    /// The error for a pinned version, which may be gone.
    pub(super) fn expired_or_named(self, credential: &str) -> Error {
        match self {
            Self::Call(error)
                if matches!(error.status, Some(404 | 412))
                    || error.code.as_deref() == Some("ResourceNotFoundException") =>
            {
                Self::Expired(error).named(credential)
            }
            other => other.named(credential),
        }
    }
}

/// Ends a read before Lambda ends the function.
pub(super) async fn in_time<T>(reading: impl Future<Output = Result<T, ReadError>>) -> Result<T, ReadError> {
    within(READ_LIMIT, reading).await
}

async fn within<T>(
    limit: Duration,
    reading: impl Future<Output = Result<T, ReadError>>,
) -> Result<T, ReadError> {
    let late = "could not be read in time: AWS has not answered";
    let read = tokio::time::timeout(limit, reading).await;
    read.unwrap_or(Err(ReadError::Contents(late, ErrorName::SecretUnavailable)))
}

/// The contents as text.
pub(super) fn utf8(bytes: Vec<u8>) -> Result<String, ReadError> {
    String::from_utf8(bytes).map_err(|_| ReadError::Contents("is not text", ErrorName::SecretUnreadable))
}

#[cfg(test)]
mod tests {
    use super::*;

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
            ReadError::Call(CallError::of(&error)).unconfirmed(name)
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
        let silent = within(Duration::from_millis(20), std::future::pending::<Result<(), _>>());
        let error = silent.await.unwrap_err().named("partner");
        assert_eq!(error.name, ErrorName::SecretUnavailable);
        assert_eq!(error.message(), "the credential partner could not be read in time: AWS has not answered");
    }
}

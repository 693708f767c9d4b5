//! How a command of the operator ends.

use std::process::ExitCode;

use aws::CallError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use bridge::{Error, ErrorName};

use crate::output;

/// The answer to the operator's question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Nothing is owed, all is done. Exit status 0.
    Fine,
    /// Something is owed or failed. Exit status 1.
    Owed,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// Wrong arguments, no such stack, no credentials. Exit status 2.
    Usage(String),
    /// AWS refused or could not be reached. Exit status 1.
    Failed(String),
    /// Somebody stopped the command. Exit status 1.
    Stopped,
}

/// Error codes that mean: not with these credentials.
const UNKNOWN_CREDENTIALS: &[&str] = &[
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];

impl Problem {
    /// Of a call that failed: `doing` is what it was for, `permission` the IAM action that it needs.
    pub(crate) fn of_call<E>(doing: &str, permission: &str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata,
    {
        let error = CallError::of(error);
        let is_one_of = |codes: &[&str]| error.code.as_deref().is_some_and(|code| codes.contains(&code));
        let what_to_do = if is_one_of(UNKNOWN_CREDENTIALS) {
            "; AWS does not accept these credentials: log in again, or set others".to_owned()
        } else if error.status == Some(403) || is_one_of(&["AccessDenied", "AccessDeniedException"]) {
            format!("; this needs the permission {permission}")
        } else if error.is_throttled() {
            "; AWS is busy with other calls of this account: run the command again later".to_owned()
        } else {
            String::new()
        };
        Self::Failed(format!("{doing}: {error}{what_to_do}"))
    }

    /// A listing that ends early would hide what is owed.
    pub(crate) fn no_next_page(bucket: &str, prefix: &str) -> Self {
        Self::Failed(format!(
            "listing s3://{bucket}/{prefix}: S3 has more keys, and does not say how to read them"
        ))
    }

    /// Prints it. Returns the exit status.
    pub(crate) fn print(&self) -> ExitCode {
        let status = match self {
            Self::Usage(_) => 2,
            Self::Failed(_) | Self::Stopped => 1,
        };
        output::note(&[format!("error: {self}")]);
        ExitCode::from(status)
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Usage(words) | Self::Failed(words) => words,
            Self::Stopped => "stopped",
        })
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error.name {
            ErrorName::InvalidConfig => Self::Usage(error.message().to_owned()),
            _ => Self::Failed(error.to_string()),
        }
    }
}

//! The error names. The state machine's `Retry` and `Catch` match them, the metric counts them, and the runbook has a
//! heading for each.

use std::borrow::Cow;
use std::fmt;

use terms::{ErrorKind, HasKind, printable};

/// A result whose error carries an [`ErrorName`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Where a hint is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the failure record of an execution.
    Stack,
    /// In a terminal, below an error of `s3-sftp-bridge`.
    CommandLine,
}

macro_rules! error_names {
    ($($(#[$doc:meta])* $name:ident, $hint:literal, $by_hand:literal;)*) => {
        /// What went wrong, as one word. It is the `errorType` of the Lambda result.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ErrorName { $($(#[$doc])* $name,)* }

        impl ErrorName {
            /// Every name, in the order of the runbook.
            pub const ALL: &[ErrorName] = &[$(ErrorName::$name,)*];

            /// The name as Step Functions sees it.
            pub fn as_str(self) -> &'static str {
                match self { $(ErrorName::$name => stringify!($name),)* }
            }

            /// What to do about it in a stack. `docs/errors.md` says more under the same heading.
            pub fn hint(self) -> &'static str {
                self.hint_for(Place::Stack)
            }

            /// What to do about it, for a reader in this place.
            pub fn hint_for(self, place: Place) -> &'static str {
                match place {
                    Place::Stack => match self { $(ErrorName::$name => $hint,)* },
                    Place::CommandLine => match self { $(ErrorName::$name => $by_hand,)* },
                }
            }
        }
    };
}

error_names! {
    /// Secrets Manager or S3 throttled or failed while the credential was read, after the SDK's own retries.
    SecretUnavailable, "AWS was busy or could not be reached. Nothing needs to change: redrive the execution.",
        "AWS was busy or could not be reached. Run the command again.";
    /// S3 throttled, failed or ended the response while the object was read, after the SDK's own retries.
    ObjectReadInterrupted, "S3 was busy or could not be reached. Nothing needs to change: redrive the execution.",
        "S3 was busy or could not be reached. Run the command again.";
    /// DNS, TCP, the SSH key exchange, the login or the start of SFTP failed.
    ConnectFailed, "Check SFTP_HOST, SFTP_PORT, the partner's firewall and allow-list, and whether the server is up; then redrive.",
        "Check SFTP_HOST, SFTP_PORT, the partner's firewall and allow-list, and whether the server is up; then run the command again.";
    /// The session was dropped or stalled, and no progress was made.
    ConnectionLost, "Ask the partner whether the server was restarted or limits sessions; then redrive. The transfer resumes.",
        "Ask the partner whether the server was restarted or limits sessions; then run the command again. The transfer resumes.";
    /// The server answered SSH_FX_FAILURE, or another status that does not name the cause.
    RemoteFailure, "Read the server's message. Usual causes are a full disk, a quota or a locked file at the partner. Then redrive.",
        "Read the server's message. Usual causes are a full disk, a quota or a locked file at the partner. Then run the command again.";
    /// The pinned version of the credential no longer exists.
    CredentialExpired, "Nothing needs to change: the execution returns to FetchKey by itself and reads the current credential.",
        "The credential was replaced during the delivery. Run the command again: it reads the current credential.";
    /// A payload did not decode.
    InvalidInput, "Start a new execution with an S3 `Object Created` event, or {\"detail\":{\"bucket\":{\"name\":\"b\"},\"object\":{\"key\":\"k\"}}}.",
        "Name the object as s3://BUCKET/KEY.";
    /// A setting is missing or wrong.
    InvalidConfig, "Correct the settings that the message names in the stack's parameters, deploy, and redrive.",
        "Correct the environment variables that the message names, and run the command again.";
    /// The credential is missing, may not be read, or has an unknown format.
    SecretUnreadable, "Check that the secret exists, that the function's role may read it, and that it holds Username, and PrivateKey or Password.",
        "Check that the secret exists, that your AWS credentials may read it, and that it holds Username, and PrivateKey or Password.";
    /// The private key does not parse, or its passphrase is wrong.
    InvalidPrivateKey, "Store the private key in OpenSSH, PEM or PKCS#8 format with its line breaks, and its passphrase as Passphrase.",
        "Store the private key in OpenSSH, PEM or PKCS#8 format with its line breaks, and its passphrase as Passphrase.";
    /// The server presented a host key that is not trusted.
    HostKeyMismatch, "Ask the partner, by phone or signed mail, whether the host key has changed. Only then add the new key to SFTP_TRUSTED_HOST_KEYS.",
        "Ask the partner, by phone or signed mail, whether the host key has changed. Only then add the new key to SFTP_TRUSTED_HOST_KEYS.";
    /// The server and the bridge share no algorithm.
    NoCommonAlgorithm, "Set SFTP_ALGORITHMS to the value that the message names, or ask the partner to offer one of our algorithms; then redrive.",
        "Set SFTP_ALGORITHMS to the value that the message names, or ask the partner to offer one of our algorithms; then run the command again.";
    /// The server refused the credential.
    AuthenticationRejected, "Check the user name, and that the partner has installed the public key whose fingerprint is in the message.",
        "Check the user name, and that the partner has installed the public key whose fingerprint is in the message.";
    /// The object is missing or archived, or may not be read.
    ObjectUnreadable, "Check that the object still exists and is not archived, and that the function's role may read and decrypt it.",
        "Check the bucket, the key and the region, that the object is not archived, and that your AWS credentials may read and decrypt it.";
    /// The object is no longer the pinned one, and no newer upload explains it.
    ObjectChanged, "Turn on versioning for the bucket, or upload under new names instead of overwriting; then upload the object again.",
        "The object was overwritten while it was read. Run the command again to deliver the current object.";
    /// The remote path is unsafe, missing, or not writable.
    RemotePathRejected, "Correct the object's name, SFTP_LOCATION, or the permissions of the partner's directory; then redrive.",
        "Correct the object's name, SFTP_LOCATION, or the permissions of the partner's directory; then run the command again.";
    /// The remote disk or quota is full.
    RemoteFull, "Ask the partner to free space; then redrive. The transfer resumes.",
        "Ask the partner to free space; then run the command again. The transfer resumes.";
    /// The partial file differs from what was sent. It has been removed.
    RemoteMismatch, "The file was sent twice and differed both times. Ask the partner what changes files on arrival: a virus scanner, text mode, a quota.",
        "The file was sent twice and differed both times. Ask the partner what changes files on arrival: a virus scanner, text mode, a quota.";
    /// A file or directory that is collected cannot be read, or not yet.
    RemoteUnreadable, "Ask the partner to let our user read the file, or the directory; then redrive.",
        "Ask the partner to let our user read the file, or the directory; then run the command again.";
    /// S3 throttled, failed or could not be reached while an object was written, after the SDK's own retries.
    ObjectWriteInterrupted, "S3 was busy or could not be reached. Nothing needs to change: redrive the execution.",
        "S3 was busy or could not be reached. Run the command again.";
    /// S3 refused to store the object: the bucket is missing, the role may not write, or an object must not be replaced.
    ObjectWriteRefused, "Check that the bucket in COLLECT_BUCKET exists, that the function's role may write and encrypt there, and what COLLECT_IF_EXISTS says; then redrive.",
        "Check that the bucket in COLLECT_BUCKET exists, that your AWS credentials may write and encrypt there, and what COLLECT_IF_EXISTS says; then run the command again.";
    /// The object that was stored is not in S3, or differs from what was read. The partner's file was not touched.
    ObjectMismatch, "Look at the object and its versions: S3 shows other contents than were stored, or the store tells no checksums. The partner's file is untouched. Then redrive.",
        "Look at the object and its versions: S3 shows other contents than were stored, or the store tells no checksums. The partner's file is untouched. Then run the command again.";
    /// Step Functions throttled, failed or could not be reached while executions were started, after all retries.
    StepFunctionsUnavailable, "Step Functions was busy or could not be reached. Nothing needs to change: the next look starts what is left.",
        "Step Functions was busy or could not be reached. Run the command again.";
    /// A bug of the bridge.
    Internal, "This is a bug. Please report it with the log lines of this execution.",
        "This is a bug. Please report it with what the command logs when LOG_LEVEL=debug is set.";
}

impl ErrorName {
    /// Whether the state machine tries the same step again by itself.
    pub fn retryable(self) -> bool {
        match self {
            Self::SecretUnavailable
            | Self::ObjectReadInterrupted
            | Self::ConnectFailed
            | Self::ConnectionLost
            | Self::RemoteFailure
            | Self::RemoteUnreadable
            | Self::ObjectWriteInterrupted
            | Self::StepFunctionsUnavailable => true,
            Self::CredentialExpired
            | Self::InvalidInput
            | Self::InvalidConfig
            | Self::SecretUnreadable
            | Self::InvalidPrivateKey
            | Self::HostKeyMismatch
            | Self::NoCommonAlgorithm
            | Self::AuthenticationRejected
            | Self::ObjectUnreadable
            | Self::ObjectChanged
            | Self::RemotePathRejected
            | Self::RemoteFull
            | Self::RemoteMismatch
            | Self::ObjectWriteRefused
            | Self::ObjectMismatch
            | Self::Internal => false,
        }
    }

    /// Whether the connection failed or was lost, so that another connection may succeed.
    pub fn is_connection_failure(self) -> bool {
        matches!(self, Self::ConnectFailed | Self::ConnectionLost)
    }

    /// Parses an error name. Names of Lambda and Step Functions are unknown.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|known| known.as_str() == name)
    }
}

impl fmt::Display for ErrorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error name and a message for a person. The message never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The name that the state machine matches.
    pub name: ErrorName,
    message: String,
}

impl Error {
    /// An error of this name. `message` says what failed. It may quote text from others: it is made
    /// [printable](terms::printable()).
    pub fn new(name: ErrorName, message: impl Into<String>) -> Self {
        let message = message.into();
        let message = match printable(&message) {
            Cow::Owned(escaped) => escaped,
            Cow::Borrowed(_) => message,
        };
        Self { name, message }
    }

    /// The message, without the name.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.message)
    }
}

impl std::error::Error for Error {}

impl From<ErrorKind> for ErrorName {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::ConnectFailed => Self::ConnectFailed,
            ErrorKind::ConnectionLost => Self::ConnectionLost,
            ErrorKind::HostKeyMismatch => Self::HostKeyMismatch,
            ErrorKind::NoCommonAlgorithm => Self::NoCommonAlgorithm,
            ErrorKind::AuthenticationRejected => Self::AuthenticationRejected,
            ErrorKind::InvalidPrivateKey => Self::InvalidPrivateKey,
            ErrorKind::RemoteFailure => Self::RemoteFailure,
            ErrorKind::RemoteFull => Self::RemoteFull,
            ErrorKind::RemotePathRejected => Self::RemotePathRejected,
        }
    }
}

/// Errors of the SFTP client, which does not know the bridge.
impl<E: HasKind> From<E> for Error {
    fn from(error: E) -> Self {
        Self::new(error.kind().into(), error.to_string())
    }
}

impl ErrorName {
    /// An [`Error`] of this name: `ErrorName::ConnectFailed.error("…")`.
    pub fn error(self, message: impl Into<String>) -> Error {
        Error::new(self, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_on_the_command_line_speaks_of_no_stack() {
        for name in ErrorName::ALL {
            let hint = name.hint_for(Place::CommandLine);
            for word in ["redrive", "execution", "stack", "role", "FetchKey", "deploy"] {
                assert!(!hint.contains(word), "{name}: {hint}");
            }
        }
    }

    #[test]
    fn a_message_is_one_line_whatever_stands_in_it() {
        let error = ErrorName::RemoteFailure.error("the server said a\nInternal: b\x1b[2J");
        assert_eq!(error.message(), r"the server said a\nInternal: b\u{1b}[2J");
    }

    #[test]
    fn names_are_unique_and_parse_back() {
        for (index, name) in ErrorName::ALL.iter().enumerate() {
            assert_eq!(ErrorName::parse(name.as_str()), Some(*name));
            assert!(!ErrorName::ALL[..index].contains(name));
        }
        assert_eq!(ErrorName::parse("Lambda.Unknown"), None);
    }
}

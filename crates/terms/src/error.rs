//! The kinds of errors, and an error that is made of a kind and a message.

use std::borrow::Cow;
use std::fmt;

use crate::printable::printable;

/// A result whose error has an [`ErrorKind`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, for a program that decides what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// DNS, TCP, the SSH key exchange, the login or the start of SFTP failed. Trying again later may help.
    ConnectFailed,
    /// The session was dropped or stalled. Trying again may help.
    ConnectionLost,
    /// The server presented a host key that is not trusted.
    HostKeyMismatch,
    /// The server and the client share no algorithm.
    NoCommonAlgorithm,
    /// The server refused the credential. Trying again may lock the account.
    AuthenticationRejected,
    /// The private key or the certificate does not parse, or the passphrase is wrong.
    InvalidPrivateKey,
    /// The server refused a request, and did not say why. Trying again may help.
    RemoteFailure,
    /// The remote disk or quota is full.
    RemoteFull,
    /// The remote path is unsafe, missing, or not writable.
    RemotePathRejected,
}

impl ErrorKind {
    /// An [`Error`] of this kind: `ErrorKind::ConnectFailed.error("…")`.
    /// The message may quote a server: it is made [printable](crate::printable()).
    pub fn error(self, message: impl Into<String>) -> Error {
        let message = message.into();
        let message = match printable(&message) {
            Cow::Owned(escaped) => escaped,
            Cow::Borrowed(_) => message,
        };
        Error { kind: self, message }
    }
}

/// Errors that have a kind.
pub trait HasKind: fmt::Display {
    /// What went wrong.
    fn kind(&self) -> ErrorKind;
}

/// A kind and a message for a person. The message never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What went wrong.
    pub kind: ErrorKind,
    message: String,
}

impl Error {
    /// What failed.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl HasKind for Error {
    fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

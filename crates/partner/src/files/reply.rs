//! The server's answer to a request: a refusal is one, the loss of the session is not.

use sftp::{Error, Status};

/// The server's answer to a request.
#[derive(Clone, Debug)]
pub enum Reply<T> {
    /// It did as it was asked.
    Done(T),
    /// It refused. The session goes on.
    Refused(Status),
}

impl<T> Reply<T> {
    /// Takes a refusal out of the errors.
    ///
    /// # Errors
    /// The session was lost.
    pub fn of(outcome: sftp::Result<T>) -> sftp::Result<Self> {
        match outcome {
            Ok(value) => Ok(Self::Done(value)),
            Err(Error::Refused(status)) => Ok(Self::Refused(status)),
            Err(error) => Err(error),
        }
    }

    /// Whether the server did as it was asked.
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Done(_))
    }

    /// How the server refused, if it did.
    pub fn refusal(&self) -> Option<&Status> {
        match self {
            Self::Done(_) => None,
            Self::Refused(status) => Some(status),
        }
    }

    /// What the server answered, unless it refused.
    pub fn done(self) -> Option<T> {
        match self {
            Self::Done(value) => Some(value),
            Self::Refused(_) => None,
        }
    }
}

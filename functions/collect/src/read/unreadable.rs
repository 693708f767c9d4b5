//! A file that cannot be read, or not yet.

use bridge::{Error, ErrorName};
use sftp::{ErrorKind, Status};

/// The server has refused something, and `at` says where.
pub(super) fn refused(status: Status, at: &str) -> Error {
    let error = sftp::Error::from(status);
    match error.kind() {
        // Some gateways answer with the status of their own connection.
        ErrorKind::ConnectionLost => error.into(),
        _ => ErrorName::RemoteUnreadable.error(format!("{error}{at}")),
    }
}

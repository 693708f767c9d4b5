//! What can go wrong, and the bridge's name for it.

use bridge::ErrorName;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of the session or an answer of the server that is not OK.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The server answered a request with a status other than OK.
    #[error("{operation} {path:?}: the server answered {code}{}", quoted(.message))]
    Status {
        /// What was asked (`open`, `write`, …).
        operation: &'static str,
        /// The path it was asked of.
        path: String,
        /// The status code, as it came.
        code: StatusCode,
        /// The server's own words; often empty.
        message: String,
    },
    /// Anything else: connecting, authentication, a lost session.
    #[error(transparent)]
    Named(#[from] bridge::Error),
}

fn quoted(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(", saying {message:?}") }
}

impl Error {
    /// Whether the server says that the file or directory does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Status { code: StatusCode::NO_SUCH_FILE | StatusCode::NO_SUCH_PATH, .. })
    }

    /// Whether the server says that it does not do such a thing at all.
    pub fn is_unsupported(&self) -> bool {
        matches!(self, Self::Status { code: StatusCode::OP_UNSUPPORTED, .. })
    }

    /// Whether this is an answer of the server, after which the session goes on.
    pub fn is_status(&self) -> bool {
        matches!(self, Self::Status { .. })
    }

    pub(crate) fn lost(message: impl Into<String>) -> Self {
        Self::Named(ErrorName::ConnectionLost.error(message))
    }
}

impl From<Error> for bridge::Error {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::Status { code, path, message: words, .. } => code.error_name(&words, &path).error(message),
            Error::Named(error) => error,
        }
    }
}

/// A status code. Version 3 defines 0 to 8; servers send the codes of later drafts and their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusCode(pub u32);

impl StatusCode {
    /// SSH_FX_OK
    pub const OK: Self = Self(0);
    /// SSH_FX_EOF
    pub const EOF: Self = Self(1);
    /// SSH_FX_NO_SUCH_FILE
    pub const NO_SUCH_FILE: Self = Self(2);
    /// SSH_FX_PERMISSION_DENIED
    pub const PERMISSION_DENIED: Self = Self(3);
    /// SSH_FX_FAILURE
    pub const FAILURE: Self = Self(4);
    /// SSH_FX_NO_CONNECTION
    pub const NO_CONNECTION: Self = Self(6);
    /// SSH_FX_CONNECTION_LOST
    pub const CONNECTION_LOST: Self = Self(7);
    /// SSH_FX_OP_UNSUPPORTED
    pub const OP_UNSUPPORTED: Self = Self(8);
    /// SSH_FX_NO_SUCH_PATH (draft 04 and later)
    pub const NO_SUCH_PATH: Self = Self(10);
    /// SSH_FX_FILE_ALREADY_EXISTS (draft 04 and later)
    pub const FILE_ALREADY_EXISTS: Self = Self(11);
    /// SSH_FX_WRITE_PROTECT (draft 04 and later)
    pub const WRITE_PROTECT: Self = Self(12);
    /// SSH_FX_NO_SPACE_ON_FILESYSTEM (draft 06 and later)
    pub const NO_SPACE_ON_FILESYSTEM: Self = Self(14);
    /// SSH_FX_QUOTA_EXCEEDED (draft 06 and later)
    pub const QUOTA_EXCEEDED: Self = Self(15);
    /// SSH_FX_FILE_IS_A_DIRECTORY (draft 09 and later)
    pub const FILE_IS_A_DIRECTORY: Self = Self(24);

    /// Servers say "failure" of many things, and put what it is into words, for which we look where the code says no more.
    fn error_name(self, words: &str, path: &str) -> ErrorName {
        match self {
            Self::NO_SPACE_ON_FILESYSTEM | Self::QUOTA_EXCEEDED => ErrorName::RemoteFull,
            Self::NO_SUCH_FILE
            | Self::NO_SUCH_PATH
            | Self::PERMISSION_DENIED
            | Self::FILE_ALREADY_EXISTS
            | Self::WRITE_PROTECT
            | Self::FILE_IS_A_DIRECTORY => ErrorName::RemotePathRejected,
            Self::NO_CONNECTION | Self::CONNECTION_LOST => ErrorName::ConnectionLost,
            _ if says_full(words, path) => ErrorName::RemoteFull,
            _ => ErrorName::RemoteFailure,
        }
    }
}

/// What stands in a path says nothing of the disk: neither in the one that was asked of nor in another one.
fn says_full(words: &str, path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let ours = [path, name].into_iter().filter(|part| !part.is_empty());
    let words = ours.fold(words.to_owned(), |words, part| words.replace(part, " ")).to_ascii_lowercase();
    let words: Vec<&str> = words.split_whitespace().filter(|word| !word.contains('/')).collect();
    let words = words.join(" ");
    let full = ["no space", "quota", "disk full", "disk is full", "file too large"];
    full.iter().any(|full| words.contains(full))
}

impl std::fmt::Display for StatusCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match *self {
            Self::OK => "OK",
            Self::EOF => "EOF",
            Self::NO_SUCH_FILE => "NO_SUCH_FILE",
            Self::PERMISSION_DENIED => "PERMISSION_DENIED",
            Self::FAILURE => "FAILURE",
            Self::NO_CONNECTION => "NO_CONNECTION",
            Self::CONNECTION_LOST => "CONNECTION_LOST",
            Self::OP_UNSUPPORTED => "OP_UNSUPPORTED",
            Self::NO_SUCH_PATH => "NO_SUCH_PATH",
            Self::FILE_ALREADY_EXISTS => "FILE_ALREADY_EXISTS",
            Self::WRITE_PROTECT => "WRITE_PROTECT",
            Self::NO_SPACE_ON_FILESYSTEM => "NO_SPACE_ON_FILESYSTEM",
            Self::QUOTA_EXCEEDED => "QUOTA_EXCEEDED",
            Self::FILE_IS_A_DIRECTORY => "FILE_IS_A_DIRECTORY",
            Self(code) => return write!(f, "status {code}"),
        };
        write!(f, "{name} (status {})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_nothing_of_the_disk() {
        let name = |code, message: &str| {
            let (operation, path) = ("write", "in/no space.quota/file too large.csv".to_owned());
            let message = message.to_owned();
            bridge::Error::from(Error::Status { operation, path, code: StatusCode(code), message }).name
        };
        assert_eq!(name(2, "quota: no such file"), ErrorName::RemotePathRejected, "the code says it");
        assert_eq!(name(3, "no space for you"), ErrorName::RemotePathRejected);
        assert_eq!(name(4, "in/no space.quota/file too large.csv: failure"), ErrorName::RemoteFailure);
        assert_eq!(name(4, "cannot write file too large.csv"), ErrorName::RemoteFailure);
        assert_eq!(name(4, "rename /a/b /in/quota-2026.csv: file exists"), ErrorName::RemoteFailure);
        assert_eq!(name(4, "write /in/x: No space left on device"), ErrorName::RemoteFull);
        assert_eq!(name(4, "Disk quota exceeded"), ErrorName::RemoteFull);
        assert_eq!(name(u32::MAX, "Disk full"), ErrorName::RemoteFull);
        assert!(says_full("disk full", "/") && says_full("disk full", ""));
    }

    #[test]
    fn story_19_any_code_has_a_name_and_keeps_the_servers_message() {
        for (code, message, name) in [
            (2, "", ErrorName::RemotePathRejected),
            (3, "", ErrorName::RemotePathRejected),
            (4, "Failure", ErrorName::RemoteFailure),
            (4, "Disk quota exceeded", ErrorName::RemoteFull),
            (9, "SSH_FX_INVALID_HANDLE", ErrorName::RemoteFailure),
            (11, "exists", ErrorName::RemotePathRejected),
            (14, "", ErrorName::RemoteFull),
            (15, "", ErrorName::RemoteFull),
            (18, "dir not empty", ErrorName::RemoteFailure),
            (u32::MAX, "odd", ErrorName::RemoteFailure),
        ] {
            let (operation, path) = ("write", "f".to_owned());
            let status = Error::Status { operation, path, code: StatusCode(code), message: message.into() };
            let error = bridge::Error::from(status);
            assert_eq!(error.name, name, "{code}");
            assert!(
                error.message().contains(message) && error.message().contains(&code.to_string()),
                "{error}"
            );
        }
    }
}

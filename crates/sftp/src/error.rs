//! Errors of the client: a request that the server refused is one thing, a session that is lost is another.

use terms::{ErrorKind, HasKind, Preset};

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call failed. [`Refused`](Self::Refused) is an answer of the server: the session can still be used. After the other
/// errors it cannot.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server answered the request with a status other than OK. The session can still be used.
    #[error(transparent)]
    Refused(#[from] Status),
    /// The session has ended, or the server has stopped answering. The text says how.
    #[error("{0}")]
    Lost(String),
    /// The server sent a reply of the wrong type. The session should not be used any more.
    #[error("{operation} {path:?}: the server's reply has the wrong type for this request: {reply}")]
    UnexpectedReply {
        /// The request (`open`, `write`, …).
        operation: &'static str,
        /// The path that the request was about.
        path: String,
        /// The type of the reply.
        reply: String,
    },
    /// There is no session: connecting, the check of the host key, logging in, or starting SFTP failed.
    #[error(transparent)]
    Connect(#[from] ConnectError),
}

/// A status other than OK, as the server sent it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation} {path:?}: the server answered {code}{}", quoted(.message))]
pub struct Status {
    /// The request (`open`, `write`, …).
    pub operation: &'static str,
    /// The path that the request was about.
    pub path: String,
    /// The status code.
    pub code: StatusCode,
    /// The server's own message; often empty.
    pub message: String,
}

/// Why there is no session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectError {
    /// What failed: `ConnectFailed`, `HostKeyMismatch`, `NoCommonAlgorithm` or `AuthenticationRejected`.
    pub error: terms::Error,
    /// Which other choice of algorithms would help, if that is the problem.
    pub remedy: Option<Remedy>,
}

/// Which choice of algorithms would connect, after one that does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Remedy {
    /// This preset would connect.
    Preset(Preset),
    /// No preset would connect.
    NoPreset,
    /// The server could not be asked a second time.
    Unknown,
    /// The server accepts signatures of RSA keys with SHA-1 only (`ssh-rsa`), which is not permitted.
    Sha1,
    /// As [`Sha1`](Self::Sha1), perhaps: the server does not say which signatures it accepts.
    PerhapsSha1,
}

fn quoted(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(", saying {message:?}") }
}

impl Error {
    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Refused(status) => status.code.error_kind(&status.message, &status.path),
            Self::Lost(_) => ErrorKind::ConnectionLost,
            Self::UnexpectedReply { .. } => ErrorKind::RemoteFailure,
            Self::Connect(error) => error.error.kind,
        }
    }

    /// Whether the server says that the file or directory does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused(status) if status.is_not_found())
    }

    /// Whether the server says that it does not support the request.
    pub fn is_unsupported(&self) -> bool {
        matches!(self, Self::Refused(status) if status.is_unsupported())
    }
}

impl Status {
    /// Whether the server says that the file or directory does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self.code, StatusCode::NO_SUCH_FILE | StatusCode::NO_SUCH_PATH)
    }

    /// Whether the server says that it does not support the request.
    pub fn is_unsupported(&self) -> bool {
        self.code == StatusCode::OP_UNSUPPORTED
    }
}

impl ConnectError {
    pub(crate) fn with_remedy(error: terms::Error, remedy: Remedy) -> Error {
        Error::Connect(Self { error, remedy: Some(remedy) })
    }
}

impl std::fmt::Display for ConnectError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.error.message())?;
        match &self.remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConnectError {}

impl std::fmt::Display for Remedy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Preset(preset) => write!(f, "the preset {:?} would connect", preset.as_str()),
            Self::NoPreset => f.write_str("no preset would connect"),
            Self::Unknown => f.write_str("the server could not be asked whether another preset would connect"),
            Self::Sha1 => f.write_str("permit ssh-rsa, or use a key of another type"),
            Self::PerhapsSha1 => f.write_str(
                "the server does not say which signatures of RSA keys it accepts: if it is an old one that accepts \
                 ssh-rsa (SHA-1) only, permit ssh-rsa, or use a key of another type",
            ),
        }
    }
}

impl From<terms::Error> for Error {
    fn from(error: terms::Error) -> Self {
        Self::Connect(ConnectError { error, remedy: None })
    }
}

impl HasKind for Error {
    fn kind(&self) -> ErrorKind {
        self.kind()
    }
}

/// A status code. Version 3 of the protocol defines 0 to 8. Servers also send codes of later drafts, and their own.
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

    /// Many servers answer FAILURE whatever the reason, and give the reason in the message. It is read if the code does not
    /// say more.
    fn error_kind(self, words: &str, path: &str) -> ErrorKind {
        match self {
            Self::NO_SPACE_ON_FILESYSTEM | Self::QUOTA_EXCEEDED => ErrorKind::RemoteFull,
            Self::NO_SUCH_FILE
            | Self::NO_SUCH_PATH
            | Self::PERMISSION_DENIED
            | Self::FILE_ALREADY_EXISTS
            | Self::WRITE_PROTECT
            | Self::FILE_IS_A_DIRECTORY => ErrorKind::RemotePathRejected,
            Self::NO_CONNECTION | Self::CONNECTION_LOST => ErrorKind::ConnectionLost,
            _ if says_full(words, path) => ErrorKind::RemoteFull,
            _ => ErrorKind::RemoteFailure,
        }
    }
}

/// Whether a server's message says that the disk is full. Words in paths do not count: neither in the path of the request
/// nor in other ones.
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
        let kind = |code, message: &str| {
            let (operation, path) = ("write", "in/no space.quota/file too large.csv".to_owned());
            let message = message.to_owned();
            Error::from(Status { operation, path, code: StatusCode(code), message }).kind()
        };
        assert_eq!(kind(2, "quota: no such file"), ErrorKind::RemotePathRejected, "the code says it");
        assert_eq!(kind(3, "no space for you"), ErrorKind::RemotePathRejected);
        assert_eq!(kind(4, "in/no space.quota/file too large.csv: failure"), ErrorKind::RemoteFailure);
        assert_eq!(kind(4, "cannot write file too large.csv"), ErrorKind::RemoteFailure);
        assert_eq!(kind(4, "rename /a/b /in/quota-2026.csv: file exists"), ErrorKind::RemoteFailure);
        assert_eq!(kind(4, "write /in/x: No space left on device"), ErrorKind::RemoteFull);
        assert_eq!(kind(4, "Disk quota exceeded"), ErrorKind::RemoteFull);
        assert_eq!(kind(u32::MAX, "Disk full"), ErrorKind::RemoteFull);
        assert!(says_full("disk full", "/") && says_full("disk full", ""));
    }

    #[test]
    fn story_19_any_code_has_a_name_and_keeps_the_servers_message() {
        for (code, message, kind) in [
            (2, "", ErrorKind::RemotePathRejected),
            (3, "", ErrorKind::RemotePathRejected),
            (4, "Failure", ErrorKind::RemoteFailure),
            (4, "Disk quota exceeded", ErrorKind::RemoteFull),
            (9, "SSH_FX_INVALID_HANDLE", ErrorKind::RemoteFailure),
            (11, "exists", ErrorKind::RemotePathRejected),
            (14, "", ErrorKind::RemoteFull),
            (15, "", ErrorKind::RemoteFull),
            (18, "dir not empty", ErrorKind::RemoteFailure),
            (u32::MAX, "odd", ErrorKind::RemoteFailure),
        ] {
            let (operation, path) = ("write", "f".to_owned());
            let status = Status { operation, path, code: StatusCode(code), message: message.into() };
            let error = Error::from(status);
            assert_eq!(error.kind(), kind, "{code}");
            let words = error.to_string();
            assert!(words.contains(message) && words.contains(&code.to_string()), "{words}");
        }
    }
}

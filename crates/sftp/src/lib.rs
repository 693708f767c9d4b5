#![doc = include_str!("../README.md")]
#![warn(missing_debug_implementations)]

mod error;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;
mod options;
mod pool;
pub mod probe;
mod protocol;
mod session;
mod ssh;
mod transfer;
mod words;

pub use error::{ConnectError, Error, Remedy, Result, Status, StatusCode};
pub use options::{Endpoint, Options};
pub use pool::{Keep, Lease, Origin, SessionPool};
pub use protocol::attributes::{Attributes, DirectoryEntry, FileType, OpenFlags};
pub use protocol::channel::Sftp;
pub use protocol::directory::Directory;
pub use protocol::extensions::ServerLimits;
pub use protocol::handle::FileHandle;
pub use protocol::requests::Closed;
pub use secrecy::SecretString;
pub use session::Session;
pub use ssh::authentication::MethodOutcome;
pub use ssh::certificate::Certificate;
pub use ssh::login::Login;
pub use ssh::private_key::PrivateKey;
/// Types of the crate `pinned-sftp-terms` that the API takes and returns.
pub use terms::{
    Algorithms, Error as KindError, ErrorKind, HasKind, Method, Methods, Preset, TrustedHostKey,
    TrustedHostKeys,
};
pub use transfer::download::Download;
pub use transfer::finish::Unfinished;
pub use transfer::lanes::{Caps, Spread};
pub use transfer::upload::{Journal, Unobserved, Upload, UploadBuilder};
pub use transfer::window::AHEAD_MAX;

#![doc = include_str!("../README.md")]

mod addresses;
mod algorithms;
mod authentication;
mod client;
mod codec;
mod condition;
mod download;
mod error;
mod greeting;
mod host_key;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;
mod lanes;
mod link;
mod openssh;
mod pem;
mod pieces;
mod pool;
mod private_key;
pub mod probe;
mod questions;
mod session;
mod transport;
mod upload;
mod window;

pub use authentication::{Login, MethodOutcome};
/// What the API takes and returns of the crate `bridge`.
pub use bridge::{
    Algorithms, Error as NamedError, ErrorName, Method, Methods, Preset, TrustedHostKey, TrustedHostKeys,
};
pub use client::{Closed, FileHandle, ServerLimits, Sftp};
pub use codec::{Attributes, OpenFlags};
pub use download::Download;
pub use error::{ConnectError, Error, Remedy, Result, Status, StatusCode};
pub use lanes::{Caps, Spread};
pub use pool::{Lease, SessionPool};
pub use private_key::{Certificate, PrivateKey};
pub use secrecy::SecretString;
pub use session::{Endpoint, Options, Session};
pub use upload::{AHEAD_MAX, Journal, Unobserved, Upload, UploadBuilder};

//! The other direction: a file that a partner leaves on the SFTP server becomes an object in S3.

mod afterwards;
mod checkpoint;
mod file;
mod listing;
mod marker;
mod name;
mod numbered;
mod receipt;
mod wire;

pub use afterwards::Afterwards;
pub use checkpoint::{
    CollectCheckpoint, CollectPhase, CollectReport, Destination, MultipartUpload, StoredObject,
};
pub use file::{ATTEMPTS_MAX, RemoteFile, url};
pub use listing::{ListCursor, ListProgress, Unnameable, newest};
pub use marker::MarkerPattern;
pub use name::plain_name;
pub use numbered::OBJECT_KEY_MAX;
pub(crate) use numbered::numbered_key;
pub use receipt::{CollectOutcome, CollectReceipt};
pub use wire::{CollectInput, CollectProgress, CollectStep, ListRemoteInput, SettleRemoteInput};

//! The inputs and outputs of the functions of this direction, as the state machines pass them on.

use serde::{Deserialize, Serialize};

use super::checkpoint::CollectCheckpoint;
use super::file::RemoteFile;
use super::listing::{ListCursor, ListProgress};
use super::receipt::CollectReceipt;
use crate::{CredentialReference, Execution};

/// The state that calls `collect`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CollectStep {
    /// Reads the file and stores it.
    #[default]
    Collect,
    /// Looks at the object.
    VerifyObject,
}

/// Input of `collect`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CollectInput {
    /// The state that calls.
    #[serde(default)]
    pub step: CollectStep,
    /// The execution this call belongs to.
    #[serde(default)]
    pub execution: Execution,
    /// What to collect.
    pub file: RemoteFile,
    /// The pinned credential.
    pub credential: CredentialReference,
    /// Where to continue; absent in the first call.
    #[serde(default)]
    pub checkpoint: Option<CollectCheckpoint>,
}

/// Input of `settle-remote`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SettleRemoteInput {
    /// The execution this call belongs to.
    #[serde(default)]
    pub execution: Execution,
    /// The pinned credential.
    pub credential: CredentialReference,
    /// The collection, in phase `verified`.
    pub checkpoint: CollectCheckpoint,
}

/// Output of `collect` and `settle-remote`: merged into the state machine's document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CollectProgress {
    /// There is more to do; this is how far it has come.
    Checkpoint(Box<CollectCheckpoint>),
    /// The collection has ended.
    Receipt(Box<CollectReceipt>),
}

/// Input of `list-remote`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListRemoteInput {
    /// The execution this call belongs to.
    #[serde(default)]
    pub execution: Execution,
    /// The pinned credential.
    pub credential: CredentialReference,
    /// What the calls before this one returned; absent in the first call.
    #[serde(default)]
    pub listing: Option<ListProgress>,
}

impl ListRemoteInput {
    /// Where the call goes on.
    pub fn cursor(&self) -> Option<&ListCursor> {
        self.listing.as_ref()?.cursor.as_ref()
    }
}

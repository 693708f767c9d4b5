//! The document that travels from state to state.

use bridge::collect::{CollectCheckpoint, CollectProgress, CollectReceipt};
use bridge::{CredentialReference, ErrorName, Result};

/// What the states have learnt so far, as in the state machine's document.
#[derive(Clone, Debug, Default)]
pub struct CollectDocument {
    /// The pinned credential. `FetchKey` sets it.
    pub credential: Option<CredentialReference>,
    /// How far the collection has come. `None`: nothing is read.
    pub checkpoint: Option<CollectCheckpoint>,
    /// Present once the collection has ended.
    pub receipt: Option<CollectReceipt>,
}

impl CollectDocument {
    /// Takes over what a call of `Collect`, `VerifyObject` or `SettleRemote` returned.
    pub(crate) fn merge(&mut self, progress: CollectProgress) {
        match progress {
            CollectProgress::Checkpoint(checkpoint) => self.checkpoint = Some(*checkpoint),
            CollectProgress::Receipt(receipt) => self.receipt = Some(*receipt),
        }
    }

    pub(crate) fn credential(&self) -> Result<CredentialReference> {
        self.credential.clone().ok_or_else(|| ErrorName::Internal.error("no credential was fetched"))
    }

    pub(crate) fn checkpoint(&self) -> Result<CollectCheckpoint> {
        self.checkpoint.clone().ok_or_else(|| ErrorName::Internal.error("nothing was collected"))
    }
}

//! The document that travels from state to state.

use bridge::{Checkpoint, CredentialReference, ErrorName, Progress, Receipt, Result};

/// What the states have learnt so far, as in the state machine's document.
#[derive(Clone, Debug, Default)]
pub struct Document {
    /// The pinned credential. `FetchKey` sets it.
    pub credential: Option<CredentialReference>,
    /// How far the delivery has come. `None`: nothing is sent.
    pub checkpoint: Option<Checkpoint>,
    /// Present once the delivery has ended.
    pub receipt: Option<Receipt>,
    /// Number of times that the object was sent again because the partial file differed.
    pub resends: u32,
}

impl Document {
    /// Takes over what a call of `Transfer` or `VerifyRemote` returned.
    pub(crate) fn merge(&mut self, progress: Progress) {
        match progress {
            Progress::Checkpoint(checkpoint) => self.checkpoint = Some(*checkpoint),
            Progress::Receipt(receipt) => self.receipt = Some(*receipt),
        }
    }

    pub(crate) fn credential(&self) -> Result<CredentialReference> {
        self.credential.clone().ok_or_else(|| ErrorName::Internal.error("no credential was fetched"))
    }

    pub(crate) fn checkpoint(&self) -> Result<Checkpoint> {
        self.checkpoint.clone().ok_or_else(|| ErrorName::Internal.error("nothing was transferred"))
    }
}

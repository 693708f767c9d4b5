//! The states and the transitions between them.

use std::fmt;

use bridge::collect::CollectPhase;

use super::document::CollectDocument;

/// A state of the definition that does something, under its name there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CollectState {
    /// Reads the credential and pins its version.
    FetchKey,
    /// Waits, so that a file that is still being written shows it.
    Settle,
    /// Reads the file and stores it. Called until every byte is stored.
    Collect,
    /// Looks at the object in S3.
    VerifyObject,
    /// Archives, deletes or leaves the file on the server.
    SettleRemote,
    /// The collection has ended. The receipt says how.
    Collected,
}

impl CollectState {
    /// The state's name in the definition.
    pub fn name(self) -> &'static str {
        match self {
            Self::FetchKey => "FetchKey",
            Self::Settle => "Settle",
            Self::Collect => "Collect",
            Self::VerifyObject => "VerifyObject",
            Self::SettleRemote => "SettleRemote",
            Self::Collected => "Collected",
        }
    }

    /// The state that goes on from this checkpoint.
    pub fn of(phase: &CollectPhase) -> Self {
        match phase {
            CollectPhase::Reading { .. } => Self::Collect,
            CollectPhase::Stored(_) => Self::VerifyObject,
            CollectPhase::Verified(_) => Self::SettleRemote,
        }
    }

    /// The state that follows a call that succeeded. `document` includes what the call returned.
    pub(crate) fn after_success(self, document: &CollectDocument) -> Self {
        match self {
            Self::FetchKey => Self::Settle,
            Self::Settle => Self::Collect,
            Self::Collect if document.receipt.is_some() => Self::Collected,
            Self::Collect => match &document.checkpoint {
                Some(checkpoint) if checkpoint.is_reading() => Self::Collect,
                _ => Self::VerifyObject,
            },
            Self::VerifyObject => Self::SettleRemote,
            Self::SettleRemote | Self::Collected => Self::Collected,
        }
    }
}

impl fmt::Display for CollectState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

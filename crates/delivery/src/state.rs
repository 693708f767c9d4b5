//! The states and the transitions between them.

use std::fmt;

use bridge::ErrorName;

use crate::document::Document;

/// A state of the definition that does something, under its name there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Reads the credential and pins its version.
    FetchKey,
    /// Sends the object. Called until every byte is acknowledged.
    Transfer,
    /// Proves the file and publishes it. Called until there is a receipt.
    VerifyRemote,
    /// The delivery has ended. The receipt says how.
    Delivered,
}

/// Maximum number of times that a delivery is sent again because the partial file differed.
const RESENDS_MAX: u32 = 1;

impl State {
    /// The state's name in the definition.
    pub fn name(self) -> &'static str {
        match self {
            Self::FetchKey => "FetchKey",
            Self::Transfer => "Transfer",
            Self::VerifyRemote => "VerifyRemote",
            Self::Delivered => "Delivered",
        }
    }

    /// The state that follows a call that succeeded. `document` includes what the call returned.
    pub(crate) fn after_success(self, document: &Document) -> Self {
        match self {
            Self::FetchKey => Self::Transfer,
            Self::Transfer | Self::VerifyRemote => after_call(document),
            Self::Delivered => Self::Delivered,
        }
    }

    /// The state that cures this error. `None`: the error ends the delivery.
    pub(crate) fn after_error(self, name: ErrorName, document: &Document) -> Option<Self> {
        let is_sent_again =
            self == Self::VerifyRemote && name == ErrorName::RemoteMismatch && document.resends < RESENDS_MAX;
        is_sent_again.then_some(Self::Transfer)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The choices `IsTransferComplete` and `IsVerified`: a newer upload that came during publishing is sent as well.
fn after_call(document: &Document) -> State {
    if document.receipt.is_some() {
        return State::Delivered;
    }
    match &document.checkpoint {
        Some(checkpoint) if checkpoint.is_sending() => State::Transfer,
        _ => State::VerifyRemote,
    }
}

//! The states and the transitions between them.

use std::fmt;

use bridge::{ErrorName, Status};

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
            Self::Transfer => after_transfer(document),
            Self::VerifyRemote => after_verify_remote(document),
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

/// The choice `IsTransferComplete`.
fn after_transfer(document: &Document) -> State {
    match status(document) {
        Some(Status::Complete) => State::VerifyRemote,
        Some(Status::Skipped | Status::Superseded) => State::Delivered,
        Some(Status::InProgress) | None => State::Transfer,
    }
}

/// The choice `IsVerified`.
fn after_verify_remote(document: &Document) -> State {
    if document.receipt.is_some() {
        return State::Delivered;
    }
    match status(document) {
        // A newer upload came during publishing. It is sent as well.
        Some(Status::InProgress) => State::Transfer,
        _ => State::VerifyRemote,
    }
}

fn status(document: &Document) -> Option<Status> {
    document.checkpoint.as_ref().map(|checkpoint| checkpoint.status)
}

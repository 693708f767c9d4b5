//! The inputs and outputs of the functions, as the state machine passes them on.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::credential::CredentialReference;
use super::delivery::Checkpoint;
use super::execution::{Execution, null_is_default};
use super::receipt::Receipt;

/// Input of `fetch-key`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FetchKeyInput {
    /// The raw event. In the other direction, what [`Started`](crate::Started) reads.
    pub event: Value,
}

/// Output of `fetch-key`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchKeyOutput {
    /// The pinned reference.
    pub credential: CredentialReference,
}

/// Input of `transfer`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransferInput {
    /// The execution this call belongs to.
    #[serde(default)]
    pub execution: Execution,
    /// The raw event.
    pub event: Value,
    /// The pinned credential.
    pub credential: CredentialReference,
    /// Where to continue; absent in the first call.
    #[serde(default)]
    pub checkpoint: Option<Checkpoint>,
    /// How often the file was sent again because it differed on arrival.
    #[serde(default, deserialize_with = "null_is_default")]
    pub resends: u32,
}

/// Input of `verify-remote`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerifyRemoteInput {
    /// The execution this call belongs to.
    #[serde(default)]
    pub execution: Execution,
    /// The pinned credential.
    pub credential: CredentialReference,
    /// How far the delivery has come: every byte is sent, at least.
    pub checkpoint: Checkpoint,
}

/// Output of `transfer` and `verify-remote`: merged into the state machine's document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// There is more to do; this is how far it has come.
    Checkpoint(Box<Checkpoint>),
    /// The delivery has ended.
    Receipt(Box<Receipt>),
}

impl Progress {
    /// How far it has come, if there is more to do.
    pub fn checkpoint(self) -> Option<Checkpoint> {
        match self {
            Self::Checkpoint(checkpoint) => Some(*checkpoint),
            Self::Receipt(_) => None,
        }
    }

    /// How the delivery ended, if it has.
    pub fn receipt(self) -> Option<Receipt> {
        match self {
            Self::Receipt(receipt) => Some(*receipt),
            Self::Checkpoint(_) => None,
        }
    }
}

/// What a Catch of the state machine saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The state that failed.
    #[serde(default, deserialize_with = "null_is_default")]
    pub state: String,
    /// The error's name: ours, Lambda's or Step Functions' own.
    #[serde(default, deserialize_with = "null_is_default")]
    pub error: String,
    /// The cause as Step Functions gives it: for a Lambda error, JSON with `errorType` and `errorMessage`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub cause: String,
    /// The execution's redrive count when it was caught.
    #[serde(default, deserialize_with = "null_is_default")]
    pub redrive_count: u32,
}

/// Input of `record-failure`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordFailureInput {
    /// The execution this call belongs to.
    #[serde(default)]
    pub execution: Execution,
    /// The raw event, whatever it is.
    #[serde(default)]
    pub event: Value,
    /// The state machine's document at the failure.
    #[serde(default)]
    pub document: Value,
    /// What failed.
    pub failure: Failure,
    /// Whether to raise the error instead of recording it.
    pub raise: bool,
}

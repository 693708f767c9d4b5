//! What the functions say to each other. Payloads outlive a deployment: add optional fields, never rename.

mod credential;
mod delivery;
mod digests;
mod execution;
mod object;
mod publication;
mod receipt;
mod status_change;
mod wire;

pub use credential::{CredentialReference, CredentialVersion, SecretLocation};
pub use delivery::{
    Candidate, Checkpoint, Phase, Proving, Publishing, Reached, ReadBack, Reading, Report, Reread, Sent,
};
pub use digests::{Comparison, Digests};
pub use execution::Execution;
pub use object::{ObjectSummary, PinnedObject};
pub use publication::{Outcome, Proof, Publication};
pub use receipt::{Parties, Receipt, SCHEMA_VERSION};
pub use status_change::{EXECUTION_ABORTED, EXECUTION_TIMED_OUT, RecordFailureCall, StatusChange};
pub use wire::{
    Failure, FetchKeyInput, FetchKeyOutput, Progress, RecordFailureInput, TransferInput, VerifyRemoteInput,
};

//! The domain of S3 SFTP Bridge, pure: events, payloads, error names, settings, remote paths. No I/O, no AWS
//! client, no SSH session; everything here can be tested with values alone.

mod algorithms;
mod calendar;
mod checksum;
mod deadline;
mod decode;
mod error;
mod event;
mod glob;
mod host_key;
mod paths;
mod payload;
mod printable;
mod progress;
mod settings;

pub use algorithms::{Algorithms, Preset};
pub use calendar::unix_seconds;
pub use checksum::{Checksum, ChecksumAlgorithm, ObjectHash, RunningChecksum, RunningMd5, RunningSha256};
pub use deadline::Deadline;
pub use decode::decode;
pub use error::{Error, ErrorName, Place, Result};
pub use event::ObjectCreated;
pub use glob::Glob;
pub use host_key::{TrustedHostKey, TrustedHostKeys};
pub use paths::{NUMBER_MAX, PartialName, RemotePathTemplate, Route};
pub use payload::{
    Candidate, Checkpoint, Comparison, CredentialReference, CredentialVersion, Digests, Execution, Failure,
    FetchKeyInput, FetchKeyOutput, Hashes, ObjectSummary, Outcome, Parties, Phase, PinnedObject, Progress,
    Proof, Proving, Publication, Publishing, Reached, ReadBack, Reading, Receipt, RecordFailureInput, Report,
    Reread, SecretLocation, Sent, TransferInput, VerifyRemoteInput,
};
pub use printable::{is_unprintable, printable};
pub use progress::OnProgress;
pub use settings::{
    AfterDelivery, AttributeSettings, CredentialLocation, DeliveryPolicy, Demand, IfExists, LogLevel,
    LoginSettings, Marker, Method, Methods, Mode, ProofPolicy, Publish, RecordSettings, SETTINGS, Setting,
    Settings, Variables, other_partial_names,
};

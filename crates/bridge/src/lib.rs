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
mod payload;
mod printable;
mod progress;
mod remote_path;
mod settings;

pub use algorithms::{Algorithms, Preset};
pub use calendar::unix_seconds;
pub use checksum::{
    Checksum, ChecksumAlgorithm, Digests, Hashes, ObjectHash, RunningChecksum, RunningMd5, RunningSha256,
    compare_with_stored,
};
pub use deadline::Deadline;
pub use decode::decode;
pub use error::{Error, ErrorName, Place, Result};
pub use event::ObjectCreated;
pub use glob::Glob;
pub use host_key::{TrustedHostKey, TrustedHostKeys};
pub use payload::{
    Checkpoint, CredentialReference, CredentialVersion, Execution, Failure, FetchKeyInput, FetchKeyOutput,
    Outcome, PinnedObject, Progress, Proof, Publication, ReadBack, ReadForHash, Receipt, RecordFailureInput,
    SecretLocation, Status, TransferInput, VerifyRemoteInput,
};
pub use printable::{is_unprintable, printable};
pub use progress::OnProgress;
pub use remote_path::{NUMBER_MAX, PartialName, RemotePathTemplate, RemotePaths};
pub use settings::{
    AfterDelivery, AttributeSettings, CredentialLocation, DeliveryPolicy, Demand, IfExists, LogLevel,
    LoginSettings, Marker, Method, Methods, Mode, ProofPolicy, Publish, RecordSettings, SETTINGS, Setting,
    Settings, Variables, other_partial_names,
};

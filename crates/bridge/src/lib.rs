//! The domain of S3 SFTP Bridge: events, payloads, error names, settings, remote paths. There is no I/O here, no AWS
//! client and no SSH session, so everything can be tested with values alone.

mod calendar;
mod checksum;
mod deadline;
mod decode;
mod digests;
mod error;
mod event;
mod glob;
mod payload;
mod printable;
mod progress;
mod remote_path;
mod settings;
mod ssh;
mod sync;

pub use calendar::unix_seconds;
pub use checksum::{
    Checksum, ChecksumAlgorithm, Hashes, ObjectHash, RunningChecksum, RunningMd5, RunningSha256,
};
pub use deadline::Deadline;
pub use decode::decode;
pub use digests::{Digests, Mismatch, compare_with_stored};
pub use error::{Error, ErrorName, Place, Result};
pub use event::ObjectCreated;
pub use glob::Glob;
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
    LoginSettings, Marker, Mode, Need, ProofPolicy, Publish, RecordSettings, SETTINGS, Setting, Settings,
    Stack, Values, Variables, other_partial_names,
};
pub use ssh::algorithms::{Algorithms, Preset};
pub use ssh::methods::{Method, Methods};
pub use ssh::trusted_host_keys::{TrustedHostKey, TrustedHostKeys};
pub use sync::lock;

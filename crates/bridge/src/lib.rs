//! The domain of S3 SFTP Bridge: events, payloads, error names, settings, remote paths. There is no I/O here, no AWS
//! client and no SSH session, so everything can be tested with values alone.

mod advice;
mod calendar;
mod checksum;
pub mod collect;
mod deadline;
mod decode;
mod error;
mod event;
mod paths;
mod payload;
mod progress;
mod records;
mod settings;
mod started;
mod version;

pub use advice::{runbook_section, what_to_do};
pub use calendar::unix_seconds;
pub use checksum::{
    Checksum, ChecksumAlgorithm, Hashes, ObjectHash, RunningChecksum, RunningMd5, RunningSha256,
};
pub use deadline::Deadline;
pub use decode::decode;
pub use error::{Error, ErrorName, Place, Result};
pub use event::ObjectCreated;
pub use paths::{NUMBER_MAX, ObjectKeyTemplate, PartialName, RemotePathTemplate, Route};
pub use payload::{
    Candidate, Checkpoint, Comparison, CredentialReference, CredentialVersion, Digests, EXECUTION_ABORTED,
    EXECUTION_TIMED_OUT, Execution, Failure, FetchKeyInput, FetchKeyOutput, ObjectSummary, Outcome, Parties,
    Phase, PinnedObject, Progress, Proof, Proving, Publication, Publishing, Reached, ReadBack, Reading,
    Receipt, RecordFailureCall, RecordFailureInput, Report, Reread, SCHEMA_VERSION, SecretLocation, Sent,
    StatusChange, TransferInput, VerifyRemoteInput,
};
pub use progress::OnProgress;
pub use records::{
    CollectReceiptKey, DayCollectReceiptKey, DayReceiptKey, FailureKey, FailureState, MakesGood, ReceiptKey,
    VersionMark, object_part,
};
pub use settings::{
    AfterDelivery, AttributeSettings, CollectIfExists, CollectSettings, CredentialLocation, DeliveryPolicy,
    Demand, IfExists, LogLevel, LoginSettings, Marker, Mode, Need, ProofPolicy, Publish, RecordSettings,
    SETTINGS, Setting, Settings, Stack, Values, Variables, is_secret, may_be_secret, other_partial_names,
};
pub use started::Started;
pub use version::VERSION;

/// What the SFTP client says in the same words.
pub use terms::{
    Algorithms, Glob, Method, Methods, Preset, TrustedHostKey, TrustedHostKeys, is_unprintable, lock,
    printable,
};

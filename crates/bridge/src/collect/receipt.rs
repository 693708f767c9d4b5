//! The receipt of a collection: how it ended. It is the execution's output.

use serde::{Deserialize, Serialize};

use super::checkpoint::CollectReport;
use super::file::RemoteFile;
use crate::{Checksum, ObjectSummary, Parties, SCHEMA_VERSION, VERSION};

/// How a collection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CollectOutcome {
    /// The object is in S3, with the bytes of the file.
    Collected,
    /// An earlier execution had stored it.
    AlreadyCollected,
    /// The file changed before it was read to its end, or something else took its place. The next look starts an execution
    /// for a new file.
    Changed,
    /// The file was gone before it was read to its end.
    Gone,
    /// The object that has its key is made of a newer file.
    Skipped,
}

impl CollectOutcome {
    /// Every outcome.
    pub const ALL: [Self; 5] =
        [Self::Collected, Self::AlreadyCollected, Self::Changed, Self::Gone, Self::Skipped];

    /// Whether S3 has the file.
    pub fn is_stored(self) -> bool {
        matches!(self, Self::Collected | Self::AlreadyCollected)
    }

    /// The word in receipts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Collected => "collected",
            Self::AlreadyCollected => "already_collected",
            Self::Changed => "changed",
            Self::Gone => "gone",
            Self::Skipped => "skipped",
        }
    }

    /// The outcome of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == word)
    }
}

/// The execution's output: what was stored where, and how that is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectReceipt {
    /// Version of the JSON: `docs/records.md`.
    pub schema_version: String,
    /// The release of the bridge that ended the collection.
    pub bridge_version: String,
    /// How it ended.
    pub outcome: CollectOutcome,
    /// Why, if the outcome alone does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What was to be collected.
    pub file: RemoteFile,
    /// What it became. Absent if nothing was stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectSummary>,
    /// Of the bytes read, and of the object as S3 confirms it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<Checksum>,
    /// What became of the file: `archived as` its new path, `deleted`, `left`, or `gone` if the partner took it away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub afterwards: Option<String>,
    /// The fingerprint of the server's host key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key_fingerprint: Option<String>,
    /// Who logged in.
    pub user_name: String,
    /// Bytes read in all, including those read more than once.
    pub bytes_read: u64,
    /// How often reading went on in another session: after a lost one, or in the next invocation.
    pub resumes: u32,
    /// The execution's ARN.
    pub execution_id: String,
    /// When reading began, RFC 3339.
    pub started_at: String,
    /// When it ended, RFC 3339.
    pub finished_at: String,
    /// What a person should know although the collection succeeded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl CollectReceipt {
    /// A receipt without an object. The step that stored one adds it.
    pub fn new(
        outcome: CollectOutcome,
        file: RemoteFile,
        report: &CollectReport,
        parties: Parties<'_>,
        finished_at: String,
    ) -> Self {
        let Parties { credential, execution, .. } = parties;
        let accepted = report.credential_version_id.as_deref();
        let used = credential.previous_with(accepted).unwrap_or(credential);
        Self {
            schema_version: SCHEMA_VERSION.to_owned(),
            bridge_version: VERSION.to_owned(),
            outcome,
            reason: None,
            file,
            object: None,
            checksum: None,
            afterwards: None,
            host_key_fingerprint: report.host_key_fingerprint.clone(),
            user_name: used.user_name.clone(),
            bytes_read: report.bytes_read,
            resumes: report.resumes,
            execution_id: execution.id.clone(),
            started_at: report.started_at.clone(),
            finished_at,
            warnings: report.warnings.iter().cloned().chain(credential.warning(accepted)).collect(),
        }
    }
}

//! The receipt: how a delivery ended. It is the execution's output.

use serde::{Deserialize, Serialize};

use crate::{
    Checksum, CredentialReference, CredentialVersion, Execution, ObjectSummary, Outcome, Proof, Report,
    VERSION,
};

/// Version of the JSON of receipts and failure records.
pub const SCHEMA_VERSION: &str = "1";

/// The execution's output: what was delivered where, and how that is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Version of the JSON: `docs/records.md`.
    #[serde(default = "schema_version")]
    pub schema_version: String,
    /// The release of the bridge that ended the delivery; absent in receipts of releases that did not write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge_version: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, if the outcome alone does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What was to be delivered.
    pub object: ObjectSummary,
    /// The partner's server.
    pub remote_host: String,
    /// The final name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_path: Option<String>,
    /// The file beside it that says that it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marker: Option<String>,
    /// How the contents were proved; absent if nothing was delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
    /// Of the bytes sent, in the algorithm that S3 used for the whole object, else CRC-64/NVME.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<Checksum>,
    /// Whether the bytes read agree with the checksum that S3 stored; absent if S3 has none of the whole object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_checksum_matched: Option<bool>,
    /// Whether the server wrote the file to its disk before it was published (`fsync@openssh.com`).
    #[serde(default)]
    pub synced: bool,
    /// The fingerprint of the host key that the server presented.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key_fingerprint: Option<String>,
    /// Who logged in.
    pub user_name: String,
    /// The fingerprint of the key that was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key_fingerprint: Option<String>,
    /// Which version of the secret it was, where it was not the current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_version: Option<CredentialVersion>,
    /// Bytes sent in all, re-sent ones included.
    #[serde(default)]
    pub bytes_sent: u64,
    /// How often the transfer went on in another session: after a lost one, or in the next invocation.
    #[serde(default)]
    pub resumes: u32,
    /// The execution's ARN.
    pub execution_id: String,
    /// When the transfer began, RFC 3339.
    pub started_at: String,
    /// When it ended, RFC 3339.
    pub finished_at: String,
    /// What became of the object: `tagged`, `deleted`, or `moved to` its new key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_delivery: Option<String>,
    /// What a person should know although the delivery succeeded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

fn schema_version() -> String {
    SCHEMA_VERSION.to_owned()
}

/// Who delivers to whom: the same in every receipt of an execution.
#[derive(Clone, Copy, Debug)]
pub struct Parties<'a> {
    /// The partner's server.
    pub remote_host: &'a str,
    /// Who logs in.
    pub credential: &'a CredentialReference,
    /// The execution that delivers.
    pub execution: &'a Execution,
}

impl Receipt {
    /// A receipt without a file. The step that published one adds what was published.
    pub fn new(
        outcome: Outcome,
        object: ObjectSummary,
        report: &Report,
        parties: Parties<'_>,
        finished_at: String,
    ) -> Self {
        let Parties { remote_host, credential, execution } = parties;
        let accepted = report.credential_version_id.as_deref();
        let previous = credential.previous_with(accepted);
        let used = previous.unwrap_or(credential);
        Self {
            schema_version: schema_version(),
            bridge_version: Some(VERSION.to_owned()),
            outcome,
            reason: report.repairs.clone(),
            object,
            remote_host: remote_host.to_owned(),
            remote_path: None,
            marker: None,
            proof: None,
            checksum: None,
            source_checksum_matched: None,
            synced: false,
            host_key_fingerprint: None,
            user_name: used.user_name.clone(),
            public_key_fingerprint: used.public_key_fingerprint.clone(),
            credential_version: previous.map(|_| CredentialVersion::Previous),
            bytes_sent: report.bytes_sent,
            resumes: report.resumes,
            execution_id: execution.id.clone(),
            started_at: report.started_at.clone(),
            finished_at,
            after_delivery: None,
            warnings: report.warnings.iter().cloned().chain(credential.warning(accepted)).collect(),
        }
    }
}

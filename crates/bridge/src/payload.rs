//! What the functions say to each other. Payloads outlive a deployment: add optional fields, never rename.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::{
    Checksum, ChecksumAlgorithm, ObjectHash, RemotePaths, RunningChecksum, RunningMd5, RunningSha256,
};

/// The execution a call belongs to, from the state machine's context object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Execution {
    /// The execution's ARN.
    #[serde(default, deserialize_with = "null_is_default")]
    pub id: String,
    /// The execution's name.
    #[serde(default, deserialize_with = "null_is_default")]
    pub name: String,
    /// When it started, RFC 3339.
    #[serde(default, deserialize_with = "null_is_default")]
    pub start_time: String,
    /// The state machine's ARN.
    #[serde(default, deserialize_with = "null_is_default")]
    pub state_machine_id: String,
    /// How often it was redriven. Absent on some engines: 0.
    #[serde(default, deserialize_with = "null_is_default")]
    pub redrive_count: u32,
    /// How often the current state was retried.
    #[serde(default, deserialize_with = "null_is_default")]
    pub retry_count: u32,
}

/// Step Functions leaves an unknown context field out; local engines say `null`.
fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(d: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(d)?.unwrap_or_default())
}

/// Where a secret lies, pinned to one version of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "source", rename_all = "snake_case")]
pub enum SecretLocation {
    /// AWS Secrets Manager.
    SecretsManager {
        /// The secret's ARN.
        arn: String,
        /// The pinned version.
        version_id: String,
    },
    /// An object in S3, the predecessor's way.
    S3 {
        /// The bucket.
        bucket: String,
        /// The key of the object that holds the private key.
        object_key: String,
        /// The pinned version, on versioned buckets.
        version_id: Option<String>,
        /// The pinned content.
        etag: String,
    },
}

/// A reference to the credential: enough to read it again and to name it, never the credential itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialReference {
    /// Where it lies.
    #[serde(flatten)]
    pub location: SecretLocation,
    /// The user to log in as.
    pub user_name: String,
    /// The private key's algorithm (`ssh-ed25519`); absent if the credential is a password alone.
    pub algorithm: Option<String>,
    /// The public key's fingerprint (`SHA256:…`); absent if the credential is a password alone.
    pub public_key_fingerprint: Option<String>,
    /// The version before this one, where there is one that logs in with something else: for a partner who has not
    /// followed a rotation yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Box<CredentialReference>>,
}

impl CredentialReference {
    /// The id of the secret's version, where it has one.
    pub fn version_id(&self) -> Option<&str> {
        match &self.location {
            SecretLocation::SecretsManager { version_id, .. } => Some(version_id),
            SecretLocation::S3 { version_id, .. } => version_id.as_deref(),
        }
    }

    /// The previous version, if it has this id.
    fn previous_with(&self, version_id: Option<&str>) -> Option<&Self> {
        let previous = self.previous.as_deref()?;
        (version_id.is_some() && previous.version_id() == version_id).then_some(previous)
    }

    /// What to keep of the version that the server took: its id, if it is the previous one.
    pub fn accepted(&self, version_id: Option<&str>) -> Option<String> {
        self.previous_with(version_id)?.version_id().map(str::to_owned)
    }

    /// What a person should know where the server took the version with this id.
    pub fn warning(&self, accepted: Option<&str>) -> Option<String> {
        let previous = self.previous_with(accepted)?;
        let named = |it: &Self| {
            let key = it.public_key_fingerprint.as_deref().unwrap_or("a password");
            format!("user {:?}, {key}", it.user_name)
        };
        Some(format!(
            "the server refused the current version of the secret ({}) and took the previous one ({}): ask the partner \
             to install the new one",
            named(self),
            named(previous)
        ))
    }
}

/// Which version of the secret a server took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialVersion {
    /// The current one was refused.
    Previous,
}

/// Input of `fetch-key`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FetchKeyInput {
    /// The execution this call belongs to.
    #[serde(default)]
    pub execution: Execution,
    /// The raw event.
    pub event: Value,
}

/// Output of `fetch-key`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchKeyOutput {
    /// The pinned reference.
    pub credential: CredentialReference,
}

/// The object version that is delivered, pinned: every read asks for exactly this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinnedObject {
    /// The bucket.
    pub bucket: String,
    /// The object's key.
    pub object_key: String,
    /// The entity tag, without quotes; sent as `If-Match`.
    pub etag: String,
    /// The version, on versioned buckets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// Bytes.
    pub size: u64,
    /// When it was stored, seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<i64>,
    /// S3's checksum of the whole object, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<Checksum>,
    /// A hash of the whole object, where S3 has that and no checksum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<ObjectHash>,
}

/// How far a delivery has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Call `transfer` again.
    InProgress,
    /// Every byte was acknowledged.
    Complete,
    /// There is nothing to deliver; the receipt says why.
    Skipped,
    /// A newer upload of the same key takes its place.
    Superseded,
}

/// What is known to be done. It names only what the server has acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// How far it has come.
    pub status: Status,
    /// What is delivered.
    pub object: PinnedObject,
    /// Where to.
    pub remote: RemotePaths,
    /// Bytes from the start that the server has acknowledged without a gap.
    pub offset: u64,
    /// Of those bytes; in the algorithm that S3 used for the whole object, else CRC-64/NVME.
    pub checksum: Checksum,
    /// Running SHA-256 of those bytes, where the server can hash the file and the hash is wanted, a marker is to hold it,
    /// or S3 has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<RunningSha256>,
    /// Running MD5 of those bytes, where a marker is to hold it, or it is all that S3 has to compare with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub md5: Option<RunningMd5>,
    /// Bytes sent in all, re-sent ones included.
    #[serde(default)]
    pub bytes_sent: u64,
    /// How often the transfer went on in another session: after a lost one, or in the next invocation.
    #[serde(default)]
    pub resumes: u32,
    /// How often all was sent again from the first byte, because the partial file could not be continued.
    #[serde(default)]
    pub restarts: u32,
    /// Where the server refused to take more in the middle of a session: what it says there later has nothing to do with
    /// continuing a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_at: Option<u64>,
    /// What the partial file holds is not believed: the server refused to close it, or to continue it.
    #[serde(default)]
    pub distrusted: bool,
    /// The server has written the file to its disk (`fsync@openssh.com`).
    #[serde(default)]
    pub synced: bool,
    /// The final name already holds a file of this size, stored after the object: prove it instead of sending.
    #[serde(default)]
    pub already_there: bool,
    /// Of the files that are kept under this name, the one in question: see [`RemotePaths::numbered`].
    #[serde(default)]
    pub number: u32,
    /// How far it has been read to compare it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparing: Option<ReadBack>,
    /// A rename to the final name was asked for, and the answer was lost.
    #[serde(default)]
    pub publishing: bool,
    /// Attempts to publish that the server refused, or that found another file in the way.
    #[serde(default)]
    pub publish_refusals: u32,
    /// Where the file that has the final name is moved while ours takes its place. Present from just before it is moved
    /// until it is removed, or put back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aside: Option<String>,
    /// The same of the marker of that file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marker_aside: Option<String>,
    /// The server told the size 0 of a file whose contents were proved: its sizes are not believed.
    #[serde(default)]
    pub sizes_unreliable: bool,
    /// How the partial file was proved before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proved: Option<Proof>,
    /// The partial file was gone before a rename was asked for: what lies under the final name is ours if it has the same
    /// contents, and not because of its name and size.
    #[serde(default)]
    pub vanished: bool,
    /// The server did not finish hashing the file.
    #[serde(default)]
    pub hash_given_up: bool,
    /// How far reading back has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_back: Option<ReadBack>,
    /// How far the object was read once more for a hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_for_hash: Option<ReadForHash>,
    /// Present once the file is published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publication: Option<Publication>,
    /// What the receipt is to warn of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Why the object is not the one that the event announced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The version of the secret that the server took after it had refused the current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_version_id: Option<String>,
    /// When the transfer began, RFC 3339.
    pub started_at: String,
}

impl Checkpoint {
    /// Nothing sent yet.
    pub fn start(object: PinnedObject, remote: RemotePaths, started_at: String) -> Self {
        let algorithm =
            object.checksum.as_ref().map_or(ChecksumAlgorithm::Crc64Nvme, |stored| stored.algorithm);
        Self {
            status: Status::InProgress,
            object,
            remote,
            offset: 0,
            checksum: RunningChecksum::new(algorithm).checksum(),
            sha256: None,
            md5: None,
            bytes_sent: 0,
            resumes: 0,
            restarts: 0,
            refused_at: None,
            distrusted: false,
            synced: false,
            already_there: false,
            number: 0,
            comparing: None,
            publishing: false,
            publish_refusals: 0,
            aside: None,
            marker_aside: None,
            sizes_unreliable: false,
            proved: None,
            vanished: false,
            hash_given_up: false,
            read_back: None,
            read_for_hash: None,
            publication: None,
            warnings: Vec::new(),
            reason: None,
            credential_version_id: None,
            started_at,
        }
    }

    /// The final name.
    pub fn final_path(&self) -> String {
        self.remote.numbered(self.number)
    }
}

/// How far reading back has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadBack {
    /// Bytes read from the start.
    pub offset: u64,
    /// Of those bytes; in the algorithm that S3 used for the whole object, else CRC-64/NVME.
    pub checksum: Checksum,
}

/// How far the object was read once more, for a hash that was not computed on the way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadForHash {
    /// Bytes read from the start.
    pub offset: u64,
    /// Of those bytes.
    pub sha256: RunningSha256,
    /// Of those bytes.
    pub md5: RunningMd5,
}

/// What was published. What is still to be done then is never a reason to look at the file again, which the partner
/// may have taken, or at the object, which may be gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// How the delivery ends.
    pub outcome: Outcome,
    /// The final name.
    pub path: String,
    /// How the contents were proved.
    pub proof: Proof,
    /// The fingerprint of the host key that the server presented.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key_fingerprint: Option<String>,
    /// The marker's name, once it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marker: Option<String>,
    /// The rename was answered with OK, but the file was not seen under its final name: the object stays in S3.
    #[serde(default)]
    pub unconfirmed: bool,
    /// S3 was asked after publishing, and knew of no newer upload.
    #[serde(default)]
    pub is_newest: bool,
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
    /// Where to go on.
    #[serde(default)]
    pub checkpoint: Option<Checkpoint>,
    /// How often the file is sent again because it differed on arrival.
    #[serde(default, deserialize_with = "null_is_default")]
    pub resends: u32,
}

/// Input of `verify-remote`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerifyRemoteInput {
    /// The execution this call belongs to.
    #[serde(default)]
    pub execution: Execution,
    /// The raw event.
    pub event: Value,
    /// The pinned credential.
    pub credential: CredentialReference,
    /// What was transferred.
    pub checkpoint: Checkpoint,
}

/// Output of `transfer` and `verify-remote`: merged into the state machine's document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Where to go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Checkpoint>,
    /// Present once the delivery has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Receipt>,
}

/// How a delivery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The file was sent, proved and published by this execution.
    Delivered,
    /// The final name already held exactly this file: a duplicate event or a rerun.
    AlreadyDelivered,
    /// There was nothing to deliver.
    Skipped,
    /// A newer upload of the same key takes its place.
    Superseded,
}

/// How the contents were proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proof {
    /// The server hashed the file, and the hash is that of the bytes read from S3.
    ServerHash,
    /// The file was read back, and its checksum is that of the bytes read from S3.
    ReadBack,
    /// The file has the right size; the server let nothing more be seen.
    Size,
    /// The server let nothing be seen, or no proof was asked for.
    Unverified,
}

/// The execution's output: what was delivered where, and how that is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// How it ended.
    pub outcome: Outcome,
    /// Why, where that is not plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What was to be delivered.
    pub object: PinnedObject,
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

impl Receipt {
    /// A receipt of what the checkpoint says; what was proved is filled in by whoever proved it.
    pub fn new(
        outcome: Outcome,
        checkpoint: &Checkpoint,
        remote_host: &str,
        credential: &CredentialReference,
        execution: &Execution,
        finished_at: String,
    ) -> Self {
        let accepted = checkpoint.credential_version_id.as_deref();
        let previous = credential.previous_with(accepted);
        let used = previous.unwrap_or(credential);
        Self {
            outcome,
            reason: checkpoint.reason.clone(),
            object: checkpoint.object.clone(),
            remote_host: remote_host.to_owned(),
            remote_path: None,
            marker: None,
            proof: None,
            checksum: None,
            source_checksum_matched: None,
            synced: checkpoint.synced,
            host_key_fingerprint: None,
            user_name: used.user_name.clone(),
            public_key_fingerprint: used.public_key_fingerprint.clone(),
            credential_version: previous.map(|_| CredentialVersion::Previous),
            bytes_sent: checkpoint.bytes_sent,
            resumes: checkpoint.resumes,
            execution_id: execution.id.clone(),
            started_at: checkpoint.started_at.clone(),
            finished_at,
            after_delivery: None,
            warnings: checkpoint.warnings.iter().cloned().chain(credential.warning(accepted)).collect(),
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::decode;

    #[test]
    fn a_missing_or_null_redrive_count_is_zero() {
        for execution in [json!({}), json!({"redrive_count": null, "name": "n"})] {
            assert_eq!(decode::<Execution>(execution).unwrap().redrive_count, 0);
        }
    }

    #[test]
    fn the_credential_reference_is_flat() {
        let reference = CredentialReference {
            location: SecretLocation::SecretsManager { arn: "arn".into(), version_id: "v".into() },
            user_name: "u".into(),
            algorithm: None,
            public_key_fingerprint: None,
            previous: None,
        };
        let value = serde_json::to_value(&reference).unwrap();
        assert_eq!(value["source"], "secrets_manager");
        assert_eq!(value.get("previous"), None);
        assert_eq!(decode::<CredentialReference>(value).unwrap(), reference);
        let previous = Some(Box::new(reference.clone()));
        let reference = CredentialReference { previous, ..reference };
        let value = serde_json::to_value(&reference).unwrap();
        assert_eq!(decode::<CredentialReference>(value).unwrap(), reference);
    }
}

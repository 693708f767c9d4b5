//! What was published, and how that is known.

use serde::{Deserialize, Serialize};

/// How a delivery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The file was sent, proved and published by this execution.
    Delivered,
    /// The final name already held exactly this file: a duplicate event, or a new execution for the same upload.
    AlreadyDelivered,
    /// There was nothing to deliver.
    Skipped,
    /// A newer upload of the same key takes its place.
    Superseded,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 4] = [Self::Delivered, Self::AlreadyDelivered, Self::Skipped, Self::Superseded];

    /// As it is written in receipts and in their keys.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::AlreadyDelivered => "already_delivered",
            Self::Skipped => "skipped",
            Self::Superseded => "superseded",
        }
    }

    /// Reads what [`as_str`](Self::as_str) writes.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == text)
    }
}

/// How the contents were proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proof {
    /// The server hashed the file, and the hash equals that of the bytes read from S3.
    ServerHash,
    /// The file was read back, and its checksum equals that of the bytes read from S3.
    ReadBack,
    /// The file has the right size. The server did not allow more, or the settings did not ask for more.
    Size,
    /// Nothing was proved: the server shows nothing, or the settings ask for no proof.
    Unverified,
}

/// What was published. Later calls rely on it alone: by then the partner may have taken the file, and the object may be
/// deleted.
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
    /// The server reported success, but the file was not seen under its final name. The object stays in S3.
    #[serde(default)]
    pub unconfirmed: bool,
    /// S3 was asked after publishing, and knew of no newer upload.
    #[serde(default)]
    pub is_newest: bool,
}

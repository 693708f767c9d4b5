//! A reference to the credential, as the functions pass it on: never the credential itself.

use serde::{Deserialize, Serialize};

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
    pub(crate) fn previous_with(&self, version_id: Option<&str>) -> Option<&Self> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode;

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

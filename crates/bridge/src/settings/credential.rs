//! Where the credential lies.

use super::{Problems, Variables};

/// Where the credential lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialLocation {
    /// `SFTP_SECRET_ID`.
    SecretsManager {
        /// Name or ARN.
        secret_id: String,
    },
    /// `SFTP_S3_SSH_KEY`.
    S3 {
        /// The bucket.
        bucket: String,
        /// The key of the object that holds the private key.
        object_key: String,
    },
}

impl CredentialLocation {
    pub(super) fn parse(variables: &Variables, problems: &mut Problems) -> Option<Self> {
        match (variables.get("SFTP_SECRET_ID"), variables.get("SFTP_S3_SSH_KEY")) {
            (Some(secret_id), None) => Some(Self::SecretsManager { secret_id: secret_id.to_owned() }),
            (None, Some(path)) => {
                let path = path.strip_prefix("s3://").unwrap_or(path);
                match path.split_once('/') {
                    Some((bucket, object_key)) if !bucket.is_empty() && !object_key.is_empty() => {
                        Some(Self::S3 { bucket: bucket.to_owned(), object_key: object_key.to_owned() })
                    }
                    // The value is not repeated: people paste the key itself here.
                    _ => {
                        problems.add("SFTP_S3_SSH_KEY", "expected bucket/path/to/key");
                        None
                    }
                }
            }
            (Some(_), Some(_)) => {
                problems.add("SFTP_SECRET_ID", "and SFTP_S3_SSH_KEY are both set: expected one of them");
                None
            }
            (None, None) => {
                problems.add(
                    "SFTP_SECRET_ID",
                    "is not set, nor is SFTP_S3_SSH_KEY: one of them says where the credential lies",
                );
                None
            }
        }
    }
}

//! The clients that read credentials.

use crate::clients;

/// The clients that read credentials.
#[derive(Clone, Debug)]
pub struct Clients {
    /// For `SFTP_SECRET_ID`.
    pub secrets_manager: aws_sdk_secretsmanager::Client,
    /// For `SFTP_S3_SSH_KEY`.
    pub s3: aws_sdk_s3::Client,
}

impl Clients {
    /// From the configuration of the environment.
    pub fn new(config: &aws_config::SdkConfig) -> Self {
        Self { secrets_manager: clients::secrets_manager(config), s3: clients::s3(config) }
    }
}

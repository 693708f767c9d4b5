//! AWS clients, configured from the environment and built once per process.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_s3::config::{ProvideCredentials as _, ResponseChecksumValidation};
use bridge::{ErrorName, Result};

use crate::error::chain;

/// The configuration of the environment: region, credentials, `AWS_ENDPOINT_URL`.
pub async fn config() -> SdkConfig {
    // Shorter than the function's time-out, so that an unreachable endpoint (a VPC without a NAT gateway or an S3 endpoint)
    // is named in an error.
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(5))
        .read_timeout(Duration::from_secs(20))
        .build();
    aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts).load().await
}

/// The configuration of a person's environment. Fails early if it lacks a region or credentials.
///
/// # Errors
/// `InvalidConfig` without a region or without credentials. The message says how to set them.
pub async fn complete_config() -> Result<SdkConfig> {
    let config = config().await;
    let mut problems = Vec::new();
    if config.region().is_none() {
        problems.push(
            "no AWS region is set: set AWS_REGION, or `region` in the profile that AWS_PROFILE names"
                .to_owned(),
        );
    }
    let credentials = match config.credentials_provider() {
        Some(provider) => provider.provide_credentials().await.map_err(|error| chain(&error)),
        None => Err("none are configured".into()),
    };
    if let Err(why) = credentials {
        problems.push(format!(
            "no AWS credentials were found: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY ({why})"
        ));
    }
    if problems.is_empty() { Ok(config) } else { Err(ErrorName::InvalidConfig.error(problems.join("; "))) }
}

/// S3. With a custom endpoint, the bucket stands in the path: local stacks have no DNS names for buckets.
pub fn s3(config: &SdkConfig) -> aws_sdk_s3::Client {
    let own_endpoint = config.endpoint_url().is_some();
    let config = aws_sdk_s3::config::Builder::from(config)
        .force_path_style(own_endpoint)
        // The bridge compares checksums itself, even of ranges and of resumed reads.
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .build();
    aws_sdk_s3::Client::from_conf(config)
}

/// Secrets Manager.
pub fn secrets_manager(config: &SdkConfig) -> aws_sdk_secretsmanager::Client {
    aws_sdk_secretsmanager::Client::new(config)
}

/// Step Functions.
pub fn step_functions(config: &SdkConfig) -> aws_sdk_sfn::Client {
    aws_sdk_sfn::Client::new(config)
}

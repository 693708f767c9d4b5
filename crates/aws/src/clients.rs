//! Clients from whatever AWS configuration the environment gives; built once per process.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_s3::config::{ProvideCredentials as _, ResponseChecksumValidation};
use bridge::{ErrorName, Result};

use crate::error::chain;

/// The configuration of the environment: region, credentials, `AWS_ENDPOINT_URL`.
pub async fn config() -> SdkConfig {
    // Short enough that an unreachable endpoint (a VPC without a NAT gateway or an S3 endpoint) is an error that
    // names it and not a function that times out.
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(5))
        .read_timeout(Duration::from_secs(20))
        .build();
    aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts).load().await
}

/// The configuration of a person's environment, with the two things that it most often lacks.
///
/// # Errors
/// `InvalidConfig` where there is no region or there are no credentials; says which, and how to give it.
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
    match problems.is_empty() {
        true => Ok(config),
        false => Err(ErrorName::InvalidConfig.error(problems.join("; "))),
    }
}

/// S3. With an endpoint of one's own, buckets are named in the path: local stacks have no DNS names for them.
pub fn s3(config: &SdkConfig) -> aws_sdk_s3::Client {
    let own_endpoint = config.endpoint_url().is_some();
    let config = aws_sdk_s3::config::Builder::from(config)
        .force_path_style(own_endpoint)
        // The bridge compares checksums itself, over ranges and resumed reads, too.
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

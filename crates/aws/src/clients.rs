//! AWS clients, configured from the environment and built once per process.

use std::time::Duration;

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, ConfigLoader, SdkConfig};
use aws_sdk_s3::config::{
    ProvideCredentials as _, Region, ResponseChecksumValidation, SharedCredentialsProvider,
};
use bridge::{ErrorName, Result};

use crate::error::chain;

/// The configuration of the environment: region, credentials, `AWS_ENDPOINT_URL`.
pub async fn config() -> SdkConfig {
    loader().load().await
}

fn loader() -> ConfigLoader {
    // Shorter than the function's time-out, so that an unreachable endpoint (a VPC without a NAT gateway or an S3 endpoint)
    // is named in an error.
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(5))
        .read_timeout(Duration::from_secs(20))
        .build();
    let loader = aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts);
    match app_name() {
        Some(name) => loader.app_name(name),
        None => loader,
    }
}

/// What the User-Agent says of each request, so that CloudTrail shows the release. `AWS_SDK_UA_APP_ID` has precedence.
fn app_name() -> Option<AppName> {
    if std::env::var_os("AWS_SDK_UA_APP_ID").is_some() {
        return None;
    }
    AppName::new(format!("s3-sftp-bridge-{}", bridge::VERSION)).ok()
}

/// Whose AWS account is used, and which region. What is `None` comes from the environment.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// A profile of the AWS configuration files.
    pub profile: Option<String>,
    /// The region.
    pub region: Option<String>,
}

impl Account {
    async fn config(&self) -> SdkConfig {
        let mut loader = loader();
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        }
        let Some(profile) = &self.profile else { return loader.load().await };
        let config = loader.profile_name(profile).load().await;
        // The SDK would prefer keys in the environment to a profile that is named only in the loader.
        let provider_config = ProviderConfig::without_region().with_region(config.region().cloned());
        let provider =
            ProfileFileCredentialsProvider::builder().configure(&provider_config).profile_name(profile);
        config.into_builder().credentials_provider(SharedCredentialsProvider::new(provider.build())).build()
    }
}

/// The configuration of a person's environment. Fails early if it lacks a region or credentials.
///
/// # Errors
/// `InvalidConfig` without a region or without credentials. The message says how to set them.
pub async fn complete_config(account: &Account) -> Result<SdkConfig> {
    let config = account.config().await;
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
        let login = login(&why, account);
        problems.push(match &account.profile {
            Some(profile) => format!("the AWS profile {profile:?} gives no credentials: {why}{login}"),
            None => format!(
                "no AWS credentials were found: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY ({why}){login}"
            ),
        });
    }
    if problems.is_empty() { Ok(config) } else { Err(ErrorName::InvalidConfig.error(problems.join("; "))) }
}

/// What to do if the credentials of IAM Identity Center are missing or have expired. The SDK tells it only in words: they
/// name its folder of tokens, or the token.
fn login(why: &str, account: &Account) -> String {
    if !why.to_ascii_lowercase().contains("sso") {
        return String::new();
    }
    let profile = account.profile.clone().or_else(|| std::env::var("AWS_PROFILE").ok());
    let profile = profile.map(|profile| format!(" --profile {profile}")).unwrap_or_default();
    format!("; log in first: aws sso login{profile}")
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

/// Step Functions, without the SDK's retries: the caller has a pace of its own.
pub fn step_functions_once(config: &SdkConfig) -> aws_sdk_sfn::Client {
    let config = aws_sdk_sfn::config::Builder::from(config).retry_config(RetryConfig::disabled()).build();
    aws_sdk_sfn::Client::from_conf(config)
}

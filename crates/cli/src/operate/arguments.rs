//! Arguments that all commands of the operator share.

use aws::clients::Account;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;

/// Which stack, and how to reach it.
#[derive(Args)]
pub(crate) struct StackArguments {
    /// Name of the stack, instead of S3_SFTP_BRIDGE_STACK
    #[arg(long, value_name = "NAME", env = "S3_SFTP_BRIDGE_STACK", hide_env = true)]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) stack: String,
    /// AWS region, instead of AWS_REGION
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) region: Option<String>,
    /// AWS profile, instead of AWS_PROFILE
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) profile: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl StackArguments {
    pub(crate) fn account(&self) -> Account {
        Account { profile: self.profile.clone(), region: self.region.clone() }
    }
}

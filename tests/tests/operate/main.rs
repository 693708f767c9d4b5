//! The operator's commands against the local AWS, with a stand-in for RedriveExecution.

mod backfill;
mod check;
mod collecting;
mod contracts;
mod failures;
mod many_objects;
mod mistakes;
mod profiles;
mod questions;
mod redrive;
mod shelf;
mod status;
mod weekend;
mod whereabouts;

use integration_tests::cli::{self, Ran};
use integration_tests::ministack;
use integration_tests::redrive::{Options, Redriver};
use integration_tests::small_stack::SmallStack;
use serde_json::Value;

/// A small stack, and the stand-in in front of its AWS.
pub(crate) struct Desk {
    pub(crate) stack: SmallStack<'static>,
    pub(crate) redriver: Redriver,
}

impl Desk {
    pub(crate) async fn new(name: &str) -> Self {
        Self::with(name, Options::default()).await
    }

    pub(crate) async fn with(name: &str, options: Options) -> Self {
        Self::deploy_with(name, &[], options).await
    }

    /// With parameters of the bridge's template.
    pub(crate) async fn deploy(name: &str, parameters: &[(&str, &str)]) -> Self {
        Self::deploy_with(name, parameters, Options::default()).await
    }

    async fn deploy_with(name: &str, parameters: &[(&str, &str)], options: Options) -> Self {
        let aws = ministack::shared().await;
        let stack = SmallStack::deploy_with(aws, name, parameters).await.unwrap();
        let redriver = Redriver::start(aws, options).await.unwrap();
        Self { stack, redriver }
    }

    /// The environment of a command that talks to the stand-in.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let mut environment = self.stack.aws.environment();
        environment.retain(|(name, _)| *name != "AWS_ENDPOINT_URL");
        environment.push(("AWS_ENDPOINT_URL", self.redriver.endpoint.clone()));
        environment.push(("S3_SFTP_BRIDGE_STACK", self.stack.name.clone()));
        environment
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Ran {
        cli::run(cli::operate(self.environment(), arguments).await).await
    }

    /// The JSON that the command prints, and its exit status.
    pub(crate) async fn json(&self, arguments: &[&str]) -> (Value, i32) {
        let ran = self.run(&[arguments, &["--json"]].concat()).await;
        let value = serde_json::from_str(&ran.stdout);
        (value.unwrap_or_else(|error| panic!("{error}: {ran:?}")), ran.status)
    }
}

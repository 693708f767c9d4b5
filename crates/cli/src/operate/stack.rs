//! A deployed stack: names and settings, from its outputs and parameters.

use std::collections::BTreeMap;

use aws_sdk_cloudformation::error::ProvideErrorMetadata as _;
use bridge::{SETTINGS, Variables};

use super::problem::Problem;

/// The outputs without which a command cannot work.
const NEEDED: [&str; 4] = ["BucketName", "StateMachineArn", "RecordBucketName", "UnstartedQueueUrl"];

/// A deployed bridge.
#[derive(Clone, Debug)]
pub(crate) struct Stack {
    name: String,
    region: String,
    outputs: BTreeMap<String, String>,
    parameters: BTreeMap<String, String>,
}

impl Stack {
    /// Reads outputs and parameters.
    ///
    /// # Errors
    /// `Usage` if there is no such stack, or if it is not one of the bridge's.
    pub(crate) async fn load(
        client: &aws_sdk_cloudformation::Client,
        name: &str,
        region: &str,
    ) -> Result<Self, Problem> {
        let described = client.describe_stacks().stack_name(name).send().await;
        let described = described.map_err(|error| match error.code() {
            Some("ValidationError") => Problem::Usage(format!(
                "there is no stack {name:?} in {region}: check --stack, --region and --profile; \
                 `aws cloudformation list-stacks` shows what there is"
            )),
            _ => {
                let doing = format!("looking up the stack {name:?} in {region}");
                Problem::of_call(&doing, "cloudformation:DescribeStacks", &error)
            }
        })?;
        let stack = described.stacks().first();
        let stack = stack.ok_or_else(|| Problem::Usage(format!("there is no stack {name:?} in {region}")))?;
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let outputs = stack.outputs().iter();
        let outputs = outputs.map(|output| (text(output.output_key()), text(output.output_value())));
        let parameters = stack.parameters().iter();
        let parameters = parameters.map(|it| (text(it.parameter_key()), text(it.parameter_value())));
        let status = stack.stack_status().map_or("unknown", |status| status.as_str());
        Self::new(name, region, outputs.collect(), parameters.collect(), status)
    }

    fn new(
        name: &str,
        region: &str,
        outputs: BTreeMap<String, String>,
        parameters: BTreeMap<String, String>,
        status: &str,
    ) -> Result<Self, Problem> {
        if let Some(missing) = NEEDED.iter().find(|output| !outputs.contains_key(**output)) {
            return Err(Problem::Usage(format!(
                "the stack {name:?} (status {status}) has no output {missing}: it is not a stack of this bridge, \
                 or its deployment has not finished, or it was deployed by an older release"
            )));
        }
        Ok(Self { name: name.to_owned(), region: region.to_owned(), outputs, parameters })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn region(&self) -> &str {
        &self.region
    }

    /// An output; empty if the template has none of this name.
    pub(crate) fn output(&self, name: &str) -> &str {
        self.outputs.get(name).map(String::as_str).unwrap_or_default()
    }

    /// A parameter; empty if the template has none of this name.
    pub(crate) fn parameter(&self, name: &str) -> &str {
        self.parameters.get(name).map(String::as_str).unwrap_or_default()
    }

    /// The release that is deployed. `None` if it was deployed before releases had versions.
    pub(crate) fn version(&self) -> Option<&str> {
        Some(self.output("Version")).filter(|version| !version.is_empty())
    }

    /// The bucket whose objects are delivered.
    pub(crate) fn bucket(&self) -> &str {
        self.output("BucketName")
    }

    /// The beginning of the keys that are delivered.
    pub(crate) fn key_prefix(&self) -> &str {
        self.parameter("KeyPrefix")
    }

    /// The end of the keys that are delivered.
    pub(crate) fn key_suffix(&self) -> &str {
        self.parameter("KeySuffix")
    }

    pub(crate) fn state_machine_arn(&self) -> &str {
        self.output("StateMachineArn")
    }

    /// The state machine that starts deliveries from a manifest.
    pub(crate) fn backfill_machine_arn(&self) -> &str {
        self.output("BackfillStateMachineArn")
    }

    /// The state machine that collects files; empty if there is none.
    pub(crate) fn collect_machine_arn(&self) -> &str {
        self.output("CollectStateMachineArn")
    }

    /// The state machine that looks at the directory that is collected; empty if there is none.
    pub(crate) fn watch_machine_arn(&self) -> &str {
        self.output("WatchStateMachineArn")
    }

    /// Whether it collects files.
    pub(crate) fn collects(&self) -> bool {
        !self.collect_machine_arn().is_empty() && !self.parameter("CollectBucket").is_empty()
    }

    /// Whether it delivers nothing.
    pub(crate) fn only_collects(&self) -> bool {
        self.collects() && self.parameter("CollectOnly") == "true"
    }

    /// How many deliveries a backfill has under way at the same time, as the template says.
    pub(crate) fn backfill_concurrency(&self) -> usize {
        match self.max_connections() {
            0 => 10,
            connections => connections,
        }
    }

    pub(crate) fn record_bucket(&self) -> &str {
        self.output("RecordBucketName")
    }

    /// The queue of events that were not delivered.
    pub(crate) fn unstarted_queue_url(&self) -> &str {
        self.output("UnstartedQueueUrl")
    }

    /// How many connections to the partner the stack makes at the same time.
    pub(crate) fn max_connections(&self) -> usize {
        self.parameter("MaxConnections").parse().unwrap_or(1)
    }

    /// The settings that the stack gives to its functions.
    pub(crate) fn settings(&self) -> Variables {
        let set = SETTINGS.iter().filter_map(|setting| {
            let value = self.parameters.get(setting.parameter()?)?;
            Some((setting.name, value.clone()))
        });
        set.chain([("RECORD_BUCKET", self.record_bucket().to_owned())]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn another_stack_is_told_by_its_outputs() {
        let outputs = map(&[("BucketName", "b"), ("StateMachineArn", "arn")]);
        let problem = Stack::new("website", "eu-west-1", outputs, map(&[]), "CREATE_COMPLETE").unwrap_err();
        let Problem::Usage(words) = problem else { panic!("{problem:?}") };
        assert!(words.contains("\"website\"") && words.contains("RecordBucketName"), "{words}");
    }

    #[test]
    fn settings_come_from_the_parameters() {
        let outputs = map(&[
            ("BucketName", "b"),
            ("StateMachineArn", "arn"),
            ("RecordBucketName", "records"),
            ("UnstartedQueueUrl", "https://sqs.eu-west-1.amazonaws.com/1/unstarted"),
        ]);
        let key = "SHA256:UCUiLr7Pjs9wFFJMDByLgc3NrtdU344OgUM45wZPcIQ";
        let parameters = map(&[
            ("SftpHost", "sftp.example.com"),
            ("SftpSecretId", "partner"),
            ("SftpTrustedHostKeys", key),
            ("KeyPrefix", "out/"),
            ("MaxConnections", "7"),
            ("SftpS3SshKey", ""),
        ]);
        let stack = Stack::new("acme", "eu-west-1", outputs, parameters, "CREATE_COMPLETE").unwrap();
        assert_eq!((stack.key_prefix(), stack.key_suffix(), stack.max_connections()), ("out/", "", 7));
        let settings = bridge::Settings::parse(&stack.settings()).unwrap();
        assert_eq!((settings.host.as_str(), settings.port), ("sftp.example.com", 22));
    }
}

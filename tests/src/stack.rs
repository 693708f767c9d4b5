//! The bridge itself on the local AWS: the unchanged template, built with `sam build`, deployed with `sam deploy`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_sfn::types::{ExecutionStatus, HistoryEvent};
use serde_json::Value;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::ministack::{MiniStack, REGION};
use crate::package::Architecture;
use crate::partner::Partner;
use crate::process::{output, run, with_low_priority};
use crate::tools::{self, Tool, workspace};

static BUILT: OnceCell<()> = OnceCell::const_new();

/// How much processor time a build may take from other processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// As much as any other process.
    Normal,
    /// What others leave.
    Low,
}

/// Builds the functions with `sam build`, once per process. Unchanged functions are not built again.
pub async fn build(priority: Priority) -> Result<()> {
    BUILT.get_or_try_init(|| build_now(priority)).await.copied()
}

async fn build_now(priority: Priority) -> Result<()> {
    let sam = tools::sam().await?;
    let log = fresh_log("sam-build")?;
    let mut command = sam_command(&sam, &["build"])?;
    command.arg("--template-file").arg(workspace().join("sam/template.yaml"));
    command.arg("--build-dir").arg(build_folder());
    command
        .args(["--parameter-overrides", &format!("Architecture={}", Architecture::of_this_machine().name())]);
    // The same code without the minutes of link-time optimisation. Cargo keeps both kinds of build side by side.
    command.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    command.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1");
    if priority == Priority::Low {
        command = with_low_priority(&command);
    }
    run(&command, &log).await.context("sam build failed")
}

/// Where `sam build` puts the functions.
pub fn build_folder() -> PathBuf {
    workspace().join("target/sam-build")
}

/// A deployed bridge.
#[derive(Debug)]
pub struct Stack<'a> {
    /// The AWS that it is deployed to.
    pub aws: &'a MiniStack,
    /// The outputs of the template.
    pub outputs: BTreeMap<String, String>,
}

/// The end, or the present state, of an execution.
#[derive(Clone, Debug)]
pub struct Execution {
    /// Which one.
    pub arn: String,
    /// RUNNING, SUCCEEDED, FAILED...
    pub status: ExecutionStatus,
    /// Its input.
    pub input: Value,
    /// Its output, if it succeeded.
    pub output: Option<Value>,
    /// The error's name, if it failed.
    pub error: Option<String>,
    /// The error's message.
    pub cause: Option<String>,
    /// Whether all of this is final. MiniStack sets the status before the rest.
    pub ended: bool,
}

impl Execution {
    /// The object to deliver.
    pub fn object_key(&self) -> &str {
        self.input["detail"]["object"]["key"].as_str().unwrap_or_default()
    }

    /// The path of the file to collect, below the directory.
    pub fn file_path(&self) -> &str {
        self.input["file"]["path"].as_str().unwrap_or_default()
    }

    /// The receipt. MiniStack ignores the Output of a Succeed state, so the receipt is in the document.
    pub fn receipt(&self) -> Option<&Value> {
        self.output.as_ref().map(|output| output.get("receipt").unwrap_or(output))
    }

    /// The last part of its ARN.
    pub fn name(&self) -> &str {
        self.arn.rsplit(':').next().unwrap_or_default()
    }
}

/// How long a state of an execution took, retries and pauses included.
#[derive(Clone, Debug)]
pub struct Step {
    /// The state's name.
    pub state: String,
    /// From its entry to its exit, or to the execution's end if there was no exit.
    pub took: Duration,
}

impl<'a> Stack<'a> {
    /// Builds and deploys the bridge. `parameters` are the template's.
    pub async fn deploy(aws: &'a MiniStack, name: &str, parameters: &[(&str, &str)]) -> Result<Self> {
        build(Priority::Normal).await?;
        let all = [&[("Architecture", Architecture::of_this_machine().name())], parameters].concat();
        Self::deploy_template(aws, name, &build_folder().join("template.yaml"), &all).await
    }

    /// Deploys a template whose code is built: that of `sam build`, or a package's. A stack of this name is updated.
    pub async fn deploy_template(
        aws: &'a MiniStack,
        name: &str,
        template: &Path,
        parameters: &[(&str, &str)],
    ) -> Result<Self> {
        let sam = tools::sam().await?;
        let log = fresh_log(&format!("sam-deploy-{name}"))?;
        // A bucket for the code. `--resolve-s3` would create one bucket for all, named after account and region.
        let code = format!("code-{name}");
        aws.s3().create_bucket().bucket(&code).send().await?;
        let mut command = sam_command(&sam, &["deploy"])?;
        command.envs(aws.environment_of_clients());
        command.arg("--template-file").arg(template);
        command.args(["--stack-name", name, "--s3-bucket", &code, "--region", REGION]);
        command.args(["--capabilities", "CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]);
        command.args(["--no-confirm-changeset", "--no-progressbar", "--no-fail-on-empty-changeset"]);
        // MiniStack has no saved queries. Tests put the dashboard there by themselves.
        command.args(["--parameter-overrides", "Dashboard=false"]);
        command.args(parameters.iter().map(|(name, value)| format!("{name}=\"{value}\"")));
        command.env("SAM_CLI_POLL_DELAY", "0.5");
        run(&command, &log).await.context("sam deploy failed")?;
        Self::of(aws, name).await
    }

    /// A stack that is there.
    pub async fn of(aws: &'a MiniStack, name: &str) -> Result<Self> {
        let sam = tools::sam().await?;
        let mut command = sam_command(&sam, &["list", "stack-outputs"])?;
        command.envs(aws.environment_of_clients());
        command.args(["--stack-name", name, "--output", "json", "--region", REGION]);
        let listed = output(&command).await?;
        let listed: Vec<BTreeMap<String, Value>> = serde_json::from_slice(&listed.stdout)
            .with_context(|| format!("sam list: {}", String::from_utf8_lossy(&listed.stderr)))?;
        let text = |output: &BTreeMap<String, Value>, field| {
            output.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let outputs =
            listed.iter().map(|output| (text(output, "OutputKey"), text(output, "OutputValue"))).collect();
        Ok(Self { aws, outputs })
    }

    /// Deploys a bridge to this partner, with its secret. `more` are further parameters.
    pub async fn deploy_for(
        aws: &'a MiniStack,
        name: &str,
        partner: &Partner,
        more: &[(&str, &str)],
    ) -> Result<Self> {
        let parameters = parameters_for(aws, name, partner).await?;
        let parameters: Vec<_> = parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Self::deploy(aws, name, &[&parameters, more].concat()).await
    }

    fn output(&self, name: &str) -> &str {
        self.outputs.get(name).unwrap_or_else(|| panic!("the template has no output {name}"))
    }

    /// The bucket whose objects are delivered.
    pub fn bucket(&self) -> &str {
        self.output("BucketName")
    }

    /// The bucket for receipts and failure records.
    pub fn record_bucket(&self) -> &str {
        self.output("RecordBucketName")
    }

    /// The state machine.
    pub fn state_machine(&self) -> &str {
        self.output("StateMachineArn")
    }

    /// The state machine of looks.
    pub fn watch_machine(&self) -> &str {
        self.output("WatchStateMachineArn")
    }

    /// The state machine of collections.
    pub fn collect_machine(&self) -> &str {
        self.output("CollectStateMachineArn")
    }

    /// Starts new processes for the functions that connect, so that they remember no refusals and failures of the partner.
    pub async fn start_anew(&self) -> Result<()> {
        for output in ["TransferFunctionName", "VerifyRemoteFunctionName"] {
            self.aws.reconfigure(self.output(output), 900, &[]).await?;
        }
        Ok(())
    }

    /// Reserves this concurrency for each of the two functions that connect.
    pub async fn reserve(&self, invocations: u32) -> Result<()> {
        for output in ["TransferFunctionName", "VerifyRemoteFunctionName"] {
            self.aws.reserve(self.output(output), invocations).await?;
        }
        // The local AWS calls it `Lambda.Unknown` when a function is throttled.
        self.change_retriers(self.state_machine(), |retrier| {
            let is_throttled = waits_for_its_turn(retrier);
            if let Some(errors) = retrier["ErrorEquals"].as_array_mut() {
                errors.retain(|error| error != "Lambda.Unknown");
                errors.extend(is_throttled.then(|| "Lambda.Unknown".into()));
            }
        })
        .await
    }

    /// From now on, executions give up after this many retries of any error, and not after days. Only throttled calls wait
    /// for their turn. The rest of the definition is the deployed one.
    pub async fn give_up_after(&self, retries: u32) -> Result<()> {
        self.change_retriers(self.state_machine(), fewer(retries)).await
    }

    /// The same for collections and looks.
    pub async fn give_up_collecting_after(&self, retries: u32) -> Result<()> {
        for machine in [self.watch_machine(), self.collect_machine()] {
            self.change_retriers(machine, fewer(retries)).await?;
        }
        Ok(())
    }

    async fn change_retriers(&self, machine: &str, change: impl Fn(&mut Value)) -> Result<()> {
        let sfn = self.aws.sfn();
        let arn = machine;
        let machine = sfn.describe_state_machine().state_machine_arn(arn).send().await?;
        let mut definition: Value = serde_json::from_str(&machine.definition)?;
        let states = definition["States"].as_object_mut().context("a definition without states")?;
        let retriers = states.values_mut().filter_map(|state| state.get_mut("Retry")?.as_array_mut());
        retriers.flatten().for_each(change);
        let update = sfn.update_state_machine().state_machine_arn(arn);
        update.definition(definition.to_string()).send().await?;
        Ok(())
    }

    /// Uploads an object. S3's event starts the execution.
    pub async fn upload(&self, object_key: &str, body: impl Into<ByteStream>) -> Result<()> {
        let put = self.aws.s3().put_object().bucket(self.bucket()).key(object_key).body(body.into());
        put.send().await.with_context(|| format!("cannot upload {object_key}"))?;
        Ok(())
    }

    /// Starts an execution by hand, as in the console.
    pub async fn start(&self, input: &Value) -> Result<String> {
        self.start_on(self.state_machine(), input).await
    }

    async fn start_on(&self, machine: &str, input: &Value) -> Result<String> {
        let start = self.aws.sfn().start_execution().state_machine_arn(machine);
        Ok(start.input(input.to_string()).send().await?.execution_arn)
    }

    /// Starts a look at the partner's directory by hand, and waits for its end.
    pub async fn look(&self) -> Result<Execution> {
        let arn = self.start_on(self.watch_machine(), &serde_json::json!({"look": true})).await?;
        self.wait(&arn, Duration::from_secs(120)).await
    }

    /// Waits until there are this many collections, and all have ended. By the path of the file, the newest first.
    pub async fn collections(&self, count: usize, patience: Duration) -> Result<Vec<Execution>> {
        let deadline = Instant::now() + patience;
        loop {
            let mut all = self.executions_of(self.collect_machine()).await?;
            if all.len() == count && all.iter().all(|execution| execution.ended) {
                all.sort_by(|one, other| one.file_path().cmp(other.file_path()));
                return Ok(all);
            }
            if all.len() > count || Instant::now() > deadline {
                bail!("expected {count} collections that have ended: {all:?}");
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// All executions so far, the newest first.
    pub async fn executions(&self) -> Result<Vec<Execution>> {
        self.executions_of(self.state_machine()).await
    }

    /// All executions of a state machine so far, the newest first.
    pub async fn executions_of(&self, machine: &str) -> Result<Vec<Execution>> {
        let sfn = self.aws.sfn();
        let mut pages = sfn.list_executions().state_machine_arn(machine).into_paginator().items().send();
        let mut executions = Vec::new();
        while let Some(item) = pages.next().await {
            executions.push(self.execution(&item?.execution_arn).await?);
        }
        Ok(executions)
    }

    /// One execution as it is now.
    pub async fn execution(&self, arn: &str) -> Result<Execution> {
        let found = self.aws.sfn().describe_execution().execution_arn(arn).send().await?;
        Ok(Execution {
            arn: arn.to_owned(),
            status: found.status,
            input: serde_json::from_str(found.input.as_deref().unwrap_or("null"))?,
            output: found.output.as_deref().map(serde_json::from_str).transpose()?,
            error: found.error,
            cause: found.cause,
            ended: found.stop_date.is_some(),
        })
    }

    /// Waits until an execution has ended.
    pub async fn wait(&self, arn: &str, patience: Duration) -> Result<Execution> {
        let deadline = Instant::now() + patience;
        loop {
            let execution = self.execution(arn).await?;
            if execution.ended {
                return Ok(execution);
            }
            if Instant::now() > deadline {
                bail!("{} still runs after {patience:?}: {:?}", execution.name(), self.steps(arn).await?);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the newest execution of an object has ended.
    pub async fn wait_for_object(&self, object_key: &str, patience: Duration) -> Result<Execution> {
        let deadline = Instant::now() + patience;
        loop {
            let all = self.executions().await?;
            if let Some(execution) = all.iter().find(|execution| execution.object_key() == object_key) {
                return self.wait(&execution.arn, deadline - Instant::now()).await;
            }
            if Instant::now() > deadline {
                bail!("no execution was started for {object_key}; is the event rule at work?");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Uploads an object and waits for the end of its execution.
    pub async fn deliver(&self, object_key: &str, body: impl Into<ByteStream>) -> Result<Execution> {
        self.upload(object_key, body).await?;
        self.wait_for_object(object_key, Duration::from_secs(120)).await
    }

    /// Everything that happened in an execution.
    pub async fn history(&self, arn: &str) -> Result<Vec<HistoryEvent>> {
        let sfn = self.aws.sfn();
        let events = sfn.get_execution_history().execution_arn(arn).include_execution_data(true);
        Ok(events.into_paginator().items().send().collect::<Result<_, _>>().await?)
    }

    /// The states of an execution, in order, with the time that each took.
    pub async fn steps(&self, arn: &str) -> Result<Vec<Step>> {
        let mut steps: Vec<(String, SystemTime, Option<SystemTime>)> = Vec::new();
        let mut end = SystemTime::UNIX_EPOCH;
        for event in self.history(arn).await? {
            end = SystemTime::try_from(event.timestamp)?;
            if let Some(details) = event.state_entered_event_details {
                steps.push((details.name, end, None));
            } else if let (Some(details), Some(step)) = (event.state_exited_event_details, steps.last_mut())
                && step.0 == details.name
            {
                step.2 = Some(end);
            }
        }
        let took = |from: SystemTime, to: Option<SystemTime>| to.unwrap_or(end).duration_since(from);
        let steps = steps.into_iter();
        Ok(steps.map(|(state, from, to)| Step { state, took: took(from, to).unwrap_or_default() }).collect())
    }

    /// What lies below this prefix in the record bucket, by key, as it was written.
    pub async fn records(&self, prefix: &str) -> Result<BTreeMap<String, String>> {
        let s3 = self.aws.s3();
        let list = s3.list_objects_v2().bucket(self.record_bucket()).prefix(prefix);
        let mut pages = list.into_paginator().send();
        let mut records = BTreeMap::new();
        while let Some(page) = pages.next().await {
            for object in page?.contents.unwrap_or_default() {
                let object_key = object.key.unwrap_or_default();
                let record = s3.get_object().bucket(self.record_bucket()).key(&object_key).send().await?;
                let record = record.body.collect().await?.into_bytes();
                records.insert(object_key, String::from_utf8(record.into())?);
            }
        }
        Ok(records)
    }

    /// The failure records, open and settled.
    pub async fn failure_records(&self) -> Result<BTreeMap<String, String>> {
        self.records("failures/").await
    }

    /// The latest failure record of an execution, as it was written.
    pub async fn failure_record(&self, execution: &Execution) -> Result<Option<String>> {
        let records = self.failure_records().await?;
        Ok(records
            .into_iter()
            .rfind(|(object_key, _)| object_key.contains(execution.name()))
            .map(|(_, it)| it))
    }
}

/// The parameters of a bridge to this partner. The secret is created.
pub async fn parameters_for(
    aws: &MiniStack,
    name: &str,
    partner: &Partner,
) -> Result<Vec<(&'static str, String)>> {
    let secret = serde_json::json!({ "Username": partner.user, "PrivateKey": partner.client_key.private });
    let secret = aws.create_secret(&format!("{name}/sftp"), &secret.to_string()).await?;
    Ok(vec![
        ("SftpHost", partner.host.clone()),
        ("SftpPort", partner.port.to_string()),
        ("SftpSecretId", secret),
        ("SftpTrustedHostKeys", partner.host_key.public.clone()),
    ])
}

/// At most this many retries of any error. Only throttled calls wait for their turn.
fn fewer(retries: u32) -> impl Fn(&mut Value) {
    move |retrier| {
        let attempts = retrier["MaxAttempts"].as_u64().unwrap_or_default();
        if !waits_for_its_turn(retrier) {
            retrier["MaxAttempts"] = attempts.min(retries.into()).into();
        }
    }
}

fn waits_for_its_turn(retrier: &Value) -> bool {
    let errors = retrier["ErrorEquals"].as_array();
    errors.is_some_and(|errors| errors.contains(&"Lambda.TooManyRequestsException".into()))
}

/// The SAM CLI, without the user's AWS settings and without telemetry.
pub fn sam_command(sam: &Tool, subcommand: &[&str]) -> Result<Command> {
    let home = tools::folder().join("home");
    std::fs::create_dir_all(&home)?;
    // Instead of a `samconfig.toml` in the current folder, which holds the answers of a real deployment.
    let config = home.join("samconfig.toml");
    std::fs::write(&config, "version = 0.1\n")?;
    let mut command = Command::new(sam.program("sam"));
    command.args(subcommand).arg("--config-file").arg(config).current_dir(workspace());
    environment_of_builds(&mut command, sam)?;
    Ok(command)
}

/// What SAM and cargo-lambda find in their environment: no AWS settings of the user, and a home of their own.
pub fn environment_of_builds(command: &mut Command, sam: &Tool) -> Result<()> {
    let home = tools::folder().join("home");
    std::fs::create_dir_all(&home)?;
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        // cargo sets variables about the package of the program that it runs. The functions must not see them.
        if ["AWS_", "SAM_", "CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    if let Some(user) = std::env::home_dir() {
        for (name, folder) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
            if std::env::var_os(name).is_none() {
                command.env(name, user.join(folder));
            }
        }
    }
    command.env("HOME", &home).env("PATH", sam.path());
    command.env("SAM_CLI_TELEMETRY", "0").env("AWS_REGION", REGION).env("AWS_DEFAULT_REGION", REGION);
    command.env("AWS_EC2_METADATA_DISABLED", "true").env("AWS_ACCESS_KEY_ID", "test");
    command.env("AWS_SECRET_ACCESS_KEY", "test").env("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
    Ok(())
}

fn fresh_log(name: &str) -> Result<PathBuf> {
    std::fs::create_dir_all(tools::logs())?;
    let log = tools::logs().join(format!("{name}.log"));
    if Path::exists(&log) {
        std::fs::remove_file(&log)?;
    }
    Ok(log)
}

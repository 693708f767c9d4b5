//! MiniStack, the local AWS: S3, EventBridge, Step Functions, Lambda, CloudFormation on one loopback port.
//!
//! Nothing here can reach a real AWS account: the environment is built from nothing, the credentials are dummies, and each
//! client gets its endpoint explicitly.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;

use crate::process::{Leashed, free_port, tail};
use crate::tools;

/// The region of everything local: S3's default.
pub const REGION: &str = "us-east-1";

/// A running MiniStack. Ends on drop, with its Lambda processes and its folder.
#[derive(Debug)]
pub struct MiniStack {
    /// `http://127.0.0.1:PORT`
    pub endpoint: String,
    /// What it and the functions print to their standard output.
    pub log: PathBuf,
    folder: PathBuf,
    process: Leashed,
}

/// How to run it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Factor for the waits of state machines and retriers.
    pub wait_scale: f64,
    /// Whether functions have only the permissions of their roles. The credentials of this file permit everything.
    pub auth: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { wait_scale: 0.01, auth: false }
    }
}

static SHARED: OnceCell<MiniStack> = OnceCell::const_new();

/// One MiniStack for all tests of a test binary, so each test uses names of its own. It ends with the test binary.
pub async fn shared() -> &'static MiniStack {
    SHARED.get_or_init(async || MiniStack::start(Options::default()).await.unwrap()).await
}

impl MiniStack {
    /// Installs it if needed, starts it on a free port, and waits until it answers.
    pub async fn start(options: Options) -> Result<Self> {
        let tool = tools::ministack().await?;
        // Not a TempDir: the leash removes it even if this process is killed.
        let folder = tempfile::Builder::new().prefix("ministack-").tempdir()?.keep();
        let port = free_port()?;
        let endpoint = format!("http://127.0.0.1:{port}");
        std::fs::create_dir_all(tools::logs())?;
        let log = tools::logs().join(format!("ministack-{port}.log"));
        let _ = std::fs::remove_file(&log);

        let mut command = Leashed::command(Some(&folder));
        // It lacks something that the collecting direction needs: the script says what.
        let script = tools::workspace().join("tests/servers/local_aws.py");
        command.arg(tool.program("python")).arg(script).env_clear().current_dir(&folder);
        command.env("PATH", tool.path()).envs(environment(&endpoint, &folder));
        // The functions get MiniStack's environment, endpoint included.
        command.env("BIND_HOST", "127.0.0.1").env("MINISTACK_HOST", "127.0.0.1");
        command.env("GATEWAY_PORT", port.to_string()).env("MINISTACK_REGION", REGION);
        command.env("AUTH", options.auth.to_string());
        command.env("SFN_WAIT_SCALE", options.wait_scale.to_string());
        command.env("PYTHONUNBUFFERED", "1").env("PYTHONDONTWRITEBYTECODE", "1");
        let process = Leashed::start(command, &log)?;
        let mut stack = Self { endpoint, log, folder, process };
        stack.wait_until_healthy().await?;
        Ok(stack)
    }

    async fn wait_until_healthy(&mut self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.request("GET", "/_ministack/health", "", "").await.is_err() {
            if !self.process.is_running() || Instant::now() > deadline {
                bail!("MiniStack did not start; the end of {}:\n{}", self.log.display(), tail(&self.log));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Forgets everything: buckets, functions, executions.
    pub async fn reset(&self) -> Result<()> {
        self.request("POST", "/_ministack/reset", "", "").await.map(drop)
    }

    /// Everything that functions and state machines have logged, a line per event, group by group.
    pub async fn logs(&self) -> Result<String> {
        self.logs_below("/").await
    }

    /// What was logged to the groups whose name begins with `prefix`.
    pub async fn logs_below(&self, prefix: &str) -> Result<String> {
        let mut text = String::new();
        let groups = json!({ "logGroupNamePrefix": prefix });
        for group in self.log_pages("DescribeLogGroups", "logGroups", groups).await? {
            let name = group["logGroupName"].as_str().context("a log group without a name")?;
            for event in self.log_pages("FilterLogEvents", "events", json!({ "logGroupName": name })).await? {
                let message = event["message"].as_str().unwrap_or_default();
                text += &format!("{name} {}\n", message.trim_end());
            }
        }
        Ok(text)
    }

    /// The items of all pages of an answer of CloudWatch Logs. By hand: an SDK crate for two calls would cost more than it
    /// gives.
    async fn log_pages(&self, operation: &str, items: &str, mut body: Value) -> Result<Vec<Value>> {
        let headers = format!(
            "X-Amz-Target: Logs_20140328.{operation}\r\nContent-Type: application/x-amz-json-1.1\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/logs/aws4_request\r\n"
        );
        let mut all = Vec::new();
        loop {
            let mut page: Value =
                serde_json::from_str(&self.request("POST", "/", &headers, &body.to_string()).await?)?;
            all.append(page[items].as_array_mut().with_context(|| format!("{operation} gave no {items}"))?);
            match page["nextToken"].take() {
                Value::Null => return Ok(all),
                token => body["nextToken"] = token,
            }
        }
    }

    /// What one state does when its task answers so or fails so: TestState with a mock. By hand, because the SDK's
    /// client sends it to a host of its own. MiniStack evaluates no JSONata of a Task here; what is to be believed is
    /// `status`, `error` and `nextState`.
    pub async fn test_state(
        &self,
        definition: &Value,
        state: &str,
        input: &Value,
        mock: &Value,
    ) -> Result<Value> {
        let headers = format!(
            "X-Amz-Target: AWSStepFunctions.TestState\r\nContent-Type: application/x-amz-json-1.0\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/states/aws4_request\r\n"
        );
        let mut body = json!({
            "definition": definition.to_string(),
            "stateName": state,
            "input": input.to_string(),
            "roleArn": "arn:aws:iam::000000000000:role/none",
        });
        if !mock.is_null() {
            body["mock"] = mock.clone();
        }
        Ok(serde_json::from_str(&self.request("POST", "/", &headers, &body.to_string()).await?)?)
    }

    /// Creates a dashboard of CloudWatch.
    pub async fn put_dashboard(&self, name: &str, body: &str) -> Result<()> {
        let body = json!({"DashboardName": name, "DashboardBody": body});
        self.cloudwatch("PutDashboard", &body).await.map(drop)
    }

    /// The body of a dashboard.
    pub async fn dashboard(&self, name: &str) -> Result<String> {
        let found = self.cloudwatch("GetDashboard", &json!({"DashboardName": name})).await?;
        found["DashboardBody"].as_str().map(str::to_owned).context("a dashboard without a body")
    }

    /// The alarms whose names begin with this.
    pub async fn alarms(&self, prefix: &str) -> Result<Vec<Value>> {
        let found = self.cloudwatch("DescribeAlarms", &json!({"AlarmNamePrefix": prefix})).await?;
        found["MetricAlarms"].as_array().cloned().context("no list of alarms")
    }

    async fn cloudwatch(&self, operation: &str, body: &Value) -> Result<Value> {
        let headers = format!(
            "X-Amz-Target: GraniteServiceVersion20100801.{operation}\r\nContent-Type: application/x-amz-json-1.0\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/monitoring/aws4_request\r\n"
        );
        Ok(serde_json::from_str(&self.request("POST", "/", &headers, &body.to_string()).await?)?)
    }

    pub(crate) async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &str,
        body: &str,
    ) -> Result<String> {
        let address = self.endpoint.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).await?;
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\nConnection: close\r\n\
             {headers}\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        if !head.starts_with("HTTP/1.1 2") {
            bail!("{method} {path}: {} {body}", head.lines().next().unwrap_or_default());
        }
        Ok(body.to_owned())
    }

    /// The environment that a program needs to use this AWS and no other.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        environment(&self.endpoint, &self.folder)
    }

    /// The same without home and temporary folder, for programs with a home of their own.
    pub(crate) fn environment_of_clients(&self) -> Vec<(&'static str, String)> {
        self.environment().into_iter().filter(|(name, _)| name.starts_with("AWS_")).collect()
    }

    /// A new client each time, because its connections belong to the runtime that uses it.
    pub fn s3(&self) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .credentials_provider(credentials())
            .region(Region::new(REGION))
            .endpoint_url(&self.endpoint)
            .force_path_style(true);
        aws_sdk_s3::Client::from_conf(config.build())
    }

    /// A client for Step Functions.
    pub fn sfn(&self) -> aws_sdk_sfn::Client {
        let config = aws_sdk_sfn::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .credentials_provider(credentials())
            .region(Region::new(REGION))
            .endpoint_url(&self.endpoint);
        aws_sdk_sfn::Client::from_conf(config.build())
    }

    /// A client for Secrets Manager.
    pub fn secrets(&self) -> aws_sdk_secretsmanager::Client {
        let config = aws_sdk_secretsmanager::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .credentials_provider(credentials())
            .region(Region::new(REGION))
            .endpoint_url(&self.endpoint);
        aws_sdk_secretsmanager::Client::from_conf(config.build())
    }

    /// Creates a secret, and returns its ARN.
    pub async fn create_secret(&self, name: &str, value: &str) -> Result<String> {
        let created = self.secrets().create_secret().name(name).secret_string(value).send().await?;
        created.arn.context("a secret without an ARN")
    }
}

pub(crate) fn credentials() -> Credentials {
    Credentials::new("test", "test", None, None, "local")
}

pub(crate) fn environment(endpoint: &str, home: &Path) -> Vec<(&'static str, String)> {
    let home = home.display().to_string();
    vec![
        ("HOME", home.clone()),
        ("TMPDIR", home.clone()),
        ("LANG", "C.UTF-8".to_owned()),
        ("AWS_ENDPOINT_URL", endpoint.to_owned()),
        ("AWS_ACCESS_KEY_ID", "test".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ("AWS_REGION", REGION.to_owned()),
        ("AWS_DEFAULT_REGION", REGION.to_owned()),
        // Neither the user's profiles nor a cloud machine's role may be used.
        ("AWS_CONFIG_FILE", format!("{home}/none")),
        ("AWS_SHARED_CREDENTIALS_FILE", format!("{home}/none")),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ("NO_PROXY", "127.0.0.1".to_owned()),
    ]
}

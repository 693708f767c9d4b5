//! `s3-sftp-bridge`, the real binary.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::tools;

/// The result of a command.
#[derive(Debug)]
pub struct Ran {
    /// Its exit status.
    pub status: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// The packages that [`build`] selects. The second one is selected for its features only: with them, cargo uses the
/// dependencies that it has built for the tests instead of building them once more.
pub const PACKAGES: [&str; 2] = ["s3-sftp-bridge", "integration-tests"];

/// Builds the binary as cargo does for development, once per process, and returns its path.
pub async fn build() -> Result<&'static PathBuf> {
    static BINARY: OnceCell<PathBuf> = OnceCell::const_new();
    BINARY
        .get_or_try_init(async || {
            let mut build = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
            build.args(["build", "--quiet", "--message-format", "json"]);
            build.args(PACKAGES.iter().flat_map(|package| ["--package", package]));
            let output = build.current_dir(tools::workspace()).stderr(Stdio::inherit()).output().await?;
            ensure!(output.status.success(), "cargo could not build s3-sftp-bridge");
            let messages = String::from_utf8(output.stdout)?;
            let built = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let path =
                built.filter_map(|message| message["executable"].as_str().map(PathBuf::from)).next_back();
            path.context("cargo did not name the binary that it built")
        })
        .await
}

async fn binary() -> &'static PathBuf {
    build().await.unwrap()
}

/// `s3-sftp-bridge deliver` in an environment of these variables alone.
pub async fn deliver(
    environment: Vec<(&'static str, String)>,
    variables: &BTreeMap<String, String>,
    arguments: &[&str],
) -> Command {
    let mut command = Command::new(binary().await);
    command.arg("deliver").args(arguments).env_clear().envs(environment).envs(variables);
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// `s3-sftp-bridge doctor` in an environment of these variables alone.
pub async fn doctor(variables: &BTreeMap<String, String>, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary().await);
    command.arg("doctor").args(arguments).env_clear().envs(variables);
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// A command of the operator, such as `failures`, in this environment alone.
pub async fn operate(environment: Vec<(&'static str, String)>, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary().await);
    command.args(arguments).env_clear().envs(environment);
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Runs a command to its end.
pub async fn run(mut command: Command) -> Ran {
    let output = command.output().await.unwrap();
    Ran {
        status: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

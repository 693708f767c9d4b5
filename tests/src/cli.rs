//! `s3-sftp-bridge`, the real binary.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::tools;

/// How a command ended.
#[derive(Debug)]
pub struct Ran {
    /// Its exit status.
    pub status: i32,
    /// What it printed.
    pub stdout: String,
    /// What else it printed.
    pub stderr: String,
}

/// The binary as cargo builds it for development, once per process.
pub async fn binary() -> &'static PathBuf {
    static BINARY: OnceCell<PathBuf> = OnceCell::const_new();
    BINARY
        .get_or_init(async || {
            let mut build = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
            build.args(["build", "--quiet", "--package", "s3-sftp-bridge", "--message-format", "json"]);
            let output =
                build.current_dir(tools::workspace()).stderr(Stdio::inherit()).output().await.unwrap();
            assert!(output.status.success());
            let messages = String::from_utf8(output.stdout).unwrap();
            let built = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let path =
                built.filter_map(|message| message["executable"].as_str().map(PathBuf::from)).next_back();
            path.expect("cargo names the binary it built")
        })
        .await
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

/// Runs a command to its end.
pub async fn run(mut command: Command) -> Ran {
    let output = command.output().await.unwrap();
    Ran {
        status: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

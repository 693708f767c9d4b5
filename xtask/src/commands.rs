//! Commands that the tasks run.

use std::process::Command;

use anyhow::{Result, bail};
use integration_tests::process;
use integration_tests::tools::workspace;

/// `cargo` with these arguments, in the workspace.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    command.args(arguments).current_dir(workspace());
    command
}

/// Runs a command whose output is of interest only if it fails.
pub(crate) async fn quiet(command: &Command) -> Result<()> {
    stdout(command).await.map(drop)
}

/// Runs a command and returns what it printed to its standard output.
pub(crate) async fn stdout(command: &Command) -> Result<String> {
    let output = process::output(command).await?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("{stdout}{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(stdout)
}

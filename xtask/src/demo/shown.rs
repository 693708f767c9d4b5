//! What the parts of the demo have in common, and how they are shown.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use integration_tests::stack::{Execution, Stack};
use serde_json::Value;

use crate::report::{field, seconds};

/// The partner's directory for deliveries.
pub(super) const LOCATION: &str = "incoming";
/// Maximum time to wait for a delivery.
pub(super) const PATIENCE: Duration = Duration::from_secs(180);

/// The heading of the lines that [`delivery`] prints.
pub(super) fn columns() {
    println!("  {:29} {:17} {:>8} {:>8} {:>12}", "object", "outcome", "FetchKey", "Transfer", "VerifyRemote");
}

/// A line with the outcome of a delivery and the times of its steps, and why it failed if it did.
pub(super) async fn delivery(stack: &Stack<'_>, execution: &Execution) -> Result<()> {
    line(stack, execution, execution.object_key(), ["FetchKey", "Transfer", "VerifyRemote"]).await
}

/// A line with what an execution is about, its outcome and the times of these steps, and why it failed if it did.
pub(super) async fn line(
    stack: &Stack<'_>,
    execution: &Execution,
    about: &str,
    states: [&str; 3],
) -> Result<()> {
    let steps = stack.steps(&execution.arn).await?;
    let [first, second, third] = states.map(|state| {
        let all: Vec<_> = steps.iter().filter(|step| step.state == state).map(|step| step.took).collect();
        if all.is_empty() { "–".to_owned() } else { seconds(all.iter().sum()) }
    });
    println!("  {about:29} {:17} {first:>8} {second:>8} {third:>12}", outcome(execution));
    field("    ", "error", execution.error.as_deref().unwrap_or_default());
    field("    ", "cause", &cause(execution));
    Ok(())
}

/// The receipt's outcome; the execution's status if there is no receipt.
pub(super) fn outcome(execution: &Execution) -> String {
    let outcome = execution.receipt().and_then(|receipt| receipt["outcome"].as_str());
    outcome.unwrap_or(execution.status.as_str()).to_owned()
}

/// The message of an error. Step Functions wraps what a function says into JSON.
pub(super) fn cause(execution: &Execution) -> String {
    let cause = execution.cause.as_deref().unwrap_or_default();
    let wrapped = serde_json::from_str::<Value>(cause).unwrap_or_default();
    wrapped["errorMessage"].as_str().unwrap_or(cause).to_owned()
}

/// What an operator reads in a receipt.
pub(super) fn receipt(receipt: &Value) {
    let text = |path: &str| receipt.pointer(path).map(plain).unwrap_or_default();
    let line = |name: &str, value: &str| field("    ", name, value);
    line("outcome", &text("/outcome"));
    line("reason", &text("/reason"));
    line("version", &text("/object/version_id"));
    if receipt.get("remote_path").is_some() && receipt.get("proof").is_some() {
        line("delivered as", &format!("sftp://{}/{}", text("/remote_host"), text("/remote_path")));
        line("proof", &text("/proof"));
        line("checksum", &format!("{} {}", text("/checksum/algorithm"), text("/checksum/value")));
        line("host key", &text("/host_key_fingerprint"));
    }
    for warning in receipt["warnings"].as_array().into_iter().flatten() {
        line("warning", &plain(warning));
    }
}

pub(super) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Fails unless the delivery or collection ended with one of these outcomes.
pub(super) fn ensure_outcome(execution: &Execution, expected: &[&str]) -> Result<()> {
    let found = outcome(execution);
    ensure!(
        expected.contains(&found.as_str()),
        "{}{} ended {found}, expected {}: {} {}",
        execution.object_key(),
        execution.file_path(),
        expected.join(" or "),
        execution.error.as_deref().unwrap_or_default(),
        cause(execution)
    );
    Ok(())
}

/// All files below a folder, by their paths from it.
pub(super) fn files(folder: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() {
            found.extend(files(&entry.path())?.iter().map(|below| format!("{name}/{below}")));
        } else {
            found.push(name);
        }
    }
    Ok(found)
}

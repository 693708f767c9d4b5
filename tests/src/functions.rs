//! The deployed functions: their configuration, and what their processes use. MiniStack runs each `bootstrap` as a
//! process of this machine, so the system can be asked.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::ministack::{MiniStack, REGION};
use crate::process::memory_peak;

/// A process of a function.
#[derive(Clone, Debug)]
pub struct FunctionProcess {
    /// Its id.
    pub id: u32,
    /// The highest memory use so far, in bytes.
    pub memory_peak: u64,
    /// The files that are open for writing, deleted ones included. Pipes and sockets do not count.
    pub writable: Vec<PathBuf>,
    /// The bytes that it has written to files so far, deleted ones included. Files in memory do not count.
    pub written: u64,
}

impl MiniStack {
    /// Changes a deployed function as `UpdateFunctionConfiguration` does: its timeout, and variables beside those that
    /// it has. The next invocation starts a new process. By hand, for the reason that `logs` has.
    pub async fn reconfigure(
        &self,
        function: &str,
        timeout_seconds: u64,
        variables: &[(&str, &str)],
    ) -> Result<()> {
        let path = format!("/2015-03-31/functions/{function}/configuration");
        let headers = format!(
            "Content-Type: application/json\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/lambda/aws4_request\r\n"
        );
        let found = self.request("GET", &path, &headers, "").await?;
        let mut environment = serde_json::from_str::<Value>(&found)?["Environment"].take();
        for (name, value) in variables {
            environment["Variables"][*name] = json!(value);
        }
        let body = json!({"Timeout": timeout_seconds, "Environment": environment});
        self.request("PUT", &path, &headers, &body.to_string()).await.map(drop)
    }

    /// Calls a function as events do: its answer goes nowhere, and what fails is repeated and then given up.
    pub async fn call_later(&self, function: &str, payload: &Value) -> Result<()> {
        let path = format!("/2015-03-31/functions/{function}/invocations");
        let headers = format!(
            "Content-Type: application/json\r\nX-Amz-Invocation-Type: Event\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/lambda/aws4_request\r\n"
        );
        self.request("POST", &path, &headers, &payload.to_string()).await.map(drop)
    }

    /// Reserves concurrency for a function: the local CloudFormation does not do what the template says of it.
    pub async fn reserve(&self, function: &str, invocations: u32) -> Result<()> {
        let path = format!("/2017-10-31/functions/{function}/concurrency");
        let headers = format!(
            "Content-Type: application/json\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/lambda/aws4_request\r\n"
        );
        let body = json!({"ReservedConcurrentExecutions": invocations});
        self.request("PUT", &path, &headers, &body.to_string()).await.map(drop)
    }

    /// The processes of a function that run now.
    pub fn processes(&self, function: &str) -> Result<Vec<FunctionProcess>> {
        let marks =
            [format!("AWS_LAMBDA_FUNCTION_NAME={function}"), format!("AWS_ENDPOINT_URL={}", self.endpoint)];
        let mut processes = Vec::new();
        for entry in fs::read_dir("/proc").context("this needs Linux's /proc")? {
            let folder = entry?.path();
            let Some(id) = folder.file_name().and_then(|name| name.to_str()?.parse().ok()) else { continue };
            // Processes of other users, and processes that are ending, cannot be read.
            let environment = fs::read(folder.join("environ")).unwrap_or_default();
            let variables: Vec<_> = environment.split(|byte| *byte == 0).collect();
            if marks.iter().all(|mark| variables.contains(&mark.as_bytes())) {
                processes.extend(look_at(&folder, id));
            }
        }
        Ok(processes)
    }
}

/// `None` if it has ended in the meantime.
fn look_at(folder: &Path, id: u32) -> Option<FunctionProcess> {
    let counters = fs::read_to_string(folder.join("io")).ok()?;
    let written = counters.lines().find_map(|line| line.strip_prefix("write_bytes: "))?;
    let mut writable = Vec::new();
    for handle in fs::read_dir(folder.join("fd")).ok()?.flatten() {
        let info = fs::read_to_string(folder.join("fdinfo").join(handle.file_name())).unwrap_or_default();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap_or_default();
        // In octal. In the last digit, one bit is O_WRONLY and the next is O_RDWR.
        let is_writable = u32::from_str_radix(flags.trim(), 8).is_ok_and(|flags| flags & 3 != 0);
        let is_file = fs::metadata(handle.path()).is_ok_and(|metadata| metadata.is_file());
        if is_writable && is_file {
            writable.extend(fs::read_link(handle.path()));
        }
    }
    Some(FunctionProcess { id, memory_peak: memory_peak(id)?, writable, written: written.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::tools;

    #[test]
    fn what_a_process_writes_is_seen() {
        let folder = tools::folder();
        fs::create_dir_all(&folder).unwrap();
        let look = || look_at(Path::new("/proc/self"), std::process::id()).unwrap();
        let is_open =
            |process: &FunctionProcess| process.writable.iter().any(|path| path.starts_with(&folder));
        // Not among the temporary files, which may lie in memory. It has no name, as careful temporary files have none.
        let mut file = tempfile::tempfile_in(&folder).unwrap();
        let before = look();
        file.write_all(&[7; 100_000]).unwrap();
        let after = look();
        assert!(after.written >= before.written + 100_000, "{before:?} {after:?}");
        assert!(is_open(&after) && after.memory_peak > 1_000_000, "{after:?}");
        drop(file);
        assert!(!is_open(&look()));
    }
}

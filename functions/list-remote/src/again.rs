//! Files whose execution has stored nothing, and that are there again.
//!
//! An execution that finds its file gone, or another one in its place, ends well: nothing is owed. But a storage that was
//! away for a moment comes back with the same files, of the same sizes and times, and the names of their executions are
//! taken. So a look asks how these have ended, and starts the collection anew under a further name.

use aws::CallError;
use aws::rate::Api;
use aws_sdk_sfn::error::ProvideErrorMetadata as _;
use aws_sdk_sfn::types::ExecutionStatus;
use bridge::collect::{ATTEMPTS_MAX, CollectOutcome, RemoteFile};
use serde_json::Value;

use crate::collections::Collections;

/// Maximum number of files that a look asks about. Step Functions answers 10 requests in a second, for the whole account,
/// and a directory whose files are left there may have many more.
pub(crate) const ASKED_MAX: usize = 300;

/// Some of the files that were started before and are still there: each has the same chance, in any number of them.
#[derive(Debug, Default)]
pub(crate) struct Sample {
    files: Vec<RemoteFile>,
    offered: usize,
}

impl Sample {
    pub(crate) fn offer(&mut self, file: &RemoteFile) {
        self.offered += 1;
        if self.files.len() < ASKED_MAX {
            self.files.push(file.clone());
        } else if let Some(place) = self.files.get_mut(fastrand::usize(..self.offered)) {
            *place = file.clone();
        }
    }

    pub(crate) fn take(&mut self) -> Vec<RemoteFile> {
        std::mem::take(self).files
    }
}

/// What is known of a file that was started before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// An execution has stored it, or skipped it. Nobody needs to ask again.
    Stored,
    /// An execution is at work, or has failed and waits for a redrive.
    Open,
    /// Every execution so far has stored nothing. The next is the one of this number.
    Nothing(u32),
    /// As before, and there were as many as there may be.
    GivenUp,
}

impl Collections {
    /// How the executions of this file have ended.
    ///
    /// # Errors
    /// What AWS answered.
    pub(crate) async fn standing(&self, file: &RemoteFile) -> Result<Standing, CallError> {
        for attempt in 1..=ATTEMPTS_MAX {
            let arn = self.execution_arn(&file.execution_name_of(attempt));
            let describe = || self.client().describe_execution().execution_arn(&arn).send();
            let described = match self.limiter().call(Api::DescribeExecution, describe).await {
                Ok(described) => described,
                Err(error) if error.code() == Some("ExecutionDoesNotExist") => {
                    return Ok(Standing::Nothing(attempt));
                }
                Err(error) => return Err(CallError::of(&error)),
            };
            if described.status != ExecutionStatus::Succeeded {
                return Ok(Standing::Open);
            }
            if !has_stored_nothing(described.output()) {
                return Ok(Standing::Stored);
            }
        }
        Ok(Standing::GivenUp)
    }
}

/// Whether an execution's output is a receipt that says so. What was skipped is not tried again: an object of a newer file
/// has its key.
fn has_stored_nothing(output: Option<&str>) -> bool {
    let receipt: Option<Value> = output.and_then(|output| serde_json::from_str(output).ok());
    let outcome = receipt.as_ref().and_then(|receipt| receipt["outcome"].as_str());
    matches!(outcome.and_then(CollectOutcome::parse), Some(CollectOutcome::Gone | CollectOutcome::Changed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(number: u64) -> RemoteFile {
        let (host, directory, path) = ("h".into(), "d".into(), "a".into());
        RemoteFile { host, directory, path, size: number, modified: None }
    }

    #[test]
    fn a_sample_is_bounded_and_has_files_from_everywhere() {
        let mut sample = Sample::default();
        for number in 0..100_000 {
            sample.offer(&file(number));
        }
        let files = sample.take();
        assert_eq!(files.len(), ASKED_MAX);
        let late = files.iter().filter(|file| file.size >= 50_000).count();
        assert!((75..225).contains(&late), "{late} of the later half");
        assert!(sample.take().is_empty());
    }

    #[test]
    fn only_a_receipt_that_says_so_has_stored_nothing() {
        for outcome in CollectOutcome::ALL {
            let output = serde_json::json!({ "outcome": outcome, "bytes_read": 0 }).to_string();
            let expected = matches!(outcome.as_str(), "gone" | "changed");
            assert_eq!(has_stored_nothing(Some(&output)), expected, "{output}");
        }
        for output in [None, Some(""), Some("{}"), Some("[]"), Some(r#"{"outcome": "new"}"#)] {
            assert!(!has_stored_nothing(output), "{output:?}");
        }
    }
}

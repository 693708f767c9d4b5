//! The executions that collect files: one for each file, started by its name.

use std::sync::{Arc, Mutex};

use aws::CallError;
use aws::rate::{Api, Limiter};
use aws_sdk_sfn::error::ProvideErrorMetadata as _;
use bridge::collect::RemoteFile;
use bridge::{Error, ErrorName, Result, lock};
use serde_json::json;
use tokio::task::JoinSet;

use crate::known::Known;

/// The variable that names the state machine. It is no setting: the template sets it, and nothing else does.
pub const COLLECT_STATE_MACHINE_ARN: &str = "COLLECT_STATE_MACHINE_ARN";

/// Maximum number of starts in flight.
pub(crate) const FLIGHT: usize = 16;

/// The state machine that collects files, and what this process knows of its executions.
#[derive(Debug)]
pub struct Collections {
    /// Without the SDK's retries: the limiter has its own.
    client: aws_sdk_sfn::Client,
    state_machine_arn: String,
    limiter: Limiter,
    /// Executions that were started.
    known: Mutex<Known>,
    /// Those of files that are stored.
    stored: Mutex<Known>,
    /// The start of the last look that cleared the archives, in seconds since 1970.
    cleared: Mutex<Option<i64>>,
}

/// Time between two looks of this process that clear the archives, in seconds. An archive may have many more files than
/// the directory, and their age is counted in days.
const CLEARING: i64 = 3600;

/// What became of a request to start an execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// This look has started it.
    Now,
    /// An earlier look has.
    Before,
}

impl Collections {
    /// Executions of this state machine. The client has no retries of its own: [`aws::clients::step_functions_once`].
    pub fn new(client: aws_sdk_sfn::Client, state_machine_arn: impl Into<String>) -> Self {
        let state_machine_arn = state_machine_arn.into();
        Self {
            client,
            state_machine_arn,
            limiter: Limiter::default(),
            known: Mutex::default(),
            stored: Mutex::default(),
            cleared: Mutex::default(),
        }
    }

    pub(crate) fn client(&self) -> &aws_sdk_sfn::Client {
        &self.client
    }

    pub(crate) fn limiter(&self) -> &Limiter {
        &self.limiter
    }

    /// Whether this process knows that the file's execution was started.
    pub(crate) fn knows(&self, file: &RemoteFile) -> bool {
        lock(&self.known).has(&file.execution_name())
    }

    /// Whether this process knows that an execution has stored the file.
    pub(crate) fn knows_stored(&self, file: &RemoteFile) -> bool {
        lock(&self.stored).has(&file.execution_name())
    }

    /// An execution has stored the file, or no further one is to be started.
    pub(crate) fn add_stored(&self, file: &RemoteFile) {
        lock(&self.stored).add(&file.execution_name());
    }

    /// The ARN of the execution of this name.
    pub(crate) fn execution_arn(&self, name: &str) -> String {
        format!("{}:{name}", self.state_machine_arn.replacen(":stateMachine:", ":execution:", 1))
    }

    /// Whether a look that began at `now` is to clear the archives. If so, this process does not for a while.
    pub(crate) fn clears(&self, now: i64) -> bool {
        let mut cleared = lock(&self.cleared);
        let is_due = cleared.is_none_or(|cleared| !(cleared..cleared + CLEARING).contains(&now));
        if is_due {
            *cleared = Some(now);
        }
        is_due
    }

    /// Starts an execution for each of these files, at most [`FLIGHT`] of them, and says what became of each. `since`
    /// is when the look began, in seconds since 1970: Step Functions takes a start with a name that is running for the
    /// same start.
    pub(crate) async fn start(
        self: &Arc<Self>,
        files: &[RemoteFile],
        since: Option<i64>,
    ) -> Vec<Result<Start>> {
        let mut flight = JoinSet::new();
        for (index, file) in files.iter().enumerate() {
            let (collections, file) = (Arc::clone(self), file.clone());
            flight.spawn(async move { (index, collections.start_one(&file, 1, since).await) });
        }
        let mut started = flight.join_all().await;
        started.sort_unstable_by_key(|(index, _)| *index);
        started.into_iter().map(|(_, started)| started).collect()
    }

    /// Starts the execution of this file with this number.
    pub(crate) async fn start_one(
        &self,
        file: &RemoteFile,
        attempt: u32,
        since: Option<i64>,
    ) -> Result<Start> {
        let name = file.execution_name_of(attempt);
        let input = json!({ "file": file }).to_string();
        let start = || {
            let start = self.client.start_execution().state_machine_arn(&self.state_machine_arn);
            start.name(&name).input(&input).send()
        };
        let started = match self.limiter.call(Api::StartExecution, start).await {
            Ok(running) if since.is_some_and(|since| running.start_date.secs() < since) => Start::Before,
            Ok(_) => Start::Now,
            Err(error) if error.code() == Some("ExecutionAlreadyExists") => Start::Before,
            Err(error) => return Err(self.not_started(&CallError::of(&error))),
        };
        if started == Start::Now {
            tracing::info!(path = file.path, size = file.size, modified = file.modified, name, "started");
        }
        lock(&self.known).add(&file.execution_name());
        Ok(started)
    }

    fn not_started(&self, error: &CallError) -> Error {
        let arn = &self.state_machine_arn;
        // A million executions run: that passes.
        let is_full = error.code.as_deref() == Some("ExecutionLimitExceeded");
        if error.is_transient() || is_full {
            return ErrorName::StepFunctionsUnavailable
                .error(format!("starting an execution of {arn}: {error}"));
        }
        ErrorName::InvalidConfig.error(format!(
            "{COLLECT_STATE_MACHINE_ARN} is {arn:?}, and no execution can be started: {error}. Check that the state machine \
             exists, and that the function's role may start it"
        ))
    }
}

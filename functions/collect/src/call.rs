//! One call of a step.

use std::sync::Arc;
use std::time::Duration;

use aws::credential::Clients;
use bridge::collect::{
    CollectCheckpoint, CollectInput, CollectProgress, CollectReceipt, CollectReport, Destination, RemoteFile,
};
use bridge::{CollectSettings, Deadline, Error, ErrorName, OnProgress, Parties, Settings};
use partner::Partner;

use crate::ending::Ending;

/// What the handler works with.
pub struct Deps {
    /// The settings of the server.
    pub settings: Arc<Settings>,
    /// Those of collecting.
    pub collect: Arc<CollectSettings>,
    /// Clients for the object and the credential.
    pub clients: Clients,
    /// The partner's server.
    pub partner: Arc<Partner>,
    /// Is told how many bytes of the file were read, and of how many.
    pub on_progress: OnProgress,
    /// Memory of the function, in bytes. `None` outside of Lambda.
    pub memory: Option<u64>,
    /// Is told where another call could continue: when an upload in parts has begun, and when S3 has confirmed more. If the
    /// call returns an error, it has made no progress and has removed what it began.
    pub on_checkpoint: OnCheckpoint,
    /// Where the caller has seen no object. A new collection of a small file does not look there again.
    pub free: Option<Destination>,
}

/// Called with each checkpoint within a call: for a process that may be killed and keeps its state.
pub type OnCheckpoint = Arc<dyn Fn(CollectCheckpoint) + Send + Sync>;

/// Time for the last parts and the answer.
const RESERVE: Duration = Duration::from_secs(20);

/// One call: what it is asked to do, and how long it may take.
pub(crate) struct Call<'a> {
    pub(crate) deps: &'a Deps,
    pub(crate) input: &'a CollectInput,
    pub(crate) deadline: Deadline,
    /// No new bytes are read after this.
    pub(crate) stop: Deadline,
    /// The call waits for nothing after this.
    pub(crate) limit: Deadline,
}

impl<'a> Call<'a> {
    pub(crate) fn new(deps: &'a Deps, input: &'a CollectInput, deadline: Deadline) -> Self {
        let (stop, limit) = (deadline.less(RESERVE, 4), deadline.less(RESERVE / 4, 16));
        Self { deps, input, deadline, stop, limit }
    }

    pub(crate) fn file(&self) -> &RemoteFile {
        &self.input.file
    }

    pub(crate) fn no_answer(&self) -> Error {
        let host = &self.deps.settings.host;
        ErrorName::ConnectionLost.error(format!("{host}: no answer until the deadline"))
    }

    /// The end of a collection that stores nothing.
    pub(crate) fn ended(&self, ending: Ending, report: &CollectReport) -> CollectProgress {
        let Ending { outcome, reason } = ending;
        tracing::info!(?outcome, reason, "nothing is stored");
        let parties = Parties {
            remote_host: &self.deps.settings.host,
            credential: &self.input.credential,
            execution: &self.input.execution,
        };
        let receipt = CollectReceipt::new(outcome, self.file().clone(), report, parties, aws::now());
        CollectProgress::Receipt(Box::new(CollectReceipt { reason: Some(reason), ..receipt }))
    }
}

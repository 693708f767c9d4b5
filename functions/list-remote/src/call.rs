//! One call of the step.

use std::sync::Arc;
use std::time::Duration;

use aws::credential::Clients;
use bridge::collect::ListRemoteInput;
use bridge::{CollectSettings, Deadline, ErrorName, Result, Settings};
use partner::Partner;
use sftp::Session;

use crate::collections::Collections;
use crate::judge::Judge;
use crate::limits::Limits;

/// What the handler works with.
pub struct Deps {
    /// The settings of the server.
    pub settings: Arc<Settings>,
    /// Those of collecting.
    pub collect: Arc<CollectSettings>,
    /// Clients for the credential and the records.
    pub clients: Clients,
    /// The partner's server.
    pub partner: Arc<Partner>,
    /// The state machine that collects files. `None` if nothing is started: for a caller that only lists.
    pub collections: Option<Arc<Collections>>,
    /// What bounds a look.
    pub limits: Limits,
}

/// Time to start executions after the walk.
const START: Duration = Duration::from_secs(120);
/// Time for the answer.
const RESERVE: Duration = Duration::from_secs(10);

/// One call: what it is asked to do, and how long it may take.
pub(crate) struct Call<'a> {
    pub(crate) deps: &'a Deps,
    pub(crate) input: &'a ListRemoteInput,
    /// The time that dates in object keys are taken from.
    time: String,
    /// The server is asked for no more names after this.
    pub(crate) walk_stop: Deadline,
    /// Nothing is started or deleted after this.
    pub(crate) stop: Deadline,
    /// The call waits for nothing after this.
    limit: Deadline,
}

impl<'a> Call<'a> {
    pub(crate) fn new(deps: &'a Deps, input: &'a ListRemoteInput, deadline: Deadline) -> Self {
        let start = &input.execution.start_time;
        let time = if start.is_empty() { aws::now() } else { start.clone() };
        let (stop, limit) = (deadline.less(RESERVE, 16), deadline.less(RESERVE / 2, 32));
        Self { deps, input, time, walk_stop: deadline.less(START, 4), stop, limit }
    }

    pub(crate) fn judge(&self) -> Judge<'_> {
        Judge { collect: &self.deps.collect, host: &self.deps.settings.host, time: &self.time }
    }

    /// Works on a session.
    pub(crate) async fn with_session<T>(
        &self,
        work: impl AsyncFnOnce(&Arc<Session>) -> Result<T>,
    ) -> Result<T> {
        let working = self.deps.partner.with_session(&self.input.credential, None, work);
        let working = tokio::time::timeout(self.limit.remaining(), working).await;
        working.unwrap_or_else(|_| {
            let host = &self.deps.settings.host;
            Err(ErrorName::ConnectionLost.error(format!("{host}: no answer until the deadline")))
        })
    }
}

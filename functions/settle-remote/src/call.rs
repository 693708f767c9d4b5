//! One call of the step.

use std::sync::Arc;
use std::time::Duration;

use aws::credential::Clients;
use bridge::collect::{Afterwards, CollectCheckpoint, SettleRemoteInput};
use bridge::{CollectSettings, Deadline, ErrorName, Result, Settings};
use partner::Partner;

use crate::work::{Became, Work};

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
}

/// Time for the answer.
const RESERVE: Duration = Duration::from_secs(20);

/// One call: what it is asked to do, and how long it may take.
pub(crate) struct Call<'a> {
    pub(crate) deps: &'a Deps,
    pub(crate) input: &'a SettleRemoteInput,
    /// The time in the archive's names: the same in every call of an execution, so that a retry knows the name it gave.
    pub(crate) time: &'a str,
    /// Nothing that takes long is begun after this.
    pub(crate) stop: Deadline,
    /// The call waits for nothing after this.
    limit: Deadline,
}

impl<'a> Call<'a> {
    pub(crate) fn new(deps: &'a Deps, input: &'a SettleRemoteInput, deadline: Deadline) -> Self {
        let start = &input.execution.start_time;
        let time = if start.is_empty() { &input.checkpoint.report.started_at } else { start };
        let (stop, limit) = (deadline.less(RESERVE, 4), deadline.less(RESERVE / 4, 16));
        Self { deps, input, time, stop, limit }
    }

    /// Whether an earlier call may have asked the server for the same.
    pub(crate) fn is_retry(&self) -> bool {
        self.input.execution.retry_count > 0 || self.input.execution.redrive_count > 0
    }

    /// What becomes of the file. Warnings go into the checkpoint.
    pub(crate) async fn settle(&self, checkpoint: &mut CollectCheckpoint) -> Result<Became> {
        if self.deps.collect.afterwards == Afterwards::Leave {
            return Ok(Became::Left);
        }
        let credential = &self.input.credential;
        let accepted = checkpoint.report.credential_version_id.clone();
        let working = self.deps.partner.with_session(credential, accepted.as_deref(), async |session| {
            checkpoint.report.credential_version_id = credential.accepted(session.label());
            checkpoint.report.host_key_fingerprint = Some(session.host_key_fingerprint().to_owned());
            Work::new(self, session.sftp()).run(checkpoint).await
        });
        tokio::time::timeout(self.limit.remaining(), working).await.unwrap_or_else(|_| {
            let host = &self.deps.settings.host;
            Err(ErrorName::ConnectionLost.error(format!("{host}: no answer until the deadline")))
        })
    }
}

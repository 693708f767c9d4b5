//! One call of the step.

use std::sync::Arc;
use std::time::Duration;

use aws::Deliverable;
use aws::credential::Clients;
use bridge::{
    Deadline, Error, ErrorName, ObjectCreated, ObjectSummary, OnProgress, Outcome, Parties, Receipt, Report,
    Result, Settings, TransferInput,
};
use partner::Partner;

/// What the handler works with.
pub struct Deps {
    /// The settings.
    pub settings: Arc<Settings>,
    /// Clients for the object.
    pub clients: Clients,
    /// The partner's server.
    pub partner: Arc<Partner>,
    /// Is told how many bytes the server has acknowledged, and of how many.
    pub on_progress: OnProgress,
}

/// Time for the last acknowledgements and the answer.
const RESERVE: Duration = Duration::from_secs(20);

/// One call: what it is asked to do, and how long it may take.
pub(crate) struct Call<'a> {
    pub(crate) deps: &'a Deps,
    pub(crate) input: &'a TransferInput,
    pub(crate) event: ObjectCreated,
    pub(crate) deadline: Deadline,
    /// No new bytes are sent after this.
    pub(crate) stop: Deadline,
    /// The call waits for nothing after this: a server may keep it waiting in a single write.
    pub(crate) limit: Deadline,
}

impl<'a> Call<'a> {
    /// # Errors
    /// `InvalidInput` if the event cannot be read.
    pub(crate) fn new(deps: &'a Deps, input: &'a TransferInput, deadline: Deadline) -> Result<Self> {
        let event = ObjectCreated::from_event(input.event.clone())?;
        let (stop, limit) = (deadline.less(RESERVE, 4), deadline.less(RESERVE / 4, 16));
        Ok(Self { deps, input, event, deadline, stop, limit })
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.deps.settings
    }

    /// The time that a date in the remote path is taken from: the same in every call of an execution.
    pub(crate) fn time(&self) -> &str {
        self.event.event_time.as_ref().unwrap_or(&self.input.execution.start_time)
    }

    /// Whether no earlier call of this delivery can have left anything on the server.
    pub(crate) fn is_first_attempt(&self) -> bool {
        let TransferInput { execution, checkpoint, resends, .. } = self.input;
        checkpoint.is_none() && *resends == 0 && execution.retry_count == 0 && execution.redrive_count == 0
    }

    pub(crate) fn no_answer(&self) -> Error {
        ErrorName::ConnectionLost.error(format!("{}: no answer until the deadline", self.settings().host))
    }

    pub(crate) fn deliverable(&self) -> Deliverable<'_> {
        let settings = self.settings();
        Deliverable { skip_empty: settings.policy.skip_empty, host: &settings.host }
    }

    /// The receipt of a delivery that ends without a file of its own.
    pub(crate) fn receipt(
        &self,
        outcome: Outcome,
        object: ObjectSummary,
        report: &Report,
        reason: String,
    ) -> Receipt {
        tracing::info!(?outcome, reason, "nothing to send");
        let parties = Parties {
            remote_host: &self.settings().host,
            credential: &self.input.credential,
            execution: &self.input.execution,
        };
        Receipt { reason: Some(reason), ..Receipt::new(outcome, object, report, parties, aws::now()) }
    }
}

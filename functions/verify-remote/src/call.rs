//! One call of the step.

use std::sync::Arc;
use std::time::Duration;

use aws::credential::Clients;
use aws::{Deliverable, Standing};
use bridge::{
    Checkpoint, Deadline, Error, ErrorName, Marker, OnProgress, Outcome, Parties, Publication, Receipt,
    Result, Settings, VerifyRemoteInput,
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
    /// Is told how many bytes were read back, and of how many.
    pub on_progress: OnProgress,
}

/// Time for publishing and the answer.
pub(crate) const RESERVE: Duration = Duration::from_secs(20);

/// One call: what it is asked to do, and how long it may take.
pub(crate) struct Call<'a> {
    pub(crate) deps: &'a Deps,
    pub(crate) input: &'a VerifyRemoteInput,
    pub(crate) deadline: Deadline,
    /// Nothing that takes long is begun after this.
    pub(crate) stop: Deadline,
}

impl Call<'_> {
    /// Whether the file and its marker are published, and S3 knew of no newer upload after that.
    pub(crate) fn is_done_on_server(&self, checkpoint: &Checkpoint) -> bool {
        checkpoint
            .phase
            .publication()
            .is_some_and(|publication| publication.is_newest && !self.needs_marker(publication))
    }

    /// Whether there is to be a marker that is not there yet.
    pub(crate) fn needs_marker(&self, publication: &Publication) -> bool {
        self.settings().marker != Marker::None && publication.marker.is_none()
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.deps.settings
    }

    /// Whether an earlier call of this step may have been killed in the middle of publishing.
    pub(crate) fn is_retry(&self) -> bool {
        self.input.execution.retry_count > 0 || self.input.execution.redrive_count > 0
    }

    /// What S3 says of the pinned object now.
    pub(crate) async fn standing(&self, checkpoint: &Checkpoint) -> Result<Standing> {
        aws::standing(&self.deps.clients.s3, &checkpoint.object, self.deliverable()).await
    }

    pub(crate) fn deliverable(&self) -> Deliverable<'_> {
        let settings = self.settings();
        Deliverable { skip_empty: settings.policy.skip_empty, host: &settings.host }
    }

    pub(crate) fn no_answer(&self) -> Error {
        ErrorName::ConnectionLost.error(format!("{}: no answer until the deadline", self.settings().host))
    }

    /// The receipt without what was published.
    pub(crate) fn receipt(&self, outcome: Outcome, checkpoint: &Checkpoint) -> Receipt {
        tracing::info!(?outcome, path = checkpoint.final_path(), "the delivery has ended");
        let parties = Parties {
            remote_host: &self.settings().host,
            credential: &self.input.credential,
            execution: &self.input.execution,
        };
        let object = (&checkpoint.object).into();
        let receipt = Receipt::new(outcome, object, &checkpoint.report, parties, aws::now());
        Receipt { synced: checkpoint.sent.synced, ..receipt }
    }
}

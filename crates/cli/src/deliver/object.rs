//! The delivery of one object.

use bridge::{
    Checkpoint, CredentialReference, ErrorName, FetchKeyInput, FetchKeyOutput, Progress, Receipt, Result,
    TransferInput, VerifyRemoteInput,
};
use delivery::{Document, Functions, Handlers, Recorder, State, StateError, StateMachine};
use serde_json::{Value, json};

use crate::many::Attempt;
use crate::state::Journal;

/// The delivery of one object, with what it keeps on this machine.
pub(super) struct ObjectDelivery {
    pub(super) event: Value,
    pub(super) credential: CredentialReference,
    pub(super) journal: Journal<Checkpoint>,
    pub(super) handlers: Handlers,
    pub(super) recorder: Recorder,
    /// The state that failed last.
    pub(super) failed: State,
}

impl Attempt for ObjectDelivery {
    type Done = Receipt;

    async fn run(&mut self) -> Result<Receipt> {
        let document = Document {
            credential: Some(self.credential.clone()),
            checkpoint: self.journal.checkpoint.clone(),
            ..Document::default()
        };
        let (execution, event) = (self.journal.execution.clone(), self.event.clone());
        let mut machine = StateMachine::at(State::Transfer, execution, event, document);
        let mut functions = Journaled { handlers: &mut self.handlers, journal: &mut self.journal };
        machine.run(&mut functions).await.map_err(|failed| {
            self.failed = failed.state;
            failed.error
        })
    }
}

impl ObjectDelivery {
    /// Cleans up after the last run: removes a state that no run can resume, and records a failure.
    pub(super) async fn settle(&mut self, outcome: &Result<Receipt>) {
        if outcome.as_ref().err().is_none_or(|error| self.leaves_nothing(error.name)) {
            self.journal.remove();
        }
        if let Err(error) = outcome {
            let Journal { execution, checkpoint, .. } = &self.journal;
            let failed = StateError { state: self.failed, error: error.clone() };
            let checkpoint = checkpoint.as_ref().map(|checkpoint| json!(checkpoint));
            self.recorder.record(execution, &self.event, checkpoint, &failed).await;
        }
    }

    /// Whether the server holds nothing that the next run could resume.
    fn leaves_nothing(&self, name: ErrorName) -> bool {
        match name {
            ErrorName::InvalidInput
            | ErrorName::ObjectUnreadable
            | ErrorName::ObjectChanged
            | ErrorName::RemoteMismatch => true,
            ErrorName::InvalidConfig
            | ErrorName::SecretUnavailable
            | ErrorName::SecretUnreadable
            | ErrorName::CredentialExpired
            | ErrorName::InvalidPrivateKey
            | ErrorName::ConnectFailed
            | ErrorName::HostKeyMismatch
            | ErrorName::NoCommonAlgorithm
            | ErrorName::AuthenticationRejected => self.journal.checkpoint.is_none(),
            ErrorName::ObjectReadInterrupted
            | ErrorName::ConnectionLost
            | ErrorName::RemoteFailure
            | ErrorName::RemotePathRejected
            | ErrorName::RemoteFull
            // Those of collections.
            | ErrorName::RemoteUnreadable
            | ErrorName::ObjectWriteInterrupted
            | ErrorName::ObjectWriteRefused
            | ErrorName::ObjectMismatch
            | ErrorName::StepFunctionsUnavailable
            | ErrorName::Internal => false,
        }
    }
}

/// Calls the handlers, and writes each checkpoint to the journal.
struct Journaled<'a> {
    handlers: &'a mut Handlers,
    journal: &'a mut Journal<Checkpoint>,
}

impl Functions for Journaled<'_> {
    async fn fetch_key(&mut self, input: FetchKeyInput) -> Result<FetchKeyOutput> {
        self.handlers.fetch_key(input).await
    }

    async fn transfer(&mut self, input: TransferInput) -> Result<Progress> {
        self.handlers.transfer(input).await
    }

    async fn verify_remote(&mut self, input: VerifyRemoteInput) -> Result<Progress> {
        self.handlers.verify_remote(input).await
    }

    fn document_changed(&mut self, document: &Document) {
        // After a receipt there is nothing to resume, and the state is removed.
        if document.receipt.is_none() {
            self.journal.save(document.checkpoint.as_ref());
        }
    }
}

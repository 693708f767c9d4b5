//! The collection of one file.

use bridge::collect::{
    CollectCheckpoint, CollectInput, CollectProgress, CollectReceipt, RemoteFile, SettleRemoteInput,
};
use bridge::{CredentialReference, Error, ErrorName, FetchKeyInput, FetchKeyOutput, Result};
use delivery::{
    CollectDocument, CollectFunctions, CollectHandlers, CollectMachine, CollectState, Recorder, StateError,
};
use serde_json::json;

use crate::many::Attempt;
use crate::state::Journal;

/// The collection of one file, with what it keeps on this machine.
pub(super) struct FileCollection {
    pub(super) file: RemoteFile,
    pub(super) credential: CredentialReference,
    pub(super) journal: Journal<CollectCheckpoint>,
    pub(super) handlers: CollectHandlers,
    pub(super) recorder: Recorder,
    /// The state that failed last.
    pub(super) failed: CollectState,
}

impl Attempt for FileCollection {
    type Done = CollectReceipt;

    /// Runs to the end, without retries. The settling time is over: all files have waited for it together.
    async fn run(&mut self) -> Result<CollectReceipt> {
        let checkpoint = self.journal.checkpoint.clone();
        let state = checkpoint.as_ref().map_or(CollectState::Collect, |it| CollectState::of(&it.phase));
        let credential = Some(self.credential.clone());
        let document = CollectDocument { credential, checkpoint, ..CollectDocument::default() };
        let (execution, file) = (self.journal.execution.clone(), self.file.clone());
        let mut machine = CollectMachine::at(state, execution, file, document);
        let mut functions = Journaled { handlers: &mut self.handlers, journal: &mut self.journal };
        machine.run(&mut functions).await.map_err(|failed| {
            self.failed = failed.state;
            failed.error
        })
    }
}

impl FileCollection {
    /// Cleans up after the last run: removes a state that no run can resume, and records a failure.
    pub(super) async fn settle(&mut self, outcome: &Result<CollectReceipt>) {
        // The object that a mismatch is about is not there any more: the next run begins again.
        let is_lost = |error: &Error| error.name == ErrorName::ObjectMismatch;
        if self.journal.checkpoint.is_none() || outcome.as_ref().err().is_none_or(is_lost) {
            self.journal.remove();
        }
        if let Err(error) = outcome {
            let Journal { execution, checkpoint, .. } = &self.journal;
            let failed = StateError { state: self.failed, error: error.clone() };
            let checkpoint = checkpoint.as_ref().map(|checkpoint| json!(checkpoint));
            let input = CollectMachine::input(&self.file);
            self.recorder.record(execution, &input, checkpoint, &failed).await;
        }
    }
}

/// Calls the handlers, and writes each checkpoint to the journal.
struct Journaled<'a> {
    handlers: &'a mut CollectHandlers,
    journal: &'a mut Journal<CollectCheckpoint>,
}

impl CollectFunctions for Journaled<'_> {
    async fn fetch_key(&mut self, input: FetchKeyInput) -> Result<FetchKeyOutput> {
        self.handlers.fetch_key(input).await
    }

    async fn settle(&mut self) {
        self.handlers.settle().await;
    }

    async fn collect(&mut self, input: CollectInput) -> Result<CollectProgress> {
        self.handlers.collect(input).await
    }

    async fn settle_remote(&mut self, input: SettleRemoteInput) -> Result<CollectProgress> {
        self.handlers.settle_remote(input).await
    }

    fn document_changed(&mut self, document: &CollectDocument) {
        // After a receipt there is nothing to resume, and the state is removed.
        if document.receipt.is_none() {
            self.journal.save(document.checkpoint.as_ref());
        }
    }
}

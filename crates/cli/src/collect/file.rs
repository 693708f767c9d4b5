//! The collection of one file.

use std::sync::{Arc, Mutex};

use bridge::collect::{
    CollectCheckpoint, CollectInput, CollectProgress, CollectReceipt, RemoteFile, SettleRemoteInput,
};
use bridge::{CredentialReference, ErrorName, FetchKeyInput, FetchKeyOutput, Result};
use delivery::{
    CollectDocument, CollectFunctions, CollectHandlers, CollectMachine, CollectState, Recorder, StateError,
};
use serde_json::json;

use super::uploads::Uploads;
use crate::many::Attempt;
use crate::state::Journal;

/// The collection of one file, with what it keeps on this machine.
pub(super) struct FileCollection {
    pub(super) file: RemoteFile,
    pub(super) credential: CredentialReference,
    /// The handler tells it of each checkpoint, too.
    pub(super) journal: Arc<Mutex<Journal<CollectCheckpoint>>>,
    /// Where the upload is noted if the journal keeps nothing.
    pub(super) uploads: Uploads,
    pub(super) handlers: CollectHandlers,
    pub(super) recorder: Recorder,
    /// The state that failed last.
    pub(super) failed: CollectState,
}

impl Attempt for FileCollection {
    type Done = CollectReceipt;

    /// Runs to the end, without retries. The settling time is over: all files have waited for it together.
    async fn run(&mut self) -> Result<CollectReceipt> {
        let (checkpoint, execution) = {
            let journal = bridge::lock(&self.journal);
            (journal.checkpoint.clone(), journal.execution.clone())
        };
        let state = checkpoint.as_ref().map_or(CollectState::Collect, |it| CollectState::of(&it.phase));
        let credential = Some(self.credential.clone());
        let document = CollectDocument { credential, checkpoint, ..CollectDocument::default() };
        let mut machine = CollectMachine::at(state, execution, self.file.clone(), document);
        let mut functions = Journaled { handlers: &mut self.handlers, journal: &self.journal };
        machine.run(&mut functions).await.map_err(|failed| {
            self.failed = failed.state;
            failed.error
        })
    }
}

impl FileCollection {
    /// Cleans up after the last run: removes a state or an upload that no run can resume, and records a failure.
    pub(super) async fn settle(&mut self, outcome: &Result<CollectReceipt>) {
        let (execution, checkpoint) = {
            let mut journal = bridge::lock(&self.journal);
            let checkpoint = journal.checkpoint.clone();
            let recorded = checkpoint.as_ref().map(|checkpoint| json!(checkpoint));
            match outcome {
                // The object is not what was stored: the next run begins again, and does not believe its metadata.
                Err(error) if error.name == ErrorName::ObjectMismatch => {
                    journal.save_even_if_small(checkpoint.map(CollectCheckpoint::after_mismatch).as_ref());
                }
                Err(_) if checkpoint.is_some() => {}
                _ => journal.remove(),
            }
            (journal.execution.clone(), recorded)
        };
        let Err(error) = outcome else { return self.uploads.forget(&self.file.path) };
        self.uploads.end(&self.file.path).await;
        let failed = StateError { state: self.failed, error: error.clone() };
        let input = CollectMachine::input(&self.file);
        self.recorder.record(&execution, &input, checkpoint, &failed).await;
    }
}

/// Calls the handlers, and writes each checkpoint to the journal.
struct Journaled<'a> {
    handlers: &'a mut CollectHandlers,
    journal: &'a Mutex<Journal<CollectCheckpoint>>,
}

impl CollectFunctions for Journaled<'_> {
    async fn fetch_key(&mut self, input: FetchKeyInput) -> Result<FetchKeyOutput> {
        self.handlers.fetch_key(input).await
    }

    async fn settle(&mut self) {
        self.handlers.settle().await;
    }

    async fn collect(&mut self, input: CollectInput) -> Result<CollectProgress> {
        let before = input.checkpoint.clone();
        let progress = self.handlers.collect(input).await;
        if progress.is_err() {
            // What the call has told meanwhile is not there any more.
            bridge::lock(self.journal).save(before.as_ref());
        }
        progress
    }

    async fn settle_remote(&mut self, input: SettleRemoteInput) -> Result<CollectProgress> {
        self.handlers.settle_remote(input).await
    }

    fn document_changed(&mut self, document: &CollectDocument) {
        // After a receipt there is nothing to resume, and the state is removed.
        if document.receipt.is_none() {
            bridge::lock(self.journal).save(document.checkpoint.as_ref());
        }
    }
}

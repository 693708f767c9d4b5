//! One execution, from state to state.

use bridge::collect::{CollectInput, CollectReceipt, CollectStep, RemoteFile, SettleRemoteInput};
use bridge::{ErrorName, Execution, FetchKeyInput, Result};
use serde_json::{Value, json};

use super::document::CollectDocument;
use super::functions::CollectFunctions;
use super::state::CollectState;
use crate::failed::StateError;

/// One execution of the state machine that collects a file.
#[derive(Clone, Debug)]
pub struct CollectMachine {
    execution: Execution,
    file: RemoteFile,
    state: CollectState,
    document: CollectDocument,
    calls: u32,
}

impl CollectMachine {
    /// An execution that starts with `FetchKey`.
    pub fn new(execution: Execution, file: RemoteFile) -> Self {
        Self::at(CollectState::FetchKey, execution, file, CollectDocument::default())
    }

    /// An execution that enters `state` next, with what the states before it have learnt.
    pub fn at(
        state: CollectState,
        execution: Execution,
        file: RemoteFile,
        document: CollectDocument,
    ) -> Self {
        Self { execution, file, state, document, calls: 0 }
    }

    /// What the states have learnt so far.
    pub fn document(&self) -> &CollectDocument {
        &self.document
    }

    /// The number of calls of functions so far.
    pub fn calls(&self) -> u32 {
        self.calls
    }

    /// The input of an execution that collects this file.
    pub fn input(file: &RemoteFile) -> Value {
        json!({ "file": file })
    }

    /// Runs to the end. After an error, a second call continues at the state that failed.
    ///
    /// # Errors
    /// Those of the functions.
    pub async fn run(
        &mut self,
        functions: &mut impl CollectFunctions,
    ) -> Result<CollectReceipt, StateError<CollectState>> {
        self.run_until(CollectState::Collected, functions).await?;
        self.document.receipt.clone().ok_or_else(|| StateError {
            state: CollectState::Collected,
            error: ErrorName::Internal.error("the collection ended without a receipt"),
        })
    }

    /// Runs until `state` comes next, or to the end.
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    pub async fn run_until(
        &mut self,
        state: CollectState,
        functions: &mut impl CollectFunctions,
    ) -> Result<(), StateError<CollectState>> {
        while self.state != state && self.state != CollectState::Collected {
            let state = self.state;
            self.call(functions).await.map_err(|error| StateError { state, error })?;
            self.state = state.after_success(&self.document);
            functions.document_changed(&self.document);
        }
        Ok(())
    }

    /// Does what the current state does, once.
    async fn call(&mut self, functions: &mut impl CollectFunctions) -> Result<()> {
        match self.state {
            CollectState::FetchKey => {
                self.calls += 1;
                let input = FetchKeyInput { event: Self::input(&self.file) };
                self.document.credential = Some(functions.fetch_key(input).await?.credential);
            }
            // What has a checkpoint was looked at before.
            CollectState::Settle if self.document.checkpoint.is_some() => {}
            CollectState::Settle => functions.settle().await,
            CollectState::Collect => self.collect(CollectStep::Collect, functions).await?,
            CollectState::VerifyObject => self.collect(CollectStep::VerifyObject, functions).await?,
            CollectState::SettleRemote => {
                self.calls += 1;
                let (credential, checkpoint) = (self.document.credential()?, self.document.checkpoint()?);
                let input = SettleRemoteInput { execution: self.execution.clone(), credential, checkpoint };
                self.document.merge(functions.settle_remote(input).await?);
            }
            CollectState::Collected => {}
        }
        Ok(())
    }

    async fn collect(&mut self, step: CollectStep, functions: &mut impl CollectFunctions) -> Result<()> {
        self.calls += 1;
        let (execution, file) = (self.execution.clone(), self.file.clone());
        let (credential, checkpoint) = (self.document.credential()?, self.document.checkpoint.clone());
        let input = CollectInput { step, execution, file, credential, checkpoint };
        self.document.merge(functions.collect(input).await?);
        Ok(())
    }
}

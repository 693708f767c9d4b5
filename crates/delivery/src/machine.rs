//! One execution, from state to state.

use bridge::{ErrorName, Execution, FetchKeyInput, Receipt, Result, TransferInput, VerifyRemoteInput};
use serde_json::Value;

use crate::document::Document;
use crate::failed::StateError;
use crate::functions::Functions;
use crate::state::State;

/// One execution of the state machine.
#[derive(Clone, Debug)]
pub struct StateMachine {
    execution: Execution,
    event: Value,
    state: State,
    document: Document,
    calls: u32,
}

impl StateMachine {
    /// An execution that starts with `FetchKey`.
    pub fn new(execution: Execution, event: Value) -> Self {
        Self::at(State::FetchKey, execution, event, Document::default())
    }

    /// An execution that enters `state` next, with what the states before it have learnt.
    pub fn at(state: State, execution: Execution, event: Value, document: Document) -> Self {
        Self { execution, event, state, document, calls: 0 }
    }

    /// What the states have learnt so far.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// The number of calls so far.
    pub fn calls(&self) -> u32 {
        self.calls
    }

    /// Runs to the end. After an error, a second call continues at the state that failed.
    ///
    /// # Errors
    /// Those of the functions, except for what another state cures.
    pub async fn run(&mut self, functions: &mut impl Functions) -> Result<Receipt, StateError> {
        self.run_until(State::Delivered, functions).await?;
        self.document.receipt.clone().ok_or_else(|| StateError {
            state: State::Delivered,
            error: ErrorName::Internal.error("the delivery ended without a receipt"),
        })
    }

    /// Runs until `state` comes next, or to the end.
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    pub async fn run_until(
        &mut self,
        state: State,
        functions: &mut impl Functions,
    ) -> Result<(), StateError> {
        while self.state != state && self.state != State::Delivered {
            self.step(functions).await?;
        }
        Ok(())
    }

    /// Calls the function of the current state once, and moves to the next state.
    async fn step(&mut self, functions: &mut impl Functions) -> Result<(), StateError> {
        let state = self.state;
        self.state = match self.call(functions).await {
            Ok(()) => state.after_success(&self.document),
            Err(error) => match state.after_error(error.name, &self.document) {
                Some(next) => {
                    // The partial file is gone, and the checkpoint with it.
                    self.document.checkpoint = None;
                    self.document.resends += 1;
                    next
                }
                None => return Err(StateError { state, error }),
            },
        };
        functions.document_changed(&self.document);
        Ok(())
    }

    async fn call(&mut self, functions: &mut impl Functions) -> Result<()> {
        let (execution, event) = (self.execution.clone(), self.event.clone());
        let document = &mut self.document;
        self.calls += 1;
        match self.state {
            State::FetchKey => {
                let output = functions.fetch_key(FetchKeyInput { event }).await?;
                document.credential = Some(output.credential);
                Ok(())
            }
            State::Transfer => {
                let (credential, checkpoint) = (document.credential()?, document.checkpoint.clone());
                let resends = document.resends;
                let input = TransferInput { execution, event, credential, checkpoint, resends };
                document.merge(functions.transfer(input).await?);
                Ok(())
            }
            State::VerifyRemote => {
                let (credential, checkpoint) = (document.credential()?, document.checkpoint()?);
                let input = VerifyRemoteInput { execution, credential, checkpoint };
                document.merge(functions.verify_remote(input).await?);
                Ok(())
            }
            State::Delivered => Ok(()),
        }
    }
}

//! One delivery in one process: the states of `statemachine/bridge.asl.json`, without Step Functions.
//!
//! [`StateMachine`] knows the order of the states. It calls the functions through [`Functions`]; [`Handlers`] calls
//! their real handlers. Retries after an error and the record of a failure ([`Recorder`]) are the caller's: call
//! [`StateMachine::run`] again, and it continues at the state that failed.
//!
//! [`CollectMachine`] is the same for `statemachine/collect.asl.json`, the other direction.
//!
//! One catcher of the definitions is missing: after `CredentialExpired` they return to `FetchKey`. Here the error ends the
//! run.

mod collection;
mod document;
mod failed;
mod functions;
mod machine;
mod record;
mod state;

pub use collect::OnCheckpoint;
pub use collection::{CollectDocument, CollectFunctions, CollectHandlers, CollectMachine, CollectState};
pub use document::Document;
pub use failed::StateError;
pub use functions::{Functions, Handlers};
pub use machine::StateMachine;
pub use record::Recorder;
pub use state::State;

#[cfg(test)]
mod asl;
#[cfg(test)]
mod definition;

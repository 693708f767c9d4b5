//! One collection in one process: the states of `statemachine/collect.asl.json`, without Step Functions.
//!
//! [`CollectMachine`] knows the order of the states. It calls the functions through [`CollectFunctions`];
//! [`CollectHandlers`] calls their real handlers. Retries after an error and the record of a failure are the caller's, as
//! for a delivery.

mod document;
mod functions;
mod machine;
mod state;

pub use document::CollectDocument;
pub use functions::{CollectFunctions, CollectHandlers};
pub use machine::CollectMachine;
pub use state::CollectState;

#[cfg(test)]
mod definition;

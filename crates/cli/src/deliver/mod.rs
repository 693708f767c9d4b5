//! `deliver`: the state machine's states for one object or for many, in this process.

pub(crate) mod progress;
pub(crate) mod recursive;
pub(crate) mod runner;
mod state;
pub(crate) mod summary;

//! The error that ends a run.

use std::fmt;

use bridge::Error;

use crate::state::State;

/// The error that ended a run, and the state it came from.
#[derive(Clone, Debug)]
pub struct StateError<S = State> {
    /// The state that failed.
    pub state: S,
    /// Why it failed.
    pub error: Error,
}

impl<S: fmt::Display> fmt::Display for StateError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.state, self.error)
    }
}

impl<S: fmt::Debug + fmt::Display> std::error::Error for StateError<S> {}

//! The states that a file passes, with the retriers of throttled calls.

use anyhow::Result;
use integration_tests::retrier::{Retrier, THROTTLED};

/// The retriers of throttled calls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Definition {
    pub(crate) fetch_key: Retrier,
    pub(crate) transfer: Retrier,
    pub(crate) verify_remote: Retrier,
}

impl Definition {
    /// Those of `statemachine/bridge.asl.json`.
    pub(crate) fn shipped() -> Result<Self> {
        Ok(Self {
            fetch_key: Retrier::of("FetchKey", THROTTLED)?,
            transfer: Retrier::of("Transfer", THROTTLED)?,
            verify_remote: Retrier::of("VerifyRemote", THROTTLED)?,
        })
    }
}

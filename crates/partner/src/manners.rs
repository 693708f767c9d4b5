//! How a process behaves towards a partner who refuses it, or cannot be reached.

use std::time::Duration;

/// How a process behaves towards a partner who refuses it, or cannot be reached.
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    /// How long a credential that was refused is not shown again; twice as long after each further refusal.
    pub refused: Duration,
    /// The longest time that it is not shown.
    pub refused_max: Duration,
    /// The longest pause between two connections that a call waits out. If a longer one is due, the call fails at once.
    pub patience: Duration,
}

impl Manners {
    /// Those of a function: the state machine is the patient one, and an invocation is not slept away.
    pub const LAMBDA: Self = Self {
        refused: Duration::from_secs(60),
        refused_max: Duration::from_secs(15 * 60),
        patience: Duration::from_secs(5),
    };

    /// Those of the command line, behind which nobody retries: it waits out the longest pause.
    pub const COMMAND_LINE: Self = Self { patience: Duration::from_secs(30), ..Self::LAMBDA };
}

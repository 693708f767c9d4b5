//! How a process treats a server that refuses its logins or cannot be reached.

use std::time::Duration;

/// How a process treats a server that refuses its logins or cannot be reached.
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    /// How long a refused credential is not tried again. Each further refusal doubles it.
    pub refused: Duration,
    /// Maximum time that it is not tried.
    pub refused_max: Duration,
    /// Maximum pause before a connection that a call waits for. If the pause is longer, the call fails at once.
    pub patience: Duration,
    /// The longest pause between connections that fail.
    pub pause_max: Duration,
}

impl Manners {
    /// For a Lambda function: the retries of the state machine wait for the server, at less cost than an invocation. Thousands
    /// of files may be retried while the partner is away, and one connection in two minutes is enough to notice its return.
    pub const LAMBDA: Self = Self {
        refused: Duration::from_secs(60),
        refused_max: Duration::from_secs(15 * 60),
        patience: Duration::from_secs(5),
        pause_max: Duration::from_secs(120),
    };

    /// For the command line, which nobody retries: it waits for the longest pause.
    pub const COMMAND_LINE: Self =
        Self { patience: Duration::from_secs(30), pause_max: Duration::from_secs(30), ..Self::LAMBDA };
}

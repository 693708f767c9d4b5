//! Asking before many executions are started.

use std::io::{self, BufRead as _, IsTerminal as _};

use super::problem::Problem;
use crate::output;
use crate::stop::Stop;

/// Up to this many are started without a question.
pub(crate) const UNASKED_MAX: usize = 10;

/// Whether the operator has said yes in advance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consent {
    Given,
    /// Ask, if there are many.
    Asked,
}

impl Consent {
    /// Of the option `--yes`.
    pub(crate) fn of(yes: bool) -> Self {
        if yes { Self::Given } else { Self::Asked }
    }
}

/// Returns if `count` of them may be done; `what` is, for example, "redrive 42 executions".
///
/// # Errors
/// `Stopped` if the operator says no; `Usage` if nobody can be asked.
pub(crate) async fn confirm(count: usize, what: &str, consent: Consent, stop: &Stop) -> Result<(), Problem> {
    if consent == Consent::Given || count <= UNASKED_MAX {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Problem::Usage(format!("to {what} without a terminal, add --yes")));
    }
    output::ask(&format!("{what}? [y/N]"));
    let (sender, answer) = tokio::sync::oneshot::channel();
    // Not tokio's blocking pool: the process would wait for the answer even after Ctrl-C.
    std::thread::spawn(move || sender.send(io::stdin().lock().lines().next()));
    let answer = tokio::select! {
        answer = answer => answer,
        () = stop.requested() => return Err(Problem::Stopped),
    };
    match answer {
        Ok(Some(Ok(answer))) if ["y", "yes"].contains(&answer.trim().to_lowercase().as_str()) => Ok(()),
        _ => Err(Problem::Stopped),
    }
}

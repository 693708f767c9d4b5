//! `status`: what is going on, in one line for scripts, and in full for people.

mod gather;
mod health;
mod show;
mod snapshot;

use std::io::IsTerminal as _;
use std::time::Duration;

use self::health::health;
use super::arguments::StackArguments;
use super::operator::Operator;
use super::problem::{Answer, Problem};
use crate::output::{self, Layout};
use crate::stop::Stop;

/// Show what is going on
///
/// The first line is for scripts. It begins with `ok:`, `waiting:` (the partner
/// cannot be reached) or `failing:` (deliveries have failed, and somebody has to
/// do something). Then follow running deliveries and what the oldest of them wait
/// for, what was delivered in the last hour and day, and open failures by error.
/// Changes nothing.
///
/// Exit status:
///   0  ok
///   1  waiting or failing
///   2  wrong usage, no such stack, no credentials
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    #[command(flatten)]
    stack: StackArguments,
    /// Show it again every 10 seconds, until Ctrl-C
    #[arg(long)]
    watch: bool,
}

/// The pause between two looks.
const PAUSE: Duration = Duration::from_secs(10);

pub(crate) async fn run(arguments: &Arguments, stop: &Stop) -> Result<Answer, Problem> {
    let mut operator = None;
    loop {
        let answer = tokio::select! {
            answer = look(arguments, &mut operator) => answer?,
            () = stop.requested() => return Err(Problem::Stopped),
        };
        if !arguments.watch {
            return Ok(answer);
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            // This is how watching ends.
            () = stop.requested() => return Ok(answer),
        }
    }
}

/// Looks once, and prints.
async fn look(arguments: &Arguments, operator: &mut Option<Operator>) -> Result<Answer, Problem> {
    let Arguments { stack, watch } = arguments;
    let operator = match operator {
        Some(operator) => operator,
        None => operator.insert(Operator::of(stack).await?),
    };
    let snapshot = gather::snapshot(operator).await?;
    let health = health(&snapshot);
    if stack.json {
        let layout = if *watch { Layout::OneLine } else { Layout::Pretty };
        output::say_json(&show::json(&snapshot, &health), layout);
        return Ok(health.answer());
    }
    if *watch && std::io::stdout().is_terminal() {
        output::clear_screen();
    }
    output::say_styled(&show::lines(&snapshot, &health));
    Ok(health.answer())
}

//! The commands of the operator of a stack. A new command is a module with `Arguments` and `run`, a variant of `Command`,
//! and a line in `answer`.

mod arguments;
mod backfill;
mod check;
mod confirm;
mod executions;
mod failures;
mod filter;
mod history;
mod holdings;
mod listing;
mod names;
mod operator;
mod problem;
mod progress;
mod records;
mod redrive;
mod running;
mod since;
mod stack;
mod status;
mod table;
mod undelivered;
mod whereabouts;

use std::process::ExitCode;

use clap::Subcommand;

use self::problem::{Answer, Problem};
use crate::stop::Stop;

/// A command.
#[derive(Subcommand)]
pub(crate) enum Command {
    Failures(failures::Arguments),
    Redrive(redrive::Arguments),
    Backfill(backfill::Arguments),
    Check(check::Arguments),
    Where(whereabouts::Arguments),
    Status(status::Arguments),
}

pub(crate) async fn run(command: &Command, stop: &Stop) -> ExitCode {
    match answer(command, stop).await {
        Ok(Answer::Fine) => ExitCode::SUCCESS,
        Ok(Answer::Owed) => ExitCode::from(1),
        Err(problem) => problem.print(),
    }
}

async fn answer(command: &Command, stop: &Stop) -> Result<Answer, Problem> {
    match command {
        Command::Failures(arguments) => unless_stopped(stop, failures::run(arguments)).await,
        Command::Redrive(arguments) => redrive::run(arguments, stop).await,
        Command::Backfill(arguments) => backfill::run(arguments, stop).await,
        Command::Check(arguments) => unless_stopped(stop, check::run(arguments)).await,
        Command::Where(arguments) => unless_stopped(stop, whereabouts::run(arguments)).await,
        Command::Status(arguments) => status::run(arguments, stop).await,
    }
}

/// For commands that change nothing: they may be stopped anywhere.
async fn unless_stopped(
    stop: &Stop,
    answer: impl Future<Output = Result<Answer, Problem>>,
) -> Result<Answer, Problem> {
    tokio::select! {
        answer = answer => answer,
        () = stop.requested() => Err(Problem::Stopped),
    }
}

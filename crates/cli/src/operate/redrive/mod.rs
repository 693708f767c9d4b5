//! `redrive`: finishes failed deliveries, many at once.

mod attempt;
mod plan;
mod probe;
mod report;
mod run;

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_sdk_sfn::types::ExecutionStatus;
use bridge::FailureState;
use clap::Args;

use self::plan::Plan;
use self::report::Report;
use super::arguments::StackArguments;
use super::confirm::{Consent, confirm};
use super::filter::Filter;
use super::operator::Operator;
use super::problem::{Answer, Problem};
use super::progress;
use crate::stop::Stop;

/// Finish failed deliveries and collections, many at once
///
/// Takes the open failures that `failures` shows. An execution that failed is
/// redriven: it resumes where it stopped. What cannot be redriven (it ended more
/// than 14 days ago, or its history is too long) is started anew with the same
/// input. What runs already is left alone, so running this command again does
/// nothing twice.
///
/// After a refused login or host key (HostKeyMismatch, NoCommonAlgorithm,
/// AuthenticationRejected) one delivery is tried first, and the others only if it
/// gets further.
///
/// Exit status:
///   0  done, or nothing to do
///   1  some were not redriven, stopped, or AWS refused
///   2  wrong usage, no such stack, no credentials
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    #[command(flatten)]
    stack: StackArguments,
    #[command(flatten)]
    filter: Filter,
    /// Redrive at most N, the oldest first
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Say what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask, even if there are more than ten
    #[arg(long)]
    yes: bool,
}

pub(crate) async fn run(arguments: &Arguments, stop: &Stop) -> Result<Answer, Problem> {
    let prepared = tokio::select! {
        prepared = prepare(arguments) => prepared?,
        () = stop.requested() => return Err(Problem::Stopped),
    };
    let (operator, plan) = prepared;
    let count = plan.count();
    let mut report = Report::new(&operator, &plan);
    if arguments.dry_run || count == 0 {
        report.print_plan(arguments.stack.json);
        return Ok(Answer::Fine);
    }
    let what = format!("redrive {count} failures of the stack {}", operator.stack.name());
    confirm(count, &what, Consent::of(arguments.yes), stop).await?;
    let ended = run::all(&operator, plan, &mut report, stop).await;
    report.print(arguments.stack.json);
    ended?;
    Ok(if report.is_complete() { Answer::Fine } else { Answer::Owed })
}

/// Reads what is owed and what runs. Changes nothing.
async fn prepare(arguments: &Arguments) -> Result<(Arc<Operator>, Plan), Problem> {
    let operator = Operator::of(&arguments.stack).await?;
    let found = arguments.filter.failures(&operator.records, FailureState::Open).await?;
    let running = if found.failures.is_empty() { BTreeSet::new() } else { running(&operator).await? };
    Ok((Arc::new(operator), Plan::new(found, &running, arguments.limit)))
}

/// Names of the executions that run now.
async fn running(operator: &Operator) -> Result<BTreeSet<String>, Problem> {
    let bar = progress::counting("reading running executions");
    let mut names = BTreeSet::new();
    for executions in operator.all_executions() {
        let mut pages = executions.list(Some(ExecutionStatus::Running));
        while let Some(page) = pages.page().await? {
            bar.inc(page.len() as u64);
            names.extend(page.into_iter().map(|execution| execution.name));
        }
    }
    bar.finish_and_clear();
    Ok(names)
}

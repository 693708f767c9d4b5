//! `backfill`: starts the deliveries of objects that no event started: those that were in the bucket before the stack, or
//! whose events were lost.

mod candidates;
mod direct;
mod earlier;
mod event;
mod file;
mod machine;
mod plan;
mod report;

use std::path::PathBuf;

use self::plan::{Plan, Receipted, Way};
use super::arguments::StackArguments;
use super::confirm::{Consent, confirm};
use super::holdings::Rule;
use super::operator::Operator;
use super::problem::{Answer, Problem};
use super::since::Since;
use crate::location::Location;
use crate::stop::Stop;

/// Start deliveries of objects that are in the bucket already
///
/// For objects that were uploaded before the stack was deployed, or whose events
/// were lost. What is under way, or failed, is left alone: redrive finishes what
/// failed. Run twice, it starts nothing twice.
///
/// More than 300 deliveries are started by a state machine of the stack, which
/// keeps below MaxConnections and goes on when this command has ended.
///
/// Exit status:
///   0  everything is started or delivered
///   1  something failed or was left out; or AWS refused, or you stopped it
///   2  wrong usage, no such stack, or no credentials
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// s3://BUCKET/PREFIX: all objects whose keys begin with PREFIX
    #[arg(value_parser = Location::parse, required_unless_present = "manifest")]
    objects: Option<Location>,
    #[command(flatten)]
    stack: StackArguments,
    /// Leave out what has a receipt
    #[arg(long)]
    not_delivered: bool,
    /// Only uploads since then: 24h, 7d, a day or a time
    #[arg(long, value_name = "WHEN", value_parser = Since::parse)]
    newer_than: Option<Since>,
    /// Take the objects from this file instead of a listing
    ///
    /// One key on each line, or one JSON object: {"object_key": ...}, with
    /// "version_id" if it is not the current one.
    #[arg(long, value_name = "FILE", verbatim_doc_comment)]
    manifest: Option<PathBuf>,
    /// Say what would be started, and start nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask before more than ten
    #[arg(long, short)]
    yes: bool,
}

/// Finds out what is to be started, asks, and starts it.
pub(crate) async fn run(arguments: &Arguments, stop: &Stop) -> Result<Answer, Problem> {
    let operator = Operator::of(&arguments.stack).await?;
    let plan = tokio::select! {
        plan = planned(arguments, &operator) => plan?,
        () = stop.requested() => return Err(Problem::Stopped),
    };
    let layout = report::Layout::of(arguments.stack.json);
    let count = plan.new_items().count();
    if arguments.dry_run || count == 0 {
        return Ok(report::only_planned(&plan, &operator.stack, layout));
    }
    report::before(&plan, &operator.stack, layout);
    let deliveries = if count == 1 { "1 delivery" } else { &format!("{count} deliveries") };
    confirm(count, &format!("start {deliveries}"), Consent::of(arguments.yes), stop).await?;
    match plan.way {
        Way::Direct => direct::start(&plan, &operator, layout, stop).await,
        Way::Machine => machine::start(&plan, &operator, layout).await,
    }
}

async fn planned(arguments: &Arguments, operator: &Operator) -> Result<Plan, Problem> {
    let stack = &operator.stack;
    if stack.backfill_machine_arn().is_empty() {
        return Err(Problem::Usage(format!(
            "the stack {:?} has no output BackfillStateMachineArn: it was deployed by an older release; deploy it again",
            stack.name()
        )));
    }
    let bucket = arguments.objects.as_ref().map_or(stack.bucket(), |objects| &objects.bucket);
    let rule = Rule::of(stack, bucket)?;
    let prefix = prefix(arguments.objects.as_ref(), &rule)?;
    let found = match &arguments.manifest {
        Some(file) => candidates::named(operator, &rule, file, &prefix).await?,
        None => candidates::listed(operator, &rule, &prefix).await?,
    };
    let found = found.newer_than(arguments.newer_than.as_ref());
    let receipts = if arguments.not_delivered { Receipted::LeaveOut } else { Receipted::Include };
    plan::make(operator, found, &prefix, receipts).await
}

/// The beginning of the keys that are meant.
///
/// # Errors
/// `Usage` if the stack delivers none of them.
fn prefix(objects: Option<&Location>, rule: &Rule) -> Result<String, Problem> {
    let wanted = objects.map_or("", |objects| objects.object_key.as_str());
    let Rule { bucket, key_prefix, .. } = rule;
    if wanted.starts_with(key_prefix.as_str()) {
        Ok(wanted.to_owned())
    } else if key_prefix.starts_with(wanted) {
        Ok(key_prefix.clone())
    } else {
        Err(Problem::Usage(format!(
            "the stack delivers only what begins with s3://{bucket}/{key_prefix}, and nothing of s3://{bucket}/{wanted}"
        )))
    }
}

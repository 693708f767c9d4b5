//! `where`: was an object delivered, when, and how was that proved?

mod entry;
mod facts;
mod gather;
mod verdict;

use self::facts::Facts;
use self::verdict::Verdict;
use super::arguments::StackArguments;
use super::holdings::Rule;
use super::operator::Operator;
use super::problem::{Answer, Problem};
use super::table::{Align, Table};
use crate::location::Location;
use crate::output::{self, Layout};

/// Tell what became of an object
///
/// The first line is the answer: was it delivered, when, and how was that proved?
/// Then follows all that is known of the object, in order of time: uploads,
/// executions, failed attempts, failures, receipts. Changes nothing.
///
/// Exit status:
///   0  delivered, or there is nothing to deliver
///   1  owed, or nobody knows
///   2  wrong usage, no such stack, no credentials
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// s3://BUCKET/KEY; the key is not URL-decoded
    #[arg(value_parser = Location::parse)]
    object: Location,
    #[command(flatten)]
    stack: StackArguments,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<Answer, Problem> {
    let Arguments { object, stack } = arguments;
    if object.object_key.is_empty() {
        return Err(Problem::Usage(
            "expected s3://BUCKET/KEY; for all objects of a bucket, use check".into(),
        ));
    }
    let operator = Operator::of(stack).await?;
    let rule = Rule::of(&operator.stack, &object.bucket)?;
    let facts = gather::facts(&operator, &rule, &object.object_key).await?;
    let verdict = facts.verdict(&rule);
    if stack.json {
        output::say_json(&json(object, &facts, &verdict), Layout::Pretty);
    } else {
        print(object, &facts, &verdict);
    }
    Ok(verdict.answer())
}

fn json(object: &Location, facts: &Facts, verdict: &Verdict) -> serde_json::Value {
    let history: Vec<_> = facts.entries().iter().map(entry::Entry::json).collect();
    serde_json::json!({
        "bucket": object.bucket,
        "object_key": object.object_key,
        "verdict": verdict.name(),
        "in_words": verdict.in_words(object),
        "history": history,
    })
}

fn print(object: &Location, facts: &Facts, verdict: &Verdict) {
    output::say(&[verdict.in_words(object)]);
    let entries = facts.entries();
    if !entries.is_empty() {
        let mut table = Table::new(&[("time", Align::Left), ("what", Align::Left), ("", Align::Left)]);
        for entry in entries {
            table.row(entry.cells());
        }
        output::say_styled(&table.lines());
    }
    output::note(&facts.left_out());
}

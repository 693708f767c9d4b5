//! `where`: was an object delivered, when, and how was that proved?

mod entry;
mod facts;
mod file;
mod gather;
mod verdict;

use self::entry::Entry;
use self::verdict::Verdict;
use super::arguments::StackArguments;
use super::direction::Direction;
use super::holdings::Rule;
use super::operator::Operator;
use super::problem::{Answer, Problem};
use super::table::{Align, Table};
use crate::location::Location;
use crate::output::{self, Layout};

/// Tell what became of an object, or of a file
///
/// The first line is the answer: was it delivered, when, and how was that proved?
/// Or, of a file on the partner's server: was it collected, when, to which object?
/// Then follows all that is known of it, in order of time: uploads, executions,
/// failed attempts, failures, receipts. Changes nothing.
///
/// Exit status:
///   0  delivered or collected, or there is nothing to do
///   1  owed, or nobody knows
///   2  wrong usage, no such stack, no credentials
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// s3://BUCKET/KEY or sftp://HOST/PATH; nothing is URL-decoded
    #[arg(value_parser = Subject::parse, value_name = "OBJECT")]
    subject: Subject,
    #[command(flatten)]
    stack: StackArguments,
}

/// What the operator asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Subject {
    Object(Location),
    /// `sftp://HOST/PATH`, as it stands in records.
    File(String),
}

impl Subject {
    fn parse(text: &str) -> Result<Self, String> {
        match Direction::file(text) {
            Some(file) => Ok(Self::File(file)),
            None => Location::parse(text).map(Self::Object),
        }
    }
}

/// The answer, and what it rests on.
struct Told {
    verdict: Verdict,
    /// The first line.
    in_words: String,
    entries: Vec<Entry>,
    /// Number of records and executions that were left out.
    unread: usize,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<Answer, Problem> {
    let Arguments { subject, stack } = arguments;
    let told = match subject {
        Subject::Object(object) => of_object(stack, object).await?,
        Subject::File(url) => of_file(stack, url).await?,
    };
    if stack.json {
        output::say_json(&json(subject, &told), Layout::Pretty);
    } else {
        print(&told);
    }
    Ok(told.verdict.answer())
}

async fn of_object(stack: &StackArguments, object: &Location) -> Result<Told, Problem> {
    if object.object_key.is_empty() {
        return Err(Problem::Usage(
            "expected s3://BUCKET/KEY; for all objects of a bucket, use check".into(),
        ));
    }
    let operator = Operator::of(stack).await?;
    let rule = Rule::of(&operator.stack, &object.bucket)?;
    let facts = gather::facts(&operator, &rule, &object.object_key).await?;
    let verdict = facts.verdict(&rule);
    let in_words = verdict.in_words(object);
    Ok(Told { verdict, in_words, entries: facts.entries(), unread: facts.unread })
}

async fn of_file(stack: &StackArguments, url: &str) -> Result<Told, Problem> {
    let operator = Operator::of(stack).await?;
    let facts = file::facts(&operator, url).await?;
    let verdict = facts.verdict();
    let in_words = verdict.in_words(&url);
    Ok(Told { verdict, in_words, entries: facts.entries(), unread: facts.unread() })
}

fn json(subject: &Subject, told: &Told) -> serde_json::Value {
    let history: Vec<_> = told.entries.iter().map(Entry::json).collect();
    let mut json = serde_json::json!({
        "verdict": told.verdict.name(),
        "in_words": told.in_words,
        "history": history,
    });
    match subject {
        Subject::Object(Location { bucket, object_key }) => {
            json["bucket"] = bucket.as_str().into();
            json["object_key"] = object_key.as_str().into();
        }
        Subject::File(url) => json["file"] = url.as_str().into(),
    }
    json
}

fn print(told: &Told) {
    output::say(std::slice::from_ref(&told.in_words));
    if !told.entries.is_empty() {
        let mut table = Table::new(&[("time", Align::Left), ("what", Align::Left), ("", Align::Left)]);
        for entry in &told.entries {
            table.row(entry.cells());
        }
        output::say_styled(&table.lines());
    }
    if told.unread > 0 {
        let words = format!("{} older records and executions of it are left out", told.unread);
        output::note(&[words]);
    }
}

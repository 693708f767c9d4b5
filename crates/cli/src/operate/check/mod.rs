//! `check`: compares a bucket with receipts, failures and running executions.

mod counts;
mod finding;
mod partner_look;
mod paths;
mod remote;
mod report;
mod work;

use self::partner_look::PartnerLook;
use self::report::{Report, Shown};
use self::work::Check;
use super::arguments::StackArguments;
use super::direction::Direction;
use super::holdings::Rule;
use super::operator::Operator;
use super::problem::{Answer, Problem};
use super::since::Since;
use crate::location::Location;

/// Compare a bucket with what was delivered
///
/// Compares the current objects below a prefix with the receipts, the open
/// failures and the running executions. Prints a line for each object that was
/// not delivered:
///
///   '!'  failed, and somebody has to do something
///   '~'  under way, or waiting for the partner
///   '+'  never started
///   '-'  passed over on purpose
///   '>'  superseded by a newer upload
///   '='  delivered (with --all, or if the partner's file is missing or differs)
///
/// Changes nothing.
///
/// Exit status:
///   0  nothing is owed
///   1  something is owed (!, ~ or +), or a file on the server has another size
///   2  wrong usage, no such stack, no credentials
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// s3://BUCKET/PREFIX; without PREFIX the whole bucket
    #[arg(value_parser = bucket)]
    prefix: Location,
    #[command(flatten)]
    stack: StackArguments,
    /// Only uploads since then: 24h, 7d, a day or a time
    #[arg(long, value_name = "WHEN", value_parser = Since::parse)]
    since: Option<Since>,
    /// Look on the partner's server as well
    ///
    /// Is each file there, and has it the size of its object?
    /// Reads the credential with your AWS permissions, and makes one
    /// connection. If a file is missing, the partner may have taken it away.
    #[arg(long, verbatim_doc_comment)]
    remote: bool,
    /// Print what was delivered, too
    #[arg(long)]
    all: bool,
}

/// A bucket, or a part of it: there is no list of the files on the server that were collected to compare with.
fn bucket(text: &str) -> Result<Location, String> {
    match Direction::file(text) {
        Some(_) => Err("check compares a bucket with what was delivered. For files on the server, use \
                        s3-sftp-bridge list; for one of them, s3-sftp-bridge where sftp://HOST/PATH"
            .into()),
        None => Location::parse(text),
    }
}

pub(crate) async fn run(arguments: &Arguments) -> Result<Answer, Problem> {
    let Arguments { prefix, stack, since, remote, all } = arguments;
    let operator = Operator::of(stack).await?;
    let rule = Rule::of(&operator.stack, &prefix.bucket)?;
    let partner = match remote {
        true => Some(PartnerLook::start(&operator, &rule.settings, prefix).await?),
        false => None,
    };
    let report = Report::new(stack.json, if *all { Shown::All } else { Shown::Odd });
    let check = Check::new(&operator, rule, prefix, since.as_ref().map(Since::unix_seconds), report);
    let answer = match &partner {
        Some(partner) => {
            let answer = check.run(Some(partner)).await;
            partner.end().await;
            answer
        }
        None => check.run(None).await,
    };
    let counts = answer?;
    counts.print(stack.json, operator.stack.name());
    Ok(if counts.is_fine() { Answer::Fine } else { Answer::Owed })
}

//! `failures`: what is owed, and why.

mod groups;
mod show;

use bridge::{FailureKey, FailureState};
use clap::Args;
use serde::Serialize;

use self::groups::Group;
use self::show::ShowArguments;
use super::arguments::StackArguments;
use super::filter::Filter;
use super::operator::Operator;
use super::problem::{Answer, Problem};
use super::table::{Align, Table};
use crate::output::{self, Layout, Span, Style};

/// List the open failures, by error and cause
///
/// Says for each group how many there are, an example's cause, what to do, and
/// the command that finishes them.
///
/// Exit status:
///   0  no open failures
///   1  open failures, or AWS refused
///   2  wrong usage, no such stack, no credentials
#[derive(Args)]
#[command(verbatim_doc_comment, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    stack: Option<StackArguments>,
    #[command(flatten)]
    filter: Filter,
    /// Also settled failures: those that are not open now
    #[arg(long)]
    all: bool,
}

#[derive(clap::Subcommand)]
enum Part {
    Show(ShowArguments),
}

/// The answer, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Report {
    stack: String,
    open: usize,
    settled: usize,
    groups: Vec<Group>,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<Answer, Problem> {
    if let Some(Part::Show(arguments)) = &arguments.part {
        return show::run(arguments).await;
    }
    let Some(stack) = &arguments.stack else { return Err(Problem::Usage("--stack NAME is missing".into())) };
    let operator = Operator::of(stack).await?;
    let (filter, records) = (&arguments.filter, &operator.records);
    let open = filter.failures(records, FailureState::Open).await?;
    let mut failures: Vec<FailureKey> = open.failures;
    if arguments.all {
        failures.extend(filter.failures(records, FailureState::Settled).await?.failures);
    }
    let groups = groups::explained(groups::of(&failures), &operator, &redrive_command(stack, filter)).await?;
    let total = |count: fn(&Group) -> usize| groups.iter().map(count).sum();
    let report = Report {
        stack: operator.stack.name().to_owned(),
        open: total(|group| group.open),
        settled: total(|group| group.settled),
        groups,
    };
    if stack.json {
        output::say_json(&report, Layout::Pretty);
    } else {
        output::say_styled(&lines(&report, arguments.all, open.others));
    }
    Ok(if report.open == 0 { Answer::Fine } else { Answer::Owed })
}

/// The command that redrives what this command shows, without `--error`.
fn redrive_command(stack: &StackArguments, filter: &Filter) -> String {
    let since = filter.since.as_ref().map(super::since::Since::timestamp);
    let options = [
        ("--stack", Some(stack.stack.as_str())),
        ("--region", stack.region.as_deref()),
        ("--profile", stack.profile.as_deref()),
        ("--since", since.as_deref()),
        ("--prefix", Some(filter.prefix.as_str()).filter(|prefix| !prefix.is_empty())),
    ];
    let options = options.iter().filter_map(|(name, value)| Some(format!(" {name} {}", quoted((*value)?))));
    format!("s3-sftp-bridge redrive{}", options.collect::<String>())
}

/// For a shell.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:+=@,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

fn lines(report: &Report, all: bool, others: usize) -> Vec<Vec<Span>> {
    let mut lines = Vec::new();
    if !report.groups.is_empty() {
        lines = table(&report.groups, all).lines();
        lines.extend(advice(&report.groups));
        lines.push(Vec::new());
    }
    let total = match report.open {
        0 => Span::new(Style::Good, "no open failures"),
        1 => Span::new(Style::Bad, "1 open failure"),
        open => Span::new(Style::Bad, format!("{open} open failures")),
    };
    let others = if others == 0 { String::new() } else { format!("; {others} others do not match") };
    lines.push(vec![total, others.into()]);
    lines
}

fn table(groups: &[Group], all: bool) -> Table {
    let mut columns = vec![("error", Align::Left), ("open", Align::Right)];
    if all {
        columns.push(("settled", Align::Right));
    }
    columns.extend([("oldest", Align::Left), ("newest", Align::Left), ("example's cause", Align::Left)]);
    let mut table = Table::new(&columns);
    for group in groups {
        let style = if group.open > 0 { Style::Bad } else { Style::Plain };
        let mut row = vec![Span::new(style, group.error.clone()), group.open.to_string().into()];
        if all {
            row.push(group.settled.to_string().into());
        }
        row.extend([group.oldest.clone().into(), group.newest.clone().into()]);
        row.push(group.cause().into());
        table.row(row);
    }
    table
}

/// What to do about each error, once.
fn advice(groups: &[Group]) -> Vec<Vec<Span>> {
    let mut lines = Vec::new();
    let mut errors: Vec<&str> = Vec::new();
    for group in groups.iter().filter(|group| group.open > 0) {
        if errors.contains(&group.error.as_str()) {
            continue;
        }
        errors.push(&group.error);
        let title = Span::new(Style::Title, group.error.clone());
        lines.push(Vec::new());
        lines.push(vec![title, format!(": {} ({})", group.what_to_do, group.runbook).into()]);
        lines.push(vec![format!("  {}", group.redrive_command).into()]);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::since::Since;
    use super::*;

    #[test]
    fn the_command_redrives_what_is_shown() {
        let stack = StackArguments {
            stack: "acme".into(),
            region: None,
            profile: Some("my profile".into()),
            json: false,
        };
        let filter = Filter {
            since: Some(Since::parse("2026-11-27").unwrap()),
            error: Some("RemoteFull".into()),
            prefix: "it's/".into(),
        };
        assert_eq!(
            redrive_command(&stack, &filter),
            r"s3-sftp-bridge redrive --stack acme --profile 'my profile' --since 2026-11-27T00:00:00Z --prefix 'it'\''s/'"
        );
    }
}

//! `list`, and `collect --dry-run`.

use std::process::ExitCode;

use bridge::Result;
use serde_json::json;

use super::entry::{Entry, Standing};
use super::look::Names;
use super::runner::CollectRunner;
use super::summary;
use super::target::Target;
use crate::failure;
use crate::output::{self, Layout};
use crate::stop::Stop;

/// Which names are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    All,
    Due,
}

/// Number of names by what becomes of them.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    due: usize,
    changing: usize,
    collected: usize,
    passed_over: usize,
    impossible: usize,
}

pub(super) async fn run(
    runner: &CollectRunner,
    target: &Target,
    shown: Shown,
    json: bool,
    stop: &Stop,
) -> ExitCode {
    let entries = tokio::select! {
        entries = look(runner, target) => entries,
        () = stop.requested() => return ExitCode::from(1),
    };
    let entries = match entries {
        Ok(entries) => entries,
        Err(error) => return failure::print(&error),
    };
    if entries.is_empty() && !target.path().is_empty() {
        output::note(&[summary::nothing_there(&runner.address(target.path()))]);
        return ExitCode::from(1);
    }
    let mut counts = Counts::default();
    for entry in &entries {
        counts.add(entry);
        match (shown == Shown::All || entry.standing.is_due(), json) {
            (false, _) => {}
            (true, true) => output::say_json(&entry.json(), Layout::OneLine),
            (true, false) => output::say_styled(&[entry.line()]),
        }
    }
    if json && shown == Shown::All {
        output::say_json(&json!({ "summary": counts.json() }), Layout::OneLine);
    }
    output::note(&[counts.in_words()]);
    ExitCode::SUCCESS
}

async fn look(runner: &CollectRunner, target: &Target) -> Result<Vec<Entry>> {
    let settle = runner.collect_settings().settle;
    let names = if settle.is_zero() {
        Names::without_first_look()
    } else {
        let names = Names::first(runner, target).await?;
        output::note(&[summary::waiting(settle, "to see what is still changing")]);
        tokio::time::sleep(settle).await;
        names
    };
    names.second(runner, target).await
}

impl Counts {
    fn add(&mut self, entry: &Entry) {
        let count = match entry.standing {
            Standing::Due(_) | Standing::ToSettle(_) => &mut self.due,
            Standing::Changing(..) => &mut self.changing,
            Standing::Collected(_) => &mut self.collected,
            Standing::PassedOver(_) => &mut self.passed_over,
            Standing::Impossible(_) => &mut self.impossible,
        };
        *count += 1;
    }

    fn json(self) -> serde_json::Value {
        let Self { due, changing, collected, passed_over, impossible } = self;
        json!({
            "due": due, "changing": changing, "collected": collected, "passed_over": passed_over,
            "impossible": impossible,
        })
    }

    /// The last line.
    fn in_words(self) -> String {
        let Self { due, changing, collected, passed_over, impossible } = self;
        format!(
            "{due} due (+), {changing} still changing (~), {collected} collected already (=), {passed_over} passed over (-), \
             {impossible} cannot be collected (!)"
        )
    }
}

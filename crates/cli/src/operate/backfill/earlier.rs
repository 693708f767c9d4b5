//! What earlier backfills have started, as the names of the executions tell it.

use std::collections::HashMap;

use aws_sdk_sfn::types::ExecutionStatus;

use super::event::{attempt_of, nth_name};
use crate::operate::executions::Executions;
use crate::operate::problem::Problem;
use crate::operate::progress;

/// The last execution for each first name. Of those that succeeded, only some: Step Functions tells of the others when they
/// are started again.
#[derive(Default)]
pub(super) struct Earlier {
    by_name: HashMap<String, Last>,
    backfills: Backfills,
}

/// The backfills of the last 90 days.
#[derive(Clone, Copy, Debug, Default)]
struct Backfills {
    /// When the first one began, in seconds since 1970.
    first: Option<i64>,
    end: End,
}

/// Whether they have come to their end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum End {
    #[default]
    Reached,
    /// The newest one runs, was stopped, or has failed.
    Open,
}

struct Last {
    attempt: u32,
    state: State,
}

/// Whether an execution has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    UnderWay,
    Succeeded,
    /// Without success.
    Ended,
}

/// Pages of executions that succeeded, at most. Each has 1,000.
const SUCCEEDED_PAGES: usize = 100;

/// The execution for an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It is to be started under this name.
    New(String),
    /// It runs under this name.
    UnderWay(String),
    /// It has succeeded.
    Succeeded,
}

impl Earlier {
    /// Also reads what has succeeded since the first backfill began.
    pub(super) async fn of(executions: &Executions, backfills: &Executions) -> Result<Self, Problem> {
        let bar = progress::counting("reading the names of executions");
        let mut earlier = Self { backfills: Backfills::of(backfills).await?, ..Self::default() };
        if let Some(since) = earlier.backfills.first {
            earlier.note_succeeded(executions, since).await?;
        }
        for (status, state) in [
            (ExecutionStatus::Failed, State::Ended),
            (ExecutionStatus::TimedOut, State::Ended),
            (ExecutionStatus::Aborted, State::Ended),
            // Last: one that was redriven meanwhile counts as what it is now.
            (ExecutionStatus::Running, State::UnderWay),
        ] {
            let mut pages = executions.list(Some(status));
            while let Some(page) = pages.page().await? {
                bar.inc(page.len() as u64);
                page.iter().for_each(|execution| earlier.note(&execution.name, state));
            }
        }
        bar.finish_and_clear();
        Ok(earlier)
    }

    async fn note_succeeded(&mut self, executions: &Executions, since: i64) -> Result<(), Problem> {
        let mut pages = executions.list(Some(ExecutionStatus::Succeeded));
        for _ in 0..SUCCEEDED_PAGES {
            let Some(page) = pages.page().await? else { break };
            page.iter().for_each(|execution| self.note(&execution.name, State::Succeeded));
            // The newest come first.
            if page.last().is_some_and(|execution| execution.start_date.secs() < since) {
                break;
            }
        }
        Ok(())
    }

    pub(super) fn note(&mut self, name: &str, state: State) {
        if !name.starts_with("backfill-") {
            return;
        }
        let (first, attempt) = attempt_of(name);
        let last = self.by_name.entry(first.to_owned()).or_insert(Last { attempt, state });
        if attempt >= last.attempt {
            *last = Last { attempt, state };
        }
    }

    /// Whether the newest backfill has not come to its end.
    pub(super) fn has_unfinished(&self) -> bool {
        self.backfills.end == End::Open
    }

    /// The execution for the upload with this first name.
    pub(super) fn next(&self, first: String) -> Next {
        match self.by_name.get(&first) {
            None => Next::New(first),
            Some(Last { attempt, state: State::UnderWay }) => Next::UnderWay(nth_name(&first, *attempt)),
            Some(Last { state: State::Succeeded, .. }) => Next::Succeeded,
            Some(Last { attempt, state: State::Ended }) => Next::New(nth_name(&first, attempt + 1)),
        }
    }
}

impl Backfills {
    async fn of(backfills: &Executions) -> Result<Self, Problem> {
        let mut all = Self::default();
        let mut newest = None;
        let mut pages = backfills.list(None);
        while let Some(page) = pages.page().await? {
            // The newest come first.
            newest = newest.or_else(|| page.first().map(|backfill| backfill.status.clone()));
            all.first = page.iter().map(|backfill| backfill.start_date.secs()).chain(all.first).min();
        }
        if newest.is_some_and(|status| status != ExecutionStatus::Succeeded) {
            all.end = End::Open;
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn story_221_what_ended_without_success_gets_a_name_of_its_own() {
        let mut earlier = Earlier::default();
        for (name, state) in [
            ("backfill-a", State::Ended),
            ("backfill-b", State::Ended),
            ("backfill-b-2", State::UnderWay),
            ("backfill-c-3", State::Ended),
            ("backfill-c", State::Ended),
            ("backfill-d", State::UnderWay),
            ("rerun-e", State::Ended),
            ("backfill-f", State::Ended),
            ("backfill-f-2", State::Succeeded),
        ] {
            earlier.note(name, state);
        }
        let next = |first: &str| earlier.next(first.to_owned());
        assert_eq!(next("backfill-a"), Next::New("backfill-a-2".into()));
        assert_eq!(next("backfill-b"), Next::UnderWay("backfill-b-2".into()));
        assert_eq!(next("backfill-c"), Next::New("backfill-c-4".into()));
        assert_eq!(next("backfill-d"), Next::UnderWay("backfill-d".into()));
        assert_eq!(next("backfill-f"), Next::Succeeded);
        assert_eq!(next("rerun-e"), Next::New("rerun-e".into()));
    }
}

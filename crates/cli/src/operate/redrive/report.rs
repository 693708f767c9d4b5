//! What was done, and what was not and why.

use bridge::FailureKey;
use serde::Serialize;

use super::super::operator::Operator;
use super::super::table::{Align, Table};
use super::attempt::Outcome;
use super::plan::Plan;
use crate::output::{self, Layout, Span, Style};

/// Maximum number of deliveries that are named one by one. `--json` names all.
const NAMED_MAX: usize = 20;

/// What is printed at the end.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    stack: String,
    /// Redriven executions.
    redriven: usize,
    /// New executions for what could not be redriven.
    started: usize,
    /// Left alone, because they run already.
    running: usize,
    /// They succeeded meanwhile.
    succeeded: usize,
    /// Older failures of an upload whose newest failure is redriven.
    same_upload: usize,
    not_done: usize,
    /// Left for later by `--limit`.
    beyond_limit: usize,
    deliveries: Vec<Delivery>,
    #[serde(skip)]
    planned: usize,
    /// How many of the planned ones were looked at.
    #[serde(skip)]
    ended: usize,
    #[serde(skip)]
    unmatched: usize,
    #[serde(skip)]
    max_connections: usize,
}

/// One failed delivery.
#[derive(Debug, Serialize)]
struct Delivery {
    object_key: String,
    version: String,
    error: String,
    execution: String,
    outcome: &'static str,
    /// Why it was not simply redriven.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// ARN of the execution that delivers it now.
    #[serde(skip_serializing_if = "Option::is_none")]
    runs_as: Option<String>,
}

impl Delivery {
    fn new(failure: &FailureKey, outcome: &'static str) -> Self {
        Self {
            object_key: failure.object.clone(),
            version: failure.version.as_str().to_owned(),
            error: failure.error.clone(),
            execution: failure.execution.clone(),
            outcome,
            why: None,
            runs_as: None,
        }
    }
}

impl Report {
    pub(super) fn new(operator: &Operator, plan: &Plan) -> Self {
        let left = |failures: &[FailureKey], outcome| -> Vec<Delivery> {
            failures.iter().map(|failure| Delivery::new(failure, outcome)).collect()
        };
        let mut deliveries = left(&plan.running, "running");
        deliveries.extend(left(&plan.same_upload, "same_upload"));
        Self {
            stack: operator.stack.name().to_owned(),
            redriven: 0,
            started: 0,
            running: plan.running.len(),
            succeeded: 0,
            same_upload: plan.same_upload.len(),
            not_done: 0,
            beyond_limit: plan.beyond,
            deliveries,
            planned: plan.count(),
            ended: 0,
            unmatched: plan.unmatched,
            max_connections: operator.stack.max_connections(),
        }
    }

    pub(super) fn add(&mut self, failure: &FailureKey, outcome: Outcome) {
        let (count, words, why, runs_as) = match outcome {
            Outcome::Redriven { arn } => (&mut self.redriven, "redriven", None, Some(arn)),
            Outcome::Started { arn, why } => (&mut self.started, "started", Some(why), Some(arn)),
            Outcome::Running { arn } => (&mut self.running, "running", None, Some(arn)),
            Outcome::Succeeded => (&mut self.succeeded, "succeeded", None, None),
            Outcome::NotDone { why } => (&mut self.not_done, "not_done", Some(why), None),
        };
        *count += 1;
        self.ended += 1;
        self.deliveries.push(Delivery { why, runs_as, ..Delivery::new(failure, words) });
    }

    /// Whether nothing was left undone.
    pub(super) fn is_complete(&self) -> bool {
        self.not_done == 0 && self.ended == self.planned
    }

    /// What would be done.
    pub(super) fn print_plan(&self, json: bool) {
        if json {
            let plan = serde_json::json!({
                "stack": self.stack,
                "planned": self.planned,
                "running": self.running,
                "same_upload": self.same_upload,
                "beyond_limit": self.beyond_limit,
            });
            return output::say_json(&plan, Layout::Pretty);
        }
        let mut lines = vec![match self.planned {
            0 => format!("nothing to redrive in the stack {}", self.stack),
            planned => format!("{planned} would be redriven, or started anew"),
        }];
        lines.extend(self.left_alone());
        output::say(&lines);
    }

    pub(super) fn print(&self, json: bool) {
        if json {
            return output::say_json(self, Layout::Pretty);
        }
        let mut lines = self.named();
        let moving = self.redriven + self.started;
        let mut parts = vec![format!("{} redriven", self.redriven)];
        let rest = [
            (self.started, "started anew"),
            (self.succeeded, "had succeeded meanwhile"),
            (self.not_done, "not done"),
        ];
        parts.extend(
            rest.iter().filter(|(count, _)| *count > 0).map(|(count, words)| format!("{count} {words}")),
        );
        let style = if self.is_complete() { Style::Good } else { Style::Bad };
        lines.push(vec![Span::new(style, parts.join(", "))]);
        lines.extend(self.left_alone().into_iter().map(|line| vec![line.into()]));
        if moving > 0 {
            let connections = match self.max_connections {
                1 => "1 connection".to_owned(),
                count => format!("{count} connections"),
            };
            lines.push(vec![
                format!("they run over at most {connections}; s3-sftp-bridge failures shows what is left")
                    .into(),
            ]);
        }
        output::say_styled(&lines);
    }

    fn left_alone(&self) -> Vec<String> {
        let counts = [
            (self.running, "left alone: their executions run already"),
            (
                self.same_upload,
                "left alone: older failures of an upload whose newest failure is redriven or runs",
            ),
            (self.beyond_limit, "left for later by --limit"),
            (self.unmatched, "other open failures do not match"),
        ];
        let counts = counts.iter().filter(|(count, _)| *count > 0);
        counts.map(|(count, words)| format!("{count} {words}")).collect()
    }

    /// What was not simply redriven, one by one.
    fn named(&self) -> Vec<Vec<Span>> {
        let named: Vec<&Delivery> =
            self.deliveries.iter().filter(|delivery| delivery.why.is_some()).collect();
        if named.is_empty() {
            return Vec::new();
        }
        let columns = ["object", "execution", "outcome", "why"].map(|title| (title, Align::Left));
        let mut table = Table::new(&columns);
        for delivery in named.iter().take(NAMED_MAX) {
            let style = if delivery.outcome == "not_done" { Style::Bad } else { Style::Warning };
            let outcome = Span::new(style, delivery.outcome.replace('_', " "));
            let why = delivery.why.clone().unwrap_or_default();
            let cells =
                [delivery.object_key.clone().into(), delivery.execution.clone().into(), outcome, why.into()];
            table.row(cells);
        }
        let mut lines = table.lines();
        if let Some(more) = named.len().checked_sub(NAMED_MAX).filter(|more| *more > 0) {
            lines.push(vec![format!("... and {more} more; --json names all").into()]);
        }
        lines.push(Vec::new());
        lines
    }
}

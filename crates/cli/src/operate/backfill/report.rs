//! What the command says.

use serde::Serialize;
use serde_json::{Value, json};

use super::plan::Plan;
use crate::operate::operator::Operator;
use crate::operate::problem::Answer;
use crate::operate::stack::Stack;
use crate::output;

/// How many missing objects are named.
const NAMED_MAX: usize = 10;

/// For people or for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    Text,
    Json,
}

/// What became of deliveries that were started from here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Started {
    pub(super) new: usize,
    /// An execution of this name has run before: another backfill was faster, or it has ended with success.
    pub(super) before: usize,
}

/// An execution of the state machine for backfills.
#[derive(Clone, Debug)]
pub(super) struct Backfill {
    arn: String,
    state: State,
}

/// What is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    Started,
    /// It was started before, and starts all of these.
    Runs,
    /// It was started before, and has started everything.
    Ended,
    /// One runs that does not start all of these.
    AnotherRuns,
}

impl Layout {
    pub(super) fn of(json: bool) -> Self {
        if json { Self::Json } else { Self::Text }
    }
}

impl Backfill {
    pub(super) fn new(arn: &str, state: State) -> Self {
        Self { arn: arn.to_owned(), state }
    }
}

/// Whether all that was asked for is started or delivered.
pub(super) fn answer(plan: &Plan) -> Answer {
    if plan.failed > 0 || !plan.missing.is_empty() { Answer::Owed } else { Answer::Fine }
}

/// Nothing is started.
pub(super) fn only_planned(plan: &Plan, stack: &Stack, layout: Layout) -> Answer {
    match layout {
        Layout::Text => output::say(&planned(plan, stack)),
        Layout::Json => output::say_json(&counts(plan), output::Layout::Pretty),
    }
    answer(plan)
}

/// Before anything is started.
pub(super) fn before(plan: &Plan, stack: &Stack, layout: Layout) {
    if layout == Layout::Text {
        output::say(&planned(plan, stack));
    }
}

/// After deliveries were started from here.
pub(super) fn direct(plan: &Plan, started: &Started, layout: Layout) {
    match layout {
        Layout::Text => {
            let mut lines = vec![format!("{} started", counted(started.new))];
            if started.before > 0 {
                lines.push(format!(
                    "{} were started before under the same names, and are not started again",
                    started.before
                ));
            }
            output::say(&lines);
        }
        Layout::Json => {
            let mut all = counts(plan);
            all["started"] = json!(started.new);
            all["started_before"] = json!(started.before);
            output::say_json(&all, output::Layout::Pretty);
        }
    }
}

/// After deliveries were left to the state machine.
pub(super) fn backfill(plan: &Plan, operator: &Operator, backfill: &Backfill, layout: Layout) {
    match layout {
        Layout::Text => output::say(&followed(plan, &operator.stack, backfill)),
        Layout::Json => {
            let mut all = counts(plan);
            all["backfill"] = json!({"execution_arn": backfill.arn, "state": backfill.state});
            output::say_json(&all, output::Layout::Pretty);
        }
    }
}

fn counts(plan: &Plan) -> Value {
    json!({
        "to_start": plan.new_items().count(),
        "under_way": plan.under_way(),
        "delivered": plan.delivered,
        "delivered_by_a_backfill": plan.started,
        "failed": plan.failed,
        "passed_over": plan.passed_over,
        "older": plan.older,
        "missing": plan.missing,
    })
}

fn counted(deliveries: usize) -> String {
    if deliveries == 1 { "1 delivery".to_owned() } else { format!("{deliveries} deliveries") }
}

fn planned(plan: &Plan, stack: &Stack) -> Vec<String> {
    let redrive = format!(" failed: `s3-sftp-bridge redrive --stack {}` finishes them", stack.name());
    let mut lines: Vec<String> = [
        (plan.delivered, " delivered before"),
        (plan.started, " delivered by an earlier backfill"),
        (plan.under_way(), " under way"),
        (plan.failed, &redrive),
        (plan.passed_over, " not delivered by this stack: its prefix, suffix and patterns leave them out"),
        (plan.older, " uploaded before the time of --newer-than"),
        (plan.missing.len(), " not in the bucket:"),
    ]
    .iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, words)| format!("{count:>9}{words}"))
    .collect();
    lines.extend(plan.missing.iter().take(NAMED_MAX).map(|object_key| format!("{:>9} {object_key}", "")));
    lines.push(format!("{:>9} to start", plan.new_items().count()));
    lines
}

fn followed(plan: &Plan, stack: &Stack, backfill: &Backfill) -> Vec<String> {
    let Backfill { arn, state } = backfill;
    let name = arn.rsplit(':').next().unwrap_or_default();
    let stop = format!("aws stepfunctions stop-execution --region {} --execution-arn {arn}", stack.region());
    let mut lines = vec![match state {
        State::Started => format!(
            "the backfill {name} starts {}, at most {} at once, and goes on without this machine",
            counted(plan.items.len()),
            stack.backfill_concurrency()
        ),
        State::Runs => {
            format!("the backfill {name} is under way and starts all of these; nothing is started twice")
        }
        State::Ended => {
            format!("the backfill {name} has started all of these before; nothing is started twice")
        }
        State::AnotherRuns => format!(
            "the backfill {name} is under way, and nothing else was started: two would exceed the partner's cap together; \
             run this command again when it has ended"
        ),
    }];
    if *state != State::Ended {
        lines.extend([
            format!("how far it is: s3-sftp-bridge status --stack {}", stack.name()),
            format!("in the console: {}", console(stack.region(), arn)),
            format!("to stop it: {stop} (what is under way still arrives; run this command again to go on)"),
        ]);
    }
    lines
}

fn console(region: &str, arn: &str) -> String {
    format!(
        "https://{region}.console.aws.amazon.com/states/home?region={region}#/v2/executions/details/{arn}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operate::backfill::plan::{Item, Standing};

    #[test]
    fn what_is_owed_is_no_success() {
        let item = Item { name: "n".into(), input: "{}".into(), standing: Standing::New };
        let plan = Plan { items: vec![item], ..Plan::default() };
        assert_eq!(answer(&plan), Answer::Fine);
        assert_eq!(answer(&Plan { failed: 1, ..Plan::default() }), Answer::Owed);
        assert_eq!(answer(&Plan { missing: vec!["k".into()], ..Plan::default() }), Answer::Owed);
        assert_eq!(counts(&plan)["to_start"], 1);
    }
}

//! Starting a few hundred deliveries from here.

use super::plan::Plan;
use super::report::{self, Layout, Started};
use crate::operate::executions::Start;
use crate::operate::operator::Operator;
use crate::operate::problem::{Answer, Problem};
use crate::operate::progress;
use crate::stop::Stop;

/// Starts them one after the other. When it is stopped, the next run goes on.
pub(super) async fn start(
    plan: &Plan,
    operator: &Operator,
    layout: Layout,
    stop: &Stop,
) -> Result<Answer, Problem> {
    let bar = progress::counting_to("starting deliveries", plan.new_items().count());
    let mut started = Started::default();
    for item in plan.new_items() {
        let start = tokio::select! {
            start = operator.executions.start(&item.name, &item.input) => start,
            () = stop.requested() => Err(Problem::Stopped),
        };
        match start {
            Ok(Start::Started(_)) => started.new += 1,
            Ok(Start::Existed(_)) => started.before += 1,
            Err(problem) => {
                bar.finish_and_clear();
                report::direct(plan, &started, layout);
                return Err(problem);
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    report::direct(plan, &started, layout);
    Ok(report::answer(plan))
}

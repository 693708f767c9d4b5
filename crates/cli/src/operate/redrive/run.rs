//! Carries out the plan.

use std::collections::VecDeque;
use std::sync::Arc;

use bridge::FailureKey;
use indicatif::ProgressBar;
use tokio::task::JoinSet;

use super::super::direction::Direction;
use super::super::operator::Operator;
use super::super::problem::Problem;
use super::super::progress;
use super::attempt::{self, Outcome};
use super::plan::{Careful, Plan, needs_care};
use super::probe::{self, Verdict};
use super::report::Report;
use crate::stop::Stop;

/// Number of requests in progress at the same time. The limiter keeps the pace.
const AT_ONCE: usize = 16;

/// What every step needs.
struct Run<'a> {
    operator: &'a Arc<Operator>,
    report: &'a mut Report,
    stop: &'a Stop,
    bar: ProgressBar,
}

/// Redrives what the plan says, and reports each.
///
/// # Errors
/// `Stopped`, or the first call that AWS refused. The report has what was done until then.
pub(super) async fn all(
    operator: &Arc<Operator>,
    plan: Plan,
    report: &mut Report,
    stop: &Stop,
) -> Result<(), Problem> {
    let bar = progress::counting_to("redriving", plan.count());
    let mut run = Run { operator, report, stop, bar };
    let ended = run.plan(plan).await;
    run.bar.finish_and_clear();
    ended
}

impl Run<'_> {
    /// What needs care comes first: if the partner still refuses the login, it refuses that of the others, too.
    async fn plan(&mut self, plan: Plan) -> Result<(), Problem> {
        let mut refusal = None;
        let mut left = plan.others.len() + plan.careful.values().map(|it| it.failures.len()).sum::<usize>();
        for (error, careful) in plan.careful {
            left -= careful.failures.len();
            refusal = match refusal {
                None => self.careful(&error, careful, left).await?,
                Some(why) => Some(self.not_tried(careful.failures, why)),
            };
        }
        match refusal {
            None => self.each(plan.others).await,
            Some(why) => {
                self.not_tried(plan.others, why);
                Ok(())
            }
        }
    }

    fn not_tried(&mut self, failures: impl IntoIterator<Item = FailureKey>, why: String) -> String {
        for failure in failures {
            self.done(&failure, Outcome::NotDone { why: why.clone() });
        }
        why
    }

    /// Several at the same time. After a request to stop, what is in progress ends, and nothing else begins.
    async fn each(&mut self, failures: Vec<FailureKey>) -> Result<(), Problem> {
        let mut waiting = VecDeque::from(failures);
        let mut attempts = JoinSet::new();
        let mut ended = Ok(());
        loop {
            while ended.is_ok()
                && attempts.len() < AT_ONCE
                && let Some(failure) = waiting.pop_front()
            {
                let operator = Arc::clone(self.operator);
                attempts.spawn(async move {
                    let outcome = attempt::of(&operator, &failure).await;
                    (failure, outcome)
                });
            }
            let next = tokio::select! {
                next = attempts.join_next() => next,
                () = self.stop.requested(), if ended.is_ok() => {
                    ended = Err(Problem::Stopped);
                    continue;
                }
                () = self.stop.due(), if ended == Err(Problem::Stopped) => return ended,
            };
            match next {
                None => return ended,
                Some(Ok((failure, Ok(outcome)))) => self.done(&failure, outcome),
                Some(Ok((failure, Err(problem)))) => {
                    self.done(&failure, Outcome::NotDone { why: problem.to_string() });
                    ended = ended.and(Err(problem));
                }
                Some(Err(error)) => ended = ended.and(Err(Problem::Failed(error.to_string()))),
            }
        }
    }

    /// One first, and the others if it gets further. `after` is the number of failures of other errors that come after
    /// them. Returns why these must not be tried, if the partner refuses the login again.
    async fn careful(
        &mut self,
        error: &str,
        careful: Careful,
        after: usize,
    ) -> Result<Option<String>, Problem> {
        let mut failures = VecDeque::from(careful.failures);
        let mut first = careful.running.and_then(|it| {
            let executions = self.operator.executions_of(Direction::of(&it)).ok()?;
            Some(executions.arn_of(&it.execution))
        });
        loop {
            if first.is_none() {
                first = self.first(&mut failures).await?;
            }
            let Some(arn) = first.take().filter(|_| failures.len() + after > 0) else { return Ok(None) };
            self.bar.set_message("waiting for the first");
            let verdict = self.unless_stopped(probe::wait(self.operator, &arn)).await?;
            self.bar.set_message("redriving");
            let name = arn.rsplit(':').next().unwrap_or_default();
            match verdict {
                // It tells nothing about the login: the next one is tried.
                Verdict::NoLogin => {}
                Verdict::GotFurther => return self.each(failures.into()).await.map(|()| None),
                Verdict::FailedAgain(again) => {
                    let why =
                        format!("not tried: after {error}, the first one, {name}, failed again with {again}");
                    let why = self.not_tried(failures, why);
                    return Ok(needs_care(&again).then_some(why));
                }
                Verdict::Unclear => {
                    let why =
                        format!("not tried: after {error}, the first one, {name}, has not got further yet");
                    self.not_tried(failures, why);
                    return Ok(None);
                }
            }
        }
    }

    /// Redrives the first of these that can be redriven, and returns its execution.
    async fn first(&mut self, failures: &mut VecDeque<FailureKey>) -> Result<Option<String>, Problem> {
        while let Some(failure) = failures.pop_front() {
            let outcome = self.unless_stopped(attempt::of(self.operator, &failure)).await?;
            let arn = match &outcome {
                Outcome::Redriven { arn } | Outcome::Started { arn, .. } | Outcome::Running { arn } => {
                    Some(arn.clone())
                }
                Outcome::Succeeded | Outcome::NotDone { .. } => None,
            };
            self.done(&failure, outcome);
            if arn.is_some() {
                return Ok(arn);
            }
        }
        Ok(None)
    }

    fn done(&mut self, failure: &FailureKey, outcome: Outcome) {
        self.report.add(failure, outcome);
        self.bar.inc(1);
    }

    async fn unless_stopped<T>(&self, work: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
        tokio::select! {
            done = work => done,
            () = self.stop.due() => Err(Problem::Stopped),
        }
    }
}

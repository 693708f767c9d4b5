//! Runs a scenario under a schedule, and searches the schedules for one that breaks a promise.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::LocalSet;

use crate::checker::{Checker, Violation};
use crate::execution;
use crate::scenario::Scenario;
use crate::schedule::{Actor, Choice, Schedule};
use crate::store::Clients;
use crate::world::World;

/// How far schedules may differ from the usual order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    /// Maximum number of times that another execution than the usual one is served, or another of its requests than the first.
    /// Both at once count twice.
    pub(crate) switches: usize,
    /// How often something goes wrong.
    pub(crate) faults: usize,
}

impl Budget {
    fn less(self, choice: Choice, usual: Actor) -> Option<Self> {
        let other = usize::from(choice.actor != usual) + usize::from(choice.overtakes > 0);
        let switches = self.switches.checked_sub(other)?;
        let faults = self.faults.checked_sub(usize::from(choice.fault.is_some()))?;
        Some(Self { switches, faults })
    }

    fn covers(self, other: Self) -> bool {
        self.switches >= other.switches && self.faults >= other.faults
    }
}

/// The states that were seen, and with which budgets; `None`: of no interest.
type Seen = HashMap<u64, Vec<Budget>>;

/// How a run went.
pub(crate) struct Run {
    pub(crate) violations: Vec<Violation>,
    pub(crate) trace: Vec<String>,
    /// Other choices that could have been made behind the end of the schedule.
    alternatives: Vec<(usize, Choice)>,
    steps: usize,
}

/// A run that takes more steps is taken for one without end.
const STEPS_MAX: usize = 1500;
/// An execution that sleeps longer does not wake up.
const SLEEP_MAX: Duration = Duration::from_secs(6 * 3600);

/// Once, with a trace.
pub(crate) fn replay(scenario: &Scenario, schedule: &Schedule) -> Run {
    let nothing = Budget { switches: 0, faults: 0 };
    let clients = Clients::new(scenario.executions.len());
    Attempt { scenario, schedule, budget: nothing, clients: &clients, traced: true }.once(&mut Seen::new())
}

/// One run.
struct Attempt<'a> {
    scenario: &'a Scenario,
    schedule: &'a Schedule,
    budget: Budget,
    clients: &'a Clients,
    traced: bool,
}

impl Attempt<'_> {
    fn once(&self, seen: &mut Seen) -> Run {
        // Pauses have a random part.
        fastrand::seed(7);
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let local = LocalSet::new();
        let run = local.block_on(&runtime, self.run(seen));
        self.clients.place.leave();
        run
    }

    async fn run(&self, seen: &mut Seen) -> Run {
        let Self { scenario, schedule, budget, clients, traced } = *self;
        let wake = Arc::new(Notify::new());
        let mut world = World::new(scenario, Arc::clone(&wake));
        world.trace = traced.then(Vec::new);
        let world = Arc::new(Mutex::new(world));
        clients.place.enter(&world);
        let executions: Vec<_> = (0..scenario.executions.len())
            .map(|number| {
                tokio::task::spawn_local(execution::run(Arc::clone(&world), number, clients.of(number)))
            })
            .collect();
        let mut run = Run { violations: Vec::new(), trace: Vec::new(), alternatives: Vec::new(), steps: 0 };
        let mut left = budget;
        let mut checker = Checker::default();
        for step in 0..STEPS_MAX {
            run.steps = step;
            settle().await;
            let (choice, usual) = {
                let world = world.lock().unwrap();
                let movers = world.movers();
                let Some(usual) = world.usual(&movers) else { break };
                let choice = match schedule.choices.get(&step) {
                    Some(choice) => *choice,
                    None => Choice::of(usual),
                };
                let fits = movers.contains(&choice.actor)
                    && (choice.overtakes == 0 || world.overtakers(choice.actor).contains(&choice.overtakes))
                    && choice.fault.is_none_or(|fault| world.faults(choice.actor).contains(&fault));
                assert!(
                    fits,
                    "{}: the schedule {schedule} does not fit at step {step}: {choice} is not among {movers:?}. Either the code \
                 has changed, or a run is not the same twice",
                    scenario.name
                );
                if step >= schedule.end() && (left.switches > 0 || left.faults > 0) {
                    let budgets = seen.entry(world.state()).or_default();
                    if budgets.iter().any(|known| known.covers(left)) {
                        return run;
                    }
                    budgets.push(left);
                    run.alternatives
                        .extend(alternatives(&world, &movers, usual, left).map(|choice| (step, choice)));
                }
                (choice, usual)
            };
            if let Some(less) = left.less(choice, usual) {
                left = less;
            }
            world.lock().unwrap().apply(step, choice);
            if choice.actor == Actor::Time {
                time_passes(&wake).await;
            }
            let checked = checker.after_step(&world.lock().unwrap(), step, choice.fault.is_some());
            if let Err(violation) = checked {
                run.violations.push(violation);
                break;
            }
        }
        for execution in executions {
            if execution.is_finished() {
                // A panic is one of the test.
                execution.await.unwrap();
            } else {
                execution.abort();
            }
        }
        let mut world = world.lock().unwrap();
        if run.violations.is_empty() {
            run.violations = checker.at_the_end(&world);
        }
        run.trace = world.trace.take().unwrap_or_default();
        run
    }
}

/// Returns when everybody waits: for the scheduler, or for a later time. The clock of the runtime stands still while
/// somebody has something to do.
async fn settle() {
    // What wakes up at the end of the first wait is done at the end of the second.
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Until somebody has something to ask.
async fn time_passes(wake: &Notify) {
    // One that was left from before.
    let _ = tokio::time::timeout(Duration::ZERO, wake.notified()).await;
    let _ = tokio::time::timeout(SLEEP_MAX, wake.notified()).await;
}

fn alternatives(world: &World, movers: &[Actor], usual: Actor, left: Budget) -> impl Iterator<Item = Choice> {
    let mut choices = Vec::new();
    for actor in movers {
        if *actor != usual {
            choices.push(Choice::of(*actor));
        }
        let overtakers = world.overtakers(*actor).into_iter();
        choices.extend(overtakers.map(|overtakes| Choice { overtakes, ..Choice::of(*actor) }));
        let faults = world.faults(*actor).into_iter();
        choices.extend(faults.map(|fault| Choice { fault: Some(fault), ..Choice::of(*actor) }));
    }
    choices.into_iter().filter(move |choice| left.less(*choice, usual).is_some())
}

/// What a search has found.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) schedules: usize,
    pub(crate) steps: usize,
    pub(crate) states: usize,
    /// The first schedule that broke each promise: one of the shortest.
    pub(crate) violations: BTreeMap<&'static str, (Schedule, Violation)>,
    /// Whether the time was over before everything was tried.
    pub(crate) cut_short: bool,
}

/// All schedules within the budget, those that differ least first.
pub(crate) fn search(scenario: &Scenario, budget: Budget, limit: Duration) -> Found {
    let started = Instant::now();
    let mut found = Found::default();
    let clients = Clients::new(scenario.executions.len());
    let mut seen = Seen::new();
    let mut waiting = VecDeque::from([(Schedule::default(), budget)]);
    while let Some((schedule, budget)) = waiting.pop_front() {
        if started.elapsed() > limit {
            found.cut_short = true;
            break;
        }
        let attempt = Attempt { scenario, schedule: &schedule, budget, clients: &clients, traced: false };
        let run = attempt.once(&mut seen);
        found.schedules += 1;
        found.steps += run.steps;
        let is_broken = !run.violations.is_empty();
        for violation in run.violations {
            found.violations.entry(violation.promise).or_insert_with(|| (schedule.clone(), violation));
        }
        if is_broken {
            continue;
        }
        waiting
            .extend(run.alternatives.into_iter().map(|(step, choice)| (schedule.with(step, choice), budget)));
    }
    found.states = seen.len();
    found
}

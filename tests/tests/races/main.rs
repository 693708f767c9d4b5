//! Races are searched, not guessed: the real handlers of several executions run against a server and a bucket in memory,
//! on which every request waits until a scheduler serves it, and a search goes through the orders.
//!
//! A failure prints a schedule. `RACES_SCHEDULE="15:1" RACES_SCENARIO="twice, posix" cargo test -p
//! integration-tests --test races replayed -- --nocapture` prints what happened, request by request.

mod catalogue;
mod checker;
mod execution;
mod files;
mod scenario;
mod schedule;
mod search;
mod server;
mod store;
mod world;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use catalogue::Depth;
use scenario::Scenario;
use schedule::Schedule;
use search::{Budget, replay, search};

/// A limit for a search that hangs. No other limit depends on time, so that a search is the same on every machine.
const LIMIT: Duration = Duration::from_secs(24 * 3600);

/// Searches the scenarios, on as many threads as there are processors, and fails with what was found.
fn explore(scenarios: Vec<Scenario>, budgets: &[Budget]) {
    let started = Instant::now();
    let wanted = std::env::var("RACES_SCENARIO").unwrap_or_default();
    let waiting: Mutex<Vec<Scenario>> =
        Mutex::new(scenarios.into_iter().rev().filter(|scenario| scenario.name.contains(&wanted)).collect());
    let (schedules, broken) = (Mutex::new(0), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let Some(scenario) = waiting.lock().unwrap().pop() else { return };
            for budget in budgets {
                let (count, lines) = look_into(&scenario, *budget);
                *schedules.lock().unwrap() += count;
                let is_broken = !lines.is_empty();
                broken.lock().unwrap().extend(lines);
                if is_broken {
                    break;
                }
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(4);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    eprintln!("{} schedules in {:?}", schedules.into_inner().unwrap(), started.elapsed());
    let broken = broken.into_inner().unwrap();
    assert!(broken.is_empty(), "{} broken promises:\n{}", broken.len(), broken.join("\n"));
}

/// The number of schedules, and a line for each promise that was broken.
fn look_into(scenario: &Scenario, budget: Budget) -> (usize, Vec<String>) {
    let started = Instant::now();
    let found = search(scenario, budget, LIMIT);
    eprintln!(
        "{}: {} schedules, {} steps, {} states, {:?}",
        scenario.name,
        found.schedules,
        found.steps,
        found.states,
        started.elapsed()
    );
    let line = |(schedule, violation): (&Schedule, &checker::Violation)| {
        format!(
            "{}: {}: {}\n  RACES_SCENARIO={:?} RACES_SCHEDULE=\"{schedule}\"",
            scenario.name, violation.promise, violation.details, scenario.name
        )
    };
    let lines = found.violations.values().map(|(schedule, violation)| line((schedule, violation))).collect();
    (found.schedules, lines)
}

#[test]
fn story_90_no_order_of_requests_loses_or_tears_a_file() {
    explore(catalogue::of(Depth::Orders), &[Budget { switches: 1, faults: 0 }]);
    explore(catalogue::of(Depth::TwoSwitches), &[Budget { switches: 2, faults: 0 }]);
}

#[test]
fn story_91_no_lost_answer_and_no_killed_process_loses_or_tears_a_file() {
    explore(catalogue::of(Depth::Faults), &[Budget { switches: 0, faults: 1 }]);
}

#[test]
fn story_93_a_server_that_never_renames_keeps_the_former_file() {
    explore(vec![catalogue::never_renames()], &[Budget { switches: 0, faults: 0 }]);
}

/// An older version whose rename is not answered, or whose process is killed, just when a newer one is delivered.
#[test]
fn story_94_a_fault_while_two_versions_meet_leaves_the_newer_one() {
    explore(catalogue::of(Depth::FaultAndSwitch), &[Budget { switches: 1, faults: 1 }]);
}

/// Hours: all scenarios, with more switches and a fault among them.
#[test]
#[ignore = "takes hours; see CONTRIBUTING.md"]
fn everything() {
    let budgets = [(2, 0), (1, 1), (3, 0), (2, 1)].map(|(switches, faults)| Budget { switches, faults });
    explore(catalogue::of(Depth::Everything), &budgets);
}

#[test]
fn a_run_is_the_same_each_time() {
    for scenario in catalogue::of(Depth::TwoSwitches) {
        let trace = || replay(&scenario, &Schedule::parse("3:0x")).trace;
        let first = trace();
        assert!(first.len() > 20, "{first:?}");
        assert_eq!(first, trace(), "{}", scenario.name);
    }
}

/// Prints one run, request by request.
#[test]
fn replayed() {
    let (Ok(name), Ok(schedule)) = (std::env::var("RACES_SCENARIO"), std::env::var("RACES_SCHEDULE")) else {
        return;
    };
    let scenarios = catalogue::of(Depth::Everything);
    let scenario = scenarios.iter().find(|scenario| scenario.name == name).expect("a scenario of this name");
    let run = replay(scenario, &Schedule::parse(&schedule));
    for line in &run.trace {
        println!("{line}");
    }
    println!("{:?}", run.violations);
}

//! Races are searched, not guessed: the real handlers of several executions run against a server and a bucket in memory,
//! on which every request waits until a scheduler serves it, and a search goes through the orders.

mod checker;
mod execution;
mod files;
mod scenario;
mod schedule;
mod search;
mod server;
mod store;
mod world;

use std::time::Duration;

use scenario::Scenario;
use schedule::Schedule;
use search::{Budget, replay, search};
use server::Kind;

fn look_into(scenario: &Scenario, budget: Budget) -> usize {
    let started = std::time::Instant::now();
    let found = search(scenario, budget, Duration::from_secs(600));
    eprintln!(
        "{}: {} schedules, {} steps, {} states, {:?}{}",
        scenario.name,
        found.schedules,
        found.steps,
        found.states,
        started.elapsed(),
        if found.cut_short { ", cut short" } else { "" }
    );
    for (schedule, violation) in found.violations.values() {
        eprintln!("  {}: {}\n    schedule {schedule:?}", violation.promise, violation.details, schedule = schedule.to_string());
        for line in replay(scenario, schedule).trace {
            eprintln!("    {line}");
        }
    }
    found.violations.len()
}

#[test]
fn first() {
    let scenario = Scenario::same_version("same version twice", Kind::POSIX, 2);
    for line in replay(&scenario, &Schedule::default()).trace {
        eprintln!("{line}");
    }
    for switches in 1..=2 {
        look_into(&scenario, Budget { switches, faults: 0 });
    }
}

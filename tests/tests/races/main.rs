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
        eprintln!(
            "  {}: {}\n    schedule {schedule:?}",
            violation.promise,
            violation.details,
            schedule = schedule.to_string()
        );
        if std::env::var_os("TRACE").is_some() {
            for line in replay(scenario, schedule).trace {
                eprintln!("    {line}");
            }
        }
    }
    found.violations.len()
}

#[test]
fn first() {
    let scenario = Scenario::same_version("same version twice", Kind::POSIX, 2);
    let started = std::time::Instant::now();
    for _ in 0..200 {
        replay(&scenario, &Schedule::default());
    }
    eprintln!("{:?} per run", started.elapsed() / 200);
}

#[test]
fn second() {
    let scenario = Scenario::same_version("same version three times", Kind::POSIX, 3);
    look_into(&scenario, Budget { switches: 2, faults: 0 });
    look_into(&scenario, Budget { switches: 0, faults: 1 });
    look_into(&Scenario { executions: vec![0, 0], ..scenario.clone() }, Budget { switches: 1, faults: 1 });
    let scenario = Scenario::same_version("same version twice, plain", Kind::PLAIN, 2)
        .set("S3_AFTER_DELIVERY", "delete");
    look_into(&scenario, Budget { switches: 2, faults: 0 });
}

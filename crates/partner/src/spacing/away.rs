//! What a partner that is away sees of ten thousand files that wait, in simulated time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Weak;
use std::time::{Duration, SystemTime};

use bridge::ErrorName;

use super::{Spacing, Turn};
use crate::manners::Manners;

const FILES: u32 = 10_000;
/// The longest pause between two attempts of a file, of which each takes a random part.
const RETRY_MAX: f64 = 1800.0;
const HOUR: f64 = 3600.0;

/// One process of a function: it serves one call at a time.
struct Process {
    spacing: Spacing,
    busy_until: f64,
    /// When it connected, in seconds.
    knocks: Vec<f64>,
}

/// Calls come to any process that is free. `takes` is how long a connection takes to fail, in seconds.
fn processes_that_knock(count: usize, takes: f64, hours: f64) -> Vec<Process> {
    fastrand::seed(7);
    let new = || Process { spacing: Spacing::new(Manners::LAMBDA), busy_until: 0.0, knocks: Vec::new() };
    let mut processes: Vec<_> = std::iter::repeat_with(new).take(count).collect();
    // In microseconds, so that times have an order.
    let later = |at: f64, longest: f64| Reverse(((at + longest * fastrand::f64()) * 1e6) as u64);
    let mut attempts: BinaryHeap<_> = (0..FILES).map(|_| later(0.0, RETRY_MAX)).collect();
    while let Some(Reverse(at)) = attempts.pop() {
        let at = at as f64 / 1e6;
        if at > hours * HOUR {
            break;
        }
        attempts.push(later(at, RETRY_MAX));
        let start = fastrand::usize(..count);
        let free =
            (0..count).map(|index| (start + index) % count).find(|index| processes[*index].busy_until <= at);
        if let Some(index) = free {
            processes[index].call(at, takes);
        }
    }
    processes
}

impl Process {
    fn call(&mut self, at: f64, takes: f64) {
        let error = ErrorName::ConnectFailed.error("no answer");
        let time = |seconds: f64| SystemTime::UNIX_EPOCH + Duration::from_secs_f64(1e9 + seconds);
        if let Turn::ConnectAfter(rest) = self.spacing.turn(self.spacing.total(), time(at)) {
            let knock = at + rest.as_secs_f64();
            self.knocks.push(knock);
            self.busy_until = knock + takes;
            self.spacing.count(&error, Weak::new(), time(self.busy_until));
        }
    }

    fn knocks_in(&self, hour: u32) -> usize {
        self.knocks.iter().filter(|at| (**at / HOUR) as u32 == hour).count()
    }
}

/// At an address that is dead, a connection fails after 20 s; at a closed port, at once.
#[test]
fn story_171_ten_thousand_files_that_wait_knock_once_in_a_minute_or_two_for_each_process() {
    for count in [1, 10] {
        for takes in [0.0, 20.0] {
            let processes = processes_that_knock(count, takes, 3.0);
            let hours: Vec<usize> =
                (0..3).map(|hour| processes.iter().map(|process| process.knocks_in(hour)).sum()).collect();
            println!("{count} processes, {takes} s: {hours:?} connections an hour");
            // The pause is a minute at least. It is reached in the first minutes.
            assert!(hours[0] <= count * 55, "{hours:?}");
            for hour in &hours[1..] {
                assert!((count * 25..=count * 50).contains(hour), "{hours:?}");
            }
        }
    }
}

#[test]
fn story_174_a_partner_that_is_back_is_noticed_by_every_process_within_two_minutes() {
    let processes = processes_that_knock(10, 0.0, 3.0);
    for back in [1.2, 1.7, 2.4] {
        let noticed =
            |process: &Process| process.knocks.iter().copied().find(|at| *at >= back * HOUR).unwrap();
        let after: Vec<f64> = processes.iter().map(|process| noticed(process) - back * HOUR).collect();
        let (first, last) =
            (after.iter().copied().fold(f64::MAX, f64::min), after.iter().copied().fold(0.0, f64::max));
        println!("noticed after {first:.0} to {last:.0} s");
        // Then the next call has to come: one in a second for each process.
        assert!(first < 30.0 && last < 130.0, "{first} {last}");
    }
}

//! The aims that the retriers of the definition were chosen by.

use super::definition::Definition;
use super::simulation::{Burst, Outcome, Starts, run};

const LIMITED: Starts = Starts::Limited { bucket: 1300.0, per_second: 300.0 };

/// Ten files a second.
fn burst(files: u32, starts: Starts) -> (Burst, Outcome) {
    let burst = Burst { files, seconds: 1.0, cap: 10, starts, seed: 1 };
    (burst, run(&burst, &Definition::shipped().unwrap()))
}

#[test]
fn story_173_ten_thousand_files_at_once_wait_with_few_retries_and_without_much_delay() {
    for starts in [Starts::AtOnce, LIMITED] {
        let (burst, outcome) = burst(10_000, starts);
        assert_eq!((outcome.failed, outcome.late.len()), (0, 10_000));
        assert!(outcome.finish < 1.35 * burst.ideal(), "{} s", outcome.finish);
        assert!(outcome.retries_mean <= 7.0, "{} retries", outcome.retries_mean);
        assert!(outcome.peak_later <= 400, "{} transitions a second", outcome.peak_later);
    }
}

#[test]
fn the_base_is_seven_transitions_and_every_retry_is_one_more() {
    let burst = Burst { files: 4, seconds: 1.0, cap: 100, starts: Starts::AtOnce, seed: 1 };
    let outcome = run(&burst, &Definition::shipped().unwrap());
    assert_eq!((outcome.transitions, outcome.retries_max, outcome.failed), (28, 0, 0));
    let burst = Burst { files: 50, cap: 2, ..burst };
    let outcome = run(&burst, &Definition::shipped().unwrap());
    assert_eq!(outcome.transitions, 350 + (outcome.retries_mean * 50.0).round() as u64);
    assert!(outcome.retries_max > 0 && outcome.finish > burst.ideal() * 0.8, "{outcome:?}");
}

#[test]
fn one_connection_is_shared_by_both_steps() {
    let burst = Burst { files: 20, seconds: 10.0, cap: 1, starts: Starts::AtOnce, seed: 1 };
    let outcome = run(&burst, &Definition::shipped().unwrap());
    assert_eq!(outcome.failed, 0);
    // Each step takes at least 80 % of its time.
    assert!(outcome.finish > 0.8 * burst.ideal(), "{outcome:?}");
}

#[test]
fn what_may_not_be_retried_is_given_up() {
    let mut definition = Definition::shipped().unwrap();
    definition.transfer.attempts = 0;
    let burst = Burst { files: 10, seconds: 1.0, cap: 2, starts: Starts::AtOnce, seed: 1 };
    let outcome = run(&burst, &definition);
    assert!(outcome.failed > 0 && outcome.late.len() + outcome.failed as usize == 10, "{outcome:?}");
}

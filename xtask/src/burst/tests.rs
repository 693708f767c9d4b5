//! The aims that the retriers of the definition were chosen by.

use integration_tests::retrier::Retrier;

use super::definition::Definition;
use super::simulation::{Burst, Functions, Starts, run};

const LIMITED: Starts = Starts::Limited { bucket: 1300.0, per_second: 300.0 };
const ELSEWHERE: Starts = Starts::Limited { bucket: 800.0, per_second: 150.0 };

/// Ten files a second.
fn burst(files: u32, starts: Starts) -> Burst {
    Burst { files, seconds: [0.5, 0.5], cap: 10, functions: Functions::AsDeployed, starts, seed: 1 }
}

/// The average of some seeds, because the last files are a matter of luck: the part of the ideal, and the retries.
fn averages(burst: &Burst, seeds: u64) -> (f64, f64) {
    let Burst { files, starts, .. } = *burst;
    let (mut finish, mut retries) = (0.0, 0.0);
    for seed in 1..=seeds {
        let burst = Burst { seed, ..*burst };
        let outcome = run(&burst, &Definition::shipped().unwrap());
        assert_eq!((outcome.failed, outcome.late.len()), (0, files as usize));
        finish += outcome.finish / burst.ideal() / seeds as f64;
        retries += outcome.retries_mean() / seeds as f64;
        if files <= 10_000 {
            assert!(outcome.peak_later <= 400, "{} transitions a second", outcome.peak_later);
        }
    }
    println!("{files} files, {starts:?}: {finish:.3} of the ideal, {retries:.1} retries");
    (finish, retries)
}

#[test]
fn story_173_ten_thousand_files_at_once_wait_with_few_retries_and_without_much_delay() {
    for starts in [LIMITED, ELSEWHERE] {
        let (finish, retries) = averages(&burst(10_000, starts), 5);
        assert!(finish <= 1.35 && retries <= 7.0, "{finish} of the ideal, {retries} retries");
    }
}

/// VerifyRemote is a tenth faster than Transfer here, so that only Transfer has a long queue.
#[test]
#[ignore = "takes seconds without optimisation"]
fn story_173_a_hundred_thousand_files_at_once_wait_with_few_retries_and_without_much_delay() {
    let burst = Burst { seconds: [0.5, 0.45], ..burst(100_000, LIMITED) };
    let (finish, retries) = averages(&burst, 1);
    assert!(finish <= 1.1 && retries <= 40.0, "{finish} of the ideal, {retries} retries");
}

#[test]
fn story_177_a_file_waits_for_its_turn_for_at_least_a_day() {
    let Definition { transfer, verify_remote, .. } = Definition::shipped().unwrap();
    for retrier in [transfer, verify_remote] {
        assert!(retrier.at_least() > 24.0 * 3600.0, "{} h", retrier.at_least() / 3600.0);
    }
}

/// From Friday 18:00 to Monday 9:00, with the delays of the definition.
#[test]
fn story_170_of_ten_thousand_files_none_gives_up_over_a_weekend() {
    const HOURS: f64 = 63.0;
    let mut rng = fastrand::Rng::with_seed(1);
    for state in ["Transfer", "VerifyRemote"] {
        let retrier = Retrier::of(state, "ConnectFailed").unwrap();
        assert_eq!(retrier, Retrier::of(state, "ConnectionLost").unwrap());
        let (mut retries_sum, mut latest, mut shortest) = (0, 0.0_f64, f64::MAX);
        for _ in 0..10_000 {
            let (mut waited, mut retries) = (0.0, 0);
            let mut noticed = None;
            for retry in 0..retrier.attempts {
                waited += retrier.longest(retry) * rng.f64();
                if noticed.is_none() && waited >= HOURS * 3600.0 {
                    (noticed, retries) = (Some(waited - HOURS * 3600.0), retry + 1);
                }
            }
            retries_sum += retries;
            latest = latest.max(noticed.expect("it gave up over the weekend"));
            shortest = shortest.min(waited / 3600.0);
        }
        println!("{} retries, the latest after {latest:.0} s; {shortest:.1} h", retries_sum / 10_000);
        assert!(shortest > 72.0, "one gave up after {shortest} h");
        assert!(latest <= retrier.delay_max, "{latest} s");
        assert!((250..270).contains(&(retries_sum / 10_000)), "the figures of docs/costs.md");
    }
}

#[test]
fn the_base_is_seven_transitions_and_every_retry_is_one_more() {
    let burst = Burst {
        files: 4,
        seconds: [0.5, 0.5],
        cap: 100,
        functions: Functions::AsDeployed,
        starts: Starts::AtOnce,
        seed: 1,
    };
    let outcome = run(&burst, &Definition::shipped().unwrap());
    assert_eq!((outcome.transitions, outcome.retries_max, outcome.failed), (28, 0, 0));
    let burst = Burst { files: 50, cap: 2, ..burst };
    let outcome = run(&burst, &Definition::shipped().unwrap());
    assert_eq!(outcome.transitions, 350 + (outcome.retries_mean() * 50.0).round() as u64);
    assert!(outcome.retries_max > 0 && outcome.finish > burst.ideal() * 0.8, "{outcome:?}");
}

#[test]
fn one_connection_is_shared_by_both_steps() {
    let burst = Burst {
        files: 20,
        seconds: [5.0, 5.0],
        cap: 1,
        functions: Functions::AsDeployed,
        starts: Starts::AtOnce,
        seed: 1,
    };
    let outcome = run(&burst, &Definition::shipped().unwrap());
    assert_eq!(outcome.failed, 0);
    // Each step takes at least 80 % of its time.
    assert!(outcome.finish > 0.8 * burst.ideal(), "{outcome:?}");
}

#[test]
fn what_may_not_be_retried_is_given_up() {
    let mut definition = Definition::shipped().unwrap();
    definition.transfer.attempts = 0;
    let burst = Burst {
        files: 10,
        seconds: [0.5, 0.5],
        cap: 2,
        functions: Functions::AsDeployed,
        starts: Starts::AtOnce,
        seed: 1,
    };
    let outcome = run(&burst, &definition);
    assert!(outcome.failed > 0 && outcome.late.len() + outcome.failed as usize == 10, "{outcome:?}");
}

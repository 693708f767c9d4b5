//! Executions of one event at the same moment, against real servers. Which orders there are besides those that happen here
//! is searched in `tests/races`.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use bridge::{Outcome, Receipt};
use integration_tests::embedded::Quirks;
use integration_tests::partner::Partner;
use serde_json::{Value, json};

use super::support::{Bridge, bytes};

/// One way to race.
#[derive(Clone, Copy, Debug)]
struct Race {
    if_exists: &'static str,
    proof: &'static str,
    after_delivery: &'static str,
    executions: u32,
    /// Between their starts.
    apart: Duration,
}

const TOGETHER: Duration = Duration::ZERO;
const SHORTLY_AFTER: Duration = Duration::from_millis(300);
/// What S3 and a reader are given to catch up.
const POLL: Duration = Duration::from_millis(1);
const SIZE: usize = 300_000;

fn all_races() -> Vec<Race> {
    let mut races = Vec::new();
    for if_exists in ["replace", "skip"] {
        for proof in ["auto", "size"] {
            for after_delivery in ["keep", "delete"] {
                for executions in [2, 3] {
                    for apart in [TOGETHER, SHORTLY_AFTER] {
                        races.push(Race { if_exists, proof, after_delivery, executions, apart });
                    }
                }
            }
        }
    }
    races
}

async fn partners() -> [Partner; 2] {
    let plain = Quirks { no_posix_rename: true, ..Quirks::default() };
    [Partner::start().await.unwrap(), Partner::embedded(plain).await.unwrap()]
}

/// Runs each race this number of times, against each partner.
async fn run_all(races: &[Race], rounds: usize) {
    for partner in partners().await {
        let kind = partner.kind();
        let mut bridge = Bridge::to(partner).await;
        for race in races {
            bridge.set("SFTP_IF_EXISTS", race.if_exists);
            bridge.set("SFTP_PROOF", race.proof);
            bridge.set("S3_AFTER_DELIVERY", race.after_delivery);
            for number in 0..rounds {
                round(&bridge, *race, &format!("{kind}, {race:?}, round {number}")).await;
            }
        }
    }
}

async fn round(bridge: &Bridge, race: Race, words: &str) {
    let body = bytes(SIZE);
    let mut event = bridge.put("raced.bin", body.clone()).await;
    event["detail"]["object"]["size"] = json!(SIZE);
    let one = async |number: u32| {
        tokio::time::sleep(race.apart * number).await;
        deliver(bridge, &event, words).await
    };
    let racing = async {
        match race.executions {
            2 => {
                let (first, second) = tokio::join!(one(0), one(1));
                vec![first, second]
            }
            _ => {
                let (first, second, third) = tokio::join!(one(0), one(1), one(2));
                vec![first, second, third]
            }
        }
    };
    let receipts = tokio::select! {
        receipts = racing => receipts,
        never = read(bridge, &body, words) => match never {},
    };
    for receipt in &receipts {
        let outcome = receipt.outcome;
        assert!(matches!(outcome, Outcome::Delivered | Outcome::AlreadyDelivered), "{words}: {receipt:?}");
        assert!(receipt.proof.is_some() || outcome == Outcome::AlreadyDelivered, "{words}: {receipt:?}");
    }
    assert!(bridge.remote("raced.bin").is_some_and(|there| there == body), "{words}: {receipts:?}");
    assert_eq!(bridge.remote_files(), ["raced.bin"], "{words}: {receipts:?}");
    assert_eq!(is_stored(bridge).await, race.after_delivery == "keep", "{words}: {receipts:?}");
    std::fs::remove_file(bridge.partner.root.join("raced.bin")).unwrap();
}

/// Delivers without the state machine, which would try again what may be tried again.
async fn deliver(bridge: &Bridge, event: &Value, words: &str) -> Receipt {
    let started = Instant::now();
    loop {
        match Box::pin(bridge.deliver(event)).await {
            Ok(receipt) => return receipt,
            Err((_, error)) if error.name.retryable() && started.elapsed() < Duration::from_secs(60) => {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Err((state, error)) => panic!("{words}: {state}: {error}"),
        }
    }
}

/// A reader that polls for the file sees none, or all of it.
async fn read(bridge: &Bridge, body: &[u8], words: &str) -> Infallible {
    loop {
        if let Some(there) = bridge.remote("raced.bin") {
            assert!(there == body, "{words}: a reader saw {} bytes of {SIZE}", there.len());
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn is_stored(bridge: &Bridge) -> bool {
    let head = bridge.aws.s3().head_object().bucket(&bridge.bucket).key("raced.bin");
    head.send().await.is_ok()
}

/// In a thread of its own: the handlers of several executions in one task take more stack than a test has.
fn on_a_large_stack(races: Vec<Race>, rounds: usize) {
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run_all(&races, rounds));
    };
    std::thread::Builder::new().stack_size(64 * 1024 * 1024).spawn(run).unwrap().join().unwrap();
}

#[test]
fn story_92_executions_at_the_same_moment_leave_one_whole_file() {
    let together = |if_exists, after_delivery, executions| Race {
        if_exists,
        proof: "auto",
        after_delivery,
        executions,
        apart: TOGETHER,
    };
    let races =
        [together("replace", "delete", 2), together("replace", "keep", 3), together("skip", "delete", 3)];
    on_a_large_stack(races.into(), 3);
}

/// The whole table, 50 rounds each; `RACES_ROUNDS` says how many else.
#[test]
#[ignore = "takes half an hour"]
fn races() {
    let rounds = std::env::var("RACES_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    on_a_large_stack(all_races(), rounds.unwrap_or(50));
}

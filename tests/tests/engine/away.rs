//! A partner that is away: attempts cost milliseconds, one file at a time knocks, and its return is noticed.

use std::time::{Duration, Instant, SystemTime};

use bridge::ErrorName;
use integration_tests::embedded::Quirks;
use integration_tests::fault_proxy::Fault;
use integration_tests::partner::Partner;
use partner::{Manners, Reachability};

use crate::support::{Delivery, with_manners};

const FILES: usize = 32;

async fn with_files() -> Delivery {
    let delivery = Delivery::new().await;
    (0..FILES).for_each(|number| delivery.put(&number.to_string(), 1000));
    delivery
}

/// At a closed port, and at an address that does not answer.
#[tokio::test]
async fn story_175_while_the_partner_is_away_an_attempt_takes_milliseconds() {
    for fault in [Fault::Refuse, Fault::Swallow] {
        let mut delivery = with_files().await;
        delivery.set("SFTP_CONNECT_TIMEOUT", 1);
        let _proxy = delivery.through_proxy(fault).await;
        let manners = Manners { patience: Duration::from_millis(10), ..Manners::LAMBDA };
        let process = with_manners(delivery.process(), manners);
        // The fourth pause is between 0.8 and 1.6 s.
        let mut knocks = 0;
        while knocks < 4 {
            let error = process.transfer("0", None, 0).await.unwrap_err();
            assert_eq!(error.name, ErrorName::ConnectFailed, "{error}");
            knocks += usize::from(!error.message().contains("not tried again"));
        }
        let mut took = Vec::new();
        for number in 0..9 {
            let started = Instant::now();
            let error = process.transfer(&number.to_string(), None, 0).await.unwrap_err();
            assert!(error.message().contains("(not tried again: this is failure 4 in a row"), "{error}");
            took.push(started.elapsed());
        }
        took.sort();
        println!("{fault:?}: {} ms", took[4].as_secs_f64() * 1e3);
        assert!(took[4] < Duration::from_millis(250), "{took:?}");
    }
}

#[tokio::test]
async fn story_172_when_the_pause_is_over_one_file_knocks_for_all_of_a_process() {
    let closes_at_once = Quirks { connections_max: Some(0), ..Quirks::default() };
    let mut delivery = Delivery::to(Partner::embedded(closes_at_once).await.unwrap());
    (0..FILES).for_each(|number| delivery.put(&number.to_string(), 1000));
    let proxy = delivery.through_proxy(Fault::None).await;
    let longest = Duration::from_millis(300);
    let manners = Manners { patience: Duration::ZERO, pause_max: longest, ..Manners::LAMBDA };
    let process = with_manners(delivery.process(), manners);
    for round in 1..=4 {
        let calls = (0..FILES).map(|number| {
            let process = process.clone();
            tokio::spawn(async move { process.transfer(&number.to_string(), None, 0).await.unwrap_err() })
        });
        for call in calls.collect::<Vec<_>>() {
            let error = call.await.unwrap();
            assert!(error.name.is_connection_failure(), "{error}");
        }
        assert_eq!(proxy.connections(), round);
        tokio::time::sleep(longest).await;
    }
}

#[tokio::test]
async fn story_176_a_process_knows_whether_the_partner_can_be_reached() {
    let mut delivery = with_files().await;
    let proxy = delivery.through_proxy(Fault::Refuse).await;
    let process = with_manners(delivery.process(), Manners::COMMAND_LINE);
    assert_eq!(process.partner.reachability(), Reachability::Unknown);
    let before = SystemTime::now();
    process.transfer("0", None, 0).await.unwrap_err();
    let after = SystemTime::now();
    process.transfer("1", None, 0).await.unwrap_err();
    let reachability = process.partner.reachability();
    let Reachability::Unreachable { since, attempts: 2 } = reachability else { panic!("{reachability:?}") };
    assert!((before..=after).contains(&since), "since the first of the two failures");
    proxy.set(Fault::None).await;
    process.deliver("0").await.unwrap();
    assert_eq!(process.partner.reachability(), Reachability::Reachable);
    process.partner.disconnect().await;
}

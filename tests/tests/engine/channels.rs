//! Several channels and connections for one file, and servers that will have none of it.

use std::fs::File;
use std::time::Duration;

use bridge::Outcome;
use integration_tests::embedded::{Quirks, Truncation, Ways};
use integration_tests::fault_proxy::Fault;
use integration_tests::partner::Partner;
use integration_tests::pattern;

use crate::support::{Delivery, MIB, wait_until};

/// So far away that one channel is not enough.
const FAR: Fault = Fault::Delay(Duration::from_millis(25));

/// SFTP channels that OpenSSH has started.
fn channels(delivery: &Delivery) -> usize {
    delivery.partner.log().matches("Starting session: subsystem 'sftp'").count()
}

#[tokio::test]
async fn a_server_far_away_is_reached_by_several_channels() {
    let Some(mut delivery) = Delivery::to_open_ssh("").await else { return };
    let proxy = delivery.through_proxy(FAR).await;
    delivery.put("far.bin", 48 * MIB);
    let receipt = delivery.delivers("far.bin", 48 * MIB).await;
    assert_eq!((receipt.resumes, receipt.bytes_sent), (0, 48 * MIB));
    // How many depends on what this machine's TCP keeps in flight.
    assert!((2..=4).contains(&channels(&delivery)), "{} channels", channels(&delivery));
    assert_eq!(proxy.connections(), 1);
}

#[tokio::test]
async fn a_server_near_by_gets_one_channel() {
    let Some(delivery) = Delivery::to_open_ssh("").await else { return };
    delivery.put("near.bin", 48 * MIB);
    delivery.delivers("near.bin", 48 * MIB).await;
    assert_eq!(channels(&delivery), 1);
}

#[tokio::test]
async fn a_server_that_allows_one_channel_gets_one() {
    let Some(mut delivery) = Delivery::to_open_ssh("MaxSessions 1\n").await else { return };
    let proxy = delivery.through_proxy(FAR).await;
    delivery.put("one.bin", 24 * MIB);
    let receipt = delivery.delivers("one.bin", 24 * MIB).await;
    assert_eq!((receipt.resumes, channels(&delivery), proxy.connections()), (0, 1, 1));
}

#[tokio::test]
async fn a_server_that_ends_the_connection_with_the_second_channel_gets_one() {
    let mut delivery =
        Delivery::to(Partner::embedded(Quirks { one_channel: true, ..Quirks::default() }).await.unwrap());
    let proxy = delivery.through_proxy(FAR).await;
    delivery.put("one.bin", 24 * MIB);
    delivery.delivers("one.bin", 24 * MIB).await;
    assert!(proxy.connections() <= 3, "{}", proxy.connections());
}

#[tokio::test]
async fn a_server_that_keeps_open_files_apart_gets_one_channel() {
    let mut delivery =
        Delivery::to(Partner::embedded(Quirks { apart: true, ..Quirks::default() }).await.unwrap());
    let _proxy = delivery.through_proxy(FAR).await;
    for length in [24 * MIB, 16 * MIB] {
        let name = format!("apart-{length}.bin");
        delivery.put(&name, length);
        let receipt = delivery.delivers(&name, length).await;
        assert_eq!((receipt.outcome, receipt.bytes_sent), (Outcome::Delivered, length));
        // What a handle that was left open would still store.
        tokio::time::sleep(Duration::from_millis(200)).await;
        delivery.assert_arrived(&name, length);
    }
}

/// The size is right, but the earlier data is a hole: only reading the file shows it.
#[tokio::test]
async fn story_133_a_server_that_empties_files_on_open_gets_one_channel() {
    let ways = Ways { truncation: Truncation::Always, ..Ways::default() };
    let mut delivery = Delivery::to(Partner::embedded(Quirks { ways, ..Quirks::default() }).await.unwrap());
    delivery.set("SFTP_PROOF", "size");
    // A connection takes some time to be ready: much was sent by then.
    delivery.set("SFTP_MAX_CONNECTIONS", 2);
    let _proxy = delivery.through_proxy(FAR).await;
    delivery.put("emptied.bin", 80 * MIB);
    let receipt = delivery.process().deliver("emptied.bin").await.unwrap();
    assert_eq!(receipt.outcome, Outcome::Delivered);
    delivery.assert_arrived("emptied.bin", 80 * MIB);
}

#[tokio::test]
async fn several_connections_carry_one_file_and_are_closed_after_it() {
    let mut delivery = Delivery::new().await;
    delivery.set("SFTP_MAX_CONNECTIONS", 4);
    delivery.set("SFTP_PROOF", "size");
    let proxy = delivery.through_proxy(Fault::Rate(40_000_000)).await;
    delivery.put("wide.bin", 160 * MIB);
    let process = delivery.process();
    let started = std::time::Instant::now();
    process.transfer_all("wide.bin", 0).await.unwrap();
    println!("{:?} for 160 MiB by {} connections", started.elapsed(), proxy.connections());
    assert_eq!((proxy.connections(), proxy.open_max()), (4, 4));
    wait_until("only the first is kept", || proxy.open() <= 1).await;
    process.deliver("wide.bin").await.unwrap();
    process.partner.disconnect().await;
    wait_until("all are closed", || proxy.open() == 0).await;
    delivery.assert_arrived("wide.bin", 160 * MIB);
}

#[tokio::test]
async fn several_connections_that_are_all_cut_are_closed_and_one_goes_on() {
    let mut delivery = Delivery::new().await;
    delivery.set("SFTP_MAX_CONNECTIONS", 4);
    let proxy = delivery.through_proxy(Fault::CutOnceAfter(24 * MIB)).await;
    delivery.put("wide.bin", 160 * MIB);
    let process = delivery.process();
    let receipt = process.deliver("wide.bin").await.unwrap();
    assert_eq!(receipt.resumes, 1);
    assert!(receipt.bytes_sent < 176 * MIB, "{}", receipt.bytes_sent);
    process.partner.disconnect().await;
    wait_until("all are closed", || proxy.open() == 0).await;
    delivery.assert_arrived("wide.bin", 160 * MIB);
}

/// A kept connection would collect them, and a server on Windows renames no file that is open.
#[tokio::test]
async fn a_file_that_ends_while_the_second_channel_still_waits_leaves_nothing_open() {
    const LENGTH: u64 = 24 * MIB;
    let Some(mut delivery) = Delivery::to_open_ssh("").await else { return };
    delivery.put("resumed.bin", LENGTH);
    let proxy = delivery.through_proxy(Fault::RefuseAfter(4 * MIB)).await;
    delivery.process().transfer("resumed.bin", None, 0).await.unwrap();
    // As left by a process that was killed at the end: only the last byte shows that the second channel is of use.
    let partial = delivery.partner.root.join(delivery.partials().pop().unwrap());
    pattern::write(File::create(partial).unwrap(), LENGTH - 1).unwrap();

    proxy.set(FAR).await;
    let process = delivery.process();
    process.deliver_after_a_kill("resumed.bin").await.unwrap();
    delivery.assert_arrived("resumed.bin", LENGTH);
    wait_until("all files are closed", || delivery.held_open() == 0).await;
    assert_eq!(proxy.open(), 1, "while the connection is kept");
    process.partner.disconnect().await;
}

#[tokio::test]
async fn a_file_that_is_over_before_the_second_channel_is_ready_leaves_nothing_open() {
    let Some(mut delivery) = Delivery::to_open_ssh("").await else { return };
    let proxy = delivery.through_proxy(FAR).await;
    let process = delivery.process();
    for number in 0..6 {
        let name = format!("{number}.bin");
        delivery.put(&name, 16 * MIB + number * MIB / 2);
        process.deliver(&name).await.unwrap();
    }
    assert_eq!(proxy.connections(), 1);
    assert!(channels(&delivery) <= 4, "{} channels", channels(&delivery));
    wait_until(&format!("{} files are closed", delivery.held_open()), || delivery.held_open() == 0).await;
    process.partner.disconnect().await;
}

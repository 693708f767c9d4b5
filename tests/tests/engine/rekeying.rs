//! New keys in the middle of a transfer, asked for by either side.

use std::time::{Duration, Instant};

use bridge::Proof;
use integration_tests::fault_proxy::Fault;

use crate::support::{Delivery, MIB};

const LENGTH: u64 = 128 * MIB;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    ByUs,
    ByTheServer,
}

/// Who asked for new keys, each time that there were keys already.
fn asked(delivery: &Delivery) -> Vec<Asked> {
    let log = delivery.partner.log();
    // The first keys of a connection are agreed on before anyone has logged in.
    let lists = log.lines().filter(|line| line.contains("SSH2_MSG_KEXINIT") && !line.contains("[preauth]"));
    let lists: Vec<&str> = lists.collect();
    // The side that starts sends a list of algorithms, and the other side answers with its own.
    let first = lists
        .chunks(2)
        .map(|pair| if pair[0].contains("KEXINIT sent") { Asked::ByTheServer } else { Asked::ByUs });
    first.collect()
}

fn assert_asked(delivery: &Delivery, by: Asked, at_least: usize) {
    let asked = asked(delivery);
    assert!(asked.len() >= at_least && asked.iter().all(|it| *it == by), "{asked:?}");
}

#[tokio::test]
async fn story_14_we_ask_for_new_keys() {
    let Some(mut delivery) = Delivery::to_open_ssh("LogLevel DEBUG1\n").await else { return };
    delivery.options.rekey_after = 16 * MIB as usize;
    delivery.put("rekeyed.bin", LENGTH);
    let receipt = delivery.delivers("rekeyed.bin", LENGTH).await;
    assert_eq!((receipt.proof, receipt.resumes), (Some(Proof::ReadBack), 0));
    assert_asked(&delivery, Asked::ByUs, 12);
}

#[tokio::test]
async fn story_14_the_server_asks_for_new_keys() {
    let settings = "LogLevel DEBUG1\nRekeyLimit 16M\n";
    let Some(delivery) = Delivery::to_open_ssh(settings).await else { return };
    delivery.put("rekeyed.bin", LENGTH);
    let receipt = delivery.delivers("rekeyed.bin", LENGTH).await;
    assert_eq!((receipt.proof, receipt.resumes), (Some(Proof::ReadBack), 0));
    assert_asked(&delivery, Asked::ByTheServer, 12);
}

#[tokio::test]
async fn story_14_new_keys_with_two_channels_far_away() {
    for (settings, by) in
        [("LogLevel DEBUG1\n", Asked::ByUs), ("LogLevel DEBUG1\nRekeyLimit 16M\n", Asked::ByTheServer)]
    {
        let Some(mut delivery) = Delivery::to_open_ssh(settings).await else { return };
        if by == Asked::ByUs {
            delivery.options.rekey_after = 16 * MIB as usize;
        }
        let _proxy = delivery.through_proxy(Fault::Delay(Duration::from_millis(5))).await;
        delivery.put("rekeyed.bin", LENGTH / 2);
        let receipt = delivery.delivers("rekeyed.bin", LENGTH / 2).await;
        assert_eq!((receipt.proof, receipt.resumes), (Some(Proof::ReadBack), 0));
        assert_asked(&delivery, by, 4);
        let log = delivery.partner.log();
        assert!(log.matches("Starting session: subsystem 'sftp'").count() > 1, "two channels");
    }
}

/// With the limits as they come: ours is a GiB, and the server's is less or none.
#[tokio::test]
async fn story_14_over_a_gib() {
    const LENGTH: u64 = 1056 * MIB;
    for (settings, by) in
        [("LogLevel DEBUG1\n", Asked::ByUs), ("LogLevel DEBUG1\nRekeyLimit 768M\n", Asked::ByTheServer)]
    {
        let Some(mut delivery) = Delivery::to_open_ssh(settings).await else { return };
        delivery.set("SFTP_PROOF", "size");
        delivery.put("large.bin", LENGTH);
        let started = Instant::now();
        let receipt = delivery.delivers("large.bin", LENGTH).await;
        println!("{by:?}: {:?}", started.elapsed());
        assert_eq!((receipt.resumes, receipt.bytes_sent), (0, LENGTH));
        assert_eq!(receipt.source_checksum_matched, Some(true));
        assert_eq!(asked(&delivery), [by]);
    }
}

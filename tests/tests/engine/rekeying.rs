//! New keys in the middle of a transfer, asked for by either side.

use std::time::Duration;

use bridge::Proof;
use integration_tests::fault_proxy::Fault;

use crate::support::{Delivery, MIB};

const LENGTH: u64 = 128 * MIB;

/// How often the server has agreed on keys with a client that it had keys with already.
fn rekeyings(delivery: &Delivery) -> usize {
    // Of each connection the first time is none.
    let times = |words: &str| delivery.partner.log().matches(words).count();
    times("SSH2_MSG_NEWKEYS received") - times("Connection from")
}

#[tokio::test]
async fn story_14_we_ask_for_new_keys() {
    let Some(mut delivery) = Delivery::to_open_ssh("LogLevel DEBUG1\n").await else { return };
    delivery.options.rekey_after = 16 * MIB as usize;
    delivery.put("rekeyed.bin", LENGTH);
    let receipt = delivery.delivers("rekeyed.bin", LENGTH).await;
    assert_eq!((receipt.proof, receipt.resumes), (Some(Proof::ReadBack), 0));
    assert!(rekeyings(&delivery) >= 12, "{}", rekeyings(&delivery));
}

#[tokio::test]
async fn story_14_the_server_asks_for_new_keys() {
    let settings = "LogLevel DEBUG1\nRekeyLimit 16M\n";
    let Some(delivery) = Delivery::to_open_ssh(settings).await else { return };
    delivery.put("rekeyed.bin", LENGTH);
    let receipt = delivery.delivers("rekeyed.bin", LENGTH).await;
    assert_eq!((receipt.proof, receipt.resumes), (Some(Proof::ReadBack), 0));
    assert!(rekeyings(&delivery) >= 12, "{}", rekeyings(&delivery));
}

#[tokio::test]
async fn story_14_new_keys_with_two_channels_far_away() {
    for settings in ["LogLevel DEBUG1\n", "LogLevel DEBUG1\nRekeyLimit 16M\n"] {
        let Some(mut delivery) = Delivery::to_open_ssh(settings).await else { return };
        if !settings.contains("RekeyLimit") {
            delivery.options.rekey_after = 16 * MIB as usize;
        }
        let _proxy = delivery.through_proxy(Fault::Delay(Duration::from_millis(5))).await;
        delivery.put("rekeyed.bin", LENGTH / 2);
        let receipt = delivery.delivers("rekeyed.bin", LENGTH / 2).await;
        assert_eq!((receipt.proof, receipt.resumes), (Some(Proof::ReadBack), 0));
        assert!(rekeyings(&delivery) >= 4, "{}", rekeyings(&delivery));
        let log = delivery.partner.log();
        assert!(log.matches("Starting session: subsystem 'sftp'").count() > 1, "two channels");
    }
}

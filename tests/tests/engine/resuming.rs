//! Connections that break and processes that die: what was acknowledged is not sent again.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

use bridge::{Outcome, Proof, Receipt};
use integration_tests::fault_proxy::Fault;
use integration_tests::object_source::Pace;

use crate::support::{Delivery, MIB, wait_until};

/// Cut once for each 20 MiB of a file of this length.
async fn cut_again_and_again(length: u64) {
    let mut delivery = Delivery::new().await;
    delivery.set("SFTP_PROOF", "size");
    delivery.put("cut.bin", length);
    let proxy = delivery.through_proxy(Fault::CutAfter(20 * MIB)).await;
    let started = std::time::Instant::now();
    let receipt = delivery.delivers("cut.bin", length).await;
    let sent_again = receipt.bytes_sent - length;
    println!(
        "{} MiB: {} resumes, {} connections, {} KiB sent again, {:?}",
        length / MIB,
        receipt.resumes,
        proxy.connections(),
        sent_again / 1024,
        started.elapsed()
    );
    // A single cut that is noticed only because nothing is answered any more takes as long as this.
    assert!(started.elapsed() < delivery.options.stall_timeout, "{:?}", started.elapsed());
    assert!(u64::from(receipt.resumes) >= length / (20 * MIB), "{}", receipt.resumes);
    assert!(sent_again < length / 10, "{sent_again}");
    assert_eq!((receipt.outcome, receipt.source_checksum_matched), (Outcome::Delivered, Some(true)));
}

#[tokio::test]
async fn story_11_cut_once_per_20_mib_of_a_256_mib_file() {
    cut_again_and_again(256 * MIB).await;
}

#[tokio::test]
#[ignore = "a GiB"]
async fn story_11_cut_once_per_20_mib_of_a_1_gib_file() {
    cut_again_and_again(1024 * MIB).await;
}

/// A server that is gone for a while is tried several times; what goes on is one session.
#[tokio::test]
async fn a_reconnect_that_fails_is_no_resume() {
    const LENGTH: u64 = 32 * MIB;
    let mut delivery = Delivery::new().await;
    delivery.put("gone.bin", LENGTH);
    let proxy = delivery.through_proxy(Fault::RefuseAfter(8 * MIB)).await;
    let coming_back = async {
        wait_until("the server is gone", || proxy.connections() == 1 && proxy.open() == 0).await;
        // After the first two pauses, which end in less than 0.2 and 0.6 s.
        tokio::time::sleep(Duration::from_secs(1)).await;
        proxy.set(Fault::None).await;
    };
    let process = delivery.process();
    let (receipt, ()) = tokio::join!(process.deliver("gone.bin"), coming_back);
    assert_eq!((receipt.unwrap().resumes, proxy.connections()), (1, 2));
    process.partner.disconnect().await;
    delivery.assert_arrived("gone.bin", LENGTH);
}

/// Each step of a delivery is one of these many bytes of what the client sends.
#[tokio::test]
async fn story_10_cut_at_every_step_of_a_small_file() {
    const LENGTH: u64 = 5_000;
    let mut delivery = Delivery::new().await;
    delivery.put("small.bin", LENGTH);
    let proxy = delivery.through_proxy(Fault::None).await;
    delivery.delivers("small.bin", LENGTH).await;
    let most = proxy.bytes_up();
    for cut_after in (0..most).step_by(300) {
        std::fs::remove_file(delivery.partner.root.join("small.bin")).unwrap();
        proxy.set(Fault::CutOnceAfter(cut_after)).await;
        let process = delivery.process();
        let mut tries = 0;
        // The retries of the state machine.
        let receipt = loop {
            match process.deliver("small.bin").await {
                Ok(receipt) => break receipt,
                Err(error) => {
                    let lost = error.name.is_connection_failure();
                    assert!(lost && tries < 2, "cut after {cut_after}: {error}");
                    tries += 1;
                }
            }
        };
        // If the answer to the rename was lost, the next try finds the file under its final name.
        let there = matches!(receipt.outcome, Outcome::Delivered | Outcome::AlreadyDelivered);
        assert!(there, "cut after {cut_after}: {receipt:?}");
        process.partner.disconnect().await;
        delivery.assert_arrived("small.bin", LENGTH);
    }
}

const LENGTH: u64 = 128 * MIB;

/// The real binary, killed when half of the file has arrived. Returns the partial file and its length.
async fn killed_in_the_middle(delivery: &Delivery) -> (PathBuf, u64) {
    delivery.put("killed.bin", LENGTH);
    // So slowly that it is not over before it is killed.
    delivery.source.pace(Pace { bytes_per_second: Some(60_000_000), ..Pace::default() });
    let mut killed = delivery.command(&["b/killed.bin"]).await.spawn().unwrap();
    let partial = || delivery.partials().pop().map(|name| delivery.partner.root.join(name));
    let length = || partial().and_then(|path| Some(path.metadata().ok()?.len())).unwrap_or_default();
    wait_until("half of it arrives", || length() > LENGTH / 2).await;
    killed.kill().await.unwrap();
    delivery.source.pace(Pace::default());
    // What the server has in its buffers still arrives.
    let mut seen = (0, 0);
    let mut settled = || {
        let now = length();
        seen = if seen.0 == now { (now, seen.1 + 1) } else { (now, 0) };
        seen.1 == 30
    };
    wait_until("no more arrives", &mut settled).await;
    assert!(length() < LENGTH, "it was killed before the end");
    (partial().unwrap(), length())
}

async fn run_again(delivery: &Delivery) -> Receipt {
    let again = delivery.run(&["--json", "b/killed.bin"]).await;
    assert_eq!(again.status, 0, "{}", again.stderr);
    delivery.assert_arrived("killed.bin", LENGTH);
    bridge::decode(serde_json::from_str(&again.stdout).unwrap()).unwrap()
}

#[tokio::test]
async fn a_killed_process_is_continued_by_the_next() {
    let mut delivery = Delivery::new().await;
    delivery.set("SFTP_PROOF", "size");
    let (partial, arrived) = killed_in_the_middle(&delivery).await;
    // The last 16 MiB are not believed to be there, although the file is that long.
    let file = File::options().write(true).open(partial).unwrap();
    file.write_all_at(&vec![0; 16 * MIB as usize], arrived - 16 * MIB).unwrap();
    let receipt = run_again(&delivery).await;
    assert_eq!(receipt.bytes_sent, LENGTH - (arrived - 16 * MIB), "only what may not be there is sent");
    assert_eq!((receipt.proof, receipt.source_checksum_matched), (Some(Proof::Size), Some(true)));
}

#[tokio::test]
async fn a_partial_file_that_was_spoilt_meanwhile_is_sent_anew() {
    let delivery = Delivery::new().await;
    let (partial, _) = killed_in_the_middle(&delivery).await;
    let file = File::options().write(true).open(partial).unwrap();
    file.write_all_at(b"not what was sent", 20 * MIB).unwrap();
    // Reading it back shows the difference, and then nothing of it is believed.
    let receipt = run_again(&delivery).await;
    assert_eq!((receipt.proof, receipt.bytes_sent), (Some(Proof::ReadBack), LENGTH));
}

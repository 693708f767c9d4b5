//! Connections that break and processes that die: what was acknowledged is not sent again.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

use bridge::{Checkpoint, ErrorName, Outcome, Progress, Proof, Receipt};
use integration_tests::embedded::{Cut, Moment, Quirks};
use integration_tests::fault_proxy::Fault;
use integration_tests::object_source::Pace;
use integration_tests::partner::Partner;
use integration_tests::pattern;
use integration_tests::wire::kind;
use sftp::AHEAD_MAX;

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

/// The state machine with its retries: each goes on from the document. Whatever has failed by then, there is no short file.
async fn retried(delivery: &Delivery, object_key: &str, length: u64) -> Receipt {
    let process = delivery.process();
    let (mut checkpoint, mut tries) = (None::<Checkpoint>, 0);
    let receipt = loop {
        let progress = match &checkpoint {
            Some(complete) if !complete.is_sending() => process.verify(object_key, complete.clone()).await,
            started => process.transfer(object_key, started.clone(), 0).await,
        };
        match progress {
            Ok(Progress::Receipt(receipt)) => break *receipt,
            Ok(progress) => checkpoint = progress.checkpoint(),
            Err(error) => {
                assert!(error.name.is_connection_failure() && tries < 2, "{error}");
                tries += 1;
            }
        }
        if let Ok(file) = File::open(delivery.partner.root.join(object_key)) {
            assert_eq!(pattern::difference(file, length).unwrap(), None, "there, and not whole");
        }
    };
    process.partner.disconnect().await;
    receipt
}

/// The marker's requests included: before one is carried out, and when it is its answer that is lost.
#[tokio::test]
async fn story_10_cut_at_every_request_of_a_small_file() {
    const LENGTH: u64 = 100_000;
    let cut = Cut::default();
    let quirks = Quirks { cut: Some(cut.clone()), ..Quirks::default() };
    let mut delivery = Delivery::to(Partner::embedded(quirks).await.unwrap());
    delivery.set("SFTP_MARKER", "done");
    delivery.put("small.bin", LENGTH);
    delivery.delivers("small.bin", LENGTH).await;
    let requests = cut.seen();
    for kind in [kind::OPEN, kind::WRITE, kind::FSTAT, kind::CLOSE, kind::STAT, kind::READ, kind::EXTENDED] {
        assert!(requests.contains(&kind), "{kind} is not among {requests:?}");
    }
    let closed = requests.iter().position(|kind| *kind == kind::CLOSE).unwrap();
    for number in 0..requests.len() {
        for moment in [Moment::Before, Moment::After] {
            let what = format!("{moment:?} number {number} of {requests:?}");
            println!("{what}");
            for file in ["small.bin", "small.bin.done"] {
                std::fs::remove_file(delivery.partner.root.join(file)).unwrap();
            }
            cut.at(number, moment);
            let receipt = retried(&delivery, "small.bin", LENGTH).await;
            let sessions = cut.seen().iter().filter(|kind| **kind == kind::INIT).count();
            assert_eq!((receipt.outcome, sessions), (Outcome::Delivered, 2), "{what}: {receipt:?}");
            assert_eq!(receipt.proof, Some(Proof::ReadBack), "{what}");
            // Of bytes that are all acknowledged, none is sent again. The CLOSE and the look behind it come before that.
            assert!(number <= closed + 1 || receipt.bytes_sent == LENGTH, "{what}: {}", receipt.bytes_sent);
            delivery.assert_arrived("small.bin", LENGTH);
            let left = std::fs::read_dir(&delivery.partner.root).unwrap().count();
            assert_eq!(left, 2, "{what}: the file and its marker");
        }
    }
}

/// A server may end the session because a CLOSE does not wait for the WRITEs. It is not asked for that with every file.
#[tokio::test]
async fn a_session_that_is_lost_while_a_file_is_closed_early() {
    let cut = Cut::default();
    let quirks = Quirks { cut: Some(cut.clone()), ..Quirks::default() };
    let delivery = Delivery::to(Partner::embedded(quirks).await.unwrap());
    delivery.put("small.bin", 1000);
    let process = delivery.process();
    // INIT, two looks, OPEN, WRITE.
    cut.at(5, Moment::Before);
    assert!(!process.partner.learned.closes_late());
    process.deliver("small.bin").await.unwrap();
    assert_eq!(cut.seen()[5], kind::CLOSE);
    assert!(process.partner.learned.closes_late());
    process.partner.disconnect().await;
    delivery.assert_arrived("small.bin", 1000);
}

/// A duplicate event opens a partial file before it knows that there is nothing to send.
#[tokio::test]
async fn cut_at_every_request_of_a_file_that_is_there_already() {
    const LENGTH: u64 = 100_000;
    for if_exists in ["replace", "fail"] {
        let cut = Cut::default();
        let quirks = Quirks { cut: Some(cut.clone()), ..Quirks::default() };
        let mut delivery = Delivery::to(Partner::embedded(quirks).await.unwrap());
        delivery.put("small.bin", LENGTH);
        delivery.delivers("small.bin", LENGTH).await;
        delivery.set("SFTP_IF_EXISTS", if_exists);
        if if_exists == "fail" {
            // Another one.
            std::fs::write(delivery.partner.root.join("small.bin"), "theirs").unwrap();
        }
        // The first one belongs to connecting.
        for number in 1..12 {
            for moment in [Moment::Before, Moment::After] {
                cut.at(number, moment);
                if if_exists == "fail" {
                    let process = delivery.process();
                    let refused = process.transfer("small.bin", None, 0).await.unwrap_err();
                    assert_eq!(refused.name, ErrorName::RemotePathRejected, "{refused}");
                    process.partner.disconnect().await;
                } else {
                    let receipt = retried(&delivery, "small.bin", LENGTH).await;
                    assert_eq!(receipt.outcome, Outcome::AlreadyDelivered, "{receipt:?}");
                }
                let left = std::fs::read_dir(&delivery.partner.root).unwrap().count();
                assert_eq!(left, 1, "{if_exists}: {moment:?} number {number} of {:?}", cut.seen());
            }
        }
    }
}

/// While connecting and logging in, and in the middle of packets: a small request is one of some 80 bytes.
#[tokio::test]
async fn story_10_cut_at_every_step_of_a_small_file() {
    const LENGTH: u64 = 500;
    let mut delivery = Delivery::new().await;
    delivery.put("small.bin", LENGTH);
    let proxy = delivery.through_proxy(Fault::None).await;
    delivery.delivers("small.bin", LENGTH).await;
    let most = proxy.bytes_up();
    for cut_after in (0..most).step_by(60) {
        println!("cut after {cut_after} of {most}");
        std::fs::remove_file(delivery.partner.root.join("small.bin")).unwrap();
        proxy.set(Fault::CutOnceAfter(cut_after)).await;
        assert_eq!(retried(&delivery, "small.bin", LENGTH).await.outcome, Outcome::Delivered);
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
    // The last bytes are not believed to be there, although the file is that long.
    let file = File::options().write(true).open(partial).unwrap();
    file.write_all_at(&vec![0; AHEAD_MAX as usize], arrived - AHEAD_MAX).unwrap();
    let receipt = run_again(&delivery).await;
    assert_eq!(receipt.bytes_sent, LENGTH - (arrived - AHEAD_MAX), "only what may not be there is sent");
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

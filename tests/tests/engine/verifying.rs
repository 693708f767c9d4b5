//! Proving what was sent goes on where it was, whatever interrupts it.

use std::time::Duration;

use bridge::{Outcome, Proof};
use integration_tests::embedded::{Hiccup, LostAnswer, Quirks};
use integration_tests::object_source::Pace;
use integration_tests::partner::Partner;

use crate::support::{Delivery, MIB};

async fn to(quirks: Quirks) -> Delivery {
    Delivery::to(Partner::embedded(quirks).await.unwrap())
}

#[tokio::test]
async fn what_was_read_back_is_not_read_again_after_a_failure() {
    const LENGTH: u64 = 24 * MIB;
    let delivery = to(Quirks { hiccup: Some(Hiccup::from(16 * MIB)), ..Quirks::default() }).await;
    delivery.put("file.bin", LENGTH);
    let process = delivery.process();
    let (complete, _) = process.transfer_all("file.bin", 0).await.unwrap();
    let progress = process.verify("file.bin", complete).await.unwrap();
    let mut checkpoint = progress.checkpoint().unwrap();
    let read = checkpoint.phase.reading().unwrap().read_back.as_ref().unwrap().offset;
    assert!((8 * MIB..=16 * MIB).contains(&read), "{read}");
    let (receipt, calls) = process.verify_all("file.bin", checkpoint).await.unwrap();
    assert_eq!((receipt.outcome, receipt.proof, calls), (Outcome::Delivered, Some(Proof::ReadBack), 1));
    delivery.assert_arrived("file.bin", LENGTH);
}

/// The same where a file that is there is compared, which may be as large.
#[tokio::test]
async fn what_was_compared_is_not_compared_again_after_a_failure() {
    const LENGTH: u64 = 24 * MIB;
    let mut delivery = to(Quirks { hiccup: Some(Hiccup::from(16 * MIB)), ..Quirks::default() }).await;
    delivery.set("SFTP_IF_EXISTS", "keep-both");
    delivery.put("file.bin", LENGTH);
    // Of the same size, and different in its last byte.
    let process = delivery.process();
    let (complete, _) = process.transfer_all("file.bin", 0).await.unwrap();
    let theirs = delivery.partner.root.join("file.bin");
    std::fs::copy(delivery.partner.root.join(complete.route.upload_path()), &theirs).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&theirs).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"?", LENGTH - 1).unwrap();
    let progress = process.verify("file.bin", complete).await.unwrap();
    let checkpoint = progress.checkpoint().unwrap();
    let compared = checkpoint.name.compared.as_ref().unwrap().offset;
    assert!((8 * MIB..=16 * MIB).contains(&compared), "{compared}");
    let (receipt, _) = process.verify_all("file.bin", checkpoint).await.unwrap();
    assert_eq!(receipt.remote_path.as_deref(), Some("file.1.bin"));
    delivery.assert_arrived("file.1.bin", LENGTH);
}

#[tokio::test]
async fn a_hash_that_never_comes_gives_way_to_reading_back() {
    let lost_answer = Some(LostAnswer::to("check-file"));
    let mut delivery = to(Quirks { check_file: true, lost_answer, ..Quirks::default() }).await;
    delivery.options.stall_timeout = Duration::from_secs(2);
    delivery.put("file.bin", 3 * MIB);
    let receipt = delivery.delivers("file.bin", 3 * MIB).await;
    assert_eq!(receipt.proof, Some(Proof::ReadBack));

    // Where a call has not enough time for it, it is not asked for.
    let mut delivery = to(Quirks { check_file: true, ..Quirks::default() }).await;
    delivery.slice = Some(Duration::from_secs(10));
    delivery.put("file.bin", 3 * MIB);
    assert_eq!(delivery.delivers("file.bin", 3 * MIB).await.proof, Some(Proof::ReadBack));
    delivery.slice = None;
    delivery.put("other.bin", 3 * MIB);
    assert_eq!(delivery.delivers("other.bin", 3 * MIB).await.proof, Some(Proof::ServerHash));
}

/// Begun with another setting, it has to be read from S3 once more; that goes on in the next call, too.
#[tokio::test]
async fn a_demanded_hash_that_was_not_computed_on_the_way_resumes() {
    const LENGTH: u64 = 48 * MIB;
    let mut delivery = to(Quirks { check_file: true, ..Quirks::default() }).await;
    delivery.set("SFTP_PROOF", "size");
    delivery.put("file.bin", LENGTH);
    let (complete, _) = delivery.process().transfer_all("file.bin", 0).await.unwrap();
    assert!(complete.sent.digests.sha256.is_none());
    delivery.set("SFTP_PROOF", "hash");
    // Slow enough for a few calls.
    delivery.source.pace(Pace { first_byte_delay: Duration::ZERO, bytes_per_second: Some(6_000_000) });
    delivery.slice = Some(Duration::from_secs(2));
    let process = delivery.process();
    let (receipt, calls) = process.verify_all("file.bin", complete).await.unwrap();
    assert!(calls > 1, "{calls}");
    assert_eq!(receipt.proof, Some(Proof::ServerHash));
    delivery.assert_arrived("file.bin", LENGTH);
}

//! S3, when it is slow, breaks off, or holds something else than what comes.

use std::time::Duration;

use bridge::ErrorName;
use integration_tests::object_source::{Body, Claim, Pace, Quirks};

use crate::support::{Delivery, MIB};

/// MD5 and SHA-256 of "abc" (RFC 1321, appendix A.5; FIPS 180-2, appendix B.1), the latter in base64.
const MD5: &str = "900150983cd24fb0d6963f7d28e17f72";
const SHA256: &str = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";

#[tokio::test]
async fn a_body_that_breaks_off_is_asked_for_from_there() {
    let delivery = Delivery::new().await;
    delivery.put("broken.bin", 20 * MIB);
    delivery.source.quirks(Quirks { break_after: Some(3 * MIB + 17), ..Quirks::default() });
    let receipt = delivery.delivers("broken.bin", 20 * MIB).await;
    assert_eq!(receipt.source_checksum_matched, Some(true));
    assert!(delivery.source.asked().len() >= 7);
}

#[tokio::test]
async fn a_slow_source_is_read_in_ranges_side_by_side() {
    const LENGTH: u64 = 24 * MIB;
    let delivery = Delivery::new().await;
    delivery.put("slow.bin", LENGTH);
    // So slow that even on a busy machine it is the source that is waited for.
    let rate = Some(6_000_000);
    delivery.source.pace(Pace { first_byte_delay: Duration::from_millis(20), bytes_per_second: rate });
    delivery.delivers("slow.bin", LENGTH).await;
    assert!(delivery.source.bodies_max() >= 3, "{} at once", delivery.source.bodies_max());
}

#[tokio::test]
async fn a_slow_store_that_ignores_ranges() {
    let delivery = Delivery::new().await;
    delivery.put("whole.bin", 16 * MIB);
    delivery.source.quirks(Quirks { no_ranges: true, ..Quirks::default() });
    let rate = Some(20_000_000);
    delivery.source.pace(Pace { first_byte_delay: Duration::ZERO, bytes_per_second: rate });
    let receipt = delivery.delivers("whole.bin", 16 * MIB).await;
    assert_eq!(receipt.source_checksum_matched, Some(true));
}

#[tokio::test]
async fn hashes_stand_in_where_s3_has_no_checksum() {
    let delivery = Delivery::new().await;
    let abc = || Body::Bytes(b"abc".to_vec());
    let put = |name: &str, claim| delivery.source.put_claiming(&format!("b/{name}"), abc(), claim).unwrap();
    put("md5", Claim::Md5(MD5.into()));
    put("sha256", Claim::Sha256(SHA256.into()));
    put("wrong-md5", Claim::Md5(MD5.replace('9', "8")));
    put("wrong-sha256", Claim::Sha256(SHA256.replace('u', "v")));
    let process = delivery.process();
    for name in ["md5", "sha256"] {
        let receipt = process.deliver(name).await.unwrap();
        assert_eq!(receipt.source_checksum_matched, Some(true), "{name}");
        assert_eq!(std::fs::read(delivery.partner.root.join(name)).unwrap(), b"abc");
    }
    for name in ["wrong-md5", "wrong-sha256"] {
        let error = process.deliver(name).await.unwrap_err();
        assert_eq!(error.name, ErrorName::RemoteMismatch, "{name}: {error}");
        assert!(!delivery.partner.root.join(name).exists(), "{name} is not published");
    }
}

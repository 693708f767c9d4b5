//! A connection is kept for the next file: for as long as it is known to be alive, and only for whom it was made.

use std::time::Duration;

use integration_tests::fault_proxy::Fault;
use integration_tests::keys::KeyPair;
use integration_tests::object_source::Body;

use crate::support::{Delivery, MIB, wait_until};

#[tokio::test]
async fn the_next_file_takes_the_kept_connection() {
    let mut delivery = Delivery::new().await;
    let proxy = delivery.through_proxy(Fault::None).await;
    let process = delivery.process();
    for name in ["one", "two", "three"] {
        delivery.put(name, 100_000);
        process.deliver(name).await.unwrap();
        delivery.assert_arrived(name, 100_000);
    }
    assert_eq!((proxy.connections(), proxy.open()), (1, 1));
    process.partner.disconnect().await;
    wait_until("it is closed", || proxy.open() == 0).await;
}

#[tokio::test]
async fn nothing_is_kept_where_nothing_may_be() {
    let mut delivery = Delivery::new().await;
    delivery.set("SFTP_KEEP_CONNECTION", 0);
    let proxy = delivery.through_proxy(Fault::None).await;
    // As on Lambda: each step has a process of its own, which lives on.
    let (transfer, verify) = (delivery.process(), delivery.process());
    for name in ["one", "two"] {
        delivery.put(name, 100_000);
        let (complete, _) = transfer.transfer_all(name, 0).await.unwrap();
        wait_until("it is closed", || proxy.open() == 0).await;
        verify.verify_all(name, complete).await.unwrap();
        wait_until("it is closed", || proxy.open() == 0).await;
        delivery.assert_arrived(name, 100_000);
    }
    assert_eq!((proxy.connections(), proxy.open_max()), (4, 1));
}

/// A connection that is being opened while the file ends must not keep the first one open.
#[tokio::test]
async fn nothing_is_kept_where_a_second_connection_hears_nothing() {
    let mut delivery = Delivery::new().await;
    delivery.set("SFTP_KEEP_CONNECTION", 0);
    delivery.set("SFTP_MAX_CONNECTIONS", 2);
    let proxy = delivery.through_proxy(Fault::Admit(1)).await;
    delivery.put("wide.bin", 80 * MIB);
    let process = delivery.process();
    process.transfer_all("wide.bin", 0).await.unwrap();
    assert_eq!(proxy.open_max(), 2);
    wait_until("both are closed", || proxy.open() == 0).await;
}

#[tokio::test]
async fn a_connection_is_not_kept_beyond_its_time() {
    let mut delivery = Delivery::new().await;
    delivery.set("SFTP_KEEP_CONNECTION", 1);
    let proxy = delivery.through_proxy(Fault::None).await;
    let process = delivery.process();
    for (name, connections) in [("one", 1), ("two", 2)] {
        delivery.put(name, 1000);
        process.deliver(name).await.unwrap();
        assert_eq!(proxy.connections(), connections);
        tokio::time::sleep(Duration::from_millis(1200)).await;
    }
}

#[tokio::test]
async fn another_credential_gets_another_connection() {
    let other = KeyPair::ed25519().unwrap();
    let keys = tempfile::NamedTempFile::new().unwrap();
    let settings = format!("AuthorizedKeysFile {}\n", keys.path().display());
    let Some(mut delivery) = Delivery::to_open_ssh(&settings).await else { return };
    std::fs::write(keys.path(), format!("{}\n{}\n", delivery.partner.client_key.public, other.public))
        .unwrap();
    let proxy = delivery.through_proxy(Fault::None).await;
    let process = delivery.process();
    delivery.put("one", 1000);
    let first = process.deliver("one").await.unwrap();
    // Rotated.
    delivery.source.put("keys/id", Body::Bytes(other.private.clone().into_bytes())).unwrap();
    delivery.put("two", 1000);
    let second = process.deliver("two").await.unwrap();
    assert_ne!(first.public_key_fingerprint, second.public_key_fingerprint);
    assert_eq!(second.public_key_fingerprint, Some(other.fingerprint().unwrap()));
    assert!(delivery.partner.log().contains(&other.fingerprint().unwrap()), "the server saw it");
    assert_eq!(proxy.connections(), 2);
    wait_until("the first one is closed", || proxy.open() == 1).await;
}

#[tokio::test]
async fn a_kept_connection_that_has_died_is_replaced() {
    let mut delivery = Delivery::new().await;
    let proxy = delivery.through_proxy(Fault::None).await;
    let process = delivery.process();
    delivery.put("one", 1000);
    delivery.put("two", 1000);
    delivery.put("three", 1000);
    process.deliver("one").await.unwrap();
    delivery.partner.start_again().await.unwrap();
    process.deliver("two").await.unwrap();
    assert_eq!(proxy.connections(), 2);

    // Without a word: the connection is asked whether it is alive, and does not answer.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    proxy.set(Fault::Swallow).await;
    let healing = async {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        // What was swallowed stays unheard: the cable is back, the connection is not.
        proxy.cut();
        proxy.set(Fault::None).await;
    };
    let (third, ()) = tokio::join!(process.deliver("three"), healing);
    third.unwrap();
    for name in ["one", "two", "three"] {
        delivery.assert_arrived(name, 1000);
    }
}

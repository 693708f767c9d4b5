//! Requests that travel together, to servers that serve them in another order.

use std::sync::Arc;

use bridge::{ErrorName, Execution, Outcome, Receipt};
use delivery::{Handlers, StateMachine};
use integration_tests::embedded::{Cut, Order, Quirks};
use integration_tests::partner::Partner;
use serde_json::Value;

use crate::support::{Bridge, bytes, unique};

/// Several WRITEs, and all of them in one window.
const SIZE: usize = 150_000;

async fn ordered(order: Order) -> Bridge {
    Bridge::to(Partner::embedded(Quirks { order, ..Quirks::default() }).await.unwrap()).await
}

/// All states in one process.
async fn deliver_with(partner: &Arc<partner::Partner>, bridge: &Bridge, event: &Value) -> Receipt {
    let mut handlers = Handlers::new(Arc::new(bridge.settings()), bridge.clients(), Arc::clone(partner));
    let execution = Execution { id: unique("arn:execution"), ..Execution::default() };
    StateMachine::new(execution, event.clone()).run(&mut handlers).await.unwrap()
}

#[tokio::test]
async fn story_165_a_file_is_whole_whatever_the_order_in_which_a_server_works() {
    for order in [Order::Reversed, Order::CloseFirst] {
        for proof in ["size", "auto"] {
            let mut bridge = ordered(order).await;
            bridge.set("SFTP_PROOF", proof);
            let receipt = bridge.delivers("report.bin", &bytes(SIZE)).await;
            assert!(receipt.warnings.is_empty(), "{order:?}: {receipt:?}");
        }
    }
}

#[tokio::test]
async fn story_165_a_server_that_closes_before_it_has_written_is_asked_so_only_once() {
    let bridge = ordered(Order::CloseFirst).await;
    let partner = bridge.reached();
    for (key, sent) in [("first.bin", 2 * SIZE), ("second.bin", SIZE)] {
        let event = bridge.put(key, bytes(SIZE)).await;
        let receipt = deliver_with(&partner, &bridge, &event).await;
        assert!(bridge.remote(key).unwrap() == bytes(SIZE), "{key} differs");
        assert_eq!(receipt.bytes_sent, sent as u64, "{key}");
        bridge.assert_no_partial_files();
    }
    assert!(partner.learned.closes_late());
}

#[tokio::test]
async fn story_166_what_need_not_be_sent_leaves_no_empty_file() {
    let mut bridge = Bridge::to(Partner::embedded(Quirks::default()).await.unwrap()).await;
    let event = bridge.put("report.bin", bytes(SIZE)).await;
    assert_eq!(bridge.deliver(&event).await.unwrap().outcome, Outcome::Delivered);
    let again = bridge.deliver(&event).await.unwrap();
    assert_eq!((again.outcome, again.bytes_sent), (Outcome::AlreadyDelivered, 0));
    assert_eq!(bridge.remote_files(), ["report.bin"]);
    // Another file that must stay.
    bridge.set("SFTP_IF_EXISTS", "fail");
    let event = bridge.put("report.bin", bytes(SIZE + 1)).await;
    let (_, error) = bridge.deliver(&event).await.unwrap_err();
    assert_eq!(error.name, ErrorName::RemotePathRejected, "{error}");
    assert_eq!(bridge.remote_files(), ["report.bin"]);
    assert!(bridge.remote("report.bin").unwrap() == bytes(SIZE));
}

#[tokio::test]
async fn story_166_a_run_over_delivered_files_opens_nothing_in_advance() {
    const OPEN: u8 = 3;
    const WITH_PROOF: usize = 1;
    let requests = Cut::default();
    let quirks = Quirks { cut: Some(requests.clone()), ..Quirks::default() };
    let bridge = Bridge::to(Partner::embedded(quirks).await.unwrap()).await;
    let partner = bridge.reached();
    let opened = || requests.seen().into_iter().filter(|kind| *kind == OPEN).count();
    let event = bridge.put("report.bin", bytes(SIZE)).await;
    deliver_with(&partner, &bridge, &event).await;
    for opens in [1 + WITH_PROOF, WITH_PROOF, WITH_PROOF] {
        let before = opened();
        let receipt = deliver_with(&partner, &bridge, &event).await;
        assert_eq!(receipt.outcome, Outcome::AlreadyDelivered);
        assert_eq!(opened() - before, opens);
    }
    assert_eq!(bridge.remote_files(), ["report.bin"]);
}

//! A partner is not hammered: what it refused is remembered, connections that fail are spaced, and one is enough.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bridge::{Error, ErrorName};
use integration_tests::door::Door;
use integration_tests::embedded::{Quirks, Script};
use integration_tests::fault_proxy::Fault;
use integration_tests::keys::KeyPair;
use integration_tests::object_source::Body;
use integration_tests::partner::Partner;
use integration_tests::wire::{Request, kind, serve};
use partner::Manners;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::support::{Delivery, Process, with_manners};

const FILES: usize = 40;

/// A partner with this door, and a key that it does not know.
async fn with_a_wrong_key(door: &Door) -> Delivery {
    let quirks = Quirks { door: door.clone(), ..Quirks::default() };
    let delivery = Delivery::to(Partner::embedded(quirks).await.unwrap());
    let wrong = KeyPair::ed25519().unwrap();
    delivery.source.put("keys/id", Body::Bytes(wrong.private.into_bytes())).unwrap();
    delivery
}

/// What comes of all files at once, as a recursive run sends them.
async fn errors_of_all(process: &Process) -> Vec<Error> {
    let mut files = JoinSet::new();
    for number in 0..FILES {
        let process = process.clone();
        files.spawn(async move { process.transfer(&number.to_string(), None, 0).await.unwrap_err() });
    }
    files.join_all().await
}

fn put_all(delivery: &Delivery) {
    (0..FILES).for_each(|number| delivery.put(&number.to_string(), 1000));
}

#[tokio::test]
async fn story_80_a_refused_login_is_not_repeated_for_each_file() {
    let door = Door::default();
    let delivery = with_a_wrong_key(&door).await;
    put_all(&delivery);
    let process = delivery.process();
    assert_eq!(process.partner.refusal(), None);
    let first = process.transfer("0", None, 0).await.unwrap_err();
    assert_eq!((first.name, door.take_refused()), (ErrorName::AuthenticationRejected, 1));
    assert!(!first.message().contains("not tried again"), "{first}");
    for error in errors_of_all(&process).await {
        assert_eq!(error.name, ErrorName::AuthenticationRejected);
        for words in [first.message(), "(not tried again: this is the answer of 20", "is asked again from 20"]
        {
            assert!(error.message().contains(words), "{words}: {error}");
        }
    }
    assert_eq!(door.take_refused(), 0);
    assert_eq!(process.partner.refusal(), Some(first));
}

#[tokio::test]
async fn story_80_a_recursive_run_with_a_wrong_key_is_refused_once() {
    let door = Door::default();
    let delivery = with_a_wrong_key(&door).await;
    put_all(&delivery);
    let ran = delivery.run(&["s3://b", "--recursive"]).await;
    assert_eq!((ran.status, door.take_refused()), (1, 1), "{}", ran.stderr);
}

#[tokio::test]
async fn story_80_an_unknown_server_and_one_without_common_algorithms_are_asked_once() {
    for (setting, value, name) in [
        ("SFTP_TRUSTED_HOST_KEYS", KeyPair::ed25519().unwrap().public, ErrorName::HostKeyMismatch),
        ("SFTP_ALGORITHMS", "+3des-cbc,-aes*,-chacha*".into(), ErrorName::NoCommonAlgorithm),
    ] {
        let mut delivery = Delivery::to(Partner::embedded(Quirks::default()).await.unwrap());
        put_all(&delivery);
        delivery.set(setting, value);
        let proxy = delivery.through_proxy(Fault::None).await;
        let process = delivery.process();
        for error in errors_of_all(&process).await {
            assert_eq!(error.name, name, "{error}");
        }
        assert_eq!((proxy.connections(), process.partner.refusal().unwrap().name), (1, name));
    }
}

#[tokio::test]
async fn story_81_a_changed_credential_is_tried_at_once_and_the_refused_one_when_its_time_has_come() {
    let door = Door::default();
    let delivery = with_a_wrong_key(&door).await;
    put_all(&delivery);
    let manners = Manners { refused: Duration::from_millis(300), ..Manners::LAMBDA };
    let process = with_manners(delivery.process(), manners);
    let refused = async || {
        process.transfer("0", None, 0).await.unwrap_err();
        door.take_refused()
    };
    assert_eq!([refused().await, refused().await], [1, 0]);
    tokio::time::sleep(Duration::from_millis(350)).await;
    assert_eq!([refused().await, refused().await], [1, 0], "one attempt knocks again");
    tokio::time::sleep(Duration::from_millis(350)).await;
    assert_eq!(refused().await, 0, "the second time for twice as long");

    let right = delivery.partner.client_key.private.clone().into_bytes();
    delivery.source.put("keys/id", Body::Bytes(right)).unwrap();
    process.deliver("1").await.unwrap();
    assert_eq!(process.partner.refusal(), None);
    process.partner.disconnect().await;
}

/// Ends each session at its first OPEN.
fn ends_at_open() -> Script {
    Script::new(|channel| async move {
        let opened = Arc::new(Notify::new());
        let telling = Arc::clone(&opened);
        let serving = serve(channel, move |request: &Request| {
            if request.kind == kind::OPEN {
                telling.notify_one();
            }
            None
        });
        tokio::select! {
            biased;
            () = opened.notified() => {}
            _ = serving => {}
        }
    })
}

#[tokio::test]
async fn story_82_connections_that_fail_are_spaced_for_all_files_of_a_process() {
    let closes_at_once = Quirks { connections_max: Some(0), ..Quirks::default() };
    for partner in [Partner::embedded(closes_at_once).await, Partner::scripted(ends_at_open()).await] {
        let mut delivery = Delivery::to(partner.unwrap());
        put_all(&delivery);
        let proxy = delivery.through_proxy(Fault::None).await;
        let manners = Manners { patience: Duration::from_secs(1), ..Manners::LAMBDA };
        let process = with_manners(delivery.process(), manners);
        let mut errors = errors_of_all(&process).await;
        for number in 0..FILES {
            errors.push(process.transfer(&number.to_string(), None, 0).await.unwrap_err());
        }
        assert!(errors.iter().all(|error| error.name.is_connection_failure()), "{errors:?}");
        // After 0.2, 0.4, 0.8, 1.6 s, or half of it; then the pause is longer than a call waits.
        let connections = proxy.connections();
        assert!((3..=5).contains(&connections), "{connections} connections");
        assert!(process.partner.refusal().unwrap().name.is_connection_failure());

        // An invocation is not slept away.
        let started = Instant::now();
        let error = process.transfer("0", None, 0).await.unwrap_err();
        assert!(error.message().contains("(not tried again: this is failure"), "{error}");
        assert!(started.elapsed() < Duration::from_millis(500), "{:?}", started.elapsed());
        assert_eq!(proxy.connections(), connections);
    }
}

#[tokio::test]
async fn story_82_a_session_that_works_ends_the_pauses() {
    let mut delivery = Delivery::new().await;
    put_all(&delivery);
    let proxy = delivery.through_proxy(Fault::Refuse).await;
    let process = with_manners(delivery.process(), Manners::COMMAND_LINE);
    for _ in 0..3 {
        let error = process.transfer("0", None, 0).await.unwrap_err();
        assert_eq!(error.name, ErrorName::ConnectFailed, "{error}");
    }
    assert_eq!(process.partner.refusal(), None, "a few failures are no reason to stop");
    proxy.set(Fault::None).await;
    let started = Instant::now();
    process.deliver("0").await.unwrap();
    assert!(started.elapsed() > Duration::from_millis(400), "{:?}", started.elapsed());
    proxy.cut();
    let started = Instant::now();
    process.deliver("1").await.unwrap();
    assert!(started.elapsed() < Duration::from_millis(400), "{:?}", started.elapsed());
    process.partner.disconnect().await;
}

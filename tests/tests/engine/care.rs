//! A partner is not hammered: what it refused is remembered, connections that fail are spaced, and one is enough.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bridge::{Error, ErrorName, Outcome};
use integration_tests::door::Door;
use integration_tests::embedded::{Quirks, Script};
use integration_tests::fault_proxy::Fault;
use integration_tests::keys::KeyPair;
use integration_tests::object_source::{Body, Pace};
use integration_tests::partner::Partner;
use integration_tests::tools::workspace;
use integration_tests::wire::{Request, kind, serve};
use partner::Manners;
use tokio::sync::{Notify, Semaphore};
use tokio::task::{JoinSet, LocalSet};

use crate::partners::Patience;
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
        for words in [first.message(), "(not tried again: the attempt at 20", "is possible from 20"] {
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
        let first = process.transfer("0", None, 0).await.unwrap_err();
        assert_eq!(first.name, name, "{first}");
        // The second one finds out with which algorithms it would connect.
        let connections = proxy.connections();
        assert!(connections <= 2, "{connections}");
        for error in errors_of_all(&process).await {
            assert_eq!(error.name, name, "{error}");
        }
        assert_eq!(proxy.connections(), connections);
        assert_eq!(process.partner.refusal(), Some(first));
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
        let started = Instant::now();
        let mut errors = errors_of_all(&process).await;
        for number in 0..FILES {
            errors.push(process.transfer(&number.to_string(), None, 0).await.unwrap_err());
        }
        assert!(errors.iter().all(|error| error.name.is_connection_failure()), "{errors:?}");
        // Each pause is at least half of 0.2, 0.4, 0.8 s and so on.
        let most = 3.0 + (1.0 + started.elapsed().as_secs_f64() / 0.1).log2();
        let connections = proxy.connections();
        assert!(
            connections >= 3 && connections as f64 <= most,
            "{connections} of at most {most} connections"
        );
        assert!(process.partner.refusal().unwrap().name.is_connection_failure());

        // An invocation is not slept away.
        let called = async || (Instant::now(), process.transfer("0", None, 0).await.unwrap_err());
        let (mut began, mut error) = called().await;
        while !error.message().contains("(not tried again: this is failure") {
            (began, error) = called().await;
        }
        assert!(began.elapsed() < Duration::from_millis(900), "{:?}", began.elapsed());
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

/// A function with its reserved concurrency.
struct Function {
    process: Process,
    reservation: Semaphore,
}

/// How the template runs the states with `MaxConnections` 1.
struct OneConnection {
    keep_seconds: String,
    reserved: usize,
    one_function: bool,
}

impl OneConnection {
    fn of_the_template() -> Self {
        let template = std::fs::read_to_string(workspace().join("sam/template.yaml")).unwrap();
        let row = template.lines().find_map(|line| line.strip_prefix("    \"1\": { \"1\": ")).unwrap();
        let keep = row.split("KeepSeconds: ").nth(1).unwrap();
        Self {
            keep_seconds: keep.trim_end_matches(" }").trim_matches('"').to_owned(),
            reserved: row.split(',').next().unwrap().parse().unwrap(),
            one_function: template
                .contains("VerifyRemoteFunctionArn: !If [OneConnection, !GetAtt TransferFunction.Arn, "),
        }
    }
}

/// One state: its function is called until it answers, with the pauses of the definition, `SPEED` times as fast.
async fn state<T>(
    name: &str,
    function: &Function,
    failures: &AtomicUsize,
    call: impl AsyncFn(&Process) -> Result<T, Error>,
) -> T {
    let throttling = Patience::of(name, "Lambda.TooManyRequestsException");
    let busy = Patience::of(name, ErrorName::ConnectFailed.as_str());
    let (mut throttled, mut failed) = (0, 0);
    loop {
        let pause = match function.reservation.try_acquire() {
            Err(_) => {
                throttled += 1;
                throttling.pause(throttled - 1)
            }
            Ok(_permit) => match call(&function.process).await {
                Ok(answer) => return answer,
                Err(error) => {
                    failures.fetch_add(1, Ordering::Relaxed);
                    failed += 1;
                    busy.before(&error, failed - 1)
                }
            },
        };
        tokio::time::sleep(pause.div_f64(SPEED)).await;
    }
}

const SPEED: f64 = 200.0;

/// Twenty executions at once. The local stack enforces no reserved concurrency, so it is played here: what the template
/// reserves and which function it gives to which state, and the definition's own retriers. Each transfer takes longer than
/// the longest pause of a state that waits for its function.
#[tokio::test]
async fn story_84_twenty_long_files_to_a_partner_that_allows_one_connection() {
    const EXECUTIONS: usize = 20;
    const LENGTH: u64 = 200_000;
    let template = OneConnection::of_the_template();
    let quirks = Quirks { connections_max: Some(1), ..Quirks::default() };
    let mut delivery = Delivery::to(Partner::embedded(quirks).await.unwrap());
    delivery.set("SFTP_KEEP_CONNECTION", template.keep_seconds);
    // 100 s each, in the machine's time.
    delivery.source.pace(Pace { bytes_per_second: Some(400_000), ..Pace::default() });
    let function = |delivery: &Delivery| {
        Arc::new(Function { process: delivery.process(), reservation: Semaphore::new(template.reserved) })
    };
    let transfer = function(&delivery);
    let verify = if template.one_function { Arc::clone(&transfer) } else { function(&delivery) };
    let failures = Arc::new(AtomicUsize::new(0));
    let running = async {
        let mut executions = JoinSet::new();
        for number in 0..EXECUTIONS {
            let object_key = format!("{number}.bin");
            delivery.put(&object_key, LENGTH);
            let (transfer, verify, failures) =
                (Arc::clone(&transfer), Arc::clone(&verify), Arc::clone(&failures));
            executions.spawn_local(async move {
                let transferring = async |process: &Process| process.transfer(&object_key, None, 0).await;
                let progress = state("Transfer", &transfer, &failures, transferring).await;
                let complete = progress.checkpoint().unwrap();
                let verifying = async |process: &Process| process.verify(&object_key, complete.clone()).await;
                state("VerifyRemote", &verify, &failures, verifying).await.receipt().unwrap().outcome
            });
        }
        while let Some(outcome) = executions.join_next().await {
            assert_eq!(outcome.unwrap(), Outcome::Delivered);
        }
    };
    LocalSet::new().run_until(running).await;
    (0..EXECUTIONS).for_each(|number| delivery.assert_arrived(&format!("{number}.bin"), LENGTH));
    // The server may take a moment to notice that a session has ended.
    let failures = failures.load(Ordering::Relaxed);
    assert!(failures < EXECUTIONS / 2, "the states met at the partner's {failures} times");
}

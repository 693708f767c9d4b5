//! Partners whose servers keep to the protocol in their own way, allow little, or lose what they have acknowledged.

use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use bridge::{Checkpoint, Error, ErrorName, Outcome};
use integration_tests::embedded::{Quirks, Script, Sweep};
use integration_tests::fault_proxy::Fault;
use integration_tests::partner::Partner;
use integration_tests::retrier::Retrier;
use integration_tests::wire::{Request, kind, serve};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::support::{Delivery, MIB, Process};

/// Fifty executions, as the stack lets them run with `MaxConnections` 2: one invocation of each function at
/// a time, and the definition's retries, forty times as fast.
#[tokio::test]
async fn story_15_a_burst_to_a_partner_that_allows_one_connection() {
    const SPEED: f64 = 40.0;
    let quirks = Quirks { connections_max: Some(1), ..Quirks::default() };
    let mut delivery = Delivery::to(Partner::embedded(quirks).await.unwrap());
    delivery.set("SFTP_KEEP_CONNECTION", 0);
    let names: Vec<String> = (0..50).map(|number| format!("{number}.txt")).collect();
    names.iter().for_each(|name| delivery.put(name, 10_000));
    let (transfer, verify) = (delivery.process(), delivery.process());
    let [for_transfer, for_verify] = [(); 2].map(|()| Arc::new(Semaphore::new(1)));
    let refused = Arc::new(Mutex::new(0));
    let mut executions = JoinSet::new();
    for name in names.clone() {
        let (transfer, verify, refused) = (transfer.clone(), verify.clone(), Arc::clone(&refused));
        let (for_transfer, for_verify) = (Arc::clone(&for_transfer), Arc::clone(&for_verify));
        executions.spawn(async move {
            let patience = Patience::of_the_definition();
            let retry = async |error: Error, retries: u32| {
                *refused.lock().unwrap() += 1;
                tokio::time::sleep(patience.before(&error, retries).div_f64(SPEED)).await;
            };
            let mut retries = 0;
            let checkpoint = loop {
                let permit = for_transfer.acquire().await.unwrap();
                let transferred = transfer.transfer(&name, None, 0).await;
                drop(permit);
                match transferred {
                    Ok(progress) => break progress.checkpoint().unwrap(),
                    Err(error) => retry(error, retries).await,
                }
                retries += 1;
            };
            for retries in 0.. {
                let permit = for_verify.acquire().await.unwrap();
                let verified = verify.verify(&name, checkpoint.clone()).await;
                drop(permit);
                match verified {
                    Ok(progress) => return progress.receipt().unwrap().outcome,
                    Err(error) => retry(error, retries).await,
                }
            }
            unreachable!()
        });
    }
    while let Some(outcome) = executions.join_next().await {
        assert_eq!(outcome.unwrap(), Outcome::Delivered);
    }
    names.iter().for_each(|name| delivery.assert_arrived(name, 10_000));
    assert!(*refused.lock().unwrap() > 0, "the partner never had to refuse");
}

/// A retrier of the definition.
pub(crate) struct Patience(Retrier);

impl Patience {
    /// That for a partner that is busy.
    fn of_the_definition() -> Self {
        Self::of("Transfer", ErrorName::ConnectFailed.as_str())
    }

    pub(crate) fn of(state: &str, error: &str) -> Self {
        Self(Retrier::of(state, error).unwrap())
    }

    /// Before the next try: any time up to what the retrier allows.
    pub(crate) fn before(&self, error: &Error, retries: u32) -> Duration {
        assert!(matches!(error.name, ErrorName::ConnectFailed | ErrorName::ConnectionLost), "{error}");
        self.pause(retries)
    }

    pub(crate) fn pause(&self, retries: u32) -> Duration {
        assert!(retries < self.0.attempts, "its patience is at an end after {retries} retries");
        let jitter = f64::from(UNIX_EPOCH.elapsed().unwrap().subsec_micros() % 1000) / 1000.0;
        Duration::from_secs_f64(self.0.longest(retries) * jitter)
    }
}

/// To a server that is well-behaved but for some answers. It keeps nothing but the size.
async fn answering(mut answer: impl FnMut(&Request) -> Option<Vec<u8>> + Send + 'static) -> Delivery {
    let mut size = 0;
    let answer = move |request: &Request| {
        if request.kind == kind::WRITE {
            let (offset, length) = request.range();
            size = size.max(offset + u64::from(length));
        }
        let told = matches!(request.kind, kind::STAT | kind::FSTAT) && size > 0;
        let attributes = || request.reply(kind::ATTRS, &[&1_u32.to_be_bytes(), &size.to_be_bytes()]);
        answer(request).or_else(|| told.then(attributes))
    };
    let answer = Arc::new(Mutex::new(answer));
    let script = Script::new(move |channel| {
        let answer = Arc::clone(&answer);
        async move { serve(channel, |request| (*answer.lock().unwrap())(request)).await }
    });
    let mut delivery = Delivery::to(Partner::scripted(script).await.unwrap());
    delivery.set("SFTP_PROOF", "size");
    delivery.put("file.bin", MIB);
    delivery
}

async fn deliver(delivery: &Delivery) -> Result<Outcome, Error> {
    delivery.process().deliver("file.bin").await.map(|receipt| receipt.outcome)
}

#[tokio::test]
async fn story_19_any_status_code_is_an_answer() {
    for (code, name) in [
        (9, ErrorName::RemoteFailure),
        (11, ErrorName::RemotePathRejected),
        (15, ErrorName::RemoteFull),
        (18, ErrorName::RemoteFailure),
        (31, ErrorName::RemoteFailure),
        (u32::MAX, ErrorName::RemoteFailure),
    ] {
        // To a question that is not vital, it is no more than an answer: the delivery goes on in the same session.
        let mut asked = 0;
        let delivery = answering(move |request| {
            asked += u32::from(request.kind == kind::STAT);
            (request.kind == kind::STAT && asked <= 2).then(|| request.status(code, "not that"))
        })
        .await;
        assert_eq!(deliver(&delivery).await.unwrap(), Outcome::Delivered, "{code}");

        let delivery = answering(move |request| {
            (request.kind == kind::WRITE).then(|| request.status(code, "the server's own words"))
        })
        .await;
        let error = deliver(&delivery).await.unwrap_err();
        assert_eq!(error.name, name, "{code}: {error}");
        assert!(error.message().contains("the server's own words"), "{error}");
        assert!(error.message().contains(&code.to_string()), "{error}");
    }
}

#[tokio::test]
async fn story_19_a_status_without_strings() {
    let bare = |request: &Request, code: u32| request.reply(kind::STATUS, &[&code.to_be_bytes()]);
    let done = [kind::WRITE, kind::CLOSE];
    let delivery = answering(move |request| done.contains(&request.kind).then(|| bare(request, 0))).await;
    assert_eq!(deliver(&delivery).await.unwrap(), Outcome::Delivered);

    let delivery = answering(move |request| (request.kind == kind::CLOSE).then(|| bare(request, 4))).await;
    let error = deliver(&delivery).await.unwrap_err();
    assert_eq!(error.name, ErrorName::RemoteFailure, "{error}");
}

#[tokio::test]
async fn story_19_replies_in_any_order() {
    let mut held = Vec::new();
    let delivery = answering(move |request| {
        if request.kind != kind::WRITE {
            return None;
        }
        held.push(request.status(0, ""));
        let (offset, length) = request.range();
        let all_are_here = offset + u64::from(length) == MIB;
        if held.len() < 5 && !all_are_here {
            return Some(Vec::new());
        }
        held.reverse();
        Some(std::mem::take(&mut held).concat())
    })
    .await;
    assert_eq!(deliver(&delivery).await.unwrap(), Outcome::Delivered);
}

#[tokio::test]
async fn story_19_handles_of_random_bytes_and_codes_of_later_drafts() {
    let quirks = Quirks { later_codes: true, no_posix_rename: true, ..Quirks::default() };
    let delivery = Delivery::to(Partner::embedded(quirks).await.unwrap());
    delivery.put("file.bin", 3 * MIB);
    std::fs::write(delivery.partner.root.join("file.bin"), "yesterday's").unwrap();
    let receipt = delivery.delivers("file.bin", 3 * MIB).await;
    assert_eq!(receipt.warnings.len(), 1, "the name existed, and status 11 said so: {:?}", receipt.warnings);
}

#[tokio::test]
async fn a_file_that_cannot_be_continued_is_sent_again_from_its_beginning() {
    let quirks = Quirks { in_one_go: true, ..Quirks::default() };
    let mut delivery = Delivery::to(Partner::embedded(quirks).await.unwrap());
    delivery.put("file.bin", 12 * MIB);
    let proxy = delivery.through_proxy(Fault::CutOnceAfter(6 * MIB)).await;
    let receipt = delivery.delivers("file.bin", 12 * MIB).await;
    assert!(receipt.resumes > 0 && receipt.bytes_sent > 16 * MIB, "{receipt:?}");

    // A file that takes longer than a call can never arrive: the delivery must fail, not loop.
    proxy.set(Fault::Rate(2 * MIB)).await;
    delivery.slice = Some(Duration::from_secs(5));
    delivery.put("long.bin", 64 * MIB);
    let process = delivery.process();
    let checkpoint = process.transfer("long.bin", None, 0).await.unwrap().checkpoint();
    let offset = checkpoint.as_ref().unwrap().sent.offset;
    assert!(offset > 0);
    let (error, sent) = until_it_fails(&process, "long.bin", checkpoint).await;
    assert_eq!(error.name, ErrorName::RemoteFailure, "{error}");
    assert!(error.message().contains("Illegal seek"), "{error}");
    assert!(sent < 3 * offset, "{sent}");
}

/// Calls Transfer until it fails: the error, and how many bytes were sent by then.
async fn until_it_fails(
    process: &Process,
    object_key: &str,
    mut checkpoint: Option<Checkpoint>,
) -> (Error, u64) {
    for _ in 0..10 {
        let sent = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.report.bytes_sent);
        match process.transfer(object_key, checkpoint, 0).await {
            Ok(progress) => checkpoint = progress.checkpoint(),
            Err(error) => return (error, sent),
        }
    }
    panic!("it goes on without end: {checkpoint:?}")
}

/// A partner who has to be sent everything from the first byte again: once, which the receipt says, and not without end.
#[tokio::test]
async fn what_nobody_can_continue_is_sent_twice_at_most() {
    let write_only = Quirks { write_only: true, ..Quirks::default() };
    let no_stat = Quirks { no_stat: true, ..Quirks::default() };
    let swept = Quirks { sweep: Some(Sweep::AtClose), ..Quirks::default() };
    let mut tests = JoinSet::new();
    for (number, quirks) in [write_only, no_stat, swept].into_iter().enumerate() {
        tests.spawn(async move {
            let mut delivery = Delivery::to(Partner::embedded(quirks).await.unwrap());
            let _proxy = delivery.through_proxy(Fault::Rate(3 * MIB)).await;
            delivery.slice = Some(Duration::from_secs(4));
            delivery.put("long.bin", 64 * MIB);
            let process = delivery.process();
            let first = process.transfer("long.bin", None, 0).await.unwrap().checkpoint().unwrap();
            assert!(first.sent.offset > MIB && first.sent.restarts == 0, "{number}: {first:?}");
            let second = process.transfer("long.bin", Some(first), 0).await.unwrap().checkpoint().unwrap();
            assert_eq!((second.sent.restarts, second.report.warnings.len()), (1, 1), "{number}: {second:?}");
            let (error, _) = until_it_fails(&process, "long.bin", Some(second)).await;
            assert_eq!(error.name, ErrorName::RemoteFailure, "{number}: {error}");
            assert!(error.message().contains("second time"), "{number}: {error}");
        });
    }
    while let Some(test) = tests.join_next().await {
        test.unwrap();
    }
}

/// What fits into a call arrives, whatever was sent of it before.
#[tokio::test]
async fn what_nobody_can_continue_is_sent_again_after_a_lost_connection() {
    let write_only = Quirks { write_only: true, ..Quirks::default() };
    let no_stat = Quirks { no_stat: true, ..Quirks::default() };
    for quirks in [write_only, no_stat] {
        let mut delivery = Delivery::to(Partner::embedded(quirks).await.unwrap());
        let _proxy = delivery.through_proxy(Fault::CutOnceAfter(6 * MIB)).await;
        delivery.put("file.bin", 12 * MIB);
        let receipt = delivery.delivers("file.bin", 12 * MIB).await;
        assert!(receipt.warnings.iter().any(|warning| warning.contains("sent again")), "{receipt:?}");
    }
}

/// Nor is it sent again because the server takes no more of it: a quota that it has no words for, a cap on blocks.
#[tokio::test]
async fn story_21_what_the_server_takes_no_more_of_is_not_sent_again() {
    let quirks = Quirks { writes_max: Some(100), ..Quirks::default() };
    let delivery = Delivery::to(Partner::embedded(quirks).await.unwrap());
    delivery.put("file.bin", 12 * MIB);
    let (error, sent) = until_it_fails(&delivery.process(), "file.bin", None).await;
    assert_eq!(error.name, ErrorName::RemoteFailure, "{error}");
    assert!(error.message().contains("maximum limit"), "{error}");
    assert!(sent < 6 * MIB, "{sent}");
    assert_eq!(delivery.partials().len(), 1, "what was taken stays, for a redrive");
}

/// The server has acknowledged every byte. A hole leaves the size as it should be; a file that was cut does not.
#[tokio::test]
async fn story_26_what_the_server_loses_is_never_published() {
    for (loses, proof) in [
        (MIB..MIB + 1, "auto"),
        (MIB..MIB + 1, "read-back"),
        (MIB..MIB + 1, "hash"),
        (MIB..u64::MAX, "auto"),
        (MIB..u64::MAX, "size"),
        (MIB..u64::MAX, "none"),
    ] {
        let quirks = Quirks { loses: Some(loses.clone()), check_file: proof == "hash", ..Quirks::default() };
        let mut delivery = Delivery::to(Partner::embedded(quirks).await.unwrap());
        delivery.set("SFTP_PROOF", proof);
        delivery.put("file.bin", 3 * MIB);
        let error = delivery.process().deliver("file.bin").await.unwrap_err();
        assert_eq!(error.name, ErrorName::RemoteMismatch, "{loses:?} {proof}: {error}");
        let left = std::fs::read_dir(&delivery.partner.root).unwrap().count();
        assert_eq!(left, 0, "{loses:?} {proof}: neither published nor left behind");
    }
}

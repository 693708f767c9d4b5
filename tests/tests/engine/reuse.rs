//! A connection is kept for the next file: for as long as it is known to be alive, and only for whom it was made.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bridge::{ErrorName, Outcome, SecretLocation};
use integration_tests::door::Door;
use integration_tests::embedded;
use integration_tests::fault_proxy::{Fault, FaultProxy};
use integration_tests::keys::KeyPair;
use integration_tests::object_source::{self, Body, Pace};
use integration_tests::partner::Partner;
use integration_tests::wire::{self, Request, kind, serve};
use sftp::{Keep, OpenFlags, Origin, SessionPool};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet};

use crate::support::{Delivery, MIB, Process, session, wait_until, with_manners};

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

/// As with `MaxConnections=10`: five processes for each step, each of which serves one call at a time.
#[tokio::test]
async fn a_burst_connects_once_for_each_process() {
    const FILES: usize = 200;
    let mut delivery = Delivery::new().await;
    let proxy = delivery.through_proxy(Fault::None).await;
    let (transfers, verifies) = (Warm::start(&delivery, 5), Warm::start(&delivery, 5));
    let running = async {
        let mut executions = JoinSet::new();
        for number in 0..FILES {
            let object_key = format!("{number}.bin");
            delivery.put(&object_key, 1000);
            let (transfers, verifies) = (Arc::clone(&transfers), Arc::clone(&verifies));
            executions.spawn_local(async move {
                let call = async |process: &Process| process.transfer_all(&object_key, 0).await;
                let (complete, _) = transfers.call(call).await.unwrap();
                let call = async |process: &Process| process.verify_all(&object_key, complete.clone()).await;
                verifies.call(call).await.unwrap();
            });
        }
        while let Some(ended) = executions.join_next().await {
            ended.unwrap();
        }
    };
    LocalSet::new().run_until(running).await;
    (0..FILES).for_each(|number| delivery.assert_arrived(&format!("{number}.bin"), 1000));
    for step in [transfers, verifies] {
        let counts = step.counts();
        println!("calls that connected, calls that used a kept connection: {counts:?}");
        assert!(counts.0 <= 5 && counts.0 + counts.1 == FILES, "{counts:?}");
    }
    assert!(proxy.connections() <= 10, "{} connections", proxy.connections());
}

/// Processes of one function that stay warm.
struct Warm {
    idle: Mutex<Vec<Process>>,
    reservation: Semaphore,
    /// Where the sessions of the calls came from.
    origins: Mutex<Vec<Origin>>,
}

impl Warm {
    fn start(delivery: &Delivery, reserved: usize) -> Arc<Self> {
        let idle = (0..reserved).map(|_| delivery.process()).collect();
        Arc::new(Self {
            idle: Mutex::new(idle),
            reservation: Semaphore::new(reserved),
            origins: Mutex::default(),
        })
    }

    /// One call, as soon as a process is free.
    async fn call<T>(&self, work: impl AsyncFnOnce(&Process) -> T) -> T {
        let _permit = self.reservation.acquire().await.unwrap();
        let process = self.idle.lock().unwrap().pop().unwrap();
        let outcome = work(&process).await;
        self.origins.lock().unwrap().extend(process.partner.take_origin());
        self.idle.lock().unwrap().push(process);
        outcome
    }

    /// Calls that connected, and calls that used a kept connection.
    fn counts(&self) -> (usize, usize) {
        let origins = self.origins.lock().unwrap();
        let new = origins.iter().filter(|origin| **origin == Origin::New).count();
        (new, origins.len() - new)
    }
}

/// Nothing freezes the command between two steps, so it needs neither a second login nor a look whether the first one
/// still counts, however long a step takes.
#[tokio::test]
async fn a_run_of_the_command_logs_in_once_and_never_asks_whether_the_server_is_there() {
    const OBJECT: u64 = 1000;
    for keep in [0, 30] {
        let [logins, checks] = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
        let counters = (Arc::clone(&logins), Arc::clone(&checks));
        let script = embedded::Script::new(move |channel| {
            let (logins, checks) = counters.clone();
            async move {
                logins.fetch_add(1, Ordering::Relaxed);
                serve(channel, |request: &Request| {
                    let is_check = request.kind == kind::STAT && request.body == wire::string(b".");
                    checks.fetch_add(usize::from(is_check), Ordering::Relaxed);
                    None
                })
                .await;
            }
        });
        let mut delivery = Delivery::to(Partner::scripted(script).await.unwrap());
        delivery.set("SFTP_KEEP_CONNECTION", keep);
        delivery.set("SFTP_PROOF", "size");
        delivery.put("in/slow.bin", OBJECT);
        // The command logs in, and then waits for the object.
        delivery.source.pace(Pace { first_byte_delay: Duration::from_millis(1200), ..Pace::default() });
        let ran = delivery.run(&["s3://b/in/", "--recursive"]).await;
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        let counts = (logins.load(Ordering::Relaxed), checks.load(Ordering::Relaxed));
        assert_eq!(counts, (1, 0), "logins and checks, with SFTP_KEEP_CONNECTION={keep}");
    }
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

#[tokio::test]
async fn what_the_server_refuses_is_no_reason_to_connect_again() {
    let quirks = embedded::Quirks { capacity: Some(MIB), ..Default::default() };
    let mut delivery = Delivery::to(Partner::embedded(quirks).await.unwrap());
    let proxy = delivery.through_proxy(Fault::None).await;
    let process = delivery.process();
    delivery.put("too large", 4 * MIB);
    delivery.put("taken", 1000);
    // A directory stands where the file belongs.
    std::fs::create_dir_all(delivery.partner.root.join("taken/x")).unwrap();
    delivery.put("fits", 1000);
    for (name, expected) in [("too large", ErrorName::RemoteFull), ("taken", ErrorName::RemotePathRejected)] {
        let error = process.deliver(name).await.unwrap_err();
        assert_eq!(error.name, expected, "{name}: {error}");
    }
    process.deliver("fits").await.unwrap();
    assert_eq!(proxy.connections(), 1);
    wait_until("all files are closed", || delivery.held_open() == 0).await;
    assert_eq!(proxy.open(), 1, "while the connection is kept");
    process.partner.disconnect().await;
}

#[tokio::test]
async fn what_happens_in_s3_is_no_reason_to_connect_again() {
    let mut delivery = Delivery::new().await;
    let proxy = delivery.through_proxy(Fault::None).await;
    delivery.put("changes.bin", 32 * MIB);
    // The body breaks off after half a second; by then the object is another one.
    delivery.source.quirks(object_source::Quirks { break_after: Some(16 * MIB), ..Default::default() });
    delivery.source.pace(Pace { bytes_per_second: Some(32_000_000), ..Pace::default() });
    let process = delivery.process();
    let overwriting = async {
        wait_until("it is being sent", || proxy.bytes_up() > MIB).await;
        delivery.put("changes.bin", 1000);
    };
    let (progress, ()) = tokio::join!(process.transfer("changes.bin", None, 0), overwriting);
    wait_until("all files are closed", || delivery.held_open() == 0).await;
    let checkpoint = progress.unwrap().checkpoint();
    let superseded = process.transfer("changes.bin", checkpoint, 0).await.unwrap();
    assert_eq!(superseded.receipt().unwrap().outcome, Outcome::Superseded);
    assert_eq!((delivery.partials(), proxy.connections(), proxy.open()), (Vec::new(), 1, 1));
    process.partner.disconnect().await;
}

/// What was read back is closed before it is removed: Windows removes no file that is open.
#[tokio::test]
async fn what_is_superseded_after_it_was_read_back_leaves_nothing() {
    let quirks = embedded::Quirks { open_files_stay: true, ..embedded::Quirks::default() };
    let delivery = Delivery::to(Partner::embedded(quirks).await.unwrap());
    delivery.put("changes.bin", 1000);
    let process = delivery.process();
    let (checkpoint, _) = process.transfer_all("changes.bin", 0).await.unwrap();
    delivery.put("changes.bin", 2000);
    let (receipt, _) = process.verify_all("changes.bin", checkpoint).await.unwrap();
    assert_eq!(receipt.outcome, Outcome::Superseded);
    assert_eq!(delivery.partials(), [""; 0]);
    process.partner.disconnect().await;
}

#[tokio::test]
async fn a_server_that_is_out_of_step_is_connected_to_anew() {
    let out_of_step = Arc::new(AtomicBool::new(true));
    let script = embedded::Script::new(move |channel| {
        let out_of_step = Arc::clone(&out_of_step);
        async move {
            // Once, a handle where a status belongs.
            serve(channel, |request| {
                let odd = request.kind == kind::WRITE && out_of_step.swap(false, Ordering::Relaxed);
                odd.then(|| request.reply(kind::HANDLE, &[&wire::string(b"h")]))
            })
            .await;
        }
    });
    let mut delivery = Delivery::to(Partner::scripted(script).await.unwrap());
    let proxy = delivery.through_proxy(Fault::None).await;
    delivery.put("file.bin", 1000);
    let process = delivery.process();
    let error = process.transfer("file.bin", None, 0).await.unwrap_err();
    assert_eq!(error.name, ErrorName::RemoteFailure, "{error}");
    process.transfer_all("file.bin", 0).await.unwrap();
    assert_eq!(proxy.connections(), 2);
}

#[tokio::test]
async fn a_call_that_was_cut_off_leaves_no_connection_to_the_next() {
    let mut delivery = Delivery::new().await;
    let proxy = delivery.through_proxy(Fault::None).await;
    delivery.put("slow.bin", 8 * MIB);
    delivery.source.pace(Pace { bytes_per_second: Some(8_000_000), ..Pace::default() });
    let process = delivery.process();
    tokio::select! {
        progress = process.transfer("slow.bin", None, 0) => panic!("it is over: {progress:?}"),
        () = wait_until("it is being sent", || proxy.bytes_up() > MIB) => {}
    }
    delivery.source.pace(Pace::default());
    process.deliver("slow.bin").await.unwrap();
    assert_eq!(proxy.connections(), 2);
    wait_until("the first one is closed", || proxy.open() == 1).await;
    delivery.assert_arrived("slow.bin", 8 * MIB);
}

/// Each packet of SSH costs about as much as a small request.
#[tokio::test]
async fn small_requests_travel_together() {
    const REQUESTS: u64 = 200;
    let partner = Partner::embedded(embedded::Quirks::default()).await.unwrap();
    let proxy = FaultProxy::start(partner.port).await.unwrap();
    let session = session(&partner, proxy.port, sftp::Options::default()).await;
    let before = proxy.bytes_up();
    let mut asked = JoinSet::new();
    for number in 0..REQUESTS {
        let sftp = Arc::clone(session.sftp());
        asked.spawn(async move { sftp.stat(&format!("{number:03}")).await.unwrap() });
    }
    assert!(asked.join_all().await.iter().all(Option::is_none));
    let each = (proxy.bytes_up() - before) / REQUESTS;
    // The request itself has 16 bytes.
    assert!((16..24).contains(&each), "{each} bytes for each request");
}

/// A frozen process would keep it, and the next step out of a partner who allows one.
#[tokio::test]
async fn nothing_is_kept_of_a_call_that_was_cut_off() {
    let mut delivery = Delivery::new().await;
    delivery.set("SFTP_KEEP_CONNECTION", 0);
    let proxy = delivery.through_proxy(Fault::None).await;
    delivery.put("slow.bin", 8 * MIB);
    delivery.source.pace(Pace { bytes_per_second: Some(8_000_000), ..Pace::default() });
    let process = delivery.process();
    tokio::select! {
        progress = process.transfer("slow.bin", None, 0) => panic!("it is over: {progress:?}"),
        () = wait_until("it is being sent", || proxy.bytes_up() > MIB) => {}
    }
    wait_until("it is closed", || proxy.open() == 0).await;
}

/// Whatever is left of a file's further channels does not count as a user.
#[tokio::test]
async fn nothing_is_kept_for_the_sake_of_what_was_aborted() {
    let partner = Partner::embedded(embedded::Quirks::default()).await.unwrap();
    let proxy = FaultProxy::start(partner.port).await.unwrap();
    let pool = SessionPool::new(Keep::AtMost(Duration::ZERO));
    let connect = async || Ok::<_, ()>(session(&partner, proxy.port, sftp::Options::default()).await);
    let lease = pool.lease("one", connect()).await.unwrap();
    let task_of_a_spread = Arc::clone(&lease);
    lease.give_back().await;
    wait_until("it is closed", || proxy.open() == 0).await;
    drop(task_of_a_spread);

    // One of two calls that share a session is cut off: the other may continue, but no third may join.
    let [cut_off, other] =
        [pool.lease("one", connect()).await.unwrap(), pool.lease("one", connect()).await.unwrap()];
    assert!(Arc::ptr_eq(&cut_off, &other));
    drop(cut_off);
    let (next, connections) = (pool.lease("one", connect()).await.unwrap(), proxy.connections());
    assert!(other.is_alive(Duration::from_secs(5)).await && !Arc::ptr_eq(&other, &next));
    assert_eq!((proxy.open(), connections), (2, 3));
    let held = [Arc::clone(&other), Arc::clone(&next)];
    other.discard().await;
    wait_until("it is closed, too", || proxy.open() == 1).await;
    next.give_back().await;
    wait_until("all are closed", || proxy.open() == 0).await;
    drop(held);
}

/// They count: accounts are locked by many of them.
#[tokio::test]
async fn a_partner_who_knows_neither_version_is_shown_the_current_one_alone_from_time_to_time() {
    let (current, previous) = (KeyPair::ed25519().unwrap(), KeyPair::ed25519().unwrap());
    let door = Door::default();
    let quirks = embedded::Quirks { door: door.clone(), ..Default::default() };
    let mut delivery = Delivery::to(Partner::embedded(quirks).await.unwrap());
    delivery.set("SFTP_KEEP_CONNECTION", 0);
    let mut credential = None;
    for (version, key) in [("old", &previous), ("new", &current)] {
        delivery
            .source
            .put(&format!("keys/{version}"), Body::Bytes(key.private.clone().into_bytes()))
            .unwrap();
        delivery.set("SFTP_S3_SSH_KEY", format!("keys/{version}"));
        let mut reference = delivery.process().fetch_key().await;
        if let SecretLocation::S3 { version_id, .. } = &mut reference.location {
            *version_id = Some(version.to_owned());
        }
        reference.previous = credential.map(Box::new);
        credential = Some(reference);
    }
    let credential = credential.unwrap();
    let manners = partner::Manners { refused: Duration::from_millis(300), ..partner::Manners::LAMBDA };
    let process = with_manners(delivery.process(), manners);
    let label = async || {
        let label = async |session: &Arc<sftp::Session>| Ok(session.label().map(str::to_owned));
        process.partner.with_session(&credential, None, label).await
    };
    for (after, refused) in [(0, 2), (0, 0), (350, 1), (0, 0), (650, 1)] {
        tokio::time::sleep(Duration::from_millis(after)).await;
        let error = label().await.unwrap_err();
        assert_eq!(error.name, ErrorName::AuthenticationRejected, "{error}");
        assert_eq!(door.take_refused(), refused, "{error}");
        assert!(error.message().contains(&current.fingerprint().unwrap()), "{error}");
    }
    // He follows.
    delivery.partner.client_key = current.clone();
    delivery.partner.start_again().await.unwrap();
    tokio::time::sleep(Duration::from_millis(1250)).await;
    assert_eq!(label().await.unwrap().as_deref(), Some("new"));
    assert_eq!(door.take_refused(), 0);
}

/// Its handle arrives after the call that asked for it has ended.
#[tokio::test]
async fn a_file_that_nobody_waits_for_is_closed() {
    let [opened, closed] = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
    let counters = (Arc::clone(&opened), Arc::clone(&closed));
    let script = embedded::Script::new(move |channel| {
        let (opened, closed) = counters.clone();
        async move {
            serve(channel, |request: &Request| {
                match request.kind {
                    kind::OPEN => opened.fetch_add(1, Ordering::Relaxed),
                    kind::CLOSE => closed.fetch_add(1, Ordering::Relaxed),
                    _ => 0,
                };
                None
            })
            .await;
        }
    });
    let partner = Partner::scripted(script).await.unwrap();
    let session = session(&partner, partner.port, sftp::Options::default()).await;
    tokio::select! {
        biased;
        _ = session.sftp().open("a", OpenFlags::READ) => unreachable!("it was answered before it was sent"),
        () = std::future::ready(()) => {}
    }
    let counts = || (opened.load(Ordering::Relaxed), closed.load(Ordering::Relaxed));
    wait_until("it is closed", || counts() == (1, 1)).await;
    drop(session.sftp().open("b", OpenFlags::READ).await.unwrap());
    wait_until("it is closed, too", || counts() == (2, 2)).await;
}

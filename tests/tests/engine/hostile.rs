//! Servers that are broken or malicious: each leads to a named error, soon, and takes no memory.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bridge::{Error, ErrorName, Phase};
use integration_tests::embedded::{Quirks, Script};
use integration_tests::fault_proxy::{Fault, FaultProxy};
use integration_tests::partner::Partner;
use integration_tests::process::memory_peak;
use integration_tests::wire::{self, Request, kind, packet, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use sftp::OpenFlags;

use crate::support::{Delivery, MIB, session};

const LENGTH: u64 = MIB;
const PATIENCE: Duration = Duration::from_secs(1);

async fn to(script: Script) -> Delivery {
    let mut delivery = Delivery::to(Partner::scripted(script).await.unwrap());
    delivery.options.connect_timeout = PATIENCE;
    delivery.options.login_timeout = PATIENCE;
    delivery.options.stall_timeout = PATIENCE;
    delivery.put("file.bin", LENGTH);
    delivery
}

/// A server that is well-behaved, except for some answers.
fn answering(answer: impl Fn(&Request) -> Option<Vec<u8>> + Send + Sync + 'static) -> Script {
    let answer = Arc::new(answer);
    Script::new(move |channel| {
        let answer = Arc::clone(&answer);
        async move { serve(channel, |request| answer(request)).await }
    })
}

/// The error of a transfer to it, including a second try on one channel.
async fn transfer(script: Script) -> Error {
    let delivery = to(script).await;
    let started = Instant::now();
    let error = delivery.process().transfer("file.bin", None, 0).await.unwrap_err();
    assert!(started.elapsed() < PATIENCE * 6, "{:?}: {error}", started.elapsed());
    error
}

#[tokio::test]
async fn a_greeting_instead_of_sftp() {
    let error = transfer(Script::new(|mut channel| async move {
        let _ = channel.write_all(b"Welcome to ACME. Your password expires in 3 days.\r\n").await;
        let _ = channel.read_to_end(&mut Vec::new()).await;
    }))
    .await;
    assert_eq!(error.name, ErrorName::ConnectFailed, "{error}");
    assert!(error.message().contains("starting SFTP"), "{error}");
}

#[tokio::test]
async fn a_packet_of_four_gibibytes_and_garbage() {
    for garbage in [u32::MAX.to_be_bytes().to_vec(), vec![0xa5; 9000]] {
        let error =
            transfer(answering(move |request| (request.kind == kind::OPEN).then(|| garbage.clone()))).await;
        assert_eq!(error.name, ErrorName::ConnectionLost, "{error}");
        assert!(error.message().contains("announced"), "{error}");
    }
}

#[tokio::test]
async fn answers_to_what_was_not_asked() {
    let stranger =
        |request: &Request| Request { id: request.id.wrapping_add(1000), ..request.clone() }.status(0, "");
    let error =
        transfer(answering(move |request| (request.kind == kind::WRITE).then(|| stranger(request)))).await;
    assert_eq!(error.name, ErrorName::ConnectionLost, "{error}");
    assert!(error.message().contains("that was not made"), "{error}");
    // A handle where a status belongs.
    let error = transfer(answering(|request| {
        (request.kind == kind::WRITE).then(|| request.reply(kind::HANDLE, &[&wire::string(b"h")]))
    }))
    .await;
    assert_eq!(error.name, ErrorName::RemoteFailure, "{error}");
}

/// A session with a scripted server.
async fn scripted(script: Script) -> (Partner, sftp::Session) {
    let partner = Partner::scripted(script).await.unwrap();
    let options = sftp::Options { stall_timeout: PATIENCE, ..sftp::Options::default() };
    let session = session(&partner, partner.port, options).await;
    (partner, session)
}

/// A session with the embedded server, through a proxy.
struct Proxied {
    partner: Partner,
    proxy: FaultProxy,
    session: sftp::Session,
}

async fn proxied(quirks: Quirks, options: sftp::Options) -> Proxied {
    let partner = Partner::embedded(quirks).await.unwrap();
    let proxy = FaultProxy::start(partner.port).await.unwrap();
    let session = session(&partner, proxy.port, options).await;
    Proxied { partner, proxy, session }
}

/// With these options, a server counts as dead after 0.4 s of silence.
fn impatient() -> sftp::Options {
    sftp::Options {
        keepalive_interval: Duration::from_millis(100),
        stall_timeout: Duration::from_millis(300),
        ..Default::default()
    }
}

#[tokio::test]
async fn story_62_a_close_that_is_answered_twice_does_not_end_the_session() {
    let twice = |request: &Request| [request.status(0, ""), request.status(0, "")].concat();
    let script = answering(move |request| (request.kind == kind::CLOSE).then(|| twice(request)));
    let (_partner, session) = scripted(script).await;
    let sftp = session.sftp();
    for _ in 0..3 {
        let file = sftp.open("a", OpenFlags::WRITE | OpenFlags::CREATE).await.unwrap();
        sftp.close(file).await.unwrap();
        sftp.stat("a").await.unwrap();
    }
    assert!(!sftp.is_poisoned());
}

/// Some superfluous answers are tolerated, but not an unlimited number.
#[tokio::test]
async fn story_62_answers_without_end_end_the_session() {
    let many = |request: &Request| request.status(0, "").repeat(5000);
    let (_partner, session) =
        scripted(answering(move |request| (request.kind == kind::STAT).then(|| many(request)))).await;
    let sftp = session.sftp();
    let _ = sftp.stat("a").await;
    let error = Error::from(sftp.stat("b").await.unwrap_err());
    assert!(error.message().contains("more answers"), "{error}");
}

/// The client requests the attributes together with CLOSE. Their answer may come later, or not at all.
#[tokio::test]
async fn story_63_a_connection_that_is_cut_right_after_the_answer_to_close_has_closed_the_file() {
    for fstat_is_answered in [true, false] {
        let script = Script::new(move |mut channel| async move {
            let mut held = None;
            while let Some(request) = Request::read(&mut channel).await {
                let reply = match request.kind {
                    kind::INIT => packet(kind::VERSION, 3, &[]),
                    kind::OPEN => request.reply(kind::HANDLE, &[&wire::string(b"h")]),
                    kind::STAT => request.status(2, "no such file"),
                    kind::FSTAT if !fstat_is_answered && held.is_none() => {
                        held = Some(request);
                        continue;
                    }
                    kind::FSTAT => request.reply(kind::ATTRS, &[&1_u32.to_be_bytes(), &LENGTH.to_be_bytes()]),
                    _ => request.status(0, ""),
                };
                if channel.write_all(&reply).await.is_err() || request.kind == kind::CLOSE {
                    return;
                }
            }
        });
        let delivery = to(script).await;
        let checkpoint =
            delivery.process().transfer("file.bin", None, 0).await.unwrap().checkpoint().unwrap();
        assert_eq!(checkpoint.phase, Phase::sent(), "{fstat_is_answered}");
        assert_eq!(checkpoint.report.resumes, 0, "{fstat_is_answered}");
    }
}

#[tokio::test]
async fn more_data_than_was_asked_for() {
    let delivery = to(answering(|request| {
        (request.kind == kind::READ).then(|| request.data(&vec![0; request.range().1 as usize + 1]))
    }))
    .await;
    let process = delivery.process();
    let (complete, _) = process.transfer_all("file.bin", 0).await.unwrap();
    let error = process.verify("file.bin", complete).await.unwrap_err();
    assert_eq!(error.name, ErrorName::RemoteFailure, "{error}");
}

#[tokio::test]
async fn no_answer_at_all() {
    let mut silences = JoinSet::new();
    for silent in [kind::INIT, kind::STAT, kind::OPEN, kind::WRITE] {
        silences.spawn(async move {
            let hears = AtomicBool::new(true);
            // From that request on, it answers nothing.
            let error = transfer(answering(move |request| {
                hears.fetch_and(request.kind != silent, Ordering::Relaxed);
                (!hears.load(Ordering::Relaxed)).then(Vec::new)
            }))
            .await;
            let lost = error.name.is_connection_failure();
            assert!(lost, "{silent}: {error}");
        });
    }
    while let Some(silence) = silences.join_next().await {
        silence.unwrap();
    }
}

/// Some servers commit or copy a whole file when it is closed or renamed.
#[tokio::test]
async fn closing_and_renaming_may_take_longer_than_anything_else() {
    let options = sftp::Options { stall_timeout: Duration::from_millis(500), ..Default::default() };
    let Proxied { partner: _partner, proxy, session } = proxied(Quirks::default(), options).await;
    let sftp = session.sftp();
    let file = sftp.open("a", OpenFlags::WRITE | OpenFlags::CREATE).await.unwrap();
    proxy.set(Fault::Delay(Duration::from_millis(400))).await;
    sftp.close(file).await.unwrap();
    sftp.rename("a", "b").await.unwrap();
    sftp.rename_noreplace("b", "c").await.unwrap();
    assert!(!sftp.is_poisoned());
    let error = bridge::Error::from(sftp.stat("c").await.unwrap_err());
    assert_eq!(error.name, ErrorName::ConnectionLost, "{error}");
    assert!(sftp.is_poisoned());
}

/// A server with a single thread does not answer keepalives while it hashes.
#[tokio::test]
async fn a_server_that_hashes_may_be_silent() {
    let quirks = Quirks { check_file: true, ..Quirks::default() };
    let Proxied { partner, proxy, session } = proxied(quirks, impatient()).await;
    std::fs::write(partner.root.join("a"), b"content").unwrap();
    let sftp = session.sftp();
    let file = sftp.open("a", OpenFlags::READ).await.unwrap();
    proxy.set(Fault::Delay(Duration::from_millis(500))).await;
    // Other requests have to wait as well.
    let patience = Duration::from_secs(10);
    let (hash, meanwhile) = tokio::join!(sftp.sha256(&file, 7, patience), sftp.stat("a"));
    assert!(hash.unwrap().is_some() && meanwhile.unwrap().is_some());
    assert!(!sftp.is_poisoned());

    // This has a limit, too.
    let error = bridge::Error::from(sftp.sha256(&file, 7, Duration::from_millis(300)).await.unwrap_err());
    assert!(error.message().contains("check-file"), "{error}");
    assert!(sftp.is_poisoned());
}

#[tokio::test]
async fn a_server_that_falls_silent_is_taken_for_dead() {
    let options =
        sftp::Options { keepalive_interval: Duration::from_millis(300), ..sftp::Options::default() };
    let Proxied { partner: _partner, proxy, session } = proxied(Quirks::default(), options).await;
    // While it answers keepalives, it lives.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(session.is_alive(PATIENCE).await);
    proxy.set(Fault::Swallow).await;
    let error = session.sftp().stat("a").await.unwrap_err().to_string();
    assert!(error.contains("the server sent nothing for"), "{error}");
}

/// A server with a single thread that scans a file when it closes it answers nothing else in the meantime.
#[tokio::test]
async fn story_64_a_server_that_commits_a_file_may_be_silent() {
    let Proxied { partner: _partner, proxy, session } = proxied(Quirks::default(), impatient()).await;
    let sftp = session.sftp();
    let file = sftp.open("a", OpenFlags::WRITE | OpenFlags::CREATE).await.unwrap();
    proxy.set(Fault::Delay(Duration::from_millis(700))).await;
    sftp.close(file).await.unwrap();
    // Other requests have to wait as well.
    let (renamed, meanwhile) = tokio::join!(sftp.rename("a", "b"), sftp.stat("."));
    assert!(renamed.is_ok() && meanwhile.unwrap().is_some());
    assert!(!sftp.is_poisoned());

    // This has a limit, too: ten times the limit of other requests.
    proxy.set(Fault::Swallow).await;
    let started = Instant::now();
    let error = bridge::Error::from(sftp.rename("b", "c").await.unwrap_err());
    assert_eq!(error.name, ErrorName::ConnectionLost, "{error}");
    assert!((2..10).contains(&started.elapsed().as_secs()), "{:?}: {error}", started.elapsed());
}

#[tokio::test]
async fn what_is_no_ssh_server() {
    for greeting in [&b""[..], b"HTTP/1.1 400 Bad Request\r\n\r\n", &[0xa5; 100_000]] {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.write_all(greeting).await;
            }
        });
        let mut delivery = to(answering(|_| None)).await;
        delivery.set("SFTP_PORT", port);
        let started = Instant::now();
        let error = delivery.process().transfer("file.bin", None, 0).await.unwrap_err();
        assert_eq!(error.name, ErrorName::ConnectFailed, "{error}");
        assert!(started.elapsed() < PATIENCE * 4);
    }
}

/// Delivers in a process of its own, so that its memory can be measured. Returns its standard error.
async fn costs_no_memory(flood: &str, delivery: &Delivery) -> String {
    let mut command = delivery.command(&["s3://b/file.bin"]).await;
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let id = child.id().unwrap();
    let started = Instant::now();
    let mut peak = 0;
    let ended = loop {
        peak = memory_peak(id).unwrap_or(peak);
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{flood}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let mut words = String::new();
    child.stderr.take().unwrap().read_to_string(&mut words).await.unwrap();
    assert_eq!(ended.code(), Some(1), "{flood}: {words}");
    assert!((1..64 * MIB).contains(&peak), "{flood}: {peak} bytes");
    words
}

#[tokio::test]
async fn a_flood_costs_no_memory() {
    // Endless replies without a request; and a reply that comes byte by byte.
    let floods = [packet(kind::STATUS, 0xffff_fff0, &[&[0; 4]]), vec![0]];
    for (number, flood) in floods.into_iter().enumerate() {
        let delivery = to(Script::new(move |mut channel| {
            let flood = flood.clone();
            async move {
                let Some(_) = Request::read(&mut channel).await else { return };
                let version = packet(kind::VERSION, 3, &[]);
                let announced = [&(512_u32 * 1024).to_be_bytes()[..], &[kind::DATA]].concat();
                let _ = channel.write_all(&version).await;
                if number == 1 {
                    let _ = channel.write_all(&announced).await;
                }
                for _ in 0..600_000 {
                    if channel.write_all(&flood).await.is_err() {
                        return;
                    }
                }
            }
        }))
        .await;
        costs_no_memory(&format!("flood {number}"), &delivery).await;
    }
}

/// A server with small limits, so that many requests are in flight.
fn in_little_bites(request: &Request) -> Option<Vec<u8>> {
    const LIMITS: &str = "limits@openssh.com";
    match request.kind {
        kind::INIT => {
            Some(packet(kind::VERSION, 3, &[&wire::string(LIMITS.as_bytes()), &wire::string(b"1")]))
        }
        EXTENDED if request.body.ends_with(LIMITS.as_bytes()) => {
            let limits = [0_u64, 1, 1, 0].map(u64::to_be_bytes).concat();
            Some(request.reply(EXTENDED_REPLY, &[&limits]))
        }
        _ => None,
    }
}

const EXTENDED: u8 = 200;
const EXTENDED_REPLY: u8 = 201;

/// Answers out of order are kept, but not more of them than was requested.
#[tokio::test]
async fn long_answers_out_of_order_cost_no_memory() {
    /// Number of requests at the same time: a window of 512 KiB.
    const AT_ONCE: usize = 512;
    let script = Script::new(|channel| async move {
        let mut asked = Vec::new();
        serve(channel, |request| {
            if request.kind != kind::READ {
                return in_little_bites(request);
            }
            asked.push(request.clone());
            if asked.len() < AT_ONCE {
                return Some(Vec::new());
            }
            // The first one is answered last.
            asked.rotate_left(1);
            Some(asked.iter().flat_map(|request| request.data(&[0; 256 * 1024])).collect())
        })
        .await;
    });
    let words = costs_no_memory("long answers", &to(script).await).await;
    assert!(words.contains("wrong type for this request"), "{words}");
}

/// Each request that waits to be sent contains the handle.
#[tokio::test]
async fn a_long_handle_costs_no_memory() {
    let script = Script::new(|mut channel| async move {
        while let Some(request) = Request::read(&mut channel).await {
            let reply = match request.kind {
                // It stops reading.
                kind::WRITE => std::future::pending().await,
                kind::OPEN => request.reply(kind::HANDLE, &[&wire::string(&vec![7; 500 * 1024])]),
                kind::STAT => request.status(2, "no such file"),
                _ => in_little_bites(&request).unwrap_or_else(|| request.status(8, "no")),
            };
            if channel.write_all(&reply).await.is_err() {
                return;
            }
        }
    });
    let words = costs_no_memory("a long handle", &to(script).await).await;
    assert!(words.contains("a handle has 512000 bytes"), "{words}");
}

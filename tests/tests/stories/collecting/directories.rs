//! Directories that are too large: the client reads them as a stream, and the caller decides when to stop.

use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bridge::TrustedHostKeys;
use integration_tests::embedded::Script;
use integration_tests::partner::Partner;
use integration_tests::process::memory_peak;
use integration_tests::wire::{Request, attributes, kind, packet, string};
use sftp::{Endpoint, FileType, Login, Options, Session};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::process::Command;

const MIB: u64 = 1024 * 1024;

/// Where the process that lists finds the server.
const SERVER: [&str; 4] = ["LISTED_PORT", "LISTED_USER", "LISTED_KEY", "LISTED_HOST_KEY"];

/// Runs this test again in a process of its own, so that its memory can be measured. There, [`session`] has the session.
async fn in_a_process_of_its_own(test: &str, partner: &Partner) {
    let values =
        [&partner.port.to_string(), &partner.user, &partner.client_key.private, &partner.host_key.public];
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("collecting::directories::{test}"), "--nocapture"]);
    command.envs(SERVER.into_iter().zip(values)).kill_on_drop(true);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let output = child.wait_with_output().await.unwrap();
    let words = [output.stdout, output.stderr].concat();
    let words = String::from_utf8_lossy(&words);
    assert!(output.status.success() && words.contains("1 passed"), "{words}");
}

/// The session of the process that lists; `None` in the one with the server.
async fn session() -> Option<Session> {
    let [port, user_name, private_key, host_key] = SERVER.map(|name| std::env::var(name).ok());
    let endpoint = Endpoint { host: "127.0.0.1".into(), port: port?.parse().unwrap() };
    let login = Login::new(user_name?, Some(&private_key?.into()), None, None).unwrap();
    let trusted = TrustedHostKeys::parse(&host_key?).unwrap();
    Some(Session::connect(&endpoint, &login, &trusted, &Options::default()).await.unwrap())
}

/// Memory of this process at most, so far.
fn peak() -> u64 {
    memory_peak(std::process::id()).unwrap()
}

/// The kinds of the requests so far.
type Seen = Arc<Mutex<Vec<u8>>>;

/// A server with one directory. The READDIR with this number, from 0 on, gets this answer, every tenth after a pause.
async fn partner(
    pause: Duration,
    answer: impl Fn(&Request, usize) -> Vec<u8> + Send + Sync + 'static,
) -> (Partner, Seen) {
    let answer = Arc::new(answer);
    let seen = Seen::default();
    let to_see = Arc::clone(&seen);
    let script = Script::new(move |channel| {
        let (answer, seen) = (Arc::clone(&answer), Arc::clone(&to_see));
        async move { serve(channel, pause, |request, number| answer(request, number), &seen).await }
    });
    (Partner::scripted(script).await.unwrap(), seen)
}

async fn serve(
    mut channel: impl AsyncRead + AsyncWrite + Unpin,
    pause: Duration,
    answer: impl Fn(&Request, usize) -> Vec<u8>,
    seen: &Seen,
) {
    let mut number = 0;
    while let Some(request) = Request::read(&mut channel).await {
        seen.lock().unwrap().push(request.kind);
        let reply = match request.kind {
            kind::INIT => packet(kind::VERSION, 3, &[]),
            kind::OPENDIR => request.reply(kind::HANDLE, &[&string(b"h")]),
            kind::READDIR => {
                // Not at each: a timer takes longer than it says.
                if number % 10 == 0 {
                    tokio::time::sleep(pause).await;
                }
                number += 1;
                answer(&request, number - 1)
            }
            kind::LSTAT => request.reply(kind::ATTRS, &[&attributes(0, 0o040_755, 1)]),
            _ => request.status(0, ""),
        };
        if channel.write_all(&reply).await.is_err() {
            return;
        }
    }
}

const NAMES: usize = 100_000;
const A_PACKET: usize = 20;

/// A name so long that all of them together are noticed: 20 MB.
fn long_name(number: usize) -> String {
    format!("{number:0200}")
}

#[tokio::test]
async fn story_281_a_directory_of_100_000_names_is_read_in_little_memory() {
    if let Some(session) = session().await {
        return read_them_all(&session).await;
    }
    let (partner, seen) = partner(Duration::from_millis(3), |request, number| {
        let first = number * A_PACKET;
        let file = |number| (long_name(number), attributes(number as u64, 0o100_644, 1_000_000_000));
        match first {
            NAMES => request.status(1, "the end"),
            _ => request.names((first..first + A_PACKET).map(file)),
        }
    })
    .await;
    let started = Instant::now();
    let test = "story_281_a_directory_of_100_000_names_is_read_in_little_memory";
    in_a_process_of_its_own(test, &partner).await;
    // The time is that of the round trips: 0.3 ms for the server, and what the way takes.
    assert!(started.elapsed() < Duration::from_secs(90), "{:?}", started.elapsed());
    let seen = seen.lock().unwrap();
    let count = |kind: u8| seen.iter().filter(|seen| **seen == kind).count();
    assert_eq!((count(kind::READDIR), count(kind::CLOSE)), (NAMES / A_PACKET + 1, 1));
}

async fn read_them_all(session: &Session) {
    let mut directory = session.sftp().read_directory("out").await.unwrap();
    let mut number = 0;
    let mut at_first = 0;
    while let Some(entries) = directory.next().await.unwrap() {
        for entry in entries {
            assert_eq!(entry.name, long_name(number).as_bytes());
            assert_eq!(entry.attributes.size, Some(number as u64));
            assert_eq!(entry.attributes.file_type(), Some(FileType::File));
            number += 1;
        }
        if number == NAMES / 50 {
            at_first = peak();
        }
    }
    assert_eq!(number, NAMES);
    // Its answer shows that the server has read the CLOSE before it.
    assert!(session.sftp().lstat("out").await.unwrap().is_some());
    let growth = peak() - at_first;
    assert!(at_first > 0 && growth < 4 * MIB, "{growth} bytes more than after the first names");
    session.disconnect().await;
}

/// Packets that a caller reads before it has had enough.
const ENOUGH: usize = 40;

/// As many names as fit into the longest packet that is accepted.
fn full_packet(request: &Request) -> Vec<u8> {
    let entry = [string(b"a"), string(b""), vec![0; 4]].concat();
    let count = (512 * 1024 - 9) / entry.len();
    request.reply(kind::NAME, &[&(count as u32).to_be_bytes(), &entry.repeat(count)])
}

#[tokio::test]
async fn story_290_a_listing_without_end_ends_when_the_caller_has_enough() {
    if let Some(session) = session().await {
        return read_enough(&session).await;
    }
    let (partner, seen) = partner(Duration::ZERO, |request, _| full_packet(request)).await;
    let test = "story_290_a_listing_without_end_ends_when_the_caller_has_enough";
    in_a_process_of_its_own(test, &partner).await;
    let seen = seen.lock().unwrap();
    let (beginning, rest) = seen.split_at(2);
    let (listing, end) = rest.split_at(ENOUGH);
    assert_eq!(beginning, [kind::INIT, kind::OPENDIR]);
    assert!(listing.iter().all(|seen| *seen == kind::READDIR), "one after the other: {listing:?}");
    assert_eq!(end, [kind::CLOSE, kind::LSTAT], "nothing is asked for beyond what the caller wants");
}

async fn read_enough(session: &Session) {
    let sftp = session.sftp();
    let mut directory = sftp.read_directory("out").await.unwrap();
    let mut names = 0;
    let mut at_first = 0;
    for number in 0..ENOUGH {
        names += directory.next().await.unwrap().unwrap().len();
        if number == 3 {
            at_first = peak();
        }
    }
    assert!(names > 1_500_000, "{names}");
    drop(directory);
    assert!(sftp.lstat("out").await.unwrap().is_some(), "the session goes on");
    assert!(!sftp.is_poisoned());
    let growth = peak() - at_first;
    assert!(at_first > 0 && growth < 8 * MIB, "{growth} bytes more than after the first packets");
    assert!(peak() < 64 * MIB, "{} bytes", peak());
    session.disconnect().await;
}

//! How many round trips it takes: far away, they are the time that a small file takes. Each number here is one that the
//! bridge does reach; one that has come down is to be lowered, so that none comes back unnoticed.

use std::time::Duration;

use bridge::Proof;
use integration_tests::flights::{Flight, FlightCounter};
use integration_tests::partner::{Options, Partner};
use integration_tests::servers::Server;
use integration_tests::{skip, tools};

use crate::support::{Delivery, session};

/// What is counted, for a new file of one WRITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    /// From TCP to SFTP's version.
    Connect,
    /// A process that delivers one file, with connecting.
    First(Proof),
    /// A process that delivers the next file.
    Next(Proof),
    /// The function `transfer` of a process with a connection.
    Transfer(Proof),
    /// The function `verify-remote` of another one.
    Verify(Proof),
}

use Work::{Connect, First, Next, Transfer, Verify};

/// With OpenSSH.
const OPEN_SSH: [(Work, usize); 9] = [
    (Connect, 9),
    (First(Proof::Size), 12),
    (First(Proof::ReadBack), 14),
    (Next(Proof::Size), 3),
    (Next(Proof::ReadBack), 5),
    (Transfer(Proof::Size), 2),
    (Transfer(Proof::ReadBack), 2),
    (Verify(Proof::Size), 2),
    (Verify(Proof::ReadBack), 3),
];

/// With ProFTPD, which hashes the file.
const PROFTPD: [(Work, usize); 3] =
    [(Next(Proof::ServerHash), 5), (Transfer(Proof::ServerHash), 2), (Verify(Proof::ServerHash), 3)];

/// A busy machine is given more time to say what it has to say. Not so much that a kept connection is asked whether it is
/// still alive.
const SILENCES: [u64; 5] = [20, 40, 80, 160, 250];

#[tokio::test]
async fn round_trips_with_open_ssh() {
    let Some(sshd) = tools::sshd().await.unwrap() else {
        return skip("round trips with OpenSSH: it is not available here");
    };
    // Its own sftp-server would tell its requests to nobody.
    let telling = match Server::TinySsh.install().await.unwrap() {
        None => String::new(),
        Some(software) => {
            let server = software.sftp_server().display().to_string();
            format!("ForceCommand exec {server} -e -l DEBUG3 -d FOLDER/files 2>>FOLDER/sftp.log\n")
        }
    };
    let options = Options { settings: telling, ..Options::default() };
    let partner = Partner::open_ssh(sshd, options).await.unwrap();
    counts(partner, &OPEN_SSH).await;
}

#[tokio::test]
async fn round_trips_with_a_server_that_hashes() {
    let Some(software) = Server::ProFtpd.install().await.unwrap() else {
        return skip("round trips with ProFTPD: it is not available here");
    };
    counts(Partner::program(software, Options::default()).await.unwrap(), &PROFTPD).await;
}

/// Each work takes as many round trips as it says here.
async fn counts(partner: Partner, expected: &[(Work, usize)]) {
    let mut delivery = Delivery::to(partner);
    let mut wrong = String::new();
    for (work, expected) in expected {
        let mut best: Option<Vec<Flight>> = None;
        // Only too many can be an accident.
        for silence in SILENCES {
            let flights = flights(&mut delivery, *work, Duration::from_millis(silence)).await;
            if best.as_ref().is_none_or(|best| flights.len() < best.len()) {
                best = Some(flights);
            }
            if best.as_ref().is_some_and(|best| best.len() <= *expected) {
                break;
            }
        }
        let best = best.unwrap();
        println!("{work:?}: {}", best.len());
        if best.len() != *expected {
            wrong +=
                &format!("{work:?} takes {} instead of {expected} round trips:\n{}", best.len(), list(&best));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

async fn flights(delivery: &mut Delivery, work: Work, silence: Duration) -> Vec<Flight> {
    let log = delivery.partner.root.with_file_name("sftp.log");
    let log = log.exists().then_some(log);
    let counter = FlightCounter::start(delivery.partner.port, silence, log).await.unwrap();
    delivery.set("SFTP_PORT", counter.port);
    for name in ["first", "next"] {
        let _ = std::fs::remove_file(delivery.partner.root.join(name));
        delivery.put(name, 10_000);
    }
    let proof = match work {
        Connect => {
            let session = session(&delivery.partner, counter.port, sftp::Options::default()).await;
            let flights = counter.take();
            session.disconnect().await;
            return flights;
        }
        First(proof) | Next(proof) | Transfer(proof) | Verify(proof) => proof,
    };
    // A hash is what `auto` prefers.
    delivery.set("SFTP_PROOF", if proof == Proof::Size { "size" } else { "auto" });
    let (one, other) = (delivery.process(), delivery.process());
    let (receipt, flights) = match work {
        First(_) | Next(_) => {
            let mut receipt = one.deliver("first").await.unwrap();
            if work == Next(proof) {
                counter.settled().await;
                receipt = one.deliver("next").await.unwrap();
            }
            (receipt, counter.take())
        }
        _ => {
            let (first, _) = one.transfer_all("first", 0).await.unwrap();
            counter.settled().await;
            let (next, _) = one.transfer_all("next", 0).await.unwrap();
            let transfer = counter.settled().await;
            other.verify_all("first", first).await.unwrap();
            counter.settled().await;
            let (receipt, _) = other.verify_all("next", next).await.unwrap();
            (receipt, if work == Transfer(proof) { transfer } else { counter.take() })
        }
    };
    assert_eq!(receipt.proof, Some(proof));
    one.partner.disconnect().await;
    other.partner.disconnect().await;
    flights
}

fn list(flights: &[Flight]) -> String {
    let line = |(number, flight): (usize, &Flight)| {
        let Flight { up, down, requests } = flight;
        format!("  {:2}. {up} bytes up, {down} down  {}\n", number + 1, requests.join(" "))
    };
    flights.iter().enumerate().map(line).collect()
}

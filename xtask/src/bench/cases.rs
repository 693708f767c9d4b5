//! What is measured, and what is to be reached: the ratios of docs/performance.md.

use std::time::Duration;

use integration_tests::object_source::Pace;

use super::contestants::Contestant::{self, Bridge, BridgeWith, OpenSsh, OpenSshAesGcm, Predecessor, Rclone};
use super::contestants::Work;
use super::results::Unit;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) work: Work,
    /// Round trip time to the server.
    pub(crate) rtt: Duration,
    /// How slow S3 is.
    pub(crate) pace: Pace,
    pub(crate) contestants: Vec<Contestant>,
    pub(crate) rounds: u32,
    /// Whether a round goes before that does not count.
    pub(crate) warm_up: bool,
    /// Bytes of memory that have to be free for the files.
    pub(crate) memory_needed: u64,
}

pub(crate) struct Goal {
    /// Of the case; several cases for one that only starts so.
    pub(crate) case: &'static str,
    /// Added to the case's title.
    pub(crate) remark: &'static str,
    pub(crate) unit: Unit,
    pub(crate) who: Contestant,
    /// None: `at_most` is not a ratio but in the unit.
    pub(crate) against: Option<Contestant>,
    pub(crate) at_most: f64,
}

pub(crate) fn all(quick: bool, rounds: Option<u32>) -> Vec<Case> {
    let number = |usual: u32, quick_rounds: u32| rounds.unwrap_or(if quick { quick_rounds } else { usual });
    let case = |name: &str, title: String, work, contestants: &[Contestant]| Case {
        name: name.into(),
        title,
        work,
        rtt: Duration::ZERO,
        pace: Pace::default(),
        contestants: contestants.to_vec(),
        rounds: number(5, 3),
        warm_up: true,
        memory_needed: 0,
    };
    let long = |name: &str, title: String, work, contestants: &[Contestant]| Case {
        rounds: number(3, 3),
        warm_up: false,
        ..case(name, title, work, contestants)
    };
    let copiers = [Bridge, OpenSsh, OpenSshAesGcm, Rclone, Predecessor];
    let big = if quick { 256 * MIB } else { GIB };
    // The same if quick: how soon a program fills a long way counts for more in a smaller file.
    let distant = 256 * MIB;
    let mut cases = vec![
        case("64k", "64 KiB from S3".into(), Work::Copy(64 * KIB), &copiers),
        case("10m", "10 MiB from S3".into(), Work::Copy(10 * MIB), &copiers),
        long(
            "1g",
            format!("{} from S3", size(big)),
            Work::Copy(big),
            &[BridgeWith(1), BridgeWith(4), OpenSsh, OpenSshAesGcm, Rclone, Predecessor],
        ),
    ];
    for rtt in [0, 20, 50] {
        let mut contestants = vec![BridgeWith(1), BridgeWith(4), OpenSsh];
        if !quick {
            contestants.push(Rclone);
        }
        let title = format!("{} at {rtt} ms", size(distant));
        let case = long(&format!("rtt-{rtt}"), title, Work::Copy(distant), &contestants);
        cases.push(Case { rtt: Duration::from_millis(rtt), ..case });
    }
    // As S3 is from a Lambda function.
    let pace = Pace { first_byte_delay: Duration::from_millis(20), bytes_per_second: Some(90_000_000) };
    let title = format!("{} from S3 at 90 MB/s a connection", size(distant));
    let slow = long("slow-s3", title, Work::Copy(distant), &[BridgeWith(1), BridgeWith(4), Rclone]);
    cases.push(Case { pace, ..slow });
    cases.push(case(
        "many",
        "1,000 files of 10 KiB from S3".into(),
        Work::CopyMany,
        &[Bridge, OpenSsh, Rclone],
    ));
    cases.push(long(
        "hash",
        format!("read back and hash {}", size(big)),
        Work::Hash(big),
        &[Bridge, OpenSsh],
    ));
    let connect = case("connect", "connect to SFTP ready".into(), Work::Connect, &[Bridge, OpenSsh]);
    cases.push(Case { rounds: number(11, 7), ..connect });
    for memory in [64 * MIB, GIB, 8 * GIB].into_iter().filter(|size| !quick || *size <= GIB) {
        let name = format!("memory-{}m", memory / MIB);
        let title = format!("resident memory, {}", size(memory));
        let case = case(&name, title, Work::Copy(memory), &[Bridge]);
        // The file, and room for the programs and the others on this machine.
        cases.push(Case { rounds: 1, warm_up: false, memory_needed: memory + 2 * GIB, ..case });
    }
    let title = "process start to first poll of the Lambda runtime API".into();
    let start = case("start", title, Work::Start, &[Bridge, Predecessor]);
    cases.push(Case { rounds: number(21, 11), ..start });
    cases
}

pub(crate) fn goals() -> Vec<Goal> {
    let wall = |case, remark, who, against, at_most| Goal {
        case,
        remark,
        unit: Unit::Seconds,
        who,
        against: Some(against),
        at_most,
    };
    vec![
        wall("64k", "", Bridge, Rclone, 0.45),
        wall("10m", "", Bridge, Rclone, 0.30),
        wall("64k", "", Bridge, Predecessor, 0.10),
        wall("1g", ", one connection", BridgeWith(1), OpenSshAesGcm, 1.0),
        wall("1g", ", up to 4 connections", BridgeWith(4), Rclone, 0.70),
        wall("1g", ", up to 4 connections", BridgeWith(4), Predecessor, 0.22),
        Goal {
            unit: Unit::ProcessorSeconds,
            ..wall("1g", ", processor time of the client", BridgeWith(1), OpenSshAesGcm, 0.70)
        },
        wall("rtt-50", ", one connection", BridgeWith(1), OpenSsh, 0.55),
        wall("rtt-50", ", up to 4 connections", BridgeWith(4), OpenSsh, 0.33),
        wall("rtt-20", ", up to 4 connections", BridgeWith(4), OpenSsh, 0.38),
        wall("many", "", Bridge, Rclone, 0.20),
        wall("hash", "", Bridge, OpenSsh, 1.1),
        wall("connect", "", Bridge, OpenSsh, 0.20),
        Goal {
            case: "memory-",
            remark: "resident memory, any size",
            unit: Unit::Bytes,
            who: Bridge,
            against: None,
            at_most: 32.0 * MIB as f64,
        },
        Goal {
            case: "rtt-50",
            remark: ", up to 4 connections, resident memory",
            unit: Unit::Bytes,
            who: BridgeWith(4),
            against: None,
            at_most: 32.0 * MIB as f64,
        },
        Goal { case: "start", remark: "", unit: Unit::Seconds, who: Bridge, against: None, at_most: 0.015 },
    ]
}

/// `64 KiB`, `1 GiB`
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        GIB.. => format!("{} GiB", bytes / GIB),
        MIB.. => format!("{} MiB", bytes / MIB),
        _ => format!("{} KiB", bytes / KIB),
    }
}

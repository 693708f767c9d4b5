//! What is measured, and the goals: the ratios of docs/performance.md.

use std::time::Duration;

use integration_tests::object_source::Pace;

use super::contestants::Contestant::{self, Bridge, BridgeWith, OpenSsh, OpenSshAesGcm, Predecessor, Rclone};
use super::contestants::Work;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) work: Work,
    /// Round trip time to the server.
    pub(crate) rtt: Duration,
    /// How slowly S3 answers.
    pub(crate) pace: Pace,
    pub(crate) contestants: Vec<Contestant>,
    pub(crate) rounds: u32,
    /// Whether the first round does not count.
    pub(crate) warm_up: bool,
    /// Free memory that the files need, in bytes.
    pub(crate) memory_needed: u64,
}

pub(crate) struct Goal {
    /// The name of the case, or the start of several names.
    pub(crate) case: &'static str,
    /// Added to the case's title.
    pub(crate) remark: &'static str,
    pub(crate) unit: Unit,
    pub(crate) who: Contestant,
    /// `None`: `at_most` is in the unit instead of a ratio.
    pub(crate) against: Option<Contestant>,
    pub(crate) at_most: f64,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Seconds,
    ProcessorSeconds,
    Bytes,
}

/// How much is measured.
#[derive(Clone, Copy)]
struct Extent {
    quick: bool,
    /// Replaces the rounds of every case.
    rounds: Option<u32>,
}

/// The same in a quick run: with a smaller file, the time until a connection is at full speed would count for more.
const DISTANT: u64 = 256 * MIB;

pub(crate) fn all(quick: bool, rounds: Option<u32>) -> Vec<Case> {
    let extent = Extent { quick, rounds };
    [extent.copies(), extent.at_a_distance(), extent.other_work(), extent.memory()].concat()
}

impl Extent {
    fn rounds(self, usual: u32, quick: u32) -> u32 {
        self.rounds.unwrap_or(if self.quick { quick } else { usual })
    }

    fn case(self, name: &str, title: String, work: Work, contestants: &[Contestant]) -> Case {
        Case {
            name: name.into(),
            title,
            work,
            rtt: Duration::ZERO,
            pace: Pace::default(),
            contestants: contestants.to_vec(),
            rounds: self.rounds(5, 3),
            warm_up: true,
            memory_needed: 0,
        }
    }

    /// A case with long rounds.
    fn long(self, name: &str, title: String, work: Work, contestants: &[Contestant]) -> Case {
        Case { rounds: self.rounds(3, 3), warm_up: false, ..self.case(name, title, work, contestants) }
    }

    fn big(self) -> u64 {
        if self.quick { 256 * MIB } else { GIB }
    }

    fn copies(self) -> Vec<Case> {
        let copiers = [Bridge, OpenSsh, OpenSshAesGcm, Rclone, Predecessor];
        let all = [BridgeWith(1), BridgeWith(4), OpenSsh, OpenSshAesGcm, Rclone, Predecessor];
        let title = format!("{} from S3", size(self.big()));
        vec![
            self.case("64k", "64 KiB from S3".into(), Work::Copy(64 * KIB), &copiers),
            self.case("10m", "10 MiB from S3".into(), Work::Copy(10 * MIB), &copiers),
            self.long("1g", title, Work::Copy(self.big()), &all),
        ]
    }

    fn at_a_distance(self) -> Vec<Case> {
        let mut cases = Vec::new();
        for rtt in [0, 20, 50] {
            let mut contestants = vec![BridgeWith(1), BridgeWith(4), OpenSsh];
            if !self.quick {
                contestants.push(Rclone);
            }
            let title = format!("{} at {rtt} ms", size(DISTANT));
            let case = self.long(&format!("rtt-{rtt}"), title, Work::Copy(DISTANT), &contestants);
            cases.push(Case { rtt: Duration::from_millis(rtt), ..case });
        }
        // S3 as a Lambda function sees it.
        let pace = Pace { first_byte_delay: Duration::from_millis(20), bytes_per_second: Some(90_000_000) };
        let title = format!("{} from S3 at 90 MB/s a connection", size(DISTANT));
        let contestants = [BridgeWith(1), BridgeWith(4), Rclone];
        let slow = self.long("slow-s3", title, Work::Copy(DISTANT), &contestants);
        cases.push(Case { pace, ..slow });
        cases
    }

    fn other_work(self) -> Vec<Case> {
        let many = "1,000 files of 10 KiB from S3".into();
        let hash = format!("read back and hash {}", size(self.big()));
        let connect = self.case("connect", "connect to SFTP ready".into(), Work::Connect, &[Bridge, OpenSsh]);
        vec![
            self.case("many", many, Work::CopyMany, &[Bridge, OpenSsh, Rclone]),
            self.long("hash", hash, Work::Hash(self.big()), &[Bridge, OpenSsh]),
            Case { rounds: self.rounds(11, 7), ..connect },
        ]
    }

    /// Resident memory, and the start of a function.
    fn memory(self) -> Vec<Case> {
        let mut cases = Vec::new();
        for memory in [64 * MIB, GIB, 8 * GIB].into_iter().filter(|size| !self.quick || *size <= GIB) {
            let name = format!("memory-{}m", memory / MIB);
            let title = format!("resident memory, {}", size(memory));
            let case = self.case(&name, title, Work::Copy(memory), &[Bridge]);
            // The file, and room for other programs on this machine.
            cases.push(Case { rounds: 1, warm_up: false, memory_needed: memory + 2 * GIB, ..case });
        }
        let title = "process start to first poll of the Lambda runtime API".into();
        let start = self.case("start", title, Work::Start, &[Bridge, Predecessor]);
        cases.push(Case { rounds: self.rounds(21, 11), ..start });
        cases
    }
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

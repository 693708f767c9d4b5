//! What is measured, and the goals: the ratios of docs/performance.md.

use std::time::Duration;

use anyhow::{Result, bail};
use integration_tests::far::Distance;
use integration_tests::object_source::Pace;

use super::contestants::Contestant::{
    self, Bridge, BridgeReadsBack, BridgeWith, OpenSsh, OpenSshAesGcm, Predecessor, Rclone, Tcp,
};
use super::contestants::Work;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) work: Work,
    /// To the server. `None`: it is on the same loopback interface.
    pub(crate) distance: Option<Distance>,
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

/// The number of small files at a distance.
const FAR_COUNT: u64 = 500;

/// The percentage of packets that a bad line loses each way.
const LOSS: f64 = 0.5;

/// The same in a quick run: with a smaller file, the time until a connection is at full speed would count for more.
const DISTANT: u64 = 256 * MIB;

pub(crate) fn all(quick: bool, rounds: Option<u32>) -> Vec<Case> {
    let extent = Extent { quick, rounds };
    let near = [extent.copies(), extent.other_work(), extent.memory()];
    [near.concat(), extent.throughput(), extent.far(), extent.collecting()].concat()
}

/// The cases that are asked for; all, if nothing is.
pub(crate) fn select(mut cases: Vec<Case>, only: &[String]) -> Result<Vec<Case>> {
    let names: Vec<String> = cases.iter().map(|case| case.name.clone()).collect();
    let is_meant = |asked: &str, name: &str| {
        name == asked || name.contains(asked) && !names.iter().any(|it| it == asked)
    };
    if let Some(asked) = only.iter().find(|asked| !names.iter().any(|name| is_meant(asked, name))) {
        bail!("there is no case {asked:?}; there are {}", names.join(", "));
    }
    cases.retain(|case| only.is_empty() || only.iter().any(|asked| is_meant(asked, &case.name)));
    Ok(cases)
}

impl Case {
    pub(crate) fn round_trip(&self) -> Duration {
        self.distance.map_or(Duration::ZERO, |distance| distance.round_trip)
    }
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
            distance: None,
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

    /// One large file at several distances, and from a slow S3.
    fn throughput(self) -> Vec<Case> {
        let mut cases = Vec::new();
        for rtt in [0, 20, 50, 200].into_iter().filter(|rtt| !self.quick || *rtt <= 50) {
            let mut contestants = vec![BridgeWith(1), BridgeWith(4), OpenSsh];
            if !self.quick {
                contestants.push(Rclone);
            }
            if rtt > 0 {
                contestants.push(Tcp);
            }
            let title = format!("{} at {rtt} ms", size(DISTANT));
            let case = self.long(&format!("rtt-{rtt}"), title, Work::Copy(DISTANT), &contestants);
            cases.push(Case { distance: (rtt > 0).then(|| distance(rtt, 0.0)), ..case });
        }
        // S3 as a Lambda function sees it.
        let pace = Pace { first_byte_delay: Duration::from_millis(20), bytes_per_second: Some(90_000_000) };
        let title = format!("{} from S3 at 90 MB/s a connection", size(DISTANT));
        let contestants = [BridgeWith(1), BridgeWith(4), Rclone];
        let slow = self.long("slow-s3", title, Work::Copy(DISTANT), &contestants);
        cases.push(Case { pace, ..slow });
        cases
    }

    /// Small files at a distance, where round trips count.
    fn far(self) -> Vec<Case> {
        let lines = [(50, 0.0), (200, 0.0), (50, LOSS), (200, LOSS)];
        let lines = lines.into_iter().filter(|(rtt, loss)| !self.quick || (*rtt, *loss) == (50, 0.0));
        lines.flat_map(|(rtt, loss)| self.far_by(rtt, loss)).collect()
    }

    fn far_by(self, rtt: u64, loss: f64) -> Vec<Case> {
        let case = |name: &str, what: &str, work, contestants: &[Contestant], rounds| {
            let lost = if loss > 0.0 { ("-loss", format!(", {loss} % lost")) } else { ("", String::new()) };
            let name = format!("far-{name}-{rtt}{}", lost.0);
            let case = self.long(&name, format!("{what} at {rtt} ms{}", lost.1), work, contestants);
            Case { distance: Some(distance(rtt, loss)), rounds: self.rounds(rounds, 1), ..case }
        };
        let one = [Bridge, BridgeReadsBack, Rclone, OpenSsh];
        let many = format!("{FAR_COUNT} files of 10 KiB");
        // Losses come by chance.
        let small = case("64k", "64 KiB", Work::Copy(64 * KIB), &one, if loss > 0.0 { 7 } else { 3 });
        if (rtt, loss) == (200, LOSS) {
            // TCP alone takes a minute for 10 MiB, whatever the client does.
            return vec![small];
        }
        vec![
            small,
            case("10m", "10 MiB", Work::Copy(10 * MIB), &[&one[..], &[Tcp]].concat(), 3),
            case("many", &many, Work::CopyMany(FAR_COUNT), &[Bridge, BridgeReadsBack, Rclone], 1),
        ]
    }

    fn other_work(self) -> Vec<Case> {
        let many = "1,000 files of 10 KiB from S3".into();
        let hash = format!("read back and hash {}", size(self.big()));
        let connect = self.case("connect", "connect to SFTP ready".into(), Work::Connect, &[Bridge, OpenSsh]);
        vec![
            self.case("many", many, Work::CopyMany(1000), &[Bridge, OpenSsh, Rclone]),
            self.long("hash", hash, Work::Hash(self.big()), &[Bridge, OpenSsh]),
            Case { rounds: self.rounds(11, 7), ..connect },
        ]
    }

    /// The other direction.
    fn collecting(self) -> Vec<Case> {
        let copiers = [Bridge, OpenSsh, Rclone, Predecessor];
        let big = format!("collect {}", size(self.big()));
        let mut cases = vec![
            self.case("collect-64k", "collect 64 KiB".into(), Work::Collect(64 * KIB), &copiers),
            self.case("collect-10m", "collect 10 MiB".into(), Work::Collect(10 * MIB), &copiers),
            self.long("collect-1g", big, Work::Collect(self.big()), &copiers),
        ];
        for rtt in [20, 50] {
            let title = format!("collect {} at {rtt} ms", size(DISTANT));
            let contestants = [Bridge, BridgeWith(4), OpenSsh, Rclone, Tcp];
            let case = self.long(&format!("collect-{rtt}ms"), title, Work::Collect(DISTANT), &contestants);
            cases.push(Case { distance: Some(distance(rtt, 0.0)), ..case });
        }
        let (many, names) = ("collect 1,000 files of 10 KiB".into(), "list 100,000 names".into());
        cases.push(self.case("collect-many", many, Work::CollectMany(1000), &[Bridge, OpenSsh, Rclone]));
        cases.push(self.long("collect-list", names, Work::List(100_000), &[Bridge, OpenSsh, Rclone]));
        cases
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
        memory("memory-", "resident memory, any size", Bridge, 32),
        memory("rtt-50", ", one connection, resident memory", BridgeWith(1), 32),
        memory("rtt-50", ", up to 4 connections, resident memory", BridgeWith(4), 32),
        memory("rtt-200", ", up to 4 connections, resident memory", BridgeWith(4), 40),
        memory("far-many-50", ", resident memory", Bridge, 32),
        memory("far-many-200", ", resident memory", Bridge, 40),
        Goal { case: "start", remark: "", unit: Unit::Seconds, who: Bridge, against: None, at_most: 0.015 },
    ]
    .into_iter()
    .chain(far_goals())
    .chain(collecting_goals())
    .collect()
}

fn memory(case: &'static str, remark: &'static str, who: Contestant, mib: u64) -> Goal {
    Goal { case, remark, unit: Unit::Bytes, who, against: None, at_most: (mib * MIB) as f64 }
}

/// Ratios to rclone, with each proof.
fn far_goals() -> impl Iterator<Item = Goal> {
    let cases = [
        ("far-64k-50", 0.55, 0.65),
        ("far-64k-200", 0.55, 0.65),
        ("far-10m-50", 0.65, 0.95),
        ("far-10m-200", 0.65, 0.95),
        ("far-many-50", 0.08, 0.11),
        ("far-many-200", 0.08, 0.11),
    ];
    let goal = |case, remark, who, at_most| Goal {
        case,
        remark,
        unit: Unit::Seconds,
        who,
        against: Some(Rclone),
        at_most,
    };
    cases.into_iter().flat_map(move |(case, size, reads_back)| {
        [goal(case, ", `size`", Bridge, size), goal(case, ", `auto`", BridgeReadsBack, reads_back)]
    })
}

fn collecting_goals() -> [Goal; 10] {
    let goal = |case, remark, who, against, at_most| Goal {
        case,
        remark,
        unit: Unit::Seconds,
        who,
        against: Some(against),
        at_most,
    };
    let (one, four) = (", one connection", ", up to 4 connections");
    [
        goal("collect-64k", "", Bridge, Rclone, 0.45),
        goal("collect-10m", "", Bridge, Rclone, 0.35),
        goal("collect-1g", "", Bridge, Rclone, 0.70),
        goal("collect-20ms", one, Bridge, OpenSsh, 0.55),
        goal("collect-20ms", four, BridgeWith(4), OpenSsh, 0.55),
        goal("collect-50ms", one, Bridge, OpenSsh, 0.55),
        goal("collect-50ms", four, BridgeWith(4), OpenSsh, 0.55),
        goal("collect-many", "", Bridge, Rclone, 0.25),
        memory("collect-", "collecting, resident memory in every case", Bridge, 48),
        memory("collect-", "collecting, resident memory with up to 4 connections", BridgeWith(4), 48),
    ]
}

fn distance(rtt: u64, loss: f64) -> Distance {
    Distance { round_trip: Duration::from_millis(rtt), loss }
}

/// `64 KiB`, `1 GiB`
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        GIB.. => format!("{} GiB", bytes / GIB),
        MIB.. => format!("{} MiB", bytes / MIB),
        _ => format!("{} KiB", bytes / KIB),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(only: &str) -> Result<Vec<String>> {
        let only: Vec<String> = only.split(',').map(str::to_owned).collect();
        Ok(select(all(false, None), &only)?.into_iter().map(|case| case.name).collect())
    }

    #[test]
    fn a_name_means_its_case_and_a_part_of_names_means_all_that_have_it() {
        assert_eq!(selected("1g,64k").unwrap(), ["64k", "1g"]);
        assert_eq!(selected("rtt").unwrap(), ["rtt-0", "rtt-20", "rtt-50", "rtt-200"]);
    }

    #[test]
    fn a_name_that_means_no_case_is_refused_beside_others_too() {
        let problem = selected("64k,rtx").unwrap_err().to_string();
        assert!(problem.contains("\"rtx\"") && problem.contains("rtt-50"), "{problem}");
    }
}

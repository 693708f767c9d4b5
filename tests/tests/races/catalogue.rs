//! The scenarios that are searched.

use crate::scenario::{SIZE, Scenario};
use crate::server::{Allowed, Kind, Open, Order, PosixRename, Rename};

/// How much there is time for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Orders with one switch.
    Orders,
    /// Orders with two switches.
    TwoSwitches,
    /// One fault, in the usual order.
    Faults,
    /// One fault in orders with one switch.
    FaultAndSwitch,
    Everything,
}

pub(crate) fn of(depth: Depth) -> Vec<Scenario> {
    let among = |scenarios: Vec<Scenario>, names: &[&str]| {
        let is_among = |scenario: &Scenario| names.contains(&scenario.name.as_str());
        scenarios.into_iter().filter(is_among).collect::<Vec<_>>()
    };
    match depth {
        Depth::Orders => [same_version(), two_versions(), policies(), elsewhere(), in_one_process()].concat(),
        Depth::TwoSwitches => among(
            of(Depth::Orders),
            &[
                "twice, target first",
                "twice, posix",
                "twice, size, close overtakes",
                "former file, posix, size",
                "two versions, posix, versioned, delete",
                "two versions, posix, sha256",
                "one process, two versions, posix, size",
            ],
        ),
        Depth::Faults => {
            let together = among(
                of(Depth::Orders),
                &[
                    "two versions, posix, sha256",
                    "two versions, posix, versioned, delete",
                    "former file, target first",
                    "former file, keep-both",
                    "one process, twice, posix, size",
                    "one process, two versions, target first, size",
                ],
            );
            [together, alone()].concat()
        }
        Depth::FaultAndSwitch => {
            among(two_versions(), &["two versions, posix", "two versions, target first, size"])
        }
        Depth::Everything => {
            let all =
                [same_version(), two_versions(), policies(), elsewhere(), in_one_process(), alone(), three()];
            [all.concat(), vec![never_renames()]].concat()
        }
    }
}

const CLOSE_OVERTAKES: Kind = Kind { order: Order::CloseOvertakes, ..Kind::POSIX };

fn servers() -> Vec<(&'static str, Kind)> {
    let absent = Kind { posix_rename: PosixRename::Absent, ..Kind::POSIX };
    vec![
        ("posix", Kind::POSIX),
        ("target first", Kind::PLAIN),
        ("source first", Kind { rename: Rename::SourceFirst, ..absent }),
        ("replaces", Kind { rename: Rename::Replaces, ..absent }),
        ("announced and refused", Kind { posix_rename: PosixRename::RefusesExisting, ..Kind::PLAIN }),
        ("stat denied", Kind { stat: Allowed::No, ..Kind::POSIX }),
        ("stat denied, target first", Kind { stat: Allowed::No, ..Kind::PLAIN }),
        ("read denied", Kind { read: Allowed::No, ..Kind::POSIX }),
        ("read denied, target first", Kind { read: Allowed::No, ..Kind::PLAIN }),
        ("truncates", Kind { open: Open::Truncates, ..Kind::POSIX }),
        ("close overtakes", CLOSE_OVERTAKES),
    ]
}

/// The same event twice.
fn same_version() -> Vec<Scenario> {
    let twice = |(name, kind): (&str, Kind)| {
        let twice =
            Scenario::same_version(&format!("twice, {name}"), kind, 2).set("S3_AFTER_DELIVERY", "delete");
        match kind.stat {
            Allowed::Yes => twice,
            // The file cannot be seen, and the object is gone.
            Allowed::No => twice.may_fail(&["ObjectUnreadable", "RemoteFailure", "RemotePathRejected"]),
        }
    };
    let size = Scenario::same_version("twice, size, close overtakes", CLOSE_OVERTAKES, 2);
    servers().into_iter().map(twice).chain([size.set("SFTP_PROOF", "size")]).collect()
}

/// Two uploads under one key; the older one may be the slower.
fn two_versions() -> Vec<Scenario> {
    let two = |name: &str, kind: Kind| Scenario::two_versions(&format!("two versions, {name}"), kind);
    vec![
        two("posix", Kind::POSIX),
        two("posix, versioned, delete", Kind::POSIX).versioned().set("S3_AFTER_DELIVERY", "delete"),
        two("target first", Kind::PLAIN),
        two("target first, size", Kind::PLAIN).set("SFTP_PROOF", "size"),
        two("posix, sha256", Kind::POSIX).set("SFTP_MARKER", "sha256"),
        two("read denied", Kind { read: Allowed::No, ..Kind::POSIX }).versioned(),
        two("target first, sha256", Kind::PLAIN).set("SFTP_MARKER", "sha256"),
    ]
}

/// A file of the partner's is there, of the same size.
fn policies() -> Vec<Scenario> {
    let twice = |name: &str, kind: Kind| {
        Scenario::same_version(&format!("former file, {name}"), kind, 2).with_former(SIZE)
    };
    vec![
        twice("posix", Kind::POSIX),
        twice("posix, size", Kind::POSIX).set("SFTP_PROOF", "size"),
        twice("target first", Kind::PLAIN),
        twice("skip, target first", Kind::PLAIN).set("SFTP_IF_EXISTS", "skip"),
        twice("keep-both", Kind::POSIX).set("SFTP_IF_EXISTS", "keep-both"),
        twice("fail", Kind::POSIX).set("SFTP_IF_EXISTS", "fail").may_fail(&["RemotePathRejected"]),
    ]
}

/// What a session was told in one state is believed in the next.
fn in_one_process() -> Vec<Scenario> {
    let size = |scenario: Scenario| scenario.in_one_process().set("SFTP_PROOF", "size");
    let twice = |(name, kind): (&str, Kind)| {
        size(Scenario::same_version(&format!("one process, twice, {name}, size"), kind, 2).with_former(SIZE))
    };
    let two = |(name, kind): (&str, Kind)| {
        size(Scenario::two_versions(&format!("one process, two versions, {name}, size"), kind))
    };
    let kinds = [("posix", Kind::POSIX), ("target first", Kind::PLAIN), ("close overtakes", CLOSE_OVERTAKES)];
    kinds.iter().copied().flat_map(|server| [twice(server), two(server)]).collect()
}

/// The server says that the rename is done, and no file has the final name. That is not confirmed, so the object stays.
fn elsewhere() -> Vec<Scenario> {
    let kind = Kind { posix_rename: PosixRename::Elsewhere, ..Kind::POSIX };
    let twice = |name: &str| {
        Scenario::same_version(&format!("elsewhere, {name}"), kind, 2).set("S3_AFTER_DELIVERY", "delete")
    };
    vec![
        twice("auto"),
        twice("size").set("SFTP_PROOF", "size"),
        twice("former file").with_former(SIZE - 1).may_fail(&["RemoteMismatch"]),
    ]
}

/// Every rename is refused. That takes half a minute to believe, and many steps.
pub(crate) fn never_renames() -> Scenario {
    let never = Kind { rename: Rename::Never, ..Kind::PLAIN };
    let twice = Scenario::same_version("former file, never renames", never, 2).with_former(SIZE);
    twice.may_fail(&["RemotePathRejected"])
}

/// One execution, for what goes wrong with it.
fn alone() -> Vec<Scenario> {
    let alone = |(name, kind): (&str, Kind)| {
        let scenario = Scenario::same_version(&format!("alone, {name}"), kind, 1).with_former(SIZE + 100);
        scenario.set("S3_AFTER_DELIVERY", "delete")
    };
    let size = |(name, kind): (&str, Kind)| {
        Scenario::same_version(&format!("alone, size, {name}"), kind, 1)
            .set("SFTP_PROOF", "size")
            .with_former(SIZE)
    };
    let marked = |(name, kind): (&str, Kind)| {
        Scenario::same_version(&format!("alone, sha256, {name}"), kind, 1).set("SFTP_MARKER", "sha256")
    };
    let few = || servers().into_iter().take(3);
    // What stands in the way of this one takes it a minute to believe.
    let quick = |server: &(&str, Kind)| server.0 != "stat denied, target first";
    servers().into_iter().filter(quick).map(alone).chain(few().map(size)).chain(few().map(marked)).collect()
}

fn three() -> Vec<Scenario> {
    let three = |(name, kind): (&str, Kind)| {
        Scenario::same_version(&format!("three times, {name}"), kind, 3).set("S3_AFTER_DELIVERY", "delete")
    };
    let older_twice = |(name, kind): (&str, Kind)| {
        let two = Scenario::two_versions(&format!("two versions, three executions, {name}"), kind);
        Scenario { executions: vec![0, 0, 1], ..two }.versioned().set("S3_AFTER_DELIVERY", "delete")
    };
    servers().into_iter().take(5).flat_map(|server| [three(server), older_twice(server)]).collect()
}

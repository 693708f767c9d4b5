//! The findings of the checks, for people and for machines.

use serde_json::{Value, json};

use crate::output;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// It works.
    Ok,
    /// Deliveries succeed, but a person should know.
    Warn,
    /// Deliveries fail until something is changed.
    Fail,
    /// The server cannot do it, and the settings do not need it.
    Absent,
    /// Not checked.
    Skipped,
}

impl Status {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Absent => "absent",
            Self::Skipped => "skipped",
        }
    }

    /// In the first column of the table.
    fn word(self) -> &'static str {
        if self == Self::Absent { "-" } else { self.as_str() }
    }
}

/// What the checks are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Delivering,
    Collecting,
}

/// Names of the checks of both directions until there is a session, in their order.
const BOTH: [&str; 10] = [
    "settings",
    "credential",
    "dns",
    "tcp",
    "ssh",
    "host-key",
    "algorithms",
    "authentication",
    "sftp",
    "limits",
];

const COLLECTING: [&str; 10] = [
    "listing",
    "attributes",
    "read",
    "afterwards",
    "bucket",
    "latency",
    "clean-up",
    "connections",
    "channels",
    "methods",
];

const DELIVERING: [&str; 26] = [
    "fsync",
    "directory",
    "free-space",
    "create",
    "write",
    "stat",
    "read-back",
    "hash",
    "chmod",
    "mtime",
    "resume",
    "overwrite",
    "rename",
    "staging",
    "if-exists",
    "delete",
    "replace",
    "mkdir",
    "chmod-dir",
    "names",
    "latency",
    "throughput",
    "clean-up",
    "channels",
    "connections",
    "methods",
];

impl Direction {
    /// Names of its checks, in their order.
    fn checks(self) -> impl Iterator<Item = &'static str> {
        let others: &[&str] = match self {
            Self::Collecting => &COLLECTING,
            Self::Delivering => &DELIVERING,
        };
        BOTH.iter().chain(others).copied()
    }
}

/// The result of one check.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) status: Status,
    pub(super) found: String,
    /// What to do.
    pub(super) hint: Option<String>,
}

impl Finding {
    pub(super) fn ok(found: impl Into<String>) -> Self {
        Self { status: Status::Ok, found: found.into(), hint: None }
    }

    pub(super) fn absent(found: impl Into<String>) -> Self {
        Self { status: Status::Absent, found: found.into(), hint: None }
    }

    pub(super) fn warn(found: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { status: Status::Warn, found: found.into(), hint: Some(hint.into()) }
    }

    pub(super) fn fail(found: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { status: Status::Fail, found: found.into(), hint: Some(hint.into()) }
    }
}

/// A check and its result.
#[derive(Debug)]
struct Check {
    name: &'static str,
    finding: Finding,
}

/// The checks so far.
#[derive(Debug)]
pub(super) struct Report {
    direction: Direction,
    checks: Vec<Check>,
    /// Rows are printed as they come.
    live: bool,
}

impl Report {
    pub(super) fn new(live: bool, direction: Direction) -> Self {
        Self { direction, checks: Vec::new(), live }
    }

    pub(super) fn add(&mut self, name: &'static str, finding: Finding) {
        debug_assert!(self.direction.checks().any(|it| it == name), "{name} is no check of this direction");
        let check = Check { name, finding };
        if self.live {
            output::say(&row(&check));
        }
        self.checks.push(check);
    }

    /// Adds the checks that were not run, and says so.
    pub(super) fn finish(&mut self) {
        let failed = self.checks.iter().rev().find(|check| check.finding.status == Status::Fail);
        let see = failed.map(|check| format!("see {}", check.name));
        let names: Vec<&str> = self.direction.checks().filter(|name| !self.says(name)).collect();
        if self.live && !names.is_empty() {
            let see = see.as_ref().map_or_else(String::new, |see| format!(" ({see})"));
            output::say(&[String::new(), format!("Not checked{see}: {}.", names.join(", "))]);
        }
        let found = see.map_or("not checked".into(), |see| format!("not checked: {see}"));
        for name in names {
            let finding = Finding { status: Status::Skipped, found: found.clone(), hint: None };
            self.checks.push(Check { name, finding });
        }
    }

    /// Whether this check has a finding already.
    pub(super) fn says(&self, name: &str) -> bool {
        self.checks.iter().any(|check| check.name == name)
    }

    pub(super) fn has(&self, status: Status) -> bool {
        self.checks.iter().any(|check| check.finding.status == status)
    }

    /// Names of the checks that failed.
    pub(super) fn failed(&self) -> Vec<&'static str> {
        let failed = self.checks.iter().filter(|check| check.finding.status == Status::Fail);
        failed.map(|check| check.name).collect()
    }

    pub(super) fn to_json(&self) -> Vec<Value> {
        let checks = self.checks.iter().map(|Check { name, finding }| {
            let Finding { status, found, hint } = finding;
            json!({"check": name, "status": status.as_str(), "found": found, "hint": hint})
        });
        checks.collect()
    }
}

/// A row of the table: status, name and finding, with the hint below. Line breaks are those of the checks: errors have
/// none. If the words of a server had one, they would go on in an indented line.
fn row(check: &Check) -> Vec<String> {
    let Check { name, finding } = check;
    let width = Direction::Delivering.checks().map(str::len).max().unwrap_or_default();
    let indent = " ".repeat(4 + 2 + width + 2);
    let found = finding.found.split('\n').enumerate().map(|(number, line)| match number {
        0 => format!("{:<4}  {name:<width$}  {line}", finding.status.word()),
        _ => format!("{indent}{line}"),
    });
    let hint = finding.hint.iter().flat_map(|hint| hint.split('\n')).enumerate();
    let hint = hint.map(|(number, line)| match number {
        0 => format!("{indent}-> {line}"),
        _ => format!("{indent}   {line}"),
    });
    found.chain(hint).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::output::tests::{assert_plain, hostile};

    #[test]
    fn rows_are_aligned_and_a_hint_stands_below() {
        let row = |finding| row(&Check { name: "rename", finding });
        assert_eq!(row(Finding::ok("works")), ["ok    rename          works"]);
        assert_eq!(
            row(Finding::fail("one\ntwo", "do\nthis")),
            [
                "fail  rename          one",
                "                      two",
                "                      -> do",
                "                         this"
            ]
        );
    }

    proptest! {
        #[test]
        fn story_40_what_a_server_says_is_no_row_of_the_doctor(text in hostile()) {
            let finding = Finding { status: Status::Ok, found: text.clone(), hint: Some(text) };
            let lines = row(&Check { name: "ssh", finding });
            assert_plain(&lines);
            for line in &lines[1..] {
                prop_assert!(line.starts_with("      "), "{line:?}");
            }
        }
    }

    #[test]
    fn what_was_not_checked_is_said() {
        let mut report = Report::new(false, Direction::Delivering);
        report.add("settings", Finding::ok(""));
        report.add("tcp", Finding::fail("refused", "open it"));
        report.finish();
        assert_eq!(report.checks.len(), BOTH.len() + DELIVERING.len());
        assert!(report.has(Status::Fail) && report.has(Status::Skipped) && !report.has(Status::Warn));
        let last = report.to_json().pop().unwrap();
        assert_eq!((&last["status"], &last["found"]), (&json!("skipped"), &json!("not checked: see tcp")));
    }
}

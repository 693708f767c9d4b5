//! What was found, for people and for machines.

use serde_json::{Value, json};

use crate::output;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// It works.
    Ok,
    /// Deliveries go through, but a person should know.
    Warn,
    /// Deliveries fail until something is changed.
    Fail,
    /// The server cannot do it, and nothing needs it.
    Absent,
    /// Not checked, because of what was found before.
    Skipped,
}

impl Status {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Absent => "absent",
            Self::Skipped => "skipped",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Absent => "-",
            other => other.as_str(),
        }
    }
}

/// All checks, in their order.
pub(crate) const CHECKS: &[&str] = &[
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

/// One check.
#[derive(Clone, Debug)]
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) status: Status,
    pub(crate) found: String,
    /// What to do.
    pub(crate) hint: Option<String>,
}

/// The checks so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) checks: Vec<Check>,
    /// Rows are printed as they come.
    live: bool,
}

impl Report {
    pub(crate) fn new(live: bool) -> Self {
        Self { checks: Vec::new(), live }
    }

    pub(crate) fn ok(&mut self, name: &'static str, found: impl Into<String>) {
        self.add(name, Status::Ok, found, None);
    }

    pub(crate) fn absent(&mut self, name: &'static str, found: impl Into<String>) {
        self.add(name, Status::Absent, found, None);
    }

    pub(crate) fn warn(&mut self, name: &'static str, found: impl Into<String>, hint: impl Into<String>) {
        self.add(name, Status::Warn, found, Some(hint.into()));
    }

    pub(crate) fn fail(&mut self, name: &'static str, found: impl Into<String>, hint: impl Into<String>) {
        self.add(name, Status::Fail, found, Some(hint.into()));
    }

    pub(crate) fn add(
        &mut self,
        name: &'static str,
        status: Status,
        found: impl Into<String>,
        hint: Option<String>,
    ) {
        debug_assert!(CHECKS.contains(&name), "{name} is not in CHECKS");
        let check = Check { name, status, found: found.into(), hint };
        if self.live {
            output::say(&row(&check));
        }
        self.checks.push(check);
    }

    /// Whatever was not come to is said, too.
    pub(crate) fn finish(&mut self) {
        let because = self.checks.iter().rev().find(|check| check.status == Status::Fail);
        let because = because.map_or("it was not come to".into(), |check| format!("see {}", check.name));
        let names: Vec<&str> = CHECKS.iter().copied().filter(|name| !self.says(name)).collect();
        if self.live && !names.is_empty() {
            output::say(&[String::new(), format!("Not checked ({because}): {}.", names.join(", "))]);
        }
        for name in names {
            let (found, hint) = (format!("not checked: {because}"), None);
            self.checks.push(Check { name, status: Status::Skipped, found, hint });
        }
    }

    pub(crate) fn says(&self, name: &str) -> bool {
        self.checks.iter().any(|check| check.name == name)
    }

    pub(crate) fn has(&self, status: Status) -> bool {
        self.checks.iter().any(|check| check.status == status)
    }

    pub(crate) fn to_json(&self) -> Vec<Value> {
        let checks = self.checks.iter().map(|check| {
            let Check { name, status, found, hint } = check;
            json!({"check": name, "status": status.as_str(), "found": found, "hint": hint})
        });
        checks.collect()
    }
}

/// A row of the table: status, name, what was found; the hint below it. Its line breaks are those of the checks: errors
/// have none, and what else a server said stands in a further line at worst, which is indented.
fn row(check: &Check) -> Vec<String> {
    let width = CHECKS.iter().map(|name| name.len()).max().unwrap_or_default();
    let indent = " ".repeat(4 + 2 + width + 2);
    let found = check.found.split('\n').enumerate().map(|(number, line)| match number {
        0 => format!("{:<4}  {:<width$}  {line}", check.status.word(), check.name),
        _ => format!("{indent}{line}"),
    });
    let hint = check.hint.iter().flat_map(|hint| hint.split('\n')).enumerate();
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
        let row = |status, found: &str, hint: Option<&str>| {
            row(&Check { name: "rename", status, found: found.into(), hint: hint.map(str::to_owned) })
        };
        assert_eq!(row(Status::Ok, "works", None), ["ok    rename          works"]);
        assert_eq!(
            row(Status::Fail, "one\ntwo", Some("do\nthis")),
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
            let hint = Some(text.clone());
            let lines = row(&Check { name: "ssh", status: Status::Ok, found: text, hint });
            assert_plain(&lines);
            for line in &lines[1..] {
                prop_assert!(line.starts_with("      "), "{line:?}");
            }
        }
    }

    #[test]
    fn what_was_not_come_to_is_said() {
        let mut report = Report::new(false);
        report.ok("settings", "");
        report.fail("tcp", "refused", "open it");
        report.finish();
        assert_eq!(report.checks.len(), CHECKS.len());
        assert!(report.has(Status::Fail) && report.has(Status::Skipped) && !report.has(Status::Warn));
        let last = report.to_json().pop().unwrap();
        assert_eq!((&last["status"], &last["found"]), (&json!("skipped"), &json!("not checked: see tcp")));
    }
}

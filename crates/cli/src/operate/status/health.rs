//! Whether somebody has to look: one line for scripts.

use indicatif::HumanCount;

use super::snapshot::Snapshot;
use crate::moments::rfc3339;
use crate::operate::history::Doing;
use crate::operate::problem::Answer;
use crate::output::Style;

/// Whether somebody has to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Health {
    pub(super) state: State,
    /// What follows the state.
    pub(super) words: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Ok,
    /// The partner cannot be reached. Nobody here has to do anything.
    Waiting,
    /// Somebody has to do something.
    Failing,
}

impl State {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Waiting => "waiting",
            Self::Failing => "failing",
        }
    }

    pub(super) fn style(self) -> Style {
        match self {
            Self::Ok => Style::Good,
            Self::Waiting => Style::Warning,
            Self::Failing => Style::Bad,
        }
    }
}

impl Health {
    pub(super) fn answer(&self) -> Answer {
        if self.state == State::Ok { Answer::Fine } else { Answer::Owed }
    }
}

pub(super) fn health(snapshot: &Snapshot) -> Health {
    let away = unreachable_since(snapshot).map(|since| {
        let waiting = counted(snapshot.running, "delivery waits", "deliveries wait");
        format!("the partner {} cannot be reached since {} ({waiting})", snapshot.host, rfc3339(since))
    });
    let problems = [failed(snapshot), undelivered(snapshot)];
    let state = match (&away, problems.iter().any(Option::is_some)) {
        (_, true) => State::Failing,
        (Some(_), false) => State::Waiting,
        (None, false) => return Health { state: State::Ok, words: fine(snapshot) },
    };
    let words: Vec<String> = problems.into_iter().chain([away]).flatten().collect();
    Health { state, words: words.join("; ") }
}

fn failed(snapshot: &Snapshot) -> Option<String> {
    let failures = &snapshot.failures;
    let errors = failures.by_error.iter().map(|(error, count)| format!("{} {error}", HumanCount(*count)));
    let errors: Vec<String> = errors.collect();
    let failed = counted(failures.count(), "delivery has failed", "deliveries have failed");
    (!errors.is_empty()).then(|| format!("{failed} ({})", errors.join(", ")))
}

fn undelivered(snapshot: &Snapshot) -> Option<String> {
    let count = Some(snapshot.undelivered_events).filter(|count| *count > 0)?;
    Some(counted(count, "event was not delivered", "events were not delivered"))
}

fn fine(snapshot: &Snapshot) -> String {
    let running = counted(snapshot.running, "delivery is under way", "deliveries are under way");
    let hour = counted(snapshot.hour.files, "file was delivered", "files were delivered");
    format!("{running}, {hour} in the last hour")
}

/// A number, and what it counts.
fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", HumanCount(count), if count == 1 { one } else { many })
}

/// Since when the partner cannot be reached: an old delivery waits for that, none works, and nothing was delivered since.
fn unreachable_since(snapshot: &Snapshot) -> Option<i64> {
    let doing = snapshot.oldest.iter().map(|running| &running.doing);
    if doing.clone().any(|doing| *doing == Doing::Working) {
        return None;
    }
    let waits = doing.filter_map(|doing| match doing {
        Doing::WaitsForPartner { since, last } => Some((*since, *last)),
        Doing::Working | Doing::WaitsForConnection { .. } | Doing::Retries { .. } => None,
    });
    let since = waits.clone().map(|(since, _)| since).min()?;
    let last = waits.map(|(_, last)| last).max()?;
    match snapshot.last_delivery {
        Some(delivery) if delivery > last => None,
        Some(delivery) => Some(since.max(delivery)),
        None => Some(since),
    }
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::{Failures, Running};
    use super::*;

    const NOW: i64 = 1_795_770_120;

    fn snapshot(oldest: &[Doing]) -> Snapshot {
        let running = |doing: &Doing| Running {
            name: "e".into(),
            object_key: "k".into(),
            started: NOW - 9_000,
            doing: doing.clone(),
        };
        Snapshot {
            now: NOW,
            host: "sftp.x".into(),
            running: 1_234,
            oldest: oldest.iter().map(running).collect(),
            ..Snapshot::default()
        }
    }

    fn failures(errors: &[(&str, u64)]) -> Failures {
        Failures {
            by_error: errors.iter().map(|(error, count)| ((*error).to_owned(), *count)).collect(),
            ..Failures::default()
        }
    }

    #[test]
    fn story_218_the_first_line_says_who_has_to_do_something() {
        let waits = Doing::WaitsForPartner { since: NOW - 3_600, last: NOW - 60 };
        let busy = Doing::WaitsForConnection { since: NOW - 60 };
        for (oldest, failures, expected) in [
            (vec![], failures(&[]), "ok: 1,234 deliveries are under way, 0 files"),
            (vec![Doing::Working, busy.clone()], failures(&[]), "ok: "),
            (
                vec![waits.clone(), busy],
                failures(&[]),
                "waiting: the partner sftp.x cannot be reached since 2026-11-27T08:02:00Z (1,234 deliveries wait)",
            ),
            (vec![waits.clone(), Doing::Working], failures(&[]), "ok: "),
            (vec![], failures(&[("A", 1), ("B", 2)]), "failing: 3 deliveries have failed (1 A, 2 B)"),
            (vec![waits], failures(&[("A", 1)]), "failing: 1 delivery has failed (1 A); the partner sftp.x"),
        ] {
            let health = health(&Snapshot { failures, ..snapshot(&oldest) });
            let words = format!("{}: {}", health.state.name(), health.words);
            assert!(words.starts_with(expected), "{words}");
            assert_eq!(health.answer() == Answer::Fine, expected.starts_with("ok"));
        }
    }

    #[test]
    fn story_237_an_event_that_was_given_up_is_a_failure_too() {
        let waits = Doing::WaitsForPartner { since: NOW - 3_600, last: NOW - 60 };
        for (events, oldest, failures, expected) in [
            (1, vec![], failures(&[]), "failing: 1 event was not delivered"),
            (
                2,
                vec![waits],
                failures(&[("A", 1)]),
                "failing: 1 delivery has failed (1 A); 2 events were not delivered; the partner sftp.x",
            ),
        ] {
            let health = health(&Snapshot { failures, undelivered_events: events, ..snapshot(&oldest) });
            let words = format!("{}: {}", health.state.name(), health.words);
            assert!(words.starts_with(expected), "{words}");
            assert_eq!(health.answer(), Answer::Owed);
        }
    }

    #[test]
    fn a_file_that_was_delivered_meanwhile_shows_that_the_partner_is_there() {
        let waits = [Doing::WaitsForPartner { since: NOW - 3_600, last: NOW - 60 }];
        for (last_delivery, since) in
            [(NOW - 30, None), (NOW - 600, Some(NOW - 600)), (NOW - 9_000, Some(NOW - 3_600))]
        {
            let snapshot = Snapshot { last_delivery: Some(last_delivery), ..snapshot(&waits) };
            assert_eq!(unreachable_since(&snapshot), since);
        }
    }
}

//! What is known of a call when it begins, and what its end says about the connection.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws::metrics::{Line, Metric};
use bridge::{Error, Execution};
use serde_json::{Value, json};

use crate::reachability::Reachability;

/// The dimension of all metrics here.
pub(super) const STACK: &[&[&str]] = &[&["Stack"]];

/// Minimum time, in seconds, that a process reports if it was never connected: the default of `UnreachableMinutes`.
const KNOWN_AFTER: f64 = 15.0 * 60.0;

/// What is known of a call when it begins.
#[derive(Clone, Debug)]
pub struct Begun {
    execution: Execution,
    bucket: Value,
    object_key: Value,
    /// Of the other direction.
    file: Value,
    turn: Turn,
    at: SystemTime,
}

/// Which of the calls of an execution it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// The execution has waited for nothing but this call.
    First,
    Later,
}

/// Who knows since when the server has been away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Knows {
    /// The process: it has been connected before.
    Itself,
    /// A process that was never connected learns it from the execution's earlier attempts.
    Execution,
}

impl Begun {
    /// Reads the payload of any function as far as it can be read: a payload that is wrong is reported elsewhere.
    pub fn new(payload: &Value, at: SystemTime) -> Self {
        let execution: Execution = serde_json::from_value(payload["execution"].clone()).unwrap_or_default();
        let first = |pointers: &[&str]| {
            let found = pointers.iter().find_map(|pointer| payload.pointer(pointer));
            found.cloned().unwrap_or_default()
        };
        // A redriven execution keeps its start, so its age says nothing of how long it waited for its turn.
        let is_first = payload["checkpoint"].is_null() && execution.redrive_count == 0;
        Self {
            bucket: first(&[
                "/event/detail/bucket/name",
                "/checkpoint/object/bucket",
                "/checkpoint/destination/bucket",
            ]),
            object_key: first(&[
                "/event/detail/object/key",
                "/checkpoint/object/object_key",
                "/checkpoint/destination/object_key",
            ]),
            file: first(&["/file/path", "/checkpoint/file/path"]),
            turn: if is_first { Turn::First } else { Turn::Later },
            execution,
            at,
        }
    }

    /// For how long the execution has been waiting: since it began.
    pub(super) fn waiting(&self) -> Option<(Metric, f64)> {
        let age = seconds_between(&self.execution.start_time, self.at);
        age.map(|age| (Metric::SecondsWaiting, age))
    }

    /// How long the execution has waited for its first turn, if this is it.
    pub(super) fn waited(&self) -> Option<(Metric, f64)> {
        self.waiting().filter(|_| self.turn == Turn::First)
    }

    /// When the execution began.
    pub(super) fn start_time(&self) -> &str {
        &self.execution.start_time
    }

    /// The fields that the other lines of the call have, too, so that one query finds all.
    pub(super) fn line(&self, message: &str) -> Line {
        let mut span = json!({
            "execution": self.execution.id,
            "bucket": self.bucket,
            "object_key": self.object_key,
        });
        if !self.file.is_null() {
            span["file"] = self.file.clone();
        }
        Line::default().with("message", message).with("span", span)
    }

    /// The line of a call that had no connection, or lost it before any progress. `waiting` is for how long a file has.
    pub(super) fn without_connection(
        &self,
        error: &Error,
        reachability: Reachability,
        knows: Knows,
        waiting: Option<(Metric, f64)>,
    ) -> Line {
        let mut values = vec![(Metric::ConnectionFailures, 1.0)];
        values.extend(self.seconds_away(reachability, knows).map(|away| (Metric::SecondsUnreachable, away)));
        values.extend(waiting);
        self.line("no connection").with("error", error.name.as_str()).counting(&values, STACK)
    }

    /// At least the failures of this process count. If it was never connected, so do those of the execution: it has been in
    /// this state, without progress, since it entered it. It may also have waited for its turn in that time.
    ///
    /// `None` for a short time in a process that was never connected: the server may have been away for long before, and a
    /// small value would end the alarm.
    pub(super) fn seconds_away(&self, reachability: Reachability, knows: Knows) -> Option<f64> {
        let process = match reachability {
            Reachability::Unreachable { since, .. } => self.at.duration_since(since).unwrap_or_default(),
            Reachability::Unknown | Reachability::Reachable => Duration::ZERO,
        };
        let is_retry = self.execution.retry_count > 0 && knows == Knows::Execution;
        let entered = self.execution.entered_time.as_deref().filter(|_| is_retry);
        let execution = entered.and_then(|entered| seconds_between(entered, self.at));
        let away = process.as_secs_f64().floor().max(execution.unwrap_or_default());
        (knows == Knows::Itself || away >= KNOWN_AFTER).then_some(away)
    }
}

/// Whole seconds; 0 if the clocks differ.
fn seconds_between(from: &str, to: SystemTime) -> Option<f64> {
    let from = bridge::unix_seconds(from)?;
    let to = to.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
    Some(to.saturating_sub(from).max(0) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_of_verify_remote_names_its_object_in_the_checkpoint() {
        let payload = json!({"checkpoint": {"object": {"bucket": "b", "object_key": "k"}}});
        let begun = Begun::new(&payload, UNIX_EPOCH);
        assert_eq!((begun.bucket, begun.object_key), (json!("b"), json!("k")));
        let nothing = Begun::new(&json!("garbage"), UNIX_EPOCH);
        assert_eq!((nothing.object_key.clone(), nothing.waiting()), (Value::Null, None));
    }

    #[test]
    fn a_payload_of_the_other_direction_names_its_file_and_later_its_object() {
        let span = |payload: Value| {
            let line = Begun::new(&payload, UNIX_EPOCH).line("").document(UNIX_EPOCH);
            line["span"].clone()
        };
        let file = json!({"path": "a.csv"});
        assert_eq!(span(json!({ "file": file }))["file"], "a.csv");
        let destination = json!({"bucket": "b", "object_key": "k"});
        let settling = span(json!({"checkpoint": {"file": file, "destination": destination}}));
        assert_eq!(settling, json!({"execution": "", "bucket": "b", "object_key": "k", "file": "a.csv"}));
        assert_eq!(span(json!({})).get("file"), None);
    }
}

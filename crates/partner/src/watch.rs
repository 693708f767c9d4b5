//! What a call of a function that connects tells those who watch the stack: metrics, and the line that ends a delivery or a
//! collection.

mod begun;
mod collected;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws::metrics::{Line, Meter, Metric};
use bridge::collect::{CollectProgress, ListProgress};
use bridge::{Outcome, Progress, Receipt, Result};
use sftp::Origin;

pub use self::begun::Begun;
use self::begun::{Knows, STACK};
use self::collected::Connection;
use crate::reachability::Reachability;
use crate::session::Partner;

/// Watches the calls of a process.
pub struct Watch {
    meter: Meter,
    partner: Arc<Partner>,
    /// Whether a connection of this process has worked. If none has, the delivery may know of an earlier failure than the
    /// process does.
    has_connected: AtomicBool,
}

impl Watch {
    /// Watches the calls that use this partner.
    pub fn new(meter: Meter, partner: Arc<Partner>) -> Self {
        Self { meter, partner, has_connected: AtomicBool::new(false) }
    }

    /// Reports the end of a call of `transfer` or `verify-remote`.
    pub fn report(&self, begun: &Begun, outcome: &Result<Progress>) {
        let (connection, origin) = self.connection();
        if let Some(line) = line_of(begun, outcome, connection.reachability, connection.knows) {
            self.meter.write(saying_origin(line, origin));
        }
    }

    /// Reports the end of a call of `collect` or `settle-remote`.
    pub fn report_collection(&self, begun: &Begun, outcome: &Result<CollectProgress>) {
        let (connection, origin) = self.connection();
        if let Some(line) = collected::of_collection(begun, outcome, connection) {
            self.meter.write(saying_origin(line, origin));
        }
    }

    /// Reports the end of a call of `list-remote`.
    pub fn report_look(&self, begun: &Begun, outcome: &Result<ListProgress>) {
        let (connection, origin) = self.connection();
        if let Some(line) = collected::of_look(begun, outcome, connection) {
            self.meter.write(saying_origin(line, origin));
        }
    }

    fn connection(&self) -> (Connection, Option<Origin>) {
        let reachability = self.partner.reachability();
        if reachability == Reachability::Reachable {
            self.has_connected.store(true, Ordering::Relaxed);
        }
        let knows = if self.has_connected.load(Ordering::Relaxed) { Knows::Itself } else { Knows::Execution };
        let origin = self.partner.take_origin();
        let has_worked = origin.is_some() && reachability == Reachability::Reachable;
        (Connection { has_worked, reachability, knows }, origin)
    }
}

/// The line of a call, if there is anything to say of it.
fn line_of(
    begun: &Begun,
    outcome: &Result<Progress>,
    reachability: Reachability,
    knows: Knows,
) -> Option<Line> {
    let progress = match outcome {
        Ok(progress) => progress,
        Err(error) if error.name.is_connection_failure() => {
            return Some(begun.without_connection(error, reachability, knows, begun.waiting()));
        }
        Err(_) => return None,
    };
    let connected = is_connected(progress, reachability).then_some((Metric::SecondsUnreachable, 0.0));
    let values: Vec<_> = connected.into_iter().chain(begun.waited()).collect();
    match progress {
        Progress::Receipt(receipt) => Some(ended(begun.line("receipt"), receipt, values)),
        Progress::Checkpoint(_) if values.is_empty() => None,
        Progress::Checkpoint(_) => Some(begun.line("progress").counting(&values, STACK)),
    }
}

/// With the field `connection`, if the call used one: it costs nothing but its bytes, and a saved query counts it.
fn saying_origin(line: Line, origin: Option<Origin>) -> Line {
    match origin {
        Some(Origin::Kept) => line.with("connection", "kept"),
        Some(Origin::New) => line.with("connection", "new"),
        None => line,
    }
}

/// Whether the server was there during the call. A delivery that was passed over has not asked it.
fn is_connected(progress: &Progress, reachability: Reachability) -> bool {
    let has_used_it = match progress {
        Progress::Checkpoint(_) => true,
        Progress::Receipt(receipt) => receipt.outcome == Outcome::Delivered,
    };
    has_used_it && reachability == Reachability::Reachable
}

/// The line that ends a delivery. The metrics of files are those of files that this execution has published.
fn ended(line: Line, receipt: &Receipt, mut values: Vec<(Metric, f64)>) -> Line {
    let line = line
        .with("outcome", receipt.outcome.as_str())
        .with("reason", receipt.reason.clone())
        .with("version_id", receipt.object.version_id.clone())
        .with("remote_path", receipt.remote_path.clone())
        .with("finished_at", receipt.finished_at.as_str())
        .with("warnings", receipt.warnings.len());
    if receipt.outcome != Outcome::Delivered {
        return if values.is_empty() { line } else { line.counting(&values, STACK) };
    }
    let size = receipt.object.size.unwrap_or_default();
    let resent = receipt.bytes_sent.saturating_sub(size);
    let files = (Metric::FilesDelivered, 1.0);
    values.extend([files, (Metric::BytesDelivered, size as f64), (Metric::BytesResent, resent as f64)]);
    values.extend(seconds_to_publish(receipt).map(|seconds| (Metric::SecondsToPublish, seconds)));
    let proof = serde_json::to_value(receipt.proof).unwrap_or_default();
    line.with("Proof", proof).counting(&values, STACK).counting(&[files], &[&["Stack", "Proof"]])
}

fn seconds_to_publish(receipt: &Receipt) -> Option<f64> {
    let finished = bridge::unix_seconds(&receipt.finished_at)?;
    Some(finished.saturating_sub(receipt.object.last_modified?).max(0) as f64)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use bridge::{
        Checkpoint, CredentialReference, ErrorName, Execution, ObjectSummary, Parties, PinnedObject, Proof,
        Report, Route, SecretLocation,
    };
    use serde_json::{Value, json};

    use super::*;

    const START: u64 = 1_700_000_000;

    fn moment(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn payload(more: Value) -> Value {
        let mut payload = json!({
            "execution": {
                "id": "arn:e", "name": "e",
                "start_time": aws::timestamp(moment(START)),
                "entered_time": aws::timestamp(moment(START + 10)),
                "retry_count": 0,
            },
            "event": {"detail": {"bucket": {"name": "b"}, "object": {"key": "in/a.csv"}}},
            "checkpoint": null,
        });
        for (pointer, value) in more.as_object().unwrap() {
            *payload.pointer_mut(pointer).unwrap() = value.clone();
        }
        payload
    }

    fn begun(more: Value, after: u64) -> Begun {
        Begun::new(&payload(more), moment(START + after))
    }

    fn document(begun: &Begun, outcome: &Result<Progress>, reachability: Reachability) -> Option<Value> {
        let line = line_of(begun, outcome, reachability, Knows::Execution)?;
        Some(line.document(UNIX_EPOCH))
    }

    fn object() -> PinnedObject {
        PinnedObject {
            bucket: "b".into(),
            object_key: "in/a.csv".into(),
            etag: "e".into(),
            version_id: Some("v".into()),
            size: 1_000,
            last_modified: Some(START as i64 - 5),
            checksum: None,
            hash: None,
        }
    }

    fn receipt(outcome: Outcome) -> Result<Progress> {
        let location = SecretLocation::SecretsManager { arn: "a".into(), version_id: "1".into() };
        let credential = CredentialReference {
            location,
            user_name: "u".into(),
            algorithm: None,
            public_key_fingerprint: None,
            previous: None,
        };
        let execution = Execution::default();
        let parties = Parties { remote_host: "h", credential: &credential, execution: &execution };
        let report = Report { bytes_sent: 1_250, ..Report::default() };
        let finished = aws::timestamp(moment(START + 20));
        let object = ObjectSummary::from(&object());
        let receipt = Receipt::new(outcome, object, &report, parties, finished);
        Ok(Progress::Receipt(Box::new(Receipt { proof: Some(Proof::ReadBack), ..receipt })))
    }

    #[test]
    fn story_230_a_delivery_is_measured_once_by_its_receipt() {
        let later = begun(json!({"/checkpoint": {}}), 20);
        let line = document(&later, &receipt(Outcome::Delivered), Reachability::Reachable).unwrap();
        for (name, value) in [
            ("FilesDelivered", 1.0),
            ("BytesDelivered", 1_000.0),
            ("BytesResent", 250.0),
            ("SecondsToPublish", 25.0),
            ("SecondsUnreachable", 0.0),
        ] {
            assert_eq!(line[name], value, "{name}");
        }
        assert_eq!(line.get("SecondsWaiting"), None, "its first call has told how long it waited");
        assert_eq!(line["span"], json!({"execution": "arn:e", "bucket": "b", "object_key": "in/a.csv"}));
        assert_eq!((&line["outcome"], &line["Proof"]), (&json!("delivered"), &json!("read-back")));
        let directives = line["_aws"]["CloudWatchMetrics"].as_array().unwrap();
        let dimensions: Vec<&Value> = directives.iter().map(|of| &of["Dimensions"]).collect();
        assert_eq!(dimensions, [&json!([["Stack"]]), &json!([["Stack", "Proof"]])]);
    }

    #[test]
    fn story_230_what_was_passed_over_counts_as_no_file() {
        for outcome in [Outcome::AlreadyDelivered, Outcome::Skipped, Outcome::Superseded] {
            let later = begun(json!({"/checkpoint": {}}), 20);
            let line = document(&later, &receipt(outcome), Reachability::Unknown).unwrap();
            assert_eq!(line["outcome"], outcome.as_str());
            assert_eq!((line.get("_aws"), line.get("FilesDelivered")), (None, None), "{line}");
        }
    }

    #[test]
    fn story_231_an_attempt_that_could_not_connect_says_for_how_long() {
        let since = moment(START + 100);
        let failed = Err(ErrorName::ConnectFailed.error("refused"));
        let away = Reachability::Unreachable { since, attempts: 3 };
        let line = document(&begun(json!({}), 1_000), &failed, away).unwrap();
        assert_eq!(line["ConnectionFailures"], 1.0);
        assert_eq!((&line["SecondsUnreachable"], &line["SecondsWaiting"]), (&json!(900.0), &json!(1_000.0)));
        assert_eq!(
            (&line["error"], &line["span"]["object_key"]),
            (&json!("ConnectFailed"), &json!("in/a.csv"))
        );
    }

    /// The attempts of a delivery are so far apart that each may meet a new process, which knows of no earlier failure.
    #[test]
    fn story_231_a_new_process_learns_from_the_delivery_since_when_the_partner_is_away() {
        let retry = begun(json!({"/execution/retry_count": 7}), 4_000);
        let just_now = Reachability::Unreachable { since: moment(START + 3_999), attempts: 1 };
        assert_eq!(retry.seconds_away(just_now, Knows::Execution), Some(3_990.0));
        assert_eq!(retry.seconds_away(just_now, Knows::Itself), Some(1.0), "it was connected until then");
        let first = begun(json!({}), 4_000);
        assert_eq!(first.seconds_away(just_now, Knows::Execution), None, "nobody knows since when");
    }

    #[test]
    fn story_231_the_next_connection_that_works_says_so() {
        let outcome = Ok(Progress::Checkpoint(Box::new(checkpoint())));
        let later = begun(json!({"/checkpoint": {}}), 60);
        let line = document(&later, &outcome, Reachability::Reachable).unwrap();
        assert_eq!(line["SecondsUnreachable"], 0.0);
        let cut_off = Reachability::Unreachable { since: moment(START), attempts: 1 };
        assert_eq!(document(&later, &outcome, cut_off), None, "progress, and then no way back");
    }

    #[test]
    fn story_232_the_first_turn_says_how_long_the_delivery_waited_for_it() {
        let outcome = Ok(Progress::Checkpoint(Box::new(checkpoint())));
        let waited = |more: Value| {
            let line = document(&begun(more, 7_200), &outcome, Reachability::Reachable).unwrap();
            line.get("SecondsWaiting").cloned()
        };
        assert_eq!(waited(json!({})), Some(json!(7_200.0)));
        assert_eq!(waited(json!({"/checkpoint": {}})), None);
        // The execution failed, and somebody redrove it days later.
        let mut redriven = payload(json!({}));
        redriven["execution"]["redrive_count"] = json!(1);
        let redriven = Begun::new(&redriven, moment(START + 7_200));
        let line = document(&redriven, &outcome, Reachability::Reachable).unwrap();
        assert_eq!(line.get("SecondsWaiting"), None);
    }

    #[test]
    fn the_line_says_whether_the_call_had_to_connect() {
        let line = |origin| saying_origin(Line::default(), origin).document(UNIX_EPOCH);
        assert_eq!(line(Some(Origin::Kept)), json!({"connection": "kept"}));
        assert_eq!(line(Some(Origin::New)), json!({"connection": "new"}));
        assert_eq!(line(None), json!({}));
    }

    #[test]
    fn a_call_that_failed_otherwise_is_no_matter_of_the_connection() {
        let failed = Err(ErrorName::RemoteFull.error("disk full"));
        assert_eq!(document(&begun(json!({}), 5), &failed, Reachability::Reachable), None);
    }

    fn checkpoint() -> Checkpoint {
        let route = Route::Direct { path: "in/a.csv".into() };
        Checkpoint::start(object(), route, "2026-01-01T00:00:00Z".into())
    }
}

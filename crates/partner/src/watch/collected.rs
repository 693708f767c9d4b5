//! The lines of calls that collect, and of looks at the directory.

use aws::metrics::{Line, Metric};
use bridge::collect::{CollectOutcome, CollectProgress, CollectReceipt, ListProgress};
use bridge::{ErrorName, Result};

use super::begun::{Begun, Knows, STACK};
use crate::reachability::Reachability;

/// What a call has learnt of the connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connection {
    /// Whether the call has used a session, and the server is there.
    pub(super) has_worked: bool,
    pub(super) reachability: Reachability,
    pub(super) knows: Knows,
}

impl Connection {
    /// 0 seconds away, if the server answered.
    fn back(self) -> Option<(Metric, f64)> {
        self.has_worked.then_some((Metric::SecondsUnreachable, 0.0))
    }
}

/// The line of a call of `collect` or `settle-remote`, if there is anything to say of it.
pub(super) fn of_collection(
    begun: &Begun,
    outcome: &Result<CollectProgress>,
    connection: Connection,
) -> Option<Line> {
    let Connection { reachability, knows, .. } = connection;
    match outcome {
        Err(error) if error.name.is_connection_failure() => {
            Some(begun.without_connection(error, reachability, knows, begun.waiting()))
        }
        // It waits for the partner, too.
        Err(error) if error.name == ErrorName::RemoteUnreadable => {
            let values = connection.back().into_iter().chain(begun.waiting()).collect();
            Some(counting(begun.line("not readable").with("error", error.name.as_str()), values))
        }
        Err(_) => None,
        Ok(progress) => {
            let values: Vec<_> = connection.back().into_iter().chain(begun.waited()).collect();
            match progress {
                CollectProgress::Receipt(receipt) => Some(ended(begun, receipt, values)),
                CollectProgress::Checkpoint(_) if values.is_empty() => None,
                CollectProgress::Checkpoint(_) => Some(counting(begun.line("progress"), values)),
            }
        }
    }
}

/// The line of a call of `list-remote`, if there is anything to say of it. No file waits because of a look alone.
pub(super) fn of_look(begun: &Begun, outcome: &Result<ListProgress>, connection: Connection) -> Option<Line> {
    match outcome {
        Err(error) if error.name.is_connection_failure() => {
            Some(begun.without_connection(error, connection.reachability, connection.knows, None))
        }
        Err(_) => None,
        Ok(listing) => {
            let line = begun
                .line("look")
                .with("seen", listing.seen)
                .with("started", listing.started)
                .with("started_before", listing.started_before)
                .with("passed_over", listing.passed_over)
                .with("unnameable", listing.unnameable_count)
                .with("purged", listing.purged)
                .with("warnings", listing.warnings.len())
                .with("reason", listing.reason.clone())
                .with("is_complete", listing.cursor.is_none() && listing.reason.is_none());
            Some(counting(line, connection.back().into_iter().collect()))
        }
    }
}

/// The line that ends a collection. The metrics of files are those of files that this execution has stored.
fn ended(begun: &Begun, receipt: &CollectReceipt, mut values: Vec<(Metric, f64)>) -> Line {
    let object = receipt.object.as_ref();
    let line = begun
        .line("receipt")
        .with("outcome", receipt.outcome.as_str())
        .with("reason", receipt.reason.clone())
        .with("version_id", object.and_then(|object| object.version_id.clone()))
        .with("remote_path", receipt.file.remote_path())
        .with("afterwards", receipt.afterwards.clone())
        .with("finished_at", receipt.finished_at.as_str())
        .with("warnings", receipt.warnings.len());
    if receipt.outcome == CollectOutcome::Collected {
        values.extend([(Metric::FilesCollected, 1.0), (Metric::BytesCollected, receipt.file.size as f64)]);
        values.extend(seconds_to_collect(begun, receipt).map(|seconds| (Metric::SecondsToCollect, seconds)));
    }
    counting(line, values)
}

/// From the look that found the file.
fn seconds_to_collect(begun: &Begun, receipt: &CollectReceipt) -> Option<f64> {
    let finished = bridge::unix_seconds(&receipt.finished_at)?;
    Some(finished.saturating_sub(bridge::unix_seconds(begun.start_time())?).max(0) as f64)
}

fn counting(line: Line, values: Vec<(Metric, f64)>) -> Line {
    if values.is_empty() { line } else { line.counting(&values, STACK) }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use bridge::collect::{CollectReport, RemoteFile};
    use bridge::{CredentialReference, Error, Execution, Parties, SecretLocation};
    use serde_json::{Value, json};

    use super::*;

    const START: u64 = 1_700_000_000;

    fn moment(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn begun(after: u64) -> Begun {
        let payload = json!({
            "execution": {"id": "arn:e", "name": "e", "start_time": aws::timestamp(moment(START))},
            "file": {"path": "a.csv"},
            "checkpoint": null,
        });
        Begun::new(&payload, moment(START + after))
    }

    fn connection(has_worked: bool) -> Connection {
        let away = Reachability::Unreachable { since: moment(START), attempts: 1 };
        let reachability = if has_worked { Reachability::Reachable } else { away };
        Connection { has_worked, reachability, knows: Knows::Itself }
    }

    fn file() -> RemoteFile {
        RemoteFile {
            host: "h".into(),
            directory: "out".into(),
            path: "a.csv".into(),
            size: 1_000,
            modified: Some(1),
        }
    }

    fn receipt(outcome: CollectOutcome) -> Result<CollectProgress> {
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
        let finished = aws::timestamp(moment(START + 95));
        let receipt = CollectReceipt::new(outcome, file(), &CollectReport::default(), parties, finished);
        Ok(CollectProgress::Receipt(Box::new(receipt)))
    }

    fn document(line: Option<Line>) -> Value {
        line.unwrap().document(UNIX_EPOCH)
    }

    #[test]
    fn a_collection_is_measured_once_by_its_receipt() {
        let line = of_collection(&begun(60), &receipt(CollectOutcome::Collected), connection(true));
        let line = document(line);
        for (name, value) in [
            ("FilesCollected", 1.0),
            ("BytesCollected", 1_000.0),
            ("SecondsToCollect", 95.0),
            ("SecondsUnreachable", 0.0),
            ("SecondsWaiting", 60.0),
        ] {
            assert_eq!(line[name], value, "{name}");
        }
        assert_eq!((&line["outcome"], &line["span"]["file"]), (&json!("collected"), &json!("a.csv")));
        assert_eq!((&line["remote_path"], &line["message"]), (&json!("out/a.csv"), &json!("receipt")));
    }

    #[test]
    fn what_was_not_stored_counts_as_no_file() {
        for outcome in CollectOutcome::ALL.into_iter().filter(|it| *it != CollectOutcome::Collected) {
            let line = document(of_collection(&begun(60), &receipt(outcome), connection(false)));
            assert_eq!((line.get("FilesCollected"), &line["outcome"]), (None, &json!(outcome.as_str())));
        }
    }

    #[test]
    fn a_file_that_waits_says_for_how_long() {
        let failed = |name: ErrorName| Err::<CollectProgress, Error>(name.error("x"));
        let line = of_collection(&begun(1_000), &failed(ErrorName::ConnectFailed), connection(false));
        let line = document(line);
        assert_eq!(
            (&line["ConnectionFailures"], &line["SecondsUnreachable"]),
            (&json!(1.0), &json!(1_000.0))
        );
        assert_eq!(line["SecondsWaiting"], 1_000.0);
        let line = of_collection(&begun(1_000), &failed(ErrorName::RemoteUnreadable), connection(true));
        let line = document(line);
        assert_eq!((&line["SecondsWaiting"], &line["SecondsUnreachable"]), (&json!(1_000.0), &json!(0.0)));
        assert_eq!(line.get("ConnectionFailures"), None);
        let other = of_collection(&begun(5), &failed(ErrorName::ObjectMismatch), connection(true));
        assert!(other.is_none());
    }

    #[test]
    fn a_look_says_what_it_has_seen_and_whether_the_server_is_there() {
        let listing = ListProgress { seen: 7, started: 2, ..ListProgress::default() };
        let line = document(of_look(&begun(1), &Ok(listing.clone()), connection(true)));
        assert_eq!(
            (&line["seen"], &line["started"], &line["is_complete"]),
            (&json!(7), &json!(2), &json!(true))
        );
        assert_eq!((&line["SecondsUnreachable"], line.get("SecondsWaiting")), (&json!(0.0), None));
        let listing = ListProgress { reason: Some("another look".into()), ..listing };
        let line = document(of_look(&begun(1), &Ok(listing), connection(false)));
        assert_eq!((&line["is_complete"], line.get("_aws")), (&json!(false), None));
        let failed = Err(ErrorName::ConnectFailed.error("refused"));
        let line = document(of_look(&begun(900), &failed, connection(false)));
        assert_eq!((&line["SecondsUnreachable"], line.get("SecondsWaiting")), (&json!(900.0), None));
    }
}

//! Which failure records the end of a delivery, or of a collection, makes good for.

use super::{FailureKey, VersionMark};
use crate::collect::CollectReceipt;
use crate::{Outcome, Receipt, unix_seconds};

/// Whether a receipt makes good for a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MakesGood {
    /// The file is not owed any more.
    Yes,
    /// It is still owed.
    No,
    /// Only if the execution that failed started before this time, in seconds since 1970. The record says when it did.
    IfStartedBefore(i64),
}

impl Receipt {
    /// Whether this receipt, of the execution of this name, makes good for an open failure:
    ///
    /// - of the same execution,
    /// - of the same upload,
    /// - of an upload that its event did not name, if this one was delivered,
    /// - of an older upload: the execution that failed started before this one was stored. A skipped upload supersedes
    ///   nothing.
    pub fn makes_good_for(&self, execution: &str, failure: &FailureKey) -> MakesGood {
        let object = &self.object;
        if !failure.is_of(&object.object_key) {
            return MakesGood::No;
        }
        // An event of a versioned bucket may have been typed without the version.
        let by_etag = VersionMark::new(None, object.etag.as_deref(), object.last_modified);
        let is_same_upload = failure.version.agrees_with(&object.into())
            || !by_etag.is_unknown() && failure.version.agrees_with(&by_etag);
        if failure.is_by(execution) || is_same_upload {
            return MakesGood::Yes;
        }
        match (self.outcome, object.last_modified) {
            (Outcome::Delivered | Outcome::AlreadyDelivered, _) if failure.version.is_unknown() => {
                MakesGood::Yes
            }
            (Outcome::Skipped, _) | (_, None) => MakesGood::No,
            (_, Some(stored)) if unix_seconds(&failure.recorded_at).is_some_and(|at| at < stored) => {
                MakesGood::Yes
            }
            (_, Some(stored)) => MakesGood::IfStartedBefore(stored),
        }
    }
}

impl CollectReceipt {
    /// Whether this receipt, of the execution of this name, makes good for an open failure:
    ///
    /// - of the same execution,
    /// - of the same file,
    /// - of an earlier file under the same path, if this one was collected. When reading began, the path led to this file, so
    ///   the earlier one was gone.
    ///
    /// A receipt that stores nothing settles, too, after a redrive for instance: what is not there needs no redrive, and a
    /// record that nobody can settle would only be in the way. If the file comes back, a look starts it anew, as it does
    /// with every file whose execution has stored nothing.
    pub fn makes_good_for(&self, execution: &str, failure: &FailureKey) -> MakesGood {
        if !failure.is_of(&self.file.url()) {
            return MakesGood::No;
        }
        if failure.is_by(execution) || failure.version == VersionMark::from(&self.file) {
            return MakesGood::Yes;
        }
        let was_before = unix_seconds(&failure.recorded_at)
            .zip(unix_seconds(&self.started_at))
            .is_some_and(|(recorded, started)| recorded < started);
        if self.outcome.is_stored() && was_before { MakesGood::Yes } else { MakesGood::No }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOON: i64 = 1_795_780_800;

    fn receipt(outcome: &str) -> Receipt {
        let object = json!({
            "bucket": "b", "object_key": "in/k", "etag": "e", "version_id": "v2", "last_modified": NOON
        });
        let receipt = json!({
            "outcome": outcome, "object": object, "remote_host": "h", "user_name": "u", "execution_id": "arn:e2",
            "started_at": "", "finished_at": ""
        });
        serde_json::from_value(receipt).unwrap()
    }

    fn failure(object_key: &str, version: &str, recorded_at: &str) -> FailureKey {
        let version = VersionMark::parse(version);
        FailureKey::open(object_key, version, recorded_at, "RemoteFull", "c").of_execution("e1", 0)
    }

    #[test]
    fn story_181_a_receipt_makes_good_for_what_it_ends() {
        let (before, after) = ("2026-11-27T11:59:59Z", "2026-11-27T12:00:01Z");
        assert_eq!(unix_seconds("2026-11-27T12:00:00Z"), Some(NOON));
        let ask = MakesGood::IfStartedBefore(NOON);
        for (outcome, execution, failure, expected) in [
            ("delivered", "e2", failure("in/k", "v2", after), MakesGood::Yes),
            ("delivered", "e2", failure("in/k", "e", after), MakesGood::Yes),
            ("delivered", "e2", failure("in/k", "v1", before), MakesGood::Yes),
            ("delivered", "e2", failure("in/k", "v1", after), ask),
            ("delivered", "e1", failure("in/k", "v1", after), MakesGood::Yes),
            ("delivered", "e2", failure("in/k", "unknown", after), MakesGood::Yes),
            ("superseded", "e2", failure("in/k", "v2", after), MakesGood::Yes),
            ("superseded", "e2", failure("in/k", "unknown", after), ask),
            ("superseded", "e2", failure("in/k", "v1", before), MakesGood::Yes),
            ("skipped", "e2", failure("in/k", "v2", after), MakesGood::Yes),
            ("skipped", "e2", failure("in/k", "v1", before), MakesGood::No),
            // The keys of other objects begin in the same way.
            ("delivered", "e2", failure("in/k/l", "v2", before), MakesGood::No),
            ("delivered", "e2", failure("in", "v2", before), MakesGood::No),
        ] {
            let verdict = receipt(outcome).makes_good_for(execution, &failure);
            assert_eq!(verdict, expected, "{outcome} by {execution}: {failure}");
        }
    }

    fn collected(outcome: &str) -> CollectReceipt {
        let file = json!({"host": "h", "directory": "out", "path": "a.csv", "size": 5, "modified": 7});
        let receipt = json!({
            "schema_version": "1", "bridge_version": "0", "outcome": outcome, "file": file, "user_name": "u",
            "bytes_read": 5, "resumes": 0, "execution_id": "arn:e2", "started_at": "2026-11-27T12:00:00Z",
            "finished_at": "2026-11-27T12:00:05Z"
        });
        serde_json::from_value(receipt).unwrap()
    }

    #[test]
    fn a_collection_makes_good_for_its_file_and_for_earlier_ones_under_its_path() {
        let (before, after) = ("2026-11-27T11:59:59Z", "2026-11-27T12:00:01Z");
        for (outcome, execution, failure, expected) in [
            ("collected", "e2", failure("sftp://h/out/a.csv", "5-7", after), MakesGood::Yes),
            ("gone", "e2", failure("sftp://h/out/a.csv", "5-7", after), MakesGood::Yes),
            ("changed", "e1", failure("sftp://h/out/a.csv", "9-9", after), MakesGood::Yes),
            ("collected", "e2", failure("sftp://h/out/a.csv", "9-9", before), MakesGood::Yes),
            ("already_collected", "e2", failure("sftp://h/out/a.csv", "9-9", before), MakesGood::Yes),
            // It may have come while this one was read.
            ("collected", "e2", failure("sftp://h/out/a.csv", "9-9", after), MakesGood::No),
            // The earlier one may be there again.
            ("changed", "e2", failure("sftp://h/out/a.csv", "9-9", before), MakesGood::No),
            ("collected", "e2", failure("sftp://h/out/a.csv.2", "5-7", before), MakesGood::No),
            ("collected", "e2", failure("sftp://other/out/a.csv", "5-7", before), MakesGood::No),
        ] {
            let verdict = collected(outcome).makes_good_for(execution, &failure);
            assert_eq!(verdict, expected, "{outcome} by {execution}: {failure}");
        }
    }
}

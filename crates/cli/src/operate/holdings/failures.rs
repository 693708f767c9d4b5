//! The open failures below a prefix, without the keys of their objects: there may be tens of thousands.

use std::collections::HashMap;

use bridge::{FailureKey, unix_seconds};

use super::upload::{Fingerprint, Upload};

/// Why an upload is not delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    /// The error's name.
    pub(crate) error: String,
    /// Seconds since 1970.
    pub(crate) recorded_at: i64,
}

/// The open failures.
#[derive(Default)]
pub(crate) struct OpenFailures {
    by_upload: HashMap<Fingerprint, Entry>,
    /// The errors' names, which are few.
    errors: Vec<String>,
}

struct Entry {
    error: usize,
    recorded_at: i64,
    /// Whether the bucket still has the upload.
    is_listed: bool,
}

impl OpenFailures {
    /// Adds a failure. Of several of one upload, the last counts.
    pub(crate) fn add(&mut self, key: &FailureKey) {
        let error = self.errors.iter().position(|error| *error == key.error).unwrap_or_else(|| {
            self.errors.push(key.error.clone());
            self.errors.len() - 1
        });
        let recorded_at = unix_seconds(&key.recorded_at).unwrap_or_default();
        let entry = self.by_upload.entry(fingerprint(key));
        let entry = entry.or_insert(Entry { error, recorded_at, is_listed: false });
        if recorded_at > entry.recorded_at {
            *entry = Entry { error, recorded_at, ..*entry };
        }
    }

    /// The failure of this upload. Remembers that the bucket has the upload.
    pub(crate) fn of(&mut self, upload: &Upload) -> Option<Failed> {
        let mut found = None;
        let unnamed = upload.unnamed();
        for fingerprint in upload.fingerprints().chain([unnamed]) {
            let entry = self.by_upload.get_mut(&fingerprint);
            // What failed before the upload was about an older one.
            let is_about_it =
                |entry: &Entry| fingerprint != unnamed || entry.recorded_at >= upload.last_modified;
            if let Some(entry) = entry.filter(|entry| is_about_it(entry)) {
                entry.is_listed = true;
                let error = self.errors[entry.error].clone();
                found = Some(Failed { error, recorded_at: entry.recorded_at });
            }
        }
        found
    }

    /// Whether there are failures of uploads that the bucket's listing has not shown.
    pub(crate) fn has_unlisted(&self) -> bool {
        self.by_upload.values().any(|entry| !entry.is_listed)
    }

    /// Takes the failure with this key, if the listing has not shown its upload. The second failure of the same upload is
    /// not taken.
    pub(crate) fn take_unlisted(&mut self, key: &FailureKey) -> Option<Failed> {
        let entry = self.by_upload.get_mut(&fingerprint(key)).filter(|entry| !entry.is_listed)?;
        entry.is_listed = true;
        Some(Failed { error: self.errors[entry.error].clone(), recorded_at: entry.recorded_at })
    }
}

fn fingerprint(key: &FailureKey) -> Fingerprint {
    Fingerprint::new(&key.object, key.version.as_str())
}

#[cfg(test)]
mod tests {
    use bridge::{FailureKey, VersionMark};

    use super::super::upload::tests::upload;
    use super::*;

    fn key(object_key: &str, mark: VersionMark, minute: u32, error: &str) -> FailureKey {
        let time = format!("2026-11-27T09:{minute:02}:00Z");
        FailureKey::open(object_key, mark, &time, error, "c").of_execution("e", 0)
    }

    #[test]
    fn the_last_failure_of_an_upload_counts() {
        let (one, other) = (upload("k", "v"), upload("k", "w"));
        let mut failures = OpenFailures::default();
        for (minute, error) in [(2, "RemoteFull"), (1, "ConnectFailed")] {
            failures.add(&key("k", one.mark(), minute, error));
        }
        let failed = failures.of(&one).unwrap();
        assert_eq!((failed.error.as_str(), failed.recorded_at), ("RemoteFull", 1_795_770_120));
        assert_eq!(failures.of(&other), None);
    }

    #[test]
    fn an_unversioned_upload_failed_before_anybody_knew_its_time() {
        let mut failures = OpenFailures::default();
        failures.add(&key("k", VersionMark::new(None, Some("e"), None), 1, "RemoteFull"));
        assert!(failures.of(&upload("k", "")).is_some());
    }

    #[test]
    fn an_execution_that_named_no_upload_was_to_deliver_the_current_one() {
        let unknown = VersionMark::new(None, None, None);
        let mut failures = OpenFailures::default();
        failures.add(&key("k", unknown, 2, "RemoteFull"));
        let stored = |last_modified| Upload { last_modified, ..upload("k", "v") };
        assert_eq!(failures.of(&stored(1_795_770_121)), None, "uploaded later");
        assert!(failures.has_unlisted());
        assert!(failures.of(&stored(1_795_770_120)).is_some());
        assert!(!failures.has_unlisted());
    }

    #[test]
    fn story_211_a_failure_of_an_object_that_is_gone_is_still_owed() {
        let (there, gone) = (upload("k", "v"), upload("gone", "v"));
        let keys = [key("k", there.mark(), 1, "RemoteFull"), key("gone", gone.mark(), 1, "RemoteFull")];
        let mut failures = OpenFailures::default();
        keys.iter().for_each(|key| failures.add(key));
        failures.of(&there);
        assert!(failures.has_unlisted());
        assert_eq!(failures.take_unlisted(&keys[0]), None);
        assert_eq!(failures.take_unlisted(&keys[1]).unwrap().error, "RemoteFull");
        assert_eq!(failures.take_unlisted(&keys[1]), None, "said once");
        assert!(!failures.has_unlisted());
    }
}

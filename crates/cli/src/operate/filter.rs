//! Which failures a command is about.

use bridge::{FailureKey, FailureState};
use clap::Args;

use super::problem::Problem;
use super::progress;
use super::records::Records;
use super::since::Since;

/// Which failures.
#[derive(Args, Clone, Debug)]
pub(crate) struct Filter {
    /// Only newer ones: 30m, 24h, 7d, a day or a time
    #[arg(long, value_name = "WHEN", value_parser = Since::parse)]
    pub(crate) since: Option<Since>,
    /// Only failures with this error name
    #[arg(long, value_name = "NAME")]
    pub(crate) error: Option<String>,
    /// Only keys, or sftp:// names, that begin with this
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true)]
    pub(crate) prefix: String,
}

/// The failures that match.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) failures: Vec<FailureKey>,
    /// How many below the same prefix did not match.
    pub(crate) others: usize,
}

impl Filter {
    /// Lists the failures of one state that match, in the order of their keys.
    pub(crate) async fn failures(&self, records: &Records, state: FailureState) -> Result<Found, Problem> {
        let bar = progress::counting("reading failure records");
        let mut found = Found::default();
        let mut keys = records.failures(state, &self.prefix);
        while let Some(page) = keys.page().await? {
            bar.inc(page.len() as u64);
            for failure in page {
                if self.matches(&failure) {
                    found.failures.push(failure);
                } else {
                    found.others += 1;
                }
            }
        }
        bar.finish_and_clear();
        Ok(found)
    }

    fn matches(&self, failure: &FailureKey) -> bool {
        let is_recent = self.since.as_ref().is_none_or(|since| failure.recorded_at >= since.timestamp());
        is_recent && self.error.as_ref().is_none_or(|error| failure.error.eq_ignore_ascii_case(error))
    }
}

#[cfg(test)]
mod tests {
    use bridge::VersionMark;

    use super::*;

    #[test]
    fn time_and_error_are_compared() {
        let version = VersionMark::new(Some("v"), None, None);
        let failure = FailureKey::open("k", version, "2026-11-27T09:15:00Z", "RemoteFull", "c");
        let filter = |since: Option<&str>, error: Option<&str>| Filter {
            since: since.map(|since| Since::parse(since).unwrap()),
            error: error.map(str::to_owned),
            prefix: String::new(),
        };
        assert!(filter(None, None).matches(&failure));
        assert!(filter(Some("2026-11-27T09:15:00Z"), Some("remotefull")).matches(&failure));
        assert!(!filter(Some("2026-11-27T09:15:01Z"), None).matches(&failure));
        assert!(!filter(None, Some("RemoteFailure")).matches(&failure));
    }
}

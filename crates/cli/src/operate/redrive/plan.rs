//! What is redriven, in which order, and what is left alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bridge::{ErrorName, FailureKey};

use super::super::filter::Found;

/// What to do with the open failures.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// One is tried first; the others only if it gets further. By the error's name.
    pub(super) careful: BTreeMap<String, Careful>,
    /// Redriven after them, the oldest first.
    pub(super) others: Vec<FailureKey>,
    /// Their executions run already.
    pub(super) running: Vec<FailureKey>,
    /// An older failure of the same upload: the newest one is redriven, and settles all.
    pub(super) same_upload: Vec<FailureKey>,
    /// Beyond the limit.
    pub(super) beyond: usize,
    /// Open failures that do not match the filter.
    pub(super) unmatched: usize,
}

/// Failures of which one is tried first.
#[derive(Debug, Default)]
pub(super) struct Careful {
    /// One that runs already, for example after an interrupted command: it is waited for instead of trying another one.
    pub(super) running: Option<FailureKey>,
    pub(super) failures: Vec<FailureKey>,
}

/// Errors after which a partner may lock the account, or ban the address, if everybody tries again.
pub(super) fn needs_care(error: &str) -> bool {
    ErrorName::parse(error).is_some_and(|name| {
        matches!(
            name,
            ErrorName::HostKeyMismatch | ErrorName::NoCommonAlgorithm | ErrorName::AuthenticationRejected
        )
    })
}

impl Plan {
    /// `running`: names of the executions that run now.
    pub(super) fn new(found: Found, running: &BTreeSet<String>, limit: Option<usize>) -> Self {
        let mut plan = Self { unmatched: found.others, ..Self::default() };
        let mut failures = found.failures;
        failures.sort_by(|one, other| one.recorded_at.cmp(&other.recorded_at));
        let (runs, failures): (Vec<_>, Vec<_>) =
            failures.into_iter().partition(|failure| running.contains(&failure.execution));
        let uploads: BTreeSet<(String, String)> = runs.iter().filter_map(upload).collect();
        let failures = plan.newest_of_each_upload(failures, &uploads);
        let limit = limit.unwrap_or(usize::MAX).min(failures.len());
        plan.beyond = failures.len() - limit;
        for failure in failures.into_iter().take(limit) {
            if needs_care(&failure.error) {
                plan.careful.entry(failure.error.clone()).or_default().failures.push(failure);
            } else {
                plan.others.push(failure);
            }
        }
        for failure in &runs {
            if let Some(careful) = plan.careful.get_mut(&failure.error) {
                careful.running = Some(failure.clone());
            }
        }
        plan.running = runs;
        plan
    }

    fn newest_of_each_upload(
        &mut self,
        failures: Vec<FailureKey>,
        running: &BTreeSet<(String, String)>,
    ) -> Vec<FailureKey> {
        let newest: HashMap<_, _> =
            failures.iter().enumerate().filter_map(|(index, it)| Some((upload(it)?, index))).collect();
        let mut kept = Vec::new();
        for (index, failure) in failures.into_iter().enumerate() {
            let upload = upload(&failure);
            let is_newest = upload.as_ref().is_none_or(|upload| newest[upload] == index);
            if is_newest && upload.is_none_or(|upload| !running.contains(&upload)) {
                kept.push(failure);
            } else {
                self.same_upload.push(failure);
            }
        }
        kept
    }

    /// How many are redriven or started.
    pub(super) fn count(&self) -> usize {
        self.others.len() + self.careful.values().map(|careful| careful.failures.len()).sum::<usize>()
    }
}

/// Object and version, if the record knows both.
fn upload(failure: &FailureKey) -> Option<(String, String)> {
    let version = failure.version.as_str();
    let is_known = !failure.object.is_empty() && version != "unknown";
    is_known.then(|| (failure.object.clone(), version.to_owned()))
}

#[cfg(test)]
mod tests {
    use bridge::VersionMark;

    use super::*;

    fn failure(object: &str, second: u32, error: &str, execution: &str) -> FailureKey {
        let version = VersionMark::new(Some("v"), None, None);
        let at = format!("2026-11-27T09:00:{second:02}Z");
        FailureKey::open(object, version, &at, error, "").of_execution(execution, 0)
    }

    fn plan(failures: Vec<FailureKey>, running: &[&str], limit: Option<usize>) -> Plan {
        let running = running.iter().map(|name| (*name).to_owned()).collect();
        Plan::new(Found { failures, others: 0 }, &running, limit)
    }

    fn executions(failures: &[FailureKey]) -> Vec<&str> {
        failures.iter().map(|failure| failure.execution.as_str()).collect()
    }

    #[test]
    fn the_oldest_comes_first_and_what_runs_is_left_alone() {
        let failures = vec![
            failure("a", 3, "RemoteFull", "e3"),
            failure("b", 1, "RemoteFull", "e1"),
            failure("c", 2, "RemoteFull", "e2"),
            failure("d", 4, "RemoteFull", "e4"),
        ];
        let plan = plan(failures, &["e2"], Some(2));
        assert_eq!(executions(&plan.others), ["e1", "e3"]);
        assert_eq!(executions(&plan.running), ["e2"]);
        assert_eq!((plan.beyond, plan.count()), (1, 2));
    }

    #[test]
    fn one_upload_is_redriven_once() {
        let failures = vec![
            failure("a", 1, "RemoteFull", "first"),
            failure("a", 2, "RemoteFull", "rerun"),
            failure("", 3, "InvalidInput", "x"),
            failure("", 4, "InvalidInput", "y"),
            failure("b", 5, "RemoteFull", "older"),
            failure("b", 6, "RemoteFull", "runs"),
        ];
        let plan = plan(failures, &["runs"], None);
        assert_eq!(executions(&plan.others), ["rerun", "x", "y"]);
        assert_eq!(executions(&plan.same_upload), ["first", "older"]);
    }

    #[test]
    fn a_refused_login_needs_care() {
        let failures = vec![
            failure("a", 1, "AuthenticationRejected", "e1"),
            failure("b", 2, "AuthenticationRejected", "e2"),
            failure("c", 3, "HostKeyMismatch", "e3"),
            failure("d", 4, "Lambda.Unknown", "e4"),
        ];
        let plan = plan(failures, &["e1"], None);
        assert_eq!(executions(&plan.others), ["e4"]);
        let refused = &plan.careful["AuthenticationRejected"];
        assert_eq!(executions(&refused.failures), ["e2"]);
        assert_eq!(refused.running.as_ref().map(|it| it.execution.as_str()), Some("e1"));
        assert!(plan.careful["HostKeyMismatch"].running.is_none());
    }
}

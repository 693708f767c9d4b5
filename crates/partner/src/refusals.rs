//! Refused logins are not repeated at once: servers lock accounts and ban addresses after too many refusals.

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use bridge::{CredentialReference, Error, ErrorName, lock};

use crate::manners::Manners;

/// The refusals of this process, one for each version of the credential. They use the wall clock, because other clocks stop
/// while a Lambda function is frozen between two calls.
pub(crate) struct Refusals {
    first: Duration,
    max: Duration,
    known: Mutex<Vec<Refusal>>,
}

#[derive(Clone)]
pub(crate) struct Refusal {
    version: String,
    error: Error,
    at: SystemTime,
    /// How long the version is not tried again.
    rest: Duration,
}

/// Maximum number of remembered refusals. A process uses two versions, and more only if the secret is rotated meanwhile.
const KNOWN_MAX: usize = 8;

/// Whether retries do not help, because the partner or we have to change something.
pub(crate) fn is_refusal(error: &Error) -> bool {
    matches!(
        error.name,
        ErrorName::AuthenticationRejected | ErrorName::HostKeyMismatch | ErrorName::NoCommonAlgorithm
    )
}

impl Refusals {
    pub(crate) fn new(manners: Manners) -> Self {
        Self { first: manners.refused, max: manners.refused_max, known: Mutex::default() }
    }

    /// The refusal of this version, if it must not be tried again yet.
    pub(crate) fn in_force(&self, reference: &CredentialReference) -> Option<Refusal> {
        let version = version(reference);
        self.known().iter().find(|known| known.version == version && known.is_in_force()).cloned()
    }

    /// The server has just refused this version. Each further refusal doubles the time until the next attempt.
    pub(crate) fn remember(&self, reference: &CredentialReference, error: &Error) {
        let former = self.take(reference);
        let rest = former.map_or(self.first, |former| former.rest * 2).min(self.max);
        self.put(reference, error.clone(), rest);
    }

    /// This version is not tried for the maximum time: the server accepts the other version, or the partner will install
    /// that one.
    pub(crate) fn postpone(&self, reference: &CredentialReference, error: &Error) {
        let error = self.take(reference).map_or_else(|| error.clone(), |former| former.error);
        self.put(reference, error, self.max);
    }

    /// The server has accepted this version.
    pub(crate) fn forget(&self, reference: &CredentialReference) {
        self.take(reference);
    }

    fn take(&self, reference: &CredentialReference) -> Option<Refusal> {
        let version = version(reference);
        let mut known = self.known();
        let index = known.iter().position(|known| known.version == version)?;
        Some(known.remove(index))
    }

    fn put(&self, reference: &CredentialReference, error: Error, rest: Duration) {
        let mut known = self.known();
        if known.len() == KNOWN_MAX {
            known.remove(0);
        }
        known.push(Refusal { version: version(reference), error, at: SystemTime::now(), rest });
    }

    fn known(&self) -> MutexGuard<'_, Vec<Refusal>> {
        lock(&self.known)
    }
}

impl Refusal {
    /// If the clock was set back, it is not.
    fn is_in_force(&self) -> bool {
        self.at.elapsed().is_ok_and(|elapsed| elapsed < self.rest)
    }

    /// The error of a file that is not tried: the refusal, its time, and the time of the next attempt.
    pub(crate) fn into_error(self) -> Error {
        let (at, until) = (aws::timestamp(self.at), aws::timestamp(self.at + self.rest));
        let words = self.error.message();
        self.error.name.error(format!(
            "{words} (not tried again: the attempt at {at} failed; the next one is possible from {until} on)"
        ))
    }

    /// The refusal of both versions of a credential. The next attempt is when the first of them may be tried again.
    pub(crate) fn joined(self, other: Self) -> Self {
        let error = both_refused(&self.error, &other.error);
        let is_first = self.at + self.rest <= other.at + other.rest;
        let (at, rest) = if is_first { (self.at, self.rest) } else { (other.at, other.rest) };
        Self { error, at, rest, ..self }
    }
}

/// The error if the server refused both versions of a credential.
pub(crate) fn both_refused(first: &Error, second: &Error) -> Error {
    first.name.error(format!(
        "{}; the other version of the secret failed, too: {}",
        first.message(),
        second.message()
    ))
}

/// Identifies one version of the credential. Contains no secret.
fn version(reference: &CredentialReference) -> String {
    format!("{:?} {:?}", reference.location, reference.user_name)
}

#[cfg(test)]
mod tests {
    use bridge::SecretLocation;

    use super::*;

    fn reference(version_id: &str) -> CredentialReference {
        CredentialReference {
            location: SecretLocation::SecretsManager { arn: "arn".into(), version_id: version_id.into() },
            user_name: "u".into(),
            algorithm: None,
            public_key_fingerprint: None,
            previous: None,
        }
    }

    #[test]
    fn a_refusal_is_remembered_for_twice_as_long_each_time_and_for_its_version_only() {
        let refusals = Refusals::new(Manners::LAMBDA);
        let error = ErrorName::AuthenticationRejected.error("no");
        let (new, old) = (reference("new"), reference("old"));
        assert!(refusals.in_force(&new).is_none());
        for minutes in [1, 2, 4, 8, 15, 15] {
            refusals.remember(&new, &error);
            let refusal = refusals.in_force(&new).unwrap();
            assert_eq!(refusal.rest, Duration::from_secs(60 * minutes));
            assert!(refusals.in_force(&old).is_none(), "another version is tried at once");
            // Its time is over.
            refusals.known()[0].at -= refusal.rest;
            assert!(refusals.in_force(&new).is_none());
        }
        refusals.forget(&new);
        refusals.remember(&new, &error);
        assert_eq!(refusals.in_force(&new).unwrap().rest, Duration::from_secs(60), "it begins anew");
        refusals.postpone(&new, &error);
        assert_eq!(refusals.in_force(&new).unwrap().rest, Duration::from_secs(900));
    }

    #[test]
    fn the_message_says_since_when_and_until_when() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let refusal = |words: &str, rest| Refusal {
            version: String::new(),
            error: ErrorName::HostKeyMismatch.error(words),
            at,
            rest: Duration::from_secs(rest),
        };
        let error = refusal("another key", 900).joined(refusal("the same", 60)).into_error();
        assert_eq!(error.name, ErrorName::HostKeyMismatch);
        for words in ["another key", "the same", "at 2027-01-15T08:00:00Z", "from 2027-01-15T08:01:00Z on"] {
            assert!(error.message().contains(words), "{words}: {error}");
        }
    }
}

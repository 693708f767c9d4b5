//! Keys of failure records.

use sha2::{Digest as _, Sha256};

use super::VersionMark;
use super::segments::{compact, execution_field, expanded, field, object_part, object_prefix, to_the_second};

/// Length of the hash of a cause, in hexadecimal digits.
const CAUSE_DIGITS: usize = 8;

/// Whether a failure still waits for somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureState {
    /// The file is owed.
    Open,
    /// A later delivery made good for it.
    Settled,
}

/// Key of the record of one failed execution, or of one redrive of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureKey {
    /// Whether it still waits for somebody.
    pub state: FailureState,
    /// The object's key, as it stands in the record's key: a long one is cut. Empty if the event named no object.
    pub object: String,
    /// The upload.
    pub version: VersionMark,
    /// When it was recorded, RFC 3339 in UTC, to the second.
    pub recorded_at: String,
    /// The error's name.
    pub error: String,
    /// Hash of the cause without what differs from file to file: the same for failures of the same kind.
    pub cause: String,
    /// The execution's name.
    pub execution: String,
    /// How often the execution had been redriven.
    pub redrive_count: u32,
}

impl FailureKey {
    /// Of an open failure. `object_key` is empty if the event named no object.
    pub fn open(object_key: &str, version: VersionMark, recorded_at: &str, error: &str, cause: &str) -> Self {
        Self {
            state: FailureState::Open,
            object: object_part(object_key),
            version,
            recorded_at: to_the_second(recorded_at),
            error: field(error),
            cause: cause_hash(cause, object_key),
            execution: String::new(),
            redrive_count: 0,
        }
    }

    /// Of this execution and redrive.
    #[must_use]
    pub fn of_execution(self, name: &str, redrive_count: u32) -> Self {
        Self { execution: execution_field(name), redrive_count, ..self }
    }

    /// The same failure in this state.
    #[must_use]
    pub fn in_state(self, state: FailureState) -> Self {
        Self { state, ..self }
    }

    /// The prefix of the failures of this object, or of all objects whose keys begin so.
    pub fn prefix(state: FailureState, object_key: &str) -> String {
        format!("{}{}", state.folder(), object_part(object_key))
    }

    /// The prefix of the failures of this object. Those of objects whose keys continue with a slash have it, too.
    pub fn folder_of(state: FailureState, object_key: &str) -> String {
        format!("{}/", Self::prefix(state, object_key))
    }

    /// Whether it is a failure of this object.
    pub fn is_of(&self, object_key: &str) -> bool {
        self.object == object_part(object_key)
    }

    /// Whether it is a failure of the execution of this name.
    pub fn is_by(&self, execution: &str) -> bool {
        self.execution == execution_field(execution)
    }

    /// The prefix of the failures of all objects whose keys begin with `prefix`, however long they are. Failures of other
    /// long keys may have it, too.
    pub fn below(state: FailureState, prefix: &str) -> String {
        format!("{}{}", state.folder(), object_prefix(prefix))
    }

    /// The prefix of all failures of the same upload in the same state.
    pub fn folder(&self) -> String {
        format!("{}{}/{}/", self.state.folder(), self.object, self.version.as_str())
    }

    /// Reads a key. `None` if it is not of this kind.
    pub fn parse(key: &str) -> Option<Self> {
        let state = [FailureState::Open, FailureState::Settled]
            .into_iter()
            .find(|state| key.starts_with(state.folder()))?;
        let (path, name) = key.strip_prefix(state.folder())?.rsplit_once('/')?;
        let (object, version) = path.rsplit_once('/')?;
        let mut fields = name.strip_suffix(".json")?.split(',');
        let key = Self {
            state,
            object: object.to_owned(),
            version: VersionMark::parse(version),
            recorded_at: expanded(fields.next()?)?,
            error: fields.next()?.to_owned(),
            cause: fields.next()?.to_owned(),
            execution: fields.next()?.to_owned(),
            redrive_count: fields.next()?.parse().ok()?,
        };
        fields.next().is_none().then_some(key)
    }
}

impl std::fmt::Display for FailureKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { recorded_at, error, cause, execution, redrive_count, .. } = self;
        let (folder, time) = (self.folder(), compact(recorded_at));
        write!(f, "{folder}{time},{error},{cause},{execution},{redrive_count}.json")
    }
}

impl FailureState {
    fn folder(self) -> &'static str {
        match self {
            Self::Open => "failures/open/",
            Self::Settled => "failures/settled/",
        }
    }
}

/// Two failures of the same kind have the same hash. What differs from file to file is left out: the object's key, what
/// stands in quotes or in parentheses, words with digits or slashes.
fn cause_hash(cause: &str, object_key: &str) -> String {
    let without_key = if object_key.is_empty() { cause.to_owned() } else { cause.replace(object_key, "_") };
    let unquoted: String = without_key.split('"').step_by(2).collect::<Vec<_>>().join("_");
    let differs = |word: &&str| word.contains(|c: char| c.is_ascii_digit() || c == '/');
    let outside = outside_parentheses(&unquoted);
    let kind: Vec<&str> = outside.split_whitespace().filter(|word| !differs(word)).collect();
    hex::encode(Sha256::digest(kind.join(" ")))[..CAUSE_DIGITS].to_owned()
}

fn outside_parentheses(text: &str) -> String {
    let mut depth = 0_usize;
    let mut is_outside = |c: char| {
        depth += usize::from(c == '(');
        let is_outside = depth == 0;
        depth -= usize::from(c == ')' && depth > 0);
        is_outside
    };
    text.chars().filter(|c| is_outside(*c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_goes_there_and_back() {
        let version = VersionMark::new(Some("v1"), None, None);
        let key = FailureKey::open("in/a b.txt", version, "2026-11-27T09:15:00.123Z", "Lambda.Unknown", "c");
        let key = key.of_execution("e1", 2);
        let text = key.to_string();
        assert!(text.starts_with("failures/open/in/a b.txt/v1/20261127T091500Z,Lambda.Unknown,"), "{text}");
        assert!(text.ends_with(",e1,2.json"), "{text}");
        assert_eq!(FailureKey::parse(&text), Some(key.clone()));
        let settled = key.in_state(FailureState::Settled);
        assert_eq!(FailureKey::parse(&settled.to_string()), Some(settled));
    }

    #[test]
    fn an_event_without_an_object_has_a_key_too() {
        let key = FailureKey::open("", VersionMark::new(None, None, None), "2026-11-27T09:15:00Z", "", "");
        let key = key.of_execution("e", 0);
        assert!(key.to_string().starts_with("failures/open//unknown/20261127T091500Z,unknown,"), "{key}");
        assert_eq!(FailureKey::parse(&key.to_string()), Some(key));
        assert_eq!(FailureKey::parse("failures/2026-11-27/e1/0.json"), None);
    }

    #[test]
    fn causes_of_one_kind_have_one_hash() {
        let full = |key: &str, bytes| {
            cause_hash(&format!("/in/{key}: write at byte {bytes}: \"no {key} space\" disk full"), key)
        };
        assert_eq!(full("a.txt", 5), full("b c.txt", 99));
        assert_ne!(full("a.txt", 5), cause_hash("permission denied", "a.txt"));
        let refused = "TCP to 192.0.2.1:22: Connection refused (os error 111)";
        let not_tried = format!("{refused} (not tried again: this is failure 8 (in a row), of today)");
        assert_eq!(cause_hash(refused, "a.txt"), cause_hash(&not_tried, "b.txt"));
        assert_eq!(cause_hash("x", "").len(), CAUSE_DIGITS);
    }
}

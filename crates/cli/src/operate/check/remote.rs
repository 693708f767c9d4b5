//! What the partner's server has of an object.

use partner::files::Seen;
use serde_json::{Value, json};

/// What the server has of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Remote {
    /// A file of its size.
    Same,
    /// A file of another size, or a directory.
    Differs { size: Option<u64> },
    /// Nothing. The partner may have taken it.
    Missing,
    /// Nobody can tell, and why.
    Unknown { why: String },
}

impl Remote {
    /// Of a look at the place of a file of this size.
    pub(super) fn of(seen: Seen, size: u64) -> Self {
        match seen {
            Seen::File(Some(told)) if told == size => Self::Same,
            Seen::File(Some(told)) => Self::Differs { size: Some(told) },
            Seen::Directory => Self::Differs { size: None },
            Seen::Nothing => Self::Missing,
            Seen::File(None) => Self::unknown("the server does not tell its size"),
            Seen::Hidden => Self::unknown("the server does not let it be seen"),
        }
    }

    pub(super) fn unknown(why: impl Into<String>) -> Self {
        Self::Unknown { why: why.into() }
    }

    /// For a file of this size. `None` if there is nothing to say.
    pub(super) fn in_words(&self, size: Option<u64>) -> Option<String> {
        let expected = size.map(|size| format!(" instead of {size}")).unwrap_or_default();
        match self {
            Self::Same => None,
            Self::Differs { size: Some(size) } => Some(format!("on the server: {size} bytes{expected}")),
            Self::Differs { size: None } => Some("on the server: a directory".into()),
            Self::Missing => Some("not on the server".into()),
            Self::Unknown { why } => Some(format!("on the server: {why}")),
        }
    }

    pub(super) fn json(&self) -> Value {
        match self {
            Self::Same => json!({"found": "same_size"}),
            Self::Differs { size } => json!({"found": "differs", "size": size}),
            Self::Missing => json!({"found": "missing"}),
            Self::Unknown { why } => json!({"found": "unknown", "reason": why}),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_that_nobody_tells_proves_nothing() {
        assert_eq!(Remote::of(Seen::File(Some(7)), 7), Remote::Same);
        assert_eq!(Remote::of(Seen::File(Some(0)), 7), Remote::Differs { size: Some(0) });
        assert_eq!(Remote::of(Seen::Directory, 7), Remote::Differs { size: None });
        assert_eq!(Remote::of(Seen::Nothing, 7), Remote::Missing);
        for seen in [Seen::File(None), Seen::Hidden] {
            assert!(matches!(Remote::of(seen, 7), Remote::Unknown { .. }), "{seen:?}");
        }
    }
}

//! `s3://BUCKET/KEY`.

use serde_json::{Value, json};

/// An object, or a prefix of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) bucket: String,
    /// Not URL-decoded. Empty: the whole bucket.
    pub(crate) object_key: String,
}

impl Location {
    /// Parses `s3://BUCKET/KEY` or `BUCKET/KEY`. The key may be missing.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.strip_prefix("s3://").unwrap_or(text);
        let (bucket, object_key) = text.split_once('/').unwrap_or((text, ""));
        if bucket.is_empty() {
            return Err("expected s3://BUCKET/KEY or BUCKET/KEY".into());
        }
        Ok(Self { bucket: bucket.into(), object_key: object_key.into() })
    }

    /// The smallest event that the state machine takes for this object.
    pub(crate) fn event(&self) -> Value {
        // An event needs a key; a whole bucket has none.
        let object_key = if self.object_key.is_empty() { "*" } else { &self.object_key };
        json!({"detail": {"bucket": {"name": self.bucket}, "object": {"key": object_key}}})
    }
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.object_key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms() {
        let expected = Location { bucket: "b".into(), object_key: "a b+c%2B.txt".into() };
        assert_eq!(Location::parse("s3://b/a b+c%2B.txt"), Ok(expected.clone()));
        assert_eq!(Location::parse("b/a b+c%2B.txt"), Ok(expected));
        assert_eq!(Location::parse("b/../../x").map(|location| location.object_key), Ok("../../x".into()));
        for text in ["s3://b", "b/"] {
            let all = Location { bucket: "b".into(), object_key: String::new() };
            assert_eq!(Location::parse(text), Ok(all));
        }
        for text in ["", "/k", "s3://"] {
            assert!(Location::parse(text).is_err(), "{text}");
        }
    }
}

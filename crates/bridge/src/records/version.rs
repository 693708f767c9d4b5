//! Which upload of a key is meant.

use super::segments::field;
use crate::collect::RemoteFile;
use crate::{ObjectCreated, ObjectSummary};

/// Of an upload of which nothing is known.
const UNKNOWN: &str = "unknown";

/// Of a look at the directory that is collected.
const LOOK: &str = "look";

/// One upload of an object's key: its version id or, on an unversioned bucket, entity tag and time. In the other direction,
/// one file under a path: its size and time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VersionMark(String);

impl VersionMark {
    /// Of what is known. `null` is the version id of S3 for objects without versions.
    pub fn new(version_id: Option<&str>, etag: Option<&str>, last_modified: Option<i64>) -> Self {
        let version_id = version_id.filter(|id| !id.is_empty() && *id != "null");
        let etag = etag.map(|etag| etag.trim_matches('"')).filter(|etag| !etag.is_empty());
        Self(match (version_id, etag, last_modified) {
            (Some(id), _, _) => field(id),
            (None, Some(etag), Some(seconds)) => format!("{}@{seconds}", field(etag)),
            (None, Some(etag), None) => field(etag),
            (None, None, _) => UNKNOWN.to_owned(),
        })
    }

    /// As it stands in a key.
    pub fn parse(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Of a look at the directory that is collected, whichever look it is.
    pub fn look() -> Self {
        Self(LOOK.to_owned())
    }

    /// Whether it stands for a look at the directory that is collected.
    pub fn is_look(&self) -> bool {
        self.0 == LOOK
    }

    /// As it stands in a key.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether nothing is known of the upload.
    pub fn is_unknown(&self) -> bool {
        self.0 == UNKNOWN
    }

    /// Whether both may be the same upload. An event does not say when S3 stored the object, so a mark without a time
    /// agrees with each mark of the same entity tag.
    pub fn agrees_with(&self, other: &Self) -> bool {
        let (tag, time) = self.parts();
        let (other_tag, other_time) = other.parts();
        tag == other_tag && (time == other_time || time.is_none() || other_time.is_none())
    }

    fn parts(&self) -> (&str, Option<&str>) {
        match self.0.split_once('@') {
            Some((tag, time)) => (tag, Some(time)),
            None => (&self.0, None),
        }
    }
}

impl From<&ObjectSummary> for VersionMark {
    fn from(object: &ObjectSummary) -> Self {
        Self::new(object.version_id.as_deref(), object.etag.as_deref(), object.last_modified)
    }
}

impl From<&RemoteFile> for VersionMark {
    fn from(file: &RemoteFile) -> Self {
        let modified = file.modified.map_or_else(|| UNKNOWN.to_owned(), |modified| modified.to_string());
        Self(format!("{}-{modified}", file.size))
    }
}

impl From<&ObjectCreated> for VersionMark {
    fn from(event: &ObjectCreated) -> Self {
        Self::new(event.version_id.as_deref(), event.etag.as_deref(), None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_is_told_from_others() {
        let mark = |id, etag, time| VersionMark::new(id, etag, time);
        assert_eq!(mark(Some("v1"), Some("e"), Some(5)).as_str(), "v1");
        let known = mark(Some("null"), Some("\"e-2\""), Some(5));
        assert_eq!(known.as_str(), "e-2@5");
        assert!(known.agrees_with(&mark(None, Some("e-2"), None)));
        assert!(!known.agrees_with(&mark(None, Some("e-2"), Some(6))));
        assert!(!known.agrees_with(&mark(None, Some("e-3"), None)));
        assert_eq!(mark(None, None, None).as_str(), "unknown");
    }
}

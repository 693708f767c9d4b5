//! S3's EventBridge event `Object Created`.
//!
//! Source: "Amazon S3 event message structure for Amazon EventBridge" in the S3 user guide. The object key in it is not
//! URL-encoded, so it is never decoded.

use serde::Deserialize;
use serde_json::Value;

use crate::decode::decode;
use crate::error::{ErrorName, Result};

/// What the bridge uses of the event. A person who writes one by hand needs only bucket and key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectCreated {
    /// When the event happened, RFC 3339.
    pub event_time: Option<String>,
    /// The bucket's name.
    pub bucket: String,
    /// The object's key.
    pub object_key: String,
    /// The object's size, in bytes.
    pub size: Option<u64>,
    /// The entity tag, without quotes.
    pub etag: Option<String>,
    /// The version, on versioned buckets only.
    pub version_id: Option<String>,
}

#[derive(Deserialize)]
struct Envelope {
    time: Option<String>,
    detail: Detail,
}

#[derive(Deserialize)]
struct Detail {
    version: Option<String>,
    bucket: Bucket,
    object: Object,
}

#[derive(Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Deserialize)]
struct Object {
    key: String,
    size: Option<u64>,
    etag: Option<String>,
    #[serde(rename = "version-id")]
    version_id: Option<String>,
}

impl ObjectCreated {
    /// Reads the raw event.
    ///
    /// # Errors
    /// `InvalidInput` naming the field, unless it is an `Object Created` event of a known major version.
    pub fn from_event(event: Value) -> Result<Self> {
        let Envelope { time, detail: Detail { version, bucket, object } } = decode(event)?;
        // A new minor version only adds fields. A new major version may change them.
        if let Some(version) = version.filter(|version| version.split('.').next() != Some("0")) {
            return Err(ErrorName::InvalidInput.error(format!(
                "field `detail.version`: expected major version 0, got {}",
                version.chars().take(16).collect::<String>()
            )));
        }
        for (field, value) in [("detail.bucket.name", &bucket.name), ("detail.object.key", &object.key)] {
            if value.is_empty() {
                let message = format!("field `{field}`: expected a name, got \"\"");
                return Err(ErrorName::InvalidInput.error(message));
            }
        }
        let present = |text: Option<String>| text.filter(|text| !text.is_empty());
        Ok(Self {
            event_time: present(time),
            bucket: bucket.name,
            object_key: object.key,
            size: object.size,
            etag: present(object.etag).map(|etag| etag.trim_matches('"').to_owned()),
            version_id: present(object.version_id),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn story_08_the_least_that_works_by_hand() {
        let event = json!({"detail": {"bucket": {"name": "b"}, "object": {"key": "k"}}});
        let event = ObjectCreated::from_event(event).unwrap();
        assert_eq!((event.bucket.as_str(), event.object_key.as_str()), ("b", "k"));
        assert_eq!((event.version_id, event.etag, event.size), (None, None, None));
    }

    #[test]
    fn story_08_unknown_fields_and_new_minor_versions_are_ignored() {
        let event = json!({
            "version": "0", "id": "17793124-05d4", "detail-type": "Object Created", "new": [1],
            "time": "2021-11-12T00:00:00Z",
            "detail": {
                "version": "0.9", "new": {}, "bucket": {"name": "b", "new": 1},
                "object": {"key": "a b+c%2B.txt", "size": 5, "etag": "\"abc\"", "version-id": "v", "sequencer": "0F", "new": 1},
                "request-id": "N4N7GDK58NMKJ12R", "reason": "PutObject"
            }
        });
        let event = ObjectCreated::from_event(event).unwrap();
        assert_eq!(event.object_key, "a b+c%2B.txt");
        assert_eq!(event.etag.as_deref(), Some("abc"));
        assert_eq!(event.version_id.as_deref(), Some("v"));
    }

    #[test]
    fn story_08_garbage_names_the_field() {
        for (event, field) in [
            (json!("garbage"), "the input"),
            (json!({}), "missing field `detail`"),
            (json!({"detail": {}}), "`detail`: missing field `bucket`"),
            (json!({"detail": {"bucket": {"name": 1}, "object": {"key": "k"}}}), "`detail.bucket.name`"),
            (
                json!({"detail": {"bucket": {"name": "b"}, "object": {}}}),
                "`detail.object`: missing field `key`",
            ),
            (json!({"detail": {"bucket": {"name": "b"}, "object": {"key": ""}}}), "`detail.object.key`"),
            (
                json!({"detail": {"bucket": {"name": "b"}, "object": {"key": "k", "size": -1}}}),
                "`detail.object.size`: expected u64",
            ),
            (
                json!({"detail": {"version": "1.0", "bucket": {"name": "b"}, "object": {"key": "k"}}}),
                "`detail.version`",
            ),
        ] {
            let error = ObjectCreated::from_event(event.clone()).unwrap_err();
            assert_eq!(error.name, ErrorName::InvalidInput);
            assert!(error.message().contains(field), "{event}: {error}");
        }
    }
}

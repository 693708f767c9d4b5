//! What starts a delivery: the input of its execution, and its name.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::operate::holdings::Upload;
use crate::operate::names::{Origin, execution_name};

/// The event that S3 would have sent for this upload, with what is known of it.
pub(super) fn event(bucket: &str, upload: &Upload) -> Value {
    let mut object = json!({"key": upload.object_key, "size": upload.size});
    for (field, value) in [("etag", &upload.etag), ("version-id", &upload.version_id)] {
        if let Some(value) = value {
            object[field] = json!(value);
        }
    }
    json!({
        "version": "0",
        "source": "s3-sftp-bridge.backfill",
        "detail-type": "Object Created",
        "time": time(upload.last_modified),
        "detail": {"version": "0", "bucket": {"name": bucket}, "object": object, "reason": "backfill"},
    })
}

/// The name of the first execution that delivers this upload: always the same, so that Step Functions refuses a second one.
pub(super) fn first_name(bucket: &str, upload: &Upload) -> String {
    execution_name(Origin::Backfill, &[bucket, &upload.object_key, upload.mark().as_str()])
}

/// The name of the nth execution for the same thing.
pub(super) fn nth_name(first: &str, attempt: u32) -> String {
    if attempt <= 1 { first.to_owned() } else { format!("{first}-{attempt}") }
}

/// The other way round: the first name, and which execution this is.
pub(super) fn attempt_of(name: &str) -> (&str, u32) {
    let numbered = name.rsplit_once('-').and_then(|(first, number)| {
        // The hash of a first name may consist of digits, too.
        let number = number.parse().ok().filter(|_| first.contains('-'))?;
        Some((first, number))
    });
    numbered.unwrap_or((name, 1))
}

fn time(seconds: i64) -> String {
    aws::timestamp(UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use bridge::ObjectCreated;

    use super::*;

    fn upload(version_id: Option<&str>) -> Upload {
        Upload {
            object_key: "in/a b+c%2B.csv".into(),
            version_id: version_id.map(str::to_owned),
            etag: Some("e".into()),
            size: 7,
            last_modified: 1_790_000_000,
        }
    }

    #[test]
    fn story_220_the_event_says_what_s3_would_have_said() {
        let event = ObjectCreated::from_event(event("b", &upload(Some("v")))).unwrap();
        let expected = ObjectCreated {
            event_time: Some("2026-09-21T14:13:20Z".into()),
            bucket: "b".into(),
            object_key: "in/a b+c%2B.csv".into(),
            size: Some(7),
            etag: Some("e".into()),
            version_id: Some("v".into()),
        };
        assert_eq!(event, expected);
        assert_eq!(ObjectCreated::from_event(super::event("b", &upload(None))).unwrap().version_id, None);
    }

    #[test]
    fn story_220_an_upload_has_one_name_and_another_upload_another() {
        let name = first_name("b", &upload(Some("v")));
        assert_eq!(name, first_name("b", &upload(Some("v"))));
        assert_ne!(name, first_name("c", &upload(Some("v"))));
        assert_ne!(name, first_name("b", &upload(None)));
        assert!(nth_name(&name, 4_000_000_000).len() <= 80);
        for (name, expected) in [
            ("backfill-0123", ("backfill-0123", 1)),
            ("backfill-0123-2", ("backfill-0123", 2)),
            ("backfill-ab-17", ("backfill-ab", 17)),
            ("other", ("other", 1)),
        ] {
            assert_eq!(attempt_of(name), expected);
            assert_eq!(nth_name(expected.0, expected.1), name);
        }
    }
}

//! Pins the version that an event announced.

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use bridge::{Error, ErrorName, ObjectCreated, ObjectSummary, PinnedObject, Result};

use super::standing::{Deliverable, Newer, Standing, standing_among_versions};
use super::stored::{Stored, get, head};
use super::unreadable::missing;

/// What the event announced, as S3 has it now.
#[derive(Debug)]
pub enum Pin {
    /// This is the version to deliver.
    Object {
        /// The pinned object.
        object: PinnedObject,
        /// Its contents, if the request that found it returned them.
        body: Option<ByteStream>,
    },
    /// The object or version does not exist. The error says so.
    Missing(Error),
    /// A newer upload, which has its own event, supersedes it.
    Superseded {
        /// The upload that the event announced, as far as it is known.
        object: ObjectSummary,
        /// Which upload supersedes it, for the receipt.
        reason: String,
    },
}

/// Pins what the event announced: its version, else the object with its etag, else what the key has now.
///
/// # Errors
/// `ObjectUnreadable`, `ObjectReadInterrupted`. `ObjectChanged` if an upload that is not delivered has overwritten the
/// object.
pub async fn pin(s3: &Client, event: &ObjectCreated, deliverable: Deliverable) -> Result<Pin> {
    let current = get(s3, &event.bucket, &event.object_key).await?;
    match event.version_id.as_deref().filter(|version_id| *version_id != "null") {
        Some(version_id) => pin_version(s3, event, version_id, current, deliverable).await,
        None => pin_current(event, current, deliverable),
    }
}

async fn pin_version(
    s3: &Client,
    event: &ObjectCreated,
    version_id: &str,
    current: Option<(Stored, ByteStream)>,
    deliverable: Deliverable,
) -> Result<Pin> {
    let current = match current {
        Some((current, body)) if current.version_id.as_deref() == Some(version_id) => {
            return Ok(Pin::Object {
                object: current.pinned(&event.bucket, &event.object_key),
                body: Some(body),
            });
        }
        other => other.map(|(current, _)| current),
    };
    let Some(wanted) = head(s3, &event.bucket, &event.object_key, Some(version_id)).await? else {
        return Ok(Pin::Missing(missing(&event.bucket, &event.object_key, Some(version_id))));
    };
    let object = wanted.pinned(&event.bucket, &event.object_key);
    Ok(match standing_among_versions(s3, &object, version_id, current.as_ref(), deliverable).await? {
        Standing::Superseded(Newer { reason, .. }) => {
            Pin::Superseded { object: ObjectSummary::from(&object), reason }
        }
        Standing::Gone => Pin::Missing(missing(&event.bucket, &event.object_key, Some(version_id))),
        // A delete marker hides the version. It must still be delivered.
        Standing::Newest => Pin::Object { object, body: None },
    })
}

fn pin_current(
    event: &ObjectCreated,
    current: Option<(Stored, ByteStream)>,
    deliverable: Deliverable,
) -> Result<Pin> {
    let Some((current, body)) = current else {
        return Ok(Pin::Missing(missing(&event.bucket, &event.object_key, None)));
    };
    let (size, Newer { reason, .. }) = (current.size, Newer::stored(&current));
    let object = current.pinned(&event.bucket, &event.object_key);
    let Some(etag) = event.etag.as_ref().filter(|etag| **etag != object.etag) else {
        return Ok(Pin::Object { object, body: Some(body) });
    };
    if !deliverable.includes(size) {
        return Err(ErrorName::ObjectChanged.error(format!(
            "s3://{}/{} was overwritten by an empty upload before it was read, and SFTP_SKIP_EMPTY is true: neither can be delivered. Upload the file again, or turn on versioning for the bucket",
            event.bucket, event.object_key
        )));
    }
    let object = ObjectSummary {
        etag: Some(etag.clone()),
        version_id: None,
        size: event.size.or(Some(size)),
        ..ObjectSummary::from(event)
    };
    Ok(Pin::Superseded { object, reason })
}

/// Pins the upload that supersedes `older`: this version, or on an unversioned bucket what the key has now. `None` if it is
/// gone.
///
/// # Errors
/// `ObjectUnreadable`, `ObjectReadInterrupted`.
pub async fn pin_newer(
    s3: &Client,
    older: &PinnedObject,
    version_id: Option<&str>,
) -> Result<Option<PinnedObject>> {
    let PinnedObject { bucket, object_key, .. } = older;
    let newer = head(s3, bucket, object_key, version_id).await?;
    Ok(newer.map(|newer| newer.pinned(bucket, object_key)))
}

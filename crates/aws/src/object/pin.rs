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
    /// It was collected from the server that it would be delivered to.
    Returning {
        /// The object.
        object: ObjectSummary,
        /// How that is known, for the receipt.
        reason: String,
    },
}

impl Pin {
    /// The object with its contents, unless it would return to where it comes from.
    fn of(
        stored: Stored,
        body: Option<ByteStream>,
        event: &ObjectCreated,
        deliverable: Deliverable<'_>,
    ) -> Self {
        let returns = deliverable.returns(&stored);
        let object = stored.pinned(&event.bucket, &event.object_key);
        if !returns {
            return Self::Object { object, body };
        }
        let reason = format!(
            "the object was collected from {}, as sftp-host in its metadata says, and is not delivered back; to deliver it all the same, copy it without this metadata",
            deliverable.host
        );
        Self::Returning { object: (&object).into(), reason }
    }
}

/// Pins what the event announced: its version, else the object with its etag, else what the key has now.
///
/// # Errors
/// `ObjectUnreadable`, `ObjectReadInterrupted`. `ObjectChanged` if an upload that is not delivered has overwritten the
/// object.
pub async fn pin(s3: &Client, event: &ObjectCreated, deliverable: Deliverable<'_>) -> Result<Pin> {
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
    deliverable: Deliverable<'_>,
) -> Result<Pin> {
    let current = match current {
        Some((current, body)) if current.version_id.as_deref() == Some(version_id) => {
            return Ok(Pin::of(current, Some(body), event, deliverable));
        }
        other => other.map(|(current, _)| current),
    };
    let Some(wanted) = head(s3, &event.bucket, &event.object_key, Some(version_id)).await? else {
        return Ok(Pin::Missing(missing(&event.bucket, &event.object_key, Some(version_id))));
    };
    if deliverable.returns(&wanted) {
        return Ok(Pin::of(wanted, None, event, deliverable));
    }
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
    deliverable: Deliverable<'_>,
) -> Result<Pin> {
    let Some((current, body)) = current else {
        return Ok(Pin::Missing(missing(&event.bucket, &event.object_key, None)));
    };
    let Some(etag) = event.etag.as_ref().filter(|etag| **etag != current.etag) else {
        return Ok(Pin::of(current, Some(body), event, deliverable));
    };
    if !deliverable.includes(&current) {
        let by_what = match deliverable.returns(&current) {
            true => format!("a file that was collected from {}", deliverable.host),
            false => "an empty upload, and SFTP_SKIP_EMPTY is true".to_owned(),
        };
        return Err(ErrorName::ObjectChanged.error(format!(
            "s3://{}/{} was overwritten before it was read, by {by_what}: neither can be delivered. Upload the file again, or turn on versioning for the bucket",
            event.bucket, event.object_key
        )));
    }
    let (size, Newer { reason, .. }) = (current.size, Newer::stored(&current));
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

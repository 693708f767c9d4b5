//! Finds the pinned version in the bucket.

use aws_sdk_s3::Client;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use bridge::PinnedObject;

use super::not_done::{NotDone, Result};
use crate::error::CallError;
use crate::etag::unquoted;

/// The version id of objects that were uploaded while the bucket was not versioned.
pub(super) const NULL: &str = "null";

/// What the bucket has of the pinned version.
pub(super) enum Found {
    /// It is there.
    Present {
        /// S3's answer about it.
        head: Box<HeadObjectOutput>,
        /// How to name it.
        address: Address,
    },
    /// There is no such version.
    Gone,
    /// Another upload has overwritten it.
    Replaced,
}

/// How a request names the pinned version and no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// By its version id.
    Version {
        /// The id.
        id: String,
        /// Whether a request without an id means this version, too.
        is_current: bool,
    },
    /// By its key, because S3 does not say that the bucket is versioned.
    Key,
}

impl Address {
    /// The version id for a request.
    pub(super) fn version_id(&self) -> Option<String> {
        match self {
            Self::Version { id, .. } => Some(id.clone()),
            Self::Key => None,
        }
    }
}

/// Looks for the pinned version.
pub(super) async fn find(s3: &Client, object: &PinnedObject) -> Result<Found> {
    if let Some(id) = &object.version_id {
        return find_by_id(s3, object, id).await;
    }
    let Some(head) = head(s3, object, None).await? else { return find_by_id(s3, object, NULL).await };
    match head.version_id() {
        // The bucket was versioned after the upload. The etag does not tell uploads of the same bytes apart; the id does.
        Some(id) if id != NULL => find_by_id(s3, object, NULL).await,
        Some(id) => {
            let address = Address::Version { id: id.to_owned(), is_current: true };
            Ok(compared(head, object, address))
        }
        None => Ok(compared(head, object, Address::Key)),
    }
}

async fn find_by_id(s3: &Client, object: &PinnedObject, id: &str) -> Result<Found> {
    let address = Address::Version { id: id.to_owned(), is_current: false };
    let found = head(s3, object, Some(id)).await?;
    Ok(found.map_or(Found::Gone, |head| compared(head, object, address)))
}

fn compared(head: HeadObjectOutput, object: &PinnedObject, address: Address) -> Found {
    if unquoted(head.e_tag()) == object.etag {
        Found::Present { head: Box::new(head), address }
    } else {
        Found::Replaced
    }
}

async fn head(s3: &Client, object: &PinnedObject, id: Option<&str>) -> Result<Option<HeadObjectOutput>> {
    let request = s3.head_object().bucket(&object.bucket).key(&object.object_key);
    match request.set_version_id(id.map(str::to_owned)).send().await {
        Ok(head) => Ok(Some(head)),
        Err(error) => match CallError::of(&error) {
            error if error.status == Some(404) => Ok(None),
            // The id belongs to a delete marker, or the store does not support versions.
            error if id.is_some() && matches!(error.status, Some(400 | 405)) => Ok(None),
            error => Err(NotDone::after("HeadObject", &error)),
        },
    }
}

/// Size of the object that a key has now, in bytes. `None` if there is no object.
pub(super) async fn size_of(s3: &Client, bucket: &str, object_key: &str) -> Result<Option<u64>> {
    match s3.head_object().bucket(bucket).key(object_key).send().await {
        Ok(head) => Ok(head.content_length().and_then(|length| u64::try_from(length).ok())),
        Err(error) => match CallError::of(&error) {
            error if error.status == Some(404) => Ok(None),
            error => Err(NotDone::after("HeadObject", &error)),
        },
    }
}

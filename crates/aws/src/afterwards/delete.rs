//! Deletes a delivered version, and reports what happened to it.

use aws_sdk_s3::Client;
use aws_sdk_s3::operation::delete_object::DeleteObjectOutput;
use bridge::PinnedObject;

use super::not_done::{NotDone, Result};
use super::older::ensure_no_older_version;
use super::version::{Address, Found, NULL, find};
use crate::error::CallError;
use crate::etag::quoted;

/// What happened to the version. `Display` is for the receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It was deleted for good.
    Deleted,
    /// A delete marker hides it.
    Hidden,
    /// Somebody else deleted it before.
    AlreadyGone,
    /// A newer upload has overwritten it.
    Replaced,
}

impl std::fmt::Display for Removal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Deleted => "deleted",
            Self::Hidden => "hidden behind a delete marker; its version `null` is still in the bucket",
            Self::AlreadyGone => "nothing deleted: the object was already gone",
            Self::Replaced => "nothing deleted: a newer upload has taken its place",
        })
    }
}

/// Deletes the pinned version and no other.
///
/// # Errors
/// If S3 refuses, or if an older version would become the newest again.
pub async fn delete(s3: &Client, object: &PinnedObject) -> Result<Removal> {
    match find(s3, object).await? {
        Found::Gone => Ok(Removal::AlreadyGone),
        Found::Replaced => Ok(Removal::Replaced),
        Found::Present { address, .. } => {
            ensure_no_older_version(s3, object, &address).await?;
            delete_at(s3, object, &address).await
        }
    }
}

async fn delete_at(s3: &Client, object: &PinnedObject, address: &Address) -> Result<Removal> {
    let (id, if_match) = match address {
        // While versioning is suspended, a newer upload has the same id. Then only the etag tells them apart.
        Address::Version { id, is_current } => (Some(id.as_str()), *is_current),
        // A store that ignores the condition protects a newer upload only by its answer to `find`.
        Address::Key => (None, true),
    };
    let output = match request(s3, object, id, if_match).await? {
        Deletion::Done(output) => output,
        Deletion::Refused(removal) => return Ok(removal),
    };
    // While versioning is suspended, a delete marker replaces the version `null`. On a versioned bucket it only hides it.
    let is_hidden =
        *address == Address::Key && output.delete_marker() == Some(true) && output.version_id() != Some(NULL);
    if !is_hidden {
        return Ok(Removal::Deleted);
    }
    // The bucket is versioned, although S3 had not said so: delete the hidden version by its id.
    match request(s3, object, Some(NULL), false).await {
        Ok(_) => Ok(Removal::Deleted),
        Err(NotDone { why, .. }) => {
            tracing::warn!(why, "the object is only hidden behind a delete marker");
            Ok(Removal::Hidden)
        }
    }
}

/// The answer to one DeleteObject.
enum Deletion {
    Done(Box<DeleteObjectOutput>),
    /// The version that the request names is not there any more.
    Refused(Removal),
}

async fn request(s3: &Client, object: &PinnedObject, id: Option<&str>, if_match: bool) -> Result<Deletion> {
    let request = s3.delete_object().bucket(&object.bucket).key(&object.object_key);
    let request = request.set_version_id(id.map(str::to_owned));
    let request = request.set_if_match(if_match.then(|| quoted(&object.etag)));
    match request.send().await {
        Ok(output) => Ok(Deletion::Done(Box::new(output))),
        Err(error) => match CallError::of(&error) {
            error if error.status == Some(404) => Ok(Deletion::Refused(Removal::AlreadyGone)),
            error if error.status == Some(412) => Ok(Deletion::Refused(Removal::Replaced)),
            // A concurrent request for the same key: S3 asks the client to try again.
            // https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-deletes.html
            error if error.status == Some(409) => {
                Err(NotDone { transient: true, ..NotDone::after("DeleteObject", &error) })
            }
            error => Err(NotDone::after("DeleteObject", &error)),
        },
    }
}

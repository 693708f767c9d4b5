//! Moves a delivered version: copies it, and deletes it once the copy is complete.

use aws_sdk_s3::Client;
use bridge::{Deadline, PinnedObject};

use super::copy::{Copying, Source};
use super::delete::{Removal, delete};
use super::not_done::{NotDone, Result};
use super::older::ensure_no_older_version;
use super::version::{Found, find, size_of};

/// Where the copy is, and what happened to the original. `Display` is for the receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The object key of the copy.
    pub to: String,
    /// What happened to the original.
    pub original: Removal,
}

impl std::fmt::Display for Moved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.original {
            Removal::Deleted | Removal::AlreadyGone => write!(f, "moved to {}", self.to),
            Removal::Hidden | Removal::Replaced => write!(f, "copied to {}; {}", self.to, self.original),
        }
    }
}

/// Copies the version to `object_key` in the same bucket, and deletes it once the copy is complete.
///
/// # Errors
/// If S3 refuses, if an older version would become the newest again, or if the deadline passes.
pub async fn move_to(
    s3: &Client,
    object: &PinnedObject,
    object_key: &str,
    copying: Copying,
    deadline: Deadline,
) -> Result<Moved> {
    let moved = |original| Moved { to: object_key.to_owned(), original };
    let (head, address) = match find(s3, object).await? {
        Found::Present { head, address } => (head, address),
        // It was moved before, or somebody else deleted or replaced it since.
        _ if size_of(s3, &object.bucket, object_key).await? == Some(object.size) => {
            return Ok(moved(Removal::AlreadyGone));
        }
        Found::Gone => return Err(NotDone::because("it is gone, and it was not moved before")),
        Found::Replaced => {
            return Err(NotDone::because("a newer upload has taken its place, and it was not moved before"));
        }
    };
    ensure_no_older_version(s3, object, &address).await?;
    Source { object, head: &head, address: &address }.copy_to(s3, object_key, copying, deadline).await?;
    match size_of(s3, &object.bucket, object_key).await? {
        Some(size) if size == object.size => Ok(moved(delete(s3, object).await?)),
        size => Err(NotDone::because(format!(
            "only {} of {} bytes were copied",
            size.unwrap_or_default(),
            object.size
        ))),
    }
}

//! Whether a newer upload supersedes the pinned one.

use aws_sdk_s3::Client;
use aws_sdk_s3::types::ObjectVersion;
use bridge::{PinnedObject, Result};

use super::stored::{Stored, head};
use super::unreadable::unlisted;
use crate::versions::Versions;

/// Which uploads are delivered, and so supersede an older one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Deliverable<'a> {
    /// Whether empty uploads are not delivered (`SFTP_SKIP_EMPTY`).
    pub skip_empty: bool,
    /// The server to deliver to. What was collected from it is not delivered back.
    pub host: &'a str,
}

impl Deliverable<'_> {
    /// Whether an upload of this size may be delivered.
    fn includes_size(self, size: u64) -> bool {
        size > 0 || !self.skip_empty
    }

    /// Whether the upload comes from the server to deliver to.
    pub(super) fn returns(self, stored: &Stored) -> bool {
        stored.origin.as_ref().is_some_and(|origin| origin.is_from(self.host))
    }

    /// Whether the upload is delivered.
    pub(super) fn includes(self, stored: &Stored) -> bool {
        self.includes_size(stored.size) && !self.returns(stored)
    }
}

/// A newer upload, which supersedes the pinned one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newer {
    /// Which upload it is, for the receipt.
    pub reason: String,
    /// Its version id, on versioned buckets.
    pub version_id: Option<String>,
}

impl Newer {
    /// The object that the key has now.
    pub(super) fn stored(current: &Stored) -> Self {
        let named = match &current.version_id {
            Some(version_id) => format!("version {version_id}"),
            None => format!("etag {}", current.etag),
        };
        Self::named(&named, current.version_id.as_deref())
    }

    fn version(version: &ObjectVersion) -> Self {
        let version_id = version.version_id();
        Self::named(&format!("version {}", version_id.unwrap_or_default()), version_id)
    }

    fn named(named: &str, version_id: Option<&str>) -> Self {
        let reason = format!("a newer upload has taken its place, {named}, and has an event of its own");
        Self { reason, version_id: version_id.map(str::to_owned) }
    }
}

/// What happened to the pinned object since.
#[derive(Debug)]
pub enum Standing {
    /// Nothing newer was uploaded. On a versioned bucket it may have been deleted, but it must still be delivered.
    Newest,
    /// A newer upload supersedes it.
    Superseded(Newer),
    /// The pinned version itself is gone, so it is not known whether there was a newer one.
    Gone,
}

/// Asks S3 what happened to the pinned object. This is done just before publishing, and once more afterwards.
///
/// # Errors
/// `ObjectUnreadable`, `ObjectReadInterrupted`.
pub async fn standing(s3: &Client, object: &PinnedObject, deliverable: Deliverable<'_>) -> Result<Standing> {
    let current = head(s3, &object.bucket, &object.object_key, None).await?;
    if let Some(version_id) = &object.version_id {
        if current.as_ref().is_some_and(|current| current.version_id.as_ref() == Some(version_id)) {
            return Ok(Standing::Newest);
        }
        return standing_among_versions(s3, object, version_id, current.as_ref(), deliverable).await;
    }
    Ok(match current {
        None => Standing::Gone,
        Some(current) if current.etag == object.etag || !deliverable.includes(&current) => Standing::Newest,
        Some(current) => Standing::Superseded(Newer::stored(&current)),
    })
}

/// The upload that supersedes the object. `None` if nothing supersedes it, or if that is not known.
///
/// # Errors
/// As [`standing`].
pub async fn superseded_by(
    s3: &Client,
    object: &PinnedObject,
    deliverable: Deliverable<'_>,
) -> Result<Option<Newer>> {
    match standing(s3, object, deliverable).await? {
        Standing::Superseded(newer) => Ok(Some(newer)),
        Standing::Newest | Standing::Gone => Ok(None),
    }
}

/// For a pinned version that is not the current one. The current one is newer if S3 stored it later. If both were stored in
/// the same second, or if the current one is a delete marker, the list of versions decides, because it is in upload order.
pub(super) async fn standing_among_versions(
    s3: &Client,
    object: &PinnedObject,
    version_id: &str,
    current: Option<&Stored>,
    deliverable: Deliverable<'_>,
) -> Result<Standing> {
    if let Some(current) = current
        && deliverable.includes(current)
        && current.last_modified.zip(object.last_modified).is_some_and(|(newer, ours)| newer > ours)
    {
        return Ok(Standing::Superseded(Newer::stored(current)));
    }
    let (mut newer, mut is_later) = (None, false);
    let mut versions = Versions::of(s3, &object.bucket, &object.object_key);
    while let Some(page) = versions.page().await.map_err(|error| unlisted(object, &error))? {
        for version in &page {
            if version.version_id() == Some(version_id) {
                return Ok(newer.map_or(Standing::Newest, Standing::Superseded));
            }
            if newer.is_none() && is_delivered(s3, object, version, current, deliverable).await? {
                newer = Some(Newer::version(version));
                let stored_at = version.last_modified().map(|time| time.secs());
                is_later = stored_at.zip(object.last_modified).is_some_and(|(newer, ours)| newer > ours);
            }
        }
    }
    // The pinned version is not in the list, so only the time tells whether another one is newer.
    Ok(newer.filter(|_| is_later).map_or(Standing::Gone, Standing::Superseded))
}

/// Whether a version of the object's key is delivered. The list does not tell where it comes from.
async fn is_delivered(
    s3: &Client,
    object: &PinnedObject,
    version: &ObjectVersion,
    current: Option<&Stored>,
    deliverable: Deliverable<'_>,
) -> Result<bool> {
    let size = version.size().and_then(|size| u64::try_from(size).ok()).unwrap_or_default();
    if !deliverable.includes_size(size) {
        return Ok(false);
    }
    let version_id = version.version_id();
    if let Some(current) = current.filter(|current| current.version_id.as_deref() == version_id) {
        return Ok(deliverable.includes(current));
    }
    let stored = head(s3, &object.bucket, &object.object_key, version_id).await?;
    Ok(stored.is_none_or(|stored| deliverable.includes(&stored)))
}

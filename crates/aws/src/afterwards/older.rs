//! Keeps a version from being removed while an older one would become the newest again.

use aws_sdk_s3::Client;
use bridge::PinnedObject;

use super::not_done::{NotDone, Result};
use super::version::{Address, NULL};
use crate::error::CallError;
use crate::versions::Versions;

/// Fails if an older version would be the newest upload without this one. An execution that still waits to deliver the older
/// version would then deliver it over this one. A delete marker does not prevent that.
pub(super) async fn ensure_no_older_version(
    s3: &Client,
    object: &PinnedObject,
    address: &Address,
) -> Result<()> {
    let id = match address {
        Address::Version { id, .. } => id,
        Address::Key => NULL,
    };
    let mut versions =
        Ids { pages: Versions::of(s3, &object.bucket, &object.object_key), page: Vec::new().into_iter() };
    let newest = match versions.next().await {
        // A store without versions may refuse to list them, and its user may not have the permission.
        Err(error) if *address == Address::Key && matches!(error.status, Some(400 | 403 | 405 | 501)) => {
            return Ok(());
        }
        newest => newest.map_err(|error| NotDone::after("ListObjectVersions", &error))?,
    };
    // A version that is newer than this one already keeps older ones from being delivered.
    if newest.as_deref() != Some(id) {
        return Ok(());
    }
    match versions.next().await.map_err(|error| NotDone::after("ListObjectVersions", &error))? {
        None => Ok(()),
        Some(older) => Err(NotDone::because(format!(
            "without this version, the older version {older} would become current and might be delivered"
        ))),
    }
}

/// The ids of an object's versions, newest first, without delete markers.
struct Ids<'a> {
    pages: Versions<'a>,
    page: std::vec::IntoIter<String>,
}

impl Ids<'_> {
    async fn next(&mut self) -> std::result::Result<Option<String>, CallError> {
        loop {
            if let Some(id) = self.page.next() {
                return Ok(Some(id));
            }
            // A page may hold nothing but delete markers.
            let Some(page) = self.pages.page().await? else { return Ok(None) };
            let ids = page.into_iter().map(|version| version.version_id.unwrap_or_else(|| NULL.to_owned()));
            self.page = ids.collect::<Vec<_>>().into_iter();
        }
    }
}

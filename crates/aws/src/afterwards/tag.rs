//! Tags of objects.

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{Tag, Tagging};
use bridge::PinnedObject;

use super::not_done::{NotDone, Result};
use super::version::{Address, Found, find};
use crate::error::CallError;

/// Maximum number of tags on an object, by S3's limits.
const TAGS_MAX: usize = 10;

/// Adds the tags to those of the version. The first tag is the time of the delivery. If the version already has the others,
/// nothing changes; with `overwrite` this takes the same values, too, and otherwise only the same names.
///
/// # Errors
/// If S3 refuses, or if the version has too many other tags.
pub async fn tag(s3: &Client, object: &PinnedObject, tags: &[(&str, &str)], overwrite: bool) -> Result<()> {
    let Found::Present { address, .. } = find(s3, object).await? else {
        return Err(NotDone::because("it is gone, or a newer upload has taken its place"));
    };
    let present = tags_of(s3, object, &address).await?;
    let has = |(name, value): &(&str, &str)| {
        present.iter().any(|tag| tag.key() == *name && (!overwrite || tag.value() == *value))
    };
    if tags.iter().skip(1).all(has) {
        return Ok(());
    }
    let mut merged: Vec<Tag> =
        present.into_iter().filter(|tag| tags.iter().all(|(name, _)| tag.key() != *name)).collect();
    if merged.len() + tags.len() > TAGS_MAX {
        return Err(NotDone::because(format!(
            "the object has {} tags and S3 allows {TAGS_MAX}: there is no room for {} more",
            merged.len(),
            tags.len()
        )));
    }
    for (name, value) in tags {
        let tag = Tag::builder().key(*name).value(*value).build();
        merged.push(tag.map_err(|error| NotDone::because(error.to_string()))?);
    }
    put_tags(s3, object, &address, merged).await
}

/// Replaces all tags of a version.
pub(super) async fn put_tags(
    s3: &Client,
    object: &PinnedObject,
    address: &Address,
    tags: Vec<Tag>,
) -> Result<()> {
    let tagging = Tagging::builder().set_tag_set(Some(tags)).build();
    let tagging = tagging.map_err(|error| NotDone::because(error.to_string()))?;
    let request = s3.put_object_tagging().bucket(&object.bucket).key(&object.object_key);
    let request = request.set_version_id(address.version_id()).tagging(tagging);
    let put = request.send().await;
    put.map(drop).map_err(|error| NotDone::after("PutObjectTagging", &CallError::of(&error)))
}

/// The tags of a version.
pub(super) async fn tags_of(s3: &Client, object: &PinnedObject, address: &Address) -> Result<Vec<Tag>> {
    let request = s3.get_object_tagging().bucket(&object.bucket).key(&object.object_key);
    let tags = request.set_version_id(address.version_id()).send().await;
    let tags = tags.map_err(|error| NotDone::after("GetObjectTagging", &CallError::of(&error)))?;
    Ok(tags.tag_set)
}

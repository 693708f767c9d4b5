//! An object that is gone because it was delivered: with `S3_AFTER_DELIVERY` as `delete` or `move`, a duplicate event or
//! a rerun finds it so.

use bridge::{
    Deadline, Error, ErrorName, IfExists, NUMBER_MAX, PinnedObject, RemotePaths, Result, TransferInput,
};
use sftp::{Attributes, Sftp};

use crate::Deps;

/// Whether the file is on the server. Its size and its time are all that is left to know it by.
///
/// # Errors
/// `missing`, explained, if there is no such file: nobody can tell then whether it was ever delivered.
pub(crate) async fn was_delivered(
    deps: &Deps,
    input: &TransferInput,
    object: &PinnedObject,
    time: &str,
    missing: Error,
    limit: Deadline,
) -> Result<String> {
    let settings = &deps.partner.settings;
    if !settings.after_delivery.removes() {
        return Err(missing);
    }
    let remote = RemotePaths::new(&settings.location, &settings.policy, object, &input.execution.id, time)?;
    let looking = deps.partner.with_session(&input.credential, None, async |session| {
        let keeps_time = settings.attributes.mtime.is_some();
        let found = find(session.sftp(), settings.policy.if_exists, object, &remote, keeps_time).await?;
        if found.is_some()
            && !remote.is_direct()
            && let Err(error) = session.sftp().remove(&remote.partial).await
            && !error.is_not_found()
        {
            // What an earlier try of this execution sent is not needed any more.
            tracing::warn!(%error, "the partial file could not be removed");
        }
        Ok(found)
    });
    let found = tokio::time::timeout(limit.remaining(), looking).await;
    let found = found.unwrap_or_else(|_| {
        let host = &settings.host;
        Err(ErrorName::ConnectionLost.error(format!("{host}: no answer until the deadline")))
    })?;
    if let Some(path) = found {
        return Ok(format!(
            "the object is gone, as S3_AFTER_DELIVERY has it, and {path:?} is on the server with its size, and was written since"
        ));
    }
    let path = &remote.path;
    Err(missing.name.error(format!(
        "{}. S3_AFTER_DELIVERY takes objects away once they are delivered: if another execution has delivered this one and the partner has taken {path:?}, there is nothing to do; if not, upload it again",
        missing.message()
    )))
}

/// The name under which it lies: with `keep-both`, a numbered one perhaps.
async fn find(
    sftp: &Sftp,
    if_exists: IfExists,
    object: &PinnedObject,
    remote: &RemotePaths,
    keeps_time: bool,
) -> Result<Option<String>> {
    let numbers = if if_exists == IfExists::KeepBoth { NUMBER_MAX } else { 0 };
    for number in 0..=numbers {
        let path = remote.numbered(number);
        match sftp.stat(&path).await {
            Err(error) if !error.is_status() => return Err(error.into()),
            Ok(Some(told)) if is_it(object, &told, keeps_time) => return Ok(Some(path)),
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => break,
        }
    }
    Ok(None)
}

/// A multipart upload is stored as of its beginning, and announced at its end.
const MULTIPART_MAX: i64 = 7 * 24 * 3600;

/// Whether this is the file of the object, as far as size and time tell. Without a time, a size is no evidence.
fn is_it(object: &PinnedObject, told: &Attributes, keeps_time: bool) -> bool {
    let Some((time, stored)) = told.modified.map(i64::from).zip(object.last_modified) else { return false };
    // The entity tag of a multipart upload ends in the number of its parts.
    let is_multipart = object.etag.contains('-');
    let earliest = if keeps_time && is_multipart { stored - MULTIPART_MAX } else { stored };
    told.size == Some(object.size) && time >= earliest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn story_38_a_size_without_a_time_is_no_evidence_of_a_delivery() {
        let object = |etag: &str, last_modified| PinnedObject {
            bucket: "b".into(),
            object_key: "k".into(),
            etag: etag.into(),
            version_id: None,
            size: 7,
            last_modified,
            checksum: None,
            hash: None,
        };
        let told = |size, modified| Attributes { size: Some(size), modified, ..Attributes::default() };
        let uploaded = object("e", Some(1000));
        assert!(is_it(&uploaded, &told(7, Some(1000)), false));
        assert!(!is_it(&uploaded, &told(8, Some(1000)), false));
        assert!(!is_it(&uploaded, &told(7, Some(999)), false));
        assert!(!is_it(&uploaded, &told(7, None), false), "the server tells no time");
        assert!(!is_it(&object("e", None), &told(7, Some(1000)), false), "the event told none");
        // With SFTP_PRESERVE_MTIME the file has the time at which the upload began.
        let multipart = object("e-3", Some(1000));
        assert!(is_it(&multipart, &told(7, Some(400)), true));
        assert!(!is_it(&multipart, &told(7, Some(400)), false));
        assert!(!is_it(&uploaded, &told(7, Some(400)), true));
    }
}

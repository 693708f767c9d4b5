//! An object that is gone because it was delivered. With `S3_AFTER_DELIVERY` as `delete` or `move`, this is what a
//! duplicate event or a new execution finds.

use bridge::{Error, IfExists, NUMBER_MAX, ObjectSummary, Result, Route};
use partner::files::{Reply, discard};
use sftp::{Attributes, Sftp};

use crate::call::Call;

impl Call<'_> {
    /// Whether the file is on the server: the reason for the receipt. Its size and time are all that is left to
    /// recognise it by.
    ///
    /// # Errors
    /// `missing`, explained, if there is no such file: nothing tells then whether it was ever delivered.
    pub(crate) async fn was_delivered(&self, object: &ObjectSummary, missing: Error) -> Result<String> {
        let settings = self.settings();
        if !settings.after_delivery.removes() {
            return Err(missing);
        }
        let (policy, execution) = (&settings.policy, &self.input.execution);
        let route = Route::new(&settings.location, policy, object, &execution.id, self.time())?;
        let looking = self.deps.partner.with_session(&self.input.credential, None, async |session| {
            let keeps_time = settings.attributes.mtime.is_some();
            let found = find(session.sftp(), policy.if_exists, object, &route, keeps_time).await?;
            if let (Some(_), Some(partial)) = (&found, route.partial()) {
                // What an earlier attempt of this execution sent is not needed any more.
                discard(session.sftp(), partial).await;
            }
            Ok(found)
        });
        let found = tokio::time::timeout(self.limit.remaining(), looking).await;
        let found = found.unwrap_or_else(|_| Err(self.no_answer()))?;
        if let Some(path) = found {
            return Ok(format!(
                "the object is no longer in S3, because S3_AFTER_DELIVERY removes delivered objects; {path:?} on the server has its size and is newer"
            ));
        }
        let path = route.path();
        Err(missing.name.error(format!(
            "{}. S3_AFTER_DELIVERY takes objects away once they are delivered: if another execution has delivered this one and the partner has taken {path:?}, there is nothing to do; if not, upload it again",
            missing.message()
        )))
    }
}

/// The name of the delivered file: with `keep-both`, it may be a numbered one.
async fn find(
    sftp: &Sftp,
    if_exists: IfExists,
    object: &ObjectSummary,
    route: &Route,
    keeps_time: bool,
) -> Result<Option<String>> {
    let numbers = if if_exists == IfExists::KeepBoth { NUMBER_MAX } else { 0 };
    for number in 0..=numbers {
        let path = route.numbered(number);
        match Reply::of(sftp.stat(&path).await)? {
            Reply::Done(Some(told)) if is_it(object, &told, keeps_time) => return Ok(Some(path)),
            Reply::Done(Some(_)) => {}
            Reply::Done(None) | Reply::Refused(_) => break,
        }
    }
    Ok(None)
}

/// Maximum duration of a multipart upload, in seconds. S3 stores it as of its beginning, and announces it at its end.
const MULTIPART_MAX: i64 = 7 * 24 * 3600;

/// Whether this is the file of the object, by size and time. A size without a time is no evidence.
fn is_it(object: &ObjectSummary, told: &Attributes, keeps_time: bool) -> bool {
    let Some((time, stored)) = told.modified.map(i64::from).zip(object.last_modified) else { return false };
    // The entity tag of a multipart upload ends in the number of its parts.
    let is_multipart = object.etag.as_ref().is_some_and(|etag| etag.contains('-'));
    let earliest = if keeps_time && is_multipart { stored - MULTIPART_MAX } else { stored };
    told.size.is_some() && told.size == object.size && time >= earliest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn story_38_a_size_without_a_time_is_no_evidence_of_a_delivery() {
        let object = |etag: &str, last_modified| ObjectSummary {
            bucket: "b".into(),
            object_key: "k".into(),
            etag: Some(etag.into()),
            version_id: None,
            size: Some(7),
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

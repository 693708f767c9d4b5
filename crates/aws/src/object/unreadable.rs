//! Errors of objects that cannot be read.

use bridge::{Error, ErrorName, PinnedObject};

use crate::error::CallError;

/// For an object or a version that does not exist.
pub(crate) fn missing(bucket: &str, object_key: &str, version_id: Option<&str>) -> Error {
    let version = version_id.map(|version_id| format!(" in version {version_id}")).unwrap_or_default();
    ErrorName::ObjectUnreadable.error(format!("s3://{bucket}/{object_key} does not exist{version}"))
}

fn read_error(error: &CallError) -> ErrorName {
    if error.is_transient() { ErrorName::ObjectReadInterrupted } else { ErrorName::ObjectUnreadable }
}

/// For an object that could not be read.
pub(crate) fn unreadable(bucket: &str, object_key: &str, error: &CallError) -> Error {
    let hint = match error.status {
        Some(403) => {
            "; the role needs s3:GetObject (and kms:Decrypt for a customer managed key), and an archived object must be restored first"
        }
        _ => "",
    };
    read_error(error).error(format!("reading s3://{bucket}/{object_key}: {error}{hint}"))
}

/// For an object whose versions could not be listed.
pub(crate) fn unlisted(object: &PinnedObject, error: &CallError) -> Error {
    let PinnedObject { bucket, object_key, .. } = object;
    read_error(error).error(format!(
        "s3://{bucket}/{object_key} was deleted or overwritten, and listing its versions to find a newer one failed: {error}; the role needs s3:ListBucketVersions"
    ))
}

//! Why an object, or a part of it, was not written.

use bridge::collect::Destination;
use bridge::{Error, ErrorName};

use crate::error::CallError;

/// Why an object, or a part of it, was not written.
#[derive(Clone, Debug)]
pub enum Unwritten {
    /// The upload cannot be continued: it was aborted, it has become an object, or its parts are not what was sent. Says
    /// how this is known.
    UploadGone(String),
    /// Something else has the key than the request expects: an object where there must be none, another object, or none
    /// any more.
    NotAsSeen,
    /// Another request for the key was in the way.
    Contended(Error),
    /// S3 refused, or could not be reached.
    Failed(Error),
}

pub(super) type Result<T> = std::result::Result<T, Unwritten>;

impl From<Error> for Unwritten {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Codes of answers below 500 after which the same request may succeed: another request was in the way, or the bytes were
/// changed on their way.
const TRANSIENT: &[&str] =
    &["BadDigest", "ConditionalRequestConflict", "OperationAborted", "XAmzContentChecksumMismatch"];

impl Unwritten {
    /// After a failed request.
    pub(super) fn after(operation: &str, place: &Destination, error: &CallError) -> Self {
        match (error.status, error.code.as_deref()) {
            (_, Some("NoSuchUpload" | "InvalidPart" | "InvalidPartOrder")) => {
                Self::UploadGone(format!("{operation}: {error}"))
            }
            (Some(412), _) | (Some(404), Some("NoSuchKey")) => Self::NotAsSeen,
            (_, Some("ConditionalRequestConflict")) => Self::Contended(unwritable(operation, place, error)),
            _ => Self::Failed(unwritable(operation, place, error)),
        }
    }

    /// After the request that puts the parts together. That their checksum is another one concerns all of them.
    pub(super) fn after_complete(place: &Destination, error: &CallError) -> Self {
        match error.code.as_deref() {
            Some("BadDigest") => Self::UploadGone(format!("CompleteMultipartUpload: {error}")),
            _ => Self::after("CompleteMultipartUpload", place, error),
        }
    }
}

fn unwritable(operation: &str, place: &Destination, error: &CallError) -> Error {
    let Destination { bucket, object_key } = place;
    let may_pass =
        error.is_transient() || error.code.as_deref().is_some_and(|code| TRANSIENT.contains(&code));
    let name = if may_pass { ErrorName::ObjectWriteInterrupted } else { ErrorName::ObjectWriteRefused };
    let hint = match error.status {
        Some(403) => {
            "; the role needs s3:PutObject, s3:GetObject, s3:AbortMultipartUpload and s3:ListMultipartUploadParts (and kms:GenerateDataKey and kms:Decrypt for a customer managed key), and the bucket's policy must not deny them"
        }
        _ => "",
    };
    name.error(format!("{operation}, s3://{bucket}/{object_key}: {error}{hint}"))
}

//! How a session ends.

use aws::Unwritten;
use bridge::collect::StoredObject;

use crate::ending::Ending;

/// How far a session has come.
pub(crate) enum Read {
    /// S3 has every byte, and the file is still the same.
    Whole,
    /// Another execution has stored the file meanwhile.
    Stored(StoredObject),
    /// The collection ends here.
    Ended(Ending),
    /// The upload is gone.
    UploadGone(Unwritten),
    /// It was cut short.
    OutOfTime,
}

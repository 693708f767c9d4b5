//! AWS for the functions and the command line: the pinned object, the collected one, the credential, logs, metrics, and
//! the Lambda runtime.

pub mod afterwards;
pub mod clients;
pub mod collected;
pub mod core_dumps;
pub mod credential;
mod error;
mod etag;
pub mod history;
pub mod lambda;
pub mod listed;
pub mod metrics;
mod object;
pub mod rate;
mod reader;
pub mod records;
pub mod telemetry;
mod versions;
mod writer;

pub use aws_sdk_s3::primitives::ByteStream;
pub use credential::Credential;
pub use error::{CallError, in_words};
pub use object::{Deliverable, Newer, Pin, Standing, pin, pin_newer, standing, superseded_by};
pub use reader::ObjectReader;
pub use writer::{ObjectWriter, Onto, Unwritten};

/// The present time in RFC 3339, UTC.
pub fn now() -> String {
    let now = aws_sdk_s3::primitives::DateTime::from(std::time::SystemTime::now());
    let now = aws_sdk_s3::primitives::DateTime::from_millis(now.to_millis().unwrap_or_default());
    now.fmt(aws_sdk_s3::primitives::DateTimeFormat::DateTime).unwrap_or_default()
}

/// A moment in RFC 3339, UTC, to the second. For messages.
pub fn timestamp(moment: std::time::SystemTime) -> String {
    let moment = aws_sdk_s3::primitives::DateTime::from(moment).secs();
    let moment = aws_sdk_s3::primitives::DateTime::from_secs(moment);
    moment.fmt(aws_sdk_s3::primitives::DateTimeFormat::DateTime).unwrap_or_default()
}

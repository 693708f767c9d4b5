//! What the handler works with.

use aws::metrics::Meter;
use aws::records::RecordBucket;
use bridge::RecordSettings;

/// What the handler works with.
pub struct Deps {
    /// The settings. If they are wrong, the original error is raised nevertheless.
    pub settings: bridge::Result<RecordSettings>,
    /// Writes the record.
    pub s3: aws_sdk_s3::Client,
    /// Reads the attempts; `None` if there is no execution to read them from.
    pub step_functions: Option<aws_sdk_sfn::Client>,
    /// Publishes notices; `None` if nobody is to be told.
    pub sns: Option<aws_sdk_sns::Client>,
    /// Counts the failures of a stack.
    pub meter: Meter,
}

impl Deps {
    pub(crate) fn settings(&self) -> Result<&RecordSettings, String> {
        self.settings.as_ref().map_err(ToString::to_string)
    }

    pub(crate) fn bucket(&self) -> Result<RecordBucket, String> {
        Ok(RecordBucket::new(self.s3.clone(), &self.settings()?.bucket))
    }
}

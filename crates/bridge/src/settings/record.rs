//! The settings of `record-failure`. They are parsed apart from the others, so that a wrong setting elsewhere is still
//! recorded.

use super::collect;
use super::names::{is_bucket_name, is_topic_arn};
use super::problems::Problems;
use super::server;
use super::table::{NOTICE_TOPIC_ARN, RECORD_BUCKET};
use super::variables::Variables;
use crate::error::Result;

/// Where failures are recorded, and what the records say about the partner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordSettings {
    /// `RECORD_BUCKET`.
    pub bucket: String,
    /// `NOTICE_TOPIC_ARN`. `None` if it is not set or wrong.
    pub notice_topic: Option<String>,
    /// The partner's server, for the record. `None` if it is not set or wrong.
    pub remote_host: Option<String>,
    /// The directory on it, for the record. `None` if it is not set or wrong.
    pub location: Option<String>,
    /// `COLLECT_BUCKET`, for the record. `None` if it is not set or wrong.
    pub collect_bucket: Option<String>,
    /// `COLLECT_DIRECTORY` as in [`CollectSettings`](super::CollectSettings). `None` if it is not set or wrong.
    pub collect_directory: Option<String>,
}

impl RecordSettings {
    /// Parses the settings.
    ///
    /// # Errors
    /// `InvalidConfig` if the bucket is not set or wrong.
    pub fn parse(variables: &Variables) -> Result<Self> {
        let mut problems = Problems::default();
        let settings = Self::read(variables, &mut problems);
        if settings.is_none() {
            problems.add(&RECORD_BUCKET, "is not set: set it to the bucket for receipts and failure records");
        }
        problems.into_result(settings)
    }

    /// Parses the settings if records are optional. `None` if the bucket is not set.
    ///
    /// # Errors
    /// `InvalidConfig` if the bucket is wrong.
    pub fn parse_if_set(variables: &Variables) -> Result<Option<Self>> {
        let mut problems = Problems::default();
        let settings = Self::read(variables, &mut problems);
        problems.into_result(Some(settings))
    }

    /// `None` if the bucket is not set.
    pub(super) fn read(variables: &Variables, problems: &mut Problems) -> Option<Self> {
        let bucket = variables.get(&RECORD_BUCKET);
        if let Some(bucket) = bucket.filter(|bucket| !is_bucket_name(bucket)) {
            let expected = "expected a bucket's name: 3 to 63 lower case letters, digits, dots and hyphens";
            problems.wrong(&RECORD_BUCKET, bucket, expected);
        }
        // `Settings::parse` reports what is wrong with these. Records and notices do without it.
        let ignored = &mut Problems::default();
        let variables = &ignored.refuse_secrets(variables);
        Some(Self {
            bucket: bucket?.to_owned(),
            notice_topic: notice_topic(variables, ignored),
            remote_host: server::host(variables, ignored).map(str::to_owned),
            location: server::location(variables, ignored).map(str::to_owned),
            collect_bucket: collect::bucket_if_set(variables, ignored).map(str::to_owned),
            collect_directory: collect::directory(variables, ignored).map(str::to_owned),
        })
    }
}

/// `NOTICE_TOPIC_ARN`.
pub(super) fn notice_topic(variables: &Variables, problems: &mut Problems) -> Option<String> {
    let topic = variables.get(&NOTICE_TOPIC_ARN)?;
    if !is_topic_arn(topic) {
        problems.wrong(&NOTICE_TOPIC_ARN, topic, "expected the ARN of an SNS topic that is no FIFO topic");
        return None;
    }
    Some(topic.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(variables: &[(&str, &str)]) -> Result<RecordSettings> {
        RecordSettings::parse(&variables.iter().copied().collect())
    }

    #[test]
    fn record_failure_needs_only_its_bucket() {
        let settings = parse(&[("RECORD_BUCKET", "failures")]).unwrap();
        assert_eq!(settings.bucket, "failures");
        assert!(parse(&[]).unwrap_err().message().contains("RECORD_BUCKET is not set"));
        assert_eq!(RecordSettings::parse_if_set(&Variables::default()), Ok(None));
    }

    #[test]
    fn where_records_go_is_checked() {
        let wrong = [("RECORD_BUCKET", "s3://failures")];
        for error in [
            parse(&wrong).unwrap_err(),
            RecordSettings::parse_if_set(&wrong.into_iter().collect()).unwrap_err(),
        ] {
            let words = "RECORD_BUCKET is \"s3://failures\": expected";
            assert!(error.message().contains(words), "{error}");
        }
    }

    #[test]
    fn what_is_wrong_elsewhere_is_recorded_and_not_repeated() {
        let settings = parse(&[
            ("RECORD_BUCKET", "failures"),
            ("LOG_LEVEL", "verbose"),
            ("SFTP_USER", "-----BEGIN OPENSSH PRIVATE KEY-----"),
            ("SFTP_HOST", "sftp://u:hunter2@h"),
            ("SFTP_LOCATION", "sftp://u:hunter2@h/in"),
            ("NOTICE_TOPIC_ARN", "failures"),
        ]);
        let settings = settings.unwrap();
        assert_eq!((settings.remote_host, settings.location, settings.notice_topic), (None, None, None));
        let settings = parse(&[("RECORD_BUCKET", "failures"), ("SFTP_HOST", "h"), ("SFTP_LOCATION", "in")]);
        let settings = settings.unwrap();
        assert_eq!((settings.remote_host.as_deref(), settings.location.as_deref()), (Some("h"), Some("in")));
        assert_eq!((settings.collect_bucket, settings.collect_directory), (None, None));
        let settings = parse(&[
            ("RECORD_BUCKET", "failures"),
            ("COLLECT_BUCKET", "inbox"),
            ("COLLECT_DIRECTORY", "/out/"),
        ]);
        let settings = settings.unwrap();
        assert_eq!(settings.collect_bucket.as_deref(), Some("inbox"));
        assert_eq!(settings.collect_directory.as_deref(), Some("/out"), "as looks call it");
    }
}

//! The settings of `record-failure`. They are parsed apart from the others, so that a wrong setting elsewhere is still
//! recorded.

use super::names::is_bucket_name;
use super::pasted::may_be_secret;
use super::problems::Problems;
use super::server;
use super::table::{FAILURE_BUCKET, FAILURE_PREFIX};
use super::variables::Variables;
use crate::error::Result;

/// Where failures are recorded, and what the records say about the partner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordSettings {
    /// `FAILURE_BUCKET`.
    pub bucket: String,
    /// `FAILURE_PREFIX`.
    pub prefix: String,
    /// The partner's server, for the record. `None` if it is not set or wrong.
    pub remote_host: Option<String>,
    /// The directory on it, for the record. `None` if it is not set or wrong.
    pub location: Option<String>,
}

impl RecordSettings {
    /// Parses the settings.
    ///
    /// # Errors
    /// `InvalidConfig` if the bucket is not set, or if the bucket or the prefix is wrong.
    pub fn parse(variables: &Variables) -> Result<Self> {
        let mut problems = Problems::default();
        let settings = Self::read(variables, &mut problems);
        if settings.is_none() {
            problems.add(&FAILURE_BUCKET, "is not set: set it to the bucket for failure records");
        }
        problems.into_result(settings)
    }

    /// Parses the settings if records are optional. `None` if the bucket is not set.
    ///
    /// # Errors
    /// `InvalidConfig` if the bucket or the prefix is wrong.
    pub fn parse_if_set(variables: &Variables) -> Result<Option<Self>> {
        let mut problems = Problems::default();
        let settings = Self::read(variables, &mut problems);
        problems.into_result(Some(settings))
    }

    /// `None` if the bucket is not set.
    pub(super) fn read(variables: &Variables, problems: &mut Problems) -> Option<Self> {
        let bucket = variables.get(&FAILURE_BUCKET);
        if let Some(bucket) = bucket.filter(|bucket| !is_bucket_name(bucket)) {
            let expected = "expected a bucket's name: 3 to 63 lower case letters, digits, dots and hyphens";
            problems.wrong(&FAILURE_BUCKET, bucket, expected);
        }
        let prefix = variables.get_or_default(&FAILURE_PREFIX);
        if !is_prefix(prefix) {
            let expected =
                "expected a prefix such as failures/: letters, digits and !_.()-, ending in a slash";
            problems.wrong(&FAILURE_PREFIX, prefix, expected);
        }
        // `Settings::parse` reports what is wrong with these two. The record leaves it out.
        let ignored = &mut Problems::default();
        let variables = &ignored.refuse_secrets(variables);
        Some(Self {
            bucket: bucket?.to_owned(),
            prefix: prefix.to_owned(),
            remote_host: server::host(variables, ignored).map(str::to_owned),
            location: server::location(variables, ignored).map(str::to_owned),
        })
    }
}

/// Whether this is a prefix that needs no quoting anywhere: it stands in IAM policies.
fn is_prefix(text: &str) -> bool {
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!_.()-".contains(&byte))
    };
    text.strip_suffix('/').is_some_and(|names| names.split('/').all(is_name)) && !may_be_secret(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(variables: &[(&str, &str)]) -> Result<RecordSettings> {
        RecordSettings::parse(&variables.iter().copied().collect())
    }

    #[test]
    fn record_failure_needs_only_its_bucket() {
        let settings = parse(&[("FAILURE_BUCKET", "failures")]).unwrap();
        assert_eq!(settings.prefix, "failures/");
        assert!(parse(&[]).unwrap_err().message().contains("FAILURE_BUCKET is not set"));
        assert_eq!(RecordSettings::parse_if_set(&Variables::default()), Ok(None));
    }

    #[test]
    fn where_records_go_is_checked() {
        let prefix = |prefix| parse(&[("FAILURE_BUCKET", "failures"), ("FAILURE_PREFIX", prefix)]);
        assert_eq!(prefix("a/(b)/c!_.-/").unwrap().prefix, "a/(b)/c!_.-/");
        for wrong in ["failures", "/", "/failures/", "a//b/", "a b/", "${x}/"] {
            let error = prefix(wrong).unwrap_err();
            assert!(
                error.message().starts_with(&format!("FAILURE_PREFIX is {wrong:?}: expected")),
                "{error}"
            );
        }
        let both = [("FAILURE_BUCKET", "s3://failures"), ("FAILURE_PREFIX", "x")];
        for error in [
            parse(&both).unwrap_err(),
            RecordSettings::parse_if_set(&both.into_iter().collect()).unwrap_err(),
        ] {
            for words in
                ["FAILURE_BUCKET is \"s3://failures\": expected", "FAILURE_PREFIX is \"x\": expected"]
            {
                assert!(error.message().contains(words), "{error}");
            }
        }
    }

    #[test]
    fn what_is_wrong_elsewhere_is_recorded_and_not_repeated() {
        let settings = parse(&[
            ("FAILURE_BUCKET", "failures"),
            ("LOG_LEVEL", "verbose"),
            ("SFTP_USER", "-----BEGIN OPENSSH PRIVATE KEY-----"),
            ("SFTP_HOST", "sftp://u:hunter2@h"),
            ("SFTP_LOCATION", "sftp://u:hunter2@h/in"),
        ]);
        let settings = settings.unwrap();
        assert_eq!((settings.remote_host, settings.location), (None, None));
        let settings = parse(&[("FAILURE_BUCKET", "failures"), ("SFTP_HOST", "h"), ("SFTP_LOCATION", "in")]);
        let settings = settings.unwrap();
        assert_eq!((settings.remote_host.as_deref(), settings.location.as_deref()), (Some("h"), Some("in")));
    }
}

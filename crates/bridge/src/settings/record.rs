//! The settings of `record-failure`: apart, so that a wrong setting of the others is still recorded.

use super::credential::is_bucket;
use super::pasted::may_be_secret;
use super::{Problems, Variables, server};
use crate::Result;

/// Where failures are recorded, and what their records say of the partner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordSettings {
    /// `FAILURE_BUCKET`.
    pub bucket: String,
    /// `FAILURE_PREFIX`.
    pub prefix: String,
    /// The partner's server, for the record; `None` where it is not set, or wrong.
    pub remote_host: Option<String>,
    /// The directory on it, for the record; `None` where it is not set, or wrong.
    pub location: Option<String>,
}

impl RecordSettings {
    /// Parses them.
    ///
    /// # Errors
    /// `InvalidConfig` if the bucket is not set, or it or the prefix is wrong.
    pub fn parse(variables: &Variables) -> Result<Self> {
        let mut problems = Problems::default();
        let settings = Self::read(variables, &mut problems);
        if settings.is_none() {
            problems.add("FAILURE_BUCKET", "is not set: the bucket for failure records");
        }
        problems.unless_any(settings)
    }

    /// The same where there need not be records: `None` if the bucket is not set.
    ///
    /// # Errors
    /// `InvalidConfig` if the bucket or the prefix is wrong.
    pub fn parse_if_set(variables: &Variables) -> Result<Option<Self>> {
        let mut problems = Problems::default();
        let settings = Self::read(variables, &mut problems);
        problems.unless_any(Some(settings))
    }

    /// `None` if the bucket is not set.
    pub(super) fn read(variables: &Variables, problems: &mut Problems) -> Option<Self> {
        let (bucket, prefix) = (variables.get("FAILURE_BUCKET"), variables.get("FAILURE_PREFIX"));
        if let Some(bucket) = bucket.filter(|bucket| !is_bucket(bucket)) {
            let expected = "expected a bucket's name, 3 to 63 lower case letters, digits, dots and hyphens";
            problems.wrong("FAILURE_BUCKET", bucket, expected);
        }
        if let Some(prefix) = prefix.filter(|prefix| !is_prefix(prefix)) {
            let expected =
                "expected a prefix such as failures/, of letters, digits and !_.()-, ending in a slash";
            problems.wrong("FAILURE_PREFIX", prefix, expected);
        }
        // What is wrong with the others is theirs to say; the record does not repeat it.
        let others = &mut Problems::default();
        let variables = &variables.without_secrets(others);
        Some(Self {
            bucket: bucket?.to_owned(),
            prefix: prefix.unwrap_or("failures/").to_owned(),
            remote_host: server::host(variables, others).map(str::to_owned),
            location: server::location(variables, others).map(str::to_owned),
        })
    }
}

/// One that needs no quoting anywhere: the stack grants it to a role.
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

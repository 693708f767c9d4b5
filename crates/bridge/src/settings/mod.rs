//! The settings, parsed from environment variables once. All problems are reported at once.

mod after_delivery;
mod attributes;
mod collect;
mod credential;
mod log_level;
mod login;
mod marker;
mod names;
mod overlap;
mod pasted;
mod policy;
mod problems;
mod proof;
mod read;
mod record;
mod server;
mod table;
mod variables;

use std::time::Duration;

use crate::error::Result;
use problems::Problems;
use read::number;
use table::{LOG_LEVEL, SFTP_KEEP_CONNECTION, SFTP_MAX_CONNECTIONS, SFTP_PORT, SFTP_TRUSTED_HOST_KEYS};
use terms::TrustedHostKeys;

pub use after_delivery::AfterDelivery;
pub use attributes::{AttributeSettings, Demand, Mode};
pub use collect::{CollectIfExists, CollectSettings};
pub use credential::CredentialLocation;
pub use log_level::LogLevel;
pub use login::LoginSettings;
pub use marker::Marker;
pub use pasted::{is_secret, may_be_secret};
pub use policy::{DeliveryPolicy, IfExists, Publish, other_partial_names};
pub use proof::ProofPolicy;
pub use record::RecordSettings;
pub use table::{Need, SETTINGS, Setting, Stack, Values};
pub use variables::Variables;

/// The settings of `fetch-key`, `transfer` and `verify-remote`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `SFTP_HOST`.
    pub host: String,
    /// `SFTP_PORT`.
    pub port: u16,
    /// `SFTP_USER`.
    pub user: Option<String>,
    /// `SFTP_LOCATION`.
    pub location: String,
    /// `SFTP_SECRET_ID` or `SFTP_S3_SSH_KEY`.
    pub credential: CredentialLocation,
    /// `SFTP_TRUSTED_HOST_KEYS`.
    pub trusted_host_keys: TrustedHostKeys,
    /// `SFTP_AUTHENTICATION`, `SFTP_ALGORITHMS`, `SFTP_CONNECT_TIMEOUT`, `SFTP_LOGIN_TIMEOUT`.
    pub login: LoginSettings,
    /// `SFTP_PROOF`.
    pub proof: ProofPolicy,
    /// `SFTP_MARKER`.
    pub marker: Marker,
    /// `SFTP_FILE_MODE`, `SFTP_DIR_MODE`, `SFTP_PRESERVE_MTIME`, `SFTP_FSYNC`.
    pub attributes: AttributeSettings,
    /// `S3_AFTER_DELIVERY`, `S3_MOVE_PREFIX`.
    pub after_delivery: AfterDelivery,
    /// What is delivered, to which path, and what happens to a file that is already there.
    pub policy: DeliveryPolicy,
    /// `SFTP_MAX_CONNECTIONS`.
    pub max_connections: usize,
    /// `SFTP_KEEP_CONNECTION`.
    pub keep_connection: Duration,
    /// `RECORD_BUCKET`.
    pub record_bucket: Option<String>,
}

impl Settings {
    /// Parses all settings.
    ///
    /// # Errors
    /// `InvalidConfig` with one clause for each setting that is missing or wrong.
    pub fn parse(variables: &Variables) -> Result<Self> {
        let mut problems = Problems::default();
        let settings = Self::read(variables, &mut problems);
        problems.into_result(settings)
    }

    /// The reason why this object is not delivered, if there is one.
    pub fn skips(&self, bucket: &str, object_key: &str, size: u64) -> Option<String> {
        let policy = &self.policy;
        if let Some(reason) = policy.passes_over(object_key) {
            return Some(reason);
        }
        let reason = if size == 0 && object_key.ends_with('/') {
            "a folder marker: the key ends in `/` and the object is empty"
        } else if size == 0 && policy.skip_empty {
            "the object is empty, and SFTP_SKIP_EMPTY is true"
        } else if self.credential.is_object(bucket, object_key) {
            "this object is the bridge's own private key; it is never delivered"
        } else {
            return None;
        };
        Some(reason.to_owned())
    }

    fn read(variables: &Variables, problems: &mut Problems) -> Option<Self> {
        let variables = &problems.refuse_secrets(variables);
        let host = server::host(variables, problems);
        let port = number(variables, problems, &SFTP_PORT) as u16;
        let user = server::user(variables, problems).map(str::to_owned);
        let location = server::location(variables, problems).unwrap_or_default().to_owned();
        let credential = CredentialLocation::parse(variables, problems);
        let trusted_host_keys = trusted_host_keys(variables, problems);
        let login = LoginSettings::parse(variables, problems);
        let proof = ProofPolicy::parse(variables, problems);
        let marker = Marker::parse(variables, problems);
        let attributes = AttributeSettings::parse(variables, problems);
        let after_delivery = AfterDelivery::parse(variables, problems);
        let policy = DeliveryPolicy::parse(variables, problems);
        let max_connections = number(variables, problems, &SFTP_MAX_CONNECTIONS) as usize;
        let keep_connection = number(variables, problems, &SFTP_KEEP_CONNECTION);
        let records = RecordSettings::read(variables, problems);
        // These are not needed here, but everything that is wrong is to be reported.
        record::notice_topic(variables, problems);
        if CollectSettings::is_wanted(variables) {
            CollectSettings::read(variables, problems);
        }
        if let Err(problem) = LogLevel::of(variables) {
            problems.wrong(&LOG_LEVEL, variables.get_or_default(&LOG_LEVEL), &problem);
        }
        Some(Self {
            host: host?.to_owned(),
            port,
            user,
            location,
            credential: credential?,
            trusted_host_keys: trusted_host_keys?,
            login,
            proof,
            marker,
            attributes,
            after_delivery,
            policy: policy?,
            max_connections,
            keep_connection: Duration::from_secs(keep_connection.into()),
            record_bucket: records.map(|records| records.bucket),
        })
    }
}

/// Problems do not repeat the value: a private key that was pasted here looks like a public one.
fn trusted_host_keys(variables: &Variables, problems: &mut Problems) -> Option<TrustedHostKeys> {
    let Some(text) = variables.get(&SFTP_TRUSTED_HOST_KEYS) else {
        let problem =
            "is not set: set it to the host keys of the partner's server; the check cannot be turned off";
        problems.add(&SFTP_TRUSTED_HOST_KEYS, problem);
        return None;
    };
    TrustedHostKeys::parse(text).map_err(|problem| problems.add(&SFTP_TRUSTED_HOST_KEYS, &problem)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorName;

    const HOST_KEY: &str = "SHA256:UCUiLr7Pjs9wFFJMDByLgc3NrtdU344OgUM45wZPcIQ";

    const LEAST: [(&str, &str); 3] = [
        ("SFTP_HOST", "sftp.example.com"),
        ("SFTP_SECRET_ID", "partner"),
        ("SFTP_TRUSTED_HOST_KEYS", HOST_KEY),
    ];

    /// What collecting needs, apart from deliveries.
    const COLLECTING: [(&str, &str); 3] =
        [("SFTP_LOCATION", "in"), ("COLLECT_BUCKET", "collected"), ("COLLECT_DIRECTORY", "out")];

    fn parse(more: &[(&str, &str)]) -> Result<Settings> {
        Settings::parse(&LEAST.iter().chain(more).copied().collect())
    }

    /// With what the setting needs to mean anything.
    fn variables_for(setting: &Setting, more: &[(&str, &str)]) -> Variables {
        let collecting: &[_] = if setting.is_of_collecting() { &COLLECTING } else { &[] };
        LEAST.iter().chain(collecting).chain(more).copied().collect()
    }

    #[test]
    fn the_least_and_its_defaults() {
        let settings = parse(&[]).unwrap();
        assert_eq!((settings.port, settings.location.as_str(), settings.proof), (22, "", ProofPolicy::Auto));
        assert_eq!(parse(&[("SFTP_PORT", " 2222 "), ("SFTP_USER", "")]).unwrap().port, 2222);
    }

    #[test]
    fn what_is_not_delivered_has_a_reason() {
        let more = [("S3_EXCLUDE", "*.tmp"), ("SFTP_SKIP_EMPTY", "true"), ("SFTP_SECRET_ID", "")];
        let settings = parse(&[&more[..], &[("SFTP_S3_SSH_KEY", "acme/keys/id")]].concat()).unwrap();
        let reason = |key, size| settings.skips("acme", key, size).unwrap_or_default();
        for (key, size, words) in [
            ("a.tmp", 1, "S3_EXCLUDE"),
            ("in/", 0, "folder marker"),
            ("a.csv", 0, "SFTP_SKIP_EMPTY"),
            ("keys/id", 1, "private key"),
        ] {
            assert!(reason(key, size).contains(words), "{key}: {}", reason(key, size));
        }
        assert_eq!((reason("in/", 1), reason("a.csv", 1)), (String::new(), String::new()));
        assert_eq!(settings.skips("other", "keys/id", 1), None);
        assert_eq!(parse(&[]).unwrap().skips("b", "a.csv", 0), None);
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let variables = [("SFTP_PORT", "0"), ("SFTP_PROOF", "maybe"), ("SFTP_TRUSTED_HOST_KEYS", "any")];
        let error = Settings::parse(&variables.into_iter().collect()).unwrap_err();
        assert_eq!(error.name, ErrorName::InvalidConfig);
        for name in [
            "SFTP_HOST",
            "SFTP_PORT",
            "SFTP_PROOF",
            "SFTP_TRUSTED_HOST_KEYS",
            "SFTP_SECRET_ID",
            "SFTP_S3_SSH_KEY",
        ] {
            assert!(error.message().contains(name), "{name}: {error}");
        }
    }

    /// A wrong value for each setting, whether it is shown, and what is said to be allowed.
    const WRONG: [(&str, &str, bool, &str); SETTINGS.len()] = [
        ("SFTP_HOST", "sftp://h:22/in", true, "a name or an address"),
        ("SFTP_PORT", "70000", true, "a number from 1 to 65535"),
        ("SFTP_USER", "a\tb", true, "without control characters"),
        ("SFTP_LOCATION", "../in", true, "a directory such as incoming"),
        ("SFTP_SECRET_ID", "hunter#2", false, "a secret's name"),
        ("SFTP_S3_SSH_KEY", "hunter#3", false, "bucket/path/to/key"),
        ("SFTP_TRUSTED_HOST_KEYS", "hunter#4", false, "`SHA256:...`"),
        ("SFTP_AUTHENTICATION", "hostbased", true, "publickey, password, keyboard-interactive"),
        ("SFTP_ALGORITHMS", "modern,-aes*,-chacha*", true, "at least one of aes128-gcm@openssh.com"),
        ("SFTP_CONNECT_TIMEOUT", "0", true, "a number from 1 to 300"),
        ("SFTP_LOGIN_TIMEOUT", "1m", true, "a number from 1 to 300"),
        ("SFTP_PROOF", "md5", true, "auto, hash, read-back, size or none"),
        ("SFTP_MARKER", "sha1", true, "none, done, sha256 or md5"),
        ("SFTP_FILE_MODE", "0440", true, "includes 0600, such as 0640"),
        ("SFTP_DIR_MODE", "rwx", true, "off, an octal mode such as 0750, require:0750 or try:0750"),
        ("SFTP_PRESERVE_MTIME", "yes", true, "off, try or require"),
        ("SFTP_FSYNC", "yes", true, "off, try or require"),
        ("SFTP_MAX_CONNECTIONS", "many", true, "a number from 1 to 16"),
        ("SFTP_KEEP_CONNECTION", "-1", true, "a number from 0 to 600"),
        ("S3_AFTER_DELIVERY", "burn", true, "keep, tag, delete or move"),
        ("S3_MOVE_PREFIX", "a\nb", true, "the beginning of object keys"),
        ("S3_KEY_PREFIX", "a\u{1b}b", true, "the beginning of object keys"),
        ("S3_INCLUDE", "*.csv\n*.txt", true, "separated by commas"),
        ("S3_EXCLUDE", "*.tmp,a\tb", true, "separated by commas"),
        ("SFTP_SKIP_EMPTY", "1", true, "false or true"),
        ("SFTP_REMOTE_PATH", "in/{key", true, "{key}, {dir}, {name}"),
        ("SFTP_STRIP_PREFIX", "a\0b", true, "the beginning of object keys"),
        ("SFTP_IF_EXISTS", "overwrite", true, "replace, skip, fail or keep-both"),
        ("SFTP_PUBLISH", "move", true, "rename or direct"),
        ("SFTP_PARTIAL_NAME", "{name}.tmp", true, "{id} exactly once"),
        ("SFTP_STAGING_DIRECTORY", "stage//in", true, "a directory below SFTP_LOCATION"),
        ("SFTP_CREATE_DIRECTORIES", "no", true, "true or false"),
        ("COLLECT_BUCKET", "s3://collected", true, "3 to 63 lower case letters"),
        ("COLLECT_DIRECTORY", "out/../in", true, "a directory such as outgoing"),
        ("COLLECT_ONLY", "1", true, "false or true"),
        ("COLLECT_INCLUDE", "*.csv\n*.txt", true, "separated by commas"),
        ("COLLECT_EXCLUDE", "*.tmp,a\tb", true, "separated by commas"),
        ("COLLECT_RECURSIVE", "yes", true, "false or true"),
        ("COLLECT_SETTLE_SECONDS", "1m", true, "a number from 0 to 86400"),
        ("COLLECT_MARKER", "done", true, "a name with {name} in it"),
        ("COLLECT_OBJECT_KEY", "in/{key}", true, "{path}, {dir}, {name}"),
        ("COLLECT_IF_EXISTS", "keep", true, "replace, skip, fail or keep-both"),
        ("COLLECT_AFTERWARDS", "move", true, "archive, delete or leave"),
        ("COLLECT_ARCHIVE_DIRECTORY", "../old", true, "a directory below COLLECT_DIRECTORY"),
        ("COLLECT_ARCHIVE_DAYS", "3651", true, "a number from 0 to 3650"),
        ("COLLECT_EMPTY", "false", true, "collect or skip"),
        ("COLLECT_NEWEST_ONLY", "1", true, "false or true"),
        ("COLLECT_MAX_FILES", "0", true, "a number from 1 to 10000"),
        ("COLLECT_MARK_SYNCHED", "on", true, "false or true"),
        ("RECORD_BUCKET", "s3://failures", true, "3 to 63 lower case letters"),
        ("NOTICE_TOPIC_ARN", "arn:aws:sqs:x:1:q", true, "the ARN of an SNS topic"),
        ("LOG_LEVEL", "verbose", true, "error, warn, info, debug or trace"),
    ];

    #[test]
    fn every_setting_that_is_wrong_is_named_with_its_value_and_what_is_allowed() {
        let all = WRONG.map(|(name, value, ..)| (name, value));
        let all = Settings::parse(&all.into_iter().collect()).unwrap_err();
        assert_eq!(all.name, ErrorName::InvalidConfig);
        for setting in SETTINGS {
            let (name, value, is_shown, allowed) =
                WRONG.into_iter().find(|row| row.0 == setting.name).unwrap();
            // With one of the two that are wrong, the other one is not needed.
            let secret = ("SFTP_SECRET_ID", if name == "SFTP_S3_SSH_KEY" { "" } else { "partner" });
            let alone = Settings::parse(&variables_for(setting, &[secret, (name, value)]));
            let alone = alone.expect_err(name).message().to_owned();
            assert!(all.message().contains(&alone), "{alone}\n{all}");
            assert!(
                alone.starts_with(name) && alone.contains("expected") && alone.contains(allowed),
                "{alone}"
            );
            assert_eq!(alone.contains(&format!("{name} is {value:?}: ")), is_shown, "{alone}");
            assert_eq!(alone.contains(value) || alone.contains(&format!("{value:?}")), is_shown, "{alone}");
        }
    }

    /// The settings whose values are shown.
    fn shown() -> impl Iterator<Item = &'static str> {
        SETTINGS.iter().filter(|setting| !setting.is_never_shown()).map(|setting| setting.name)
    }

    #[test]
    fn a_secret_is_not_shown_wherever_it_was_pasted() {
        let line = "QyNTUxOQAAACDx4sXI+IDHwCIhNAMfHTZUxqU2vjKi2ntNZupiEE0CFwAAAJhhunter";
        for secret in [
            "-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2\n-----END OPENSSH PRIVATE KEY-----",
            r#"{"Username":"u","Password":"hunter2"}"#,
            "sftp://u:hunter2@h/in",
        ] {
            for name in shown() {
                let error = parse(&[(name, secret)]).expect_err(name);
                let expected = format!(
                    "{name} is not shown, because it may be a secret, which does not belong there; expected: "
                );
                let expected = if name == "SFTP_HOST" { name.to_owned() } else { expected };
                assert!(error.message().starts_with(&expected), "{error}");
                assert!(!format!("{error:?}").contains("hunter"), "{error:?}");
            }
        }
        // What looks like a line of a key may also be a directory or a pattern.
        for name in shown() {
            if let Err(error) = parse(&[(name, line)]) {
                assert!(error.message().starts_with(name) && !error.message().contains("hunter"), "{error}");
            }
        }
        let variables: Variables = [("SFTP_USER", "hunter2"), ("OTHER", "hunter2")].into_iter().collect();
        assert_eq!(format!("{variables:?}"), r#"{"OTHER", "SFTP_USER"}"#);
    }

    #[test]
    fn every_allowed_word_means_something_else() {
        for setting in SETTINGS {
            let Values::Choice(words) = setting.values else { continue };
            let others = match setting.name {
                // It needs this.
                "COLLECT_NEWEST_ONLY" => ("COLLECT_AFTERWARDS", "leave"),
                _ => ("S3_MOVE_PREFIX", "moved/"),
            };
            let parsed = |word: &str| {
                let variables = variables_for(setting, &[(setting.name, word), others]);
                let collecting = setting.is_of_collecting();
                let collect = collecting.then(|| CollectSettings::parse(&variables).unwrap());
                (Settings::parse(&variables).unwrap(), collect)
            };
            for (index, word) in words.iter().enumerate() {
                for other in &words[..index] {
                    assert_ne!(parsed(word), parsed(other), "{}: {word}, {other}", setting.name);
                }
            }
            assert_eq!(parsed(""), parsed(setting.default.unwrap()), "{}", setting.name);
        }
    }

    #[test]
    fn a_range_includes_its_ends() {
        for setting in SETTINGS {
            let Values::Number { minimum, maximum } = setting.values else { continue };
            let parse = |number: u32| {
                Settings::parse(&variables_for(setting, &[(setting.name, &number.to_string())]))
            };
            for number in [minimum, maximum] {
                assert!(parse(number).is_ok(), "{}: {number}", setting.name);
            }
            assert!(parse(maximum + 1).is_err(), "{}", setting.name);
        }
    }
}

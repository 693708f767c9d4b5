//! The settings, from environment variables, parsed once; everything that is wrong is said at once.

mod after_delivery;
mod attributes;
mod credential;
mod login;
mod marker;
mod policy;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::{ErrorName, Result, TrustedHostKeys};

pub use after_delivery::AfterDelivery;
pub use attributes::{AttributeSettings, Demand, Mode};
pub use credential::CredentialLocation;
pub use login::{LoginSettings, Method, Methods};
pub use marker::Marker;
pub use policy::{DeliveryPolicy, IfExists, Publish};

/// One row of the table of settings in the README.
pub struct Setting {
    /// The environment variable.
    pub name: &'static str,
    /// What holds if it is not set; `None`: it is required, or optional without a default.
    pub default: Option<&'static str>,
    /// What it is.
    pub description: &'static str,
}

/// Every setting; the README shows the same table, held together by a test.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "SFTP_HOST",
        default: None,
        description: "Required. The partner's server: a name or an address.",
    },
    Setting { name: "SFTP_PORT", default: Some("22"), description: "Its port." },
    Setting {
        name: "SFTP_USER",
        default: None,
        description: "The user to log in as. May come from the secret's `Username` instead; if both are there, this one is used.",
    },
    Setting {
        name: "SFTP_LOCATION",
        default: Some(""),
        description: "The directory on the server under which files are put; missing directories are made. Empty: the directory the server logs us into.",
    },
    Setting {
        name: "SFTP_SECRET_ID",
        default: None,
        description: "This or `SFTP_S3_SSH_KEY` is required. Name or ARN of the Secrets Manager secret: JSON with `Username`, `PrivateKey`, `Passphrase`, `Password` as AWS Transfer Family writes it, and `Certificate` (OpenSSH's), or a bare private key.",
    },
    Setting {
        name: "SFTP_S3_SSH_KEY",
        default: None,
        description: "The predecessor's way: `bucket/path/to/key` of a private key in S3.",
    },
    Setting {
        name: "SFTP_TRUSTED_HOST_KEYS",
        default: None,
        description: "Required. The server's host keys, separated by newlines or commas: `ssh-ed25519 AAAA…`, with or without a comment or a host name before it, or `SHA256:…`; behind `@cert-authority`, the key of an authority that signs host keys.",
    },
    Setting {
        name: "SFTP_AUTHENTICATION",
        default: None,
        description: "The permitted ways to log in, in the order to try: `publickey`, `password`, `keyboard-interactive`, separated by commas. Not set: what the credential has, in this order. At most two are tried.",
    },
    Setting {
        name: "SFTP_ALGORITHMS",
        default: Some("modern"),
        description: "`modern`, or `legacy` for old servers; behind it single changes as OpenSSH writes them: `modern,+aes256-cbc,-ecdh-*,^aes256-ctr`.",
    },
    Setting {
        name: "SFTP_PROOF",
        default: Some("auto"),
        description: "How the contents are proved before publishing: `auto` (the best that the server allows), `hash` (by the server), `read-back`, `size`, `none`. A demanded proof that the server refuses is an error.",
    },
    Setting {
        name: "SFTP_MARKER",
        default: Some("none"),
        description: "What is published beside a file, after it: `none`, `done` (`{name}.done`, empty), `sha256` or `md5` (`{name}.sha256`, `{name}.md5`, as `sha256sum` and `md5sum` write them).",
    },
    Setting {
        name: "SFTP_FILE_MODE",
        default: Some("off"),
        description: "The mode that files are published with: `0640` has to be, or nothing is published; `try:0640` is a warning in the receipt where the server refuses; `off` leaves it to the server.",
    },
    Setting {
        name: "SFTP_DIR_MODE",
        default: Some("off"),
        description: "The mode of the directories that the bridge makes: `0750`, `try:0750` or `off`, as above.",
    },
    Setting {
        name: "SFTP_PRESERVE_MTIME",
        default: Some("off"),
        description: "Whether files have the time at which S3 stored the object: `off`, `try` (a warning in the receipt where the server refuses), `require` (nothing is published).",
    },
    Setting {
        name: "SFTP_MAX_CONNECTIONS",
        default: Some("1"),
        description: "How many connections one file may use, 1 to 16; only large files use more than one. The partner sees up to this many from each transfer at once.",
    },
    Setting {
        name: "SFTP_KEEP_CONNECTION",
        default: Some("30"),
        description: "Seconds for which an unused connection is kept for the next file, 0 to 600. 0 for a partner that allows a single connection: a kept one would keep the next step out.",
    },
    Setting {
        name: "S3_AFTER_DELIVERY",
        default: Some("keep"),
        description: "What becomes of the delivered version, after publishing: `keep`, `tag` (`delivered-at`, `execution`), `delete`, `move` (below `S3_MOVE_PREFIX`). If it fails, the receipt has a warning.",
    },
    Setting {
        name: "S3_MOVE_PREFIX",
        default: None,
        description: "Required by `S3_AFTER_DELIVERY=move`. What is put before the object's key, in the same bucket.",
    },
    Setting {
        name: "S3_KEY_PREFIX",
        default: None,
        description: "The rule's prefix, as the stack sets it: an `S3_MOVE_PREFIX` whose objects would start the bridge again is refused.",
    },
    Setting {
        name: "S3_INCLUDE",
        default: None,
        description: "Only objects whose key matches one of these patterns are delivered, separated by commas: `*` and `?` within a component, `**` across, as in `**/*.csv`. Matched against the whole key. Empty: all.",
    },
    Setting {
        name: "S3_EXCLUDE",
        default: None,
        description: "Objects whose key matches one of these patterns are not delivered, whatever `S3_INCLUDE` says.",
    },
    Setting {
        name: "SFTP_SKIP_EMPTY",
        default: Some("false"),
        description: "`true`: empty objects are not delivered.",
    },
    Setting {
        name: "SFTP_REMOTE_PATH",
        default: Some("{key}"),
        description: "The path below `SFTP_LOCATION`, made of `{key}`, `{dir}`, `{name}`, `{stem}`, `{ext}`, `{bucket}` and `{date:%Y%m%d}` (the event's, in UTC).",
    },
    Setting {
        name: "SFTP_STRIP_PREFIX",
        default: None,
        description: "Taken off the beginning of the key before a path is made of it. A key that does not begin with it is refused.",
    },
    Setting {
        name: "SFTP_IF_EXISTS",
        default: Some("replace"),
        description: "What happens to a file of the final name: `replace`; `skip` (left as it is if it has the same contents, else replaced); `fail`; `keep-both` (it stays, and the new one becomes `name.1.ext`).",
    },
    Setting {
        name: "SFTP_PUBLISH",
        default: Some("rename"),
        description: "`rename`: a partial file is proved, then renamed to the final name. `direct`, for servers that cannot rename: the final name is written to, and readers may see a part.",
    },
    Setting {
        name: "SFTP_PARTIAL_NAME",
        default: Some(".{name}.{id}.partial"),
        description: "The name of a partial file, of `{name}` and `{id}`.",
    },
    Setting {
        name: "SFTP_STAGING_DIRECTORY",
        default: None,
        description: "Where partial files lie, below `SFTP_LOCATION` or, with a leading `/`, anywhere on the same file system. Empty: beside the final name.",
    },
    Setting {
        name: "SFTP_CREATE_DIRECTORIES",
        default: Some("true"),
        description: "`false`: a missing directory is an error.",
    },
    Setting {
        name: "FAILURE_BUCKET",
        default: None,
        description: "Required by `record-failure`. The bucket for failure records; the stack makes it.",
    },
    Setting {
        name: "FAILURE_PREFIX",
        default: Some("failures/"),
        description: "Used by `record-failure`. The prefix of the records' keys.",
    },
    Setting {
        name: "LOG_LEVEL",
        default: Some("info"),
        description: "`error`, `warn`, `info`, `debug` or `trace`.",
    },
];

/// Variables by name: the environment of the process, or a test's.
#[derive(Clone, Debug, Default)]
pub struct Variables(BTreeMap<String, String>);

impl Variables {
    /// The variables of this process. One that is not UTF-8 counts as not set.
    pub fn from_environment() -> Self {
        Self(
            std::env::vars_os()
                .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
                .collect(),
        )
    }

    /// The same variables but for this one; an empty value takes it away.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.0.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The settings that are set, as `parse` sees them, in the order of [`SETTINGS`].
    pub fn set(&self) -> Vec<(&'static str, &str)> {
        SETTINGS.iter().filter_map(|setting| Some((setting.name, self.get(setting.name)?))).collect()
    }

    /// A variable, trimmed; an empty one counts as not set, because templates cannot leave one out.
    fn get(&self, name: &'static str) -> Option<&str> {
        debug_assert!(SETTINGS.iter().any(|setting| setting.name == name), "{name} is not in SETTINGS");
        self.0.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Variables {
    fn from_iter<T: IntoIterator<Item = (K, V)>>(variables: T) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// `SFTP_PROOF`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProofPolicy {
    /// Server hash, else read back, else size, else unverified.
    Auto,
    /// The server hashes the file.
    Hash,
    /// The file is read back.
    ReadBack,
    /// The size alone.
    Size,
    /// Nothing.
    None,
}

impl ProofPolicy {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "auto" => Some(Self::Auto),
            "hash" => Some(Self::Hash),
            "read-back" => Some(Self::ReadBack),
            "size" => Some(Self::Size),
            "none" => Some(Self::None),
            _ => None,
        }
    }
}

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
    /// `SFTP_AUTHENTICATION`, `SFTP_ALGORITHMS`.
    pub login: LoginSettings,
    /// `SFTP_PROOF`.
    pub proof: ProofPolicy,
    /// `SFTP_MARKER`.
    pub marker: Marker,
    /// `SFTP_FILE_MODE`, `SFTP_DIR_MODE`, `SFTP_PRESERVE_MTIME`.
    pub attributes: AttributeSettings,
    /// `S3_AFTER_DELIVERY`, `S3_MOVE_PREFIX`.
    pub after_delivery: AfterDelivery,
    /// What is delivered, where to, and what happens to what is there.
    pub policy: DeliveryPolicy,
    /// `SFTP_MAX_CONNECTIONS`.
    pub max_connections: usize,
    /// `SFTP_KEEP_CONNECTION`.
    pub keep_connection: Duration,
}

impl Settings {
    /// Parses all of them.
    ///
    /// # Errors
    /// `InvalidConfig` with one clause for each setting that is missing or wrong.
    pub fn parse(variables: &Variables) -> Result<Self> {
        let mut problems = Problems::default();
        let host = variables.get("SFTP_HOST").unwrap_or_else(|| {
            problems.add("SFTP_HOST", "is not set: the partner's server, a name or an address");
            ""
        });
        if host.contains(|c: char| c.is_whitespace() || matches!(c, '/' | '@')) {
            problems.add(
                "SFTP_HOST",
                &format!("is {host:?}: expected a name or an address alone, without scheme, user or path"),
            );
        }
        let port = number(variables, &mut problems, "SFTP_PORT", "22", 1..=65535);
        let credential = CredentialLocation::parse(variables, &mut problems);
        let trusted_host_keys = match variables.get("SFTP_TRUSTED_HOST_KEYS") {
            Some(text) => TrustedHostKeys::parse(text)
                .map_err(|problem| problems.add("SFTP_TRUSTED_HOST_KEYS", &problem)),
            None => {
                problems.add(
                    "SFTP_TRUSTED_HOST_KEYS",
                    "is not set: the host keys of the partner's server; the check cannot be turned off",
                );
                Err(())
            }
        };
        let login = LoginSettings::parse(variables, &mut problems);
        let proof = variables.get("SFTP_PROOF").unwrap_or("auto");
        let proof = ProofPolicy::parse(proof).unwrap_or_else(|| {
            problems
                .add("SFTP_PROOF", &format!("is {proof:?}: expected auto, hash, read-back, size or none"));
            ProofPolicy::Auto
        });
        let marker = Marker::parse(variables, &mut problems);
        let attributes = AttributeSettings::parse(variables, &mut problems);
        let after_delivery = AfterDelivery::parse(variables, &mut problems);
        let policy = DeliveryPolicy::parse(variables, &mut problems);
        let max_connections = number(variables, &mut problems, "SFTP_MAX_CONNECTIONS", "1", 1..=16);
        let keep_connection = number(variables, &mut problems, "SFTP_KEEP_CONNECTION", "30", 0..=600);
        match (problems.into_error(), credential, trusted_host_keys, policy) {
            (None, Some(credential), Ok(trusted_host_keys), Some(policy)) => Ok(Self {
                host: host.to_owned(),
                port: port as u16,
                user: variables.get("SFTP_USER").map(str::to_owned),
                location: variables.get("SFTP_LOCATION").unwrap_or_default().to_owned(),
                credential,
                trusted_host_keys,
                login,
                proof,
                marker,
                attributes,
                after_delivery,
                policy,
                max_connections: max_connections as usize,
                keep_connection: Duration::from_secs(keep_connection.into()),
            }),
            (error, _, _, _) => {
                Err(error
                    .unwrap_or_else(|| ErrorName::Internal.error("a setting is wrong and none was named")))
            }
        }
    }
}

fn number(
    variables: &Variables,
    problems: &mut Problems,
    name: &'static str,
    default: &str,
    range: RangeInclusive<u32>,
) -> u32 {
    let text = variables.get(name).unwrap_or(default);
    text.parse().ok().filter(|number| range.contains(number)).unwrap_or_else(|| {
        let (first, last) = (range.start(), range.end());
        problems.add(name, &format!("is {text:?}: expected a number from {first} to {last}"));
        *first
    })
}

/// The settings of `record-failure`: apart, so that a wrong setting of the others is still recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordSettings {
    /// `FAILURE_BUCKET`.
    pub bucket: String,
    /// `FAILURE_PREFIX`.
    pub prefix: String,
    /// The partner's server as it is set, for the record.
    pub remote_host: Option<String>,
    /// The directory on it as it is set, for the record.
    pub location: Option<String>,
}

impl RecordSettings {
    /// Parses them.
    ///
    /// # Errors
    /// `InvalidConfig` if the bucket is not set.
    pub fn parse(variables: &Variables) -> Result<Self> {
        let mut problems = Problems::default();
        let bucket = variables.get("FAILURE_BUCKET").map(str::to_owned).unwrap_or_else(|| {
            problems.add("FAILURE_BUCKET", "is not set: the bucket for failure records");
            String::new()
        });
        match problems.into_error() {
            Some(error) => Err(error),
            None => Ok(Self {
                bucket,
                prefix: variables.get("FAILURE_PREFIX").unwrap_or("failures/").to_owned(),
                remote_host: variables.get("SFTP_HOST").map(str::to_owned),
                location: variables.get("SFTP_LOCATION").map(str::to_owned),
            }),
        }
    }
}

#[derive(Default)]
struct Problems(Vec<String>);

impl Problems {
    fn add(&mut self, name: &str, problem: &str) {
        self.0.push(format!("{name} {problem}"));
    }

    fn into_error(self) -> Option<crate::Error> {
        (!self.0.is_empty()).then(|| ErrorName::InvalidConfig.error(self.0.join("; ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST_KEY: &str = "SHA256:UCUiLr7Pjs9wFFJMDByLgc3NrtdU344OgUM45wZPcIQ";

    fn least() -> Vec<(&'static str, &'static str)> {
        vec![
            ("SFTP_HOST", "sftp.example.com"),
            ("SFTP_SECRET_ID", "partner"),
            ("SFTP_TRUSTED_HOST_KEYS", HOST_KEY),
        ]
    }

    pub(super) fn parse(more: &[(&'static str, &'static str)]) -> Result<Settings> {
        Settings::parse(&least().into_iter().chain(more.iter().copied()).collect())
    }

    #[test]
    fn the_least_and_its_defaults() {
        let settings = parse(&[]).unwrap();
        assert_eq!((settings.port, settings.location.as_str(), settings.proof), (22, "", ProofPolicy::Auto));
        assert_eq!(parse(&[("SFTP_PORT", " 2222 "), ("SFTP_USER", "")]).unwrap().port, 2222);
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

    #[test]
    fn a_host_is_a_host() {
        for host in ["sftp://h", "user@h", "h/path", "a b"] {
            assert!(parse(&[("SFTP_HOST", host)]).unwrap_err().message().contains("SFTP_HOST"), "{host}");
        }
    }

    #[test]
    fn the_predecessors_key_location() {
        let location = |path: &'static str| parse(&[("SFTP_SECRET_ID", ""), ("SFTP_S3_SSH_KEY", path)]);
        let expected = CredentialLocation::S3 { bucket: "b".into(), object_key: "path/to/key".into() };
        assert_eq!(location("b/path/to/key").unwrap().credential, expected);
        assert_eq!(location("s3://b/path/to/key").unwrap().credential, expected);
        let error = location("-----BEGIN OPENSSH PRIVATE KEY-----").unwrap_err();
        assert!(!error.message().contains("BEGIN"), "{error}");
        assert!(parse(&[("SFTP_S3_SSH_KEY", "b/k")]).unwrap_err().message().contains("both"));
    }

    #[test]
    fn record_failure_needs_only_its_bucket() {
        let settings = RecordSettings::parse(&[("FAILURE_BUCKET", "f")].into_iter().collect()).unwrap();
        assert_eq!(settings.prefix, "failures/");
        assert!(
            RecordSettings::parse(&Variables::default()).unwrap_err().message().contains("FAILURE_BUCKET")
        );
    }
}

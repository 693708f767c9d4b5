//! The settings, from environment variables, parsed once; everything that is wrong is said at once.

mod after_delivery;
mod attributes;
mod credential;
mod log_level;
mod login;
mod marker;
mod pasted;
mod policy;
mod record;
mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::{ErrorName, Result, TrustedHostKeys};
use pasted::{is_secret, may_be_secret};

pub use after_delivery::AfterDelivery;
pub use attributes::{AttributeSettings, Demand, Mode};
pub use credential::CredentialLocation;
pub use log_level::LogLevel;
pub use login::{LoginSettings, Method, Methods};
pub use marker::Marker;
pub use policy::{DeliveryPolicy, IfExists, Publish, other_partial_names};
pub use record::RecordSettings;

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
        description: "Required. The partner's server: a name or an address, without port.",
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
        description: "The predecessor's way: `bucket/path/to/key` of a private key in S3; `s3://` may stand before it.",
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
        name: "SFTP_CONNECT_TIMEOUT",
        default: Some("20"),
        description: "Seconds for looking up the host, connecting and agreeing on keys, 1 to 300. Several addresses share them.",
    },
    Setting {
        name: "SFTP_LOGIN_TIMEOUT",
        default: Some("20"),
        description: "Seconds for logging in and starting SFTP, 1 to 300. More for a server that asks others who we are.",
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
        description: "The mode that files are published with: `0640` or `require:0640` has to be, or nothing is published; `try:0640` is a warning in the receipt where the server refuses; `off` leaves it to the server.",
    },
    Setting {
        name: "SFTP_DIR_MODE",
        default: Some("off"),
        description: "The mode of the directories that the bridge makes: `0750` or `require:0750`, `try:0750` or `off`, as above.",
    },
    Setting {
        name: "SFTP_PRESERVE_MTIME",
        default: Some("off"),
        description: "Whether files have the time at which S3 stored the object: `off`, `try` (a warning in the receipt where the server refuses), `require` (nothing is published).",
    },
    Setting {
        name: "SFTP_FSYNC",
        default: Some("try"),
        description: "Whether the server writes a file to its disk before it is published, so that a power cut at the partner leaves no empty file under a final name: `try` (where the server offers `fsync@openssh.com`), `off`, `require` (elsewhere nothing is sent).",
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
        description: "Used by `record-failure`. The prefix of the records' keys, ending in a slash.",
    },
    Setting {
        name: "LOG_LEVEL",
        default: Some("info"),
        description: "`error`, `warn`, `info`, `debug` or `trace`; behind it, others for single parts: `info,transfer=debug`.",
    },
];

/// Variables by name: the environment of the process, or a test's. Nobody knows what is in there: its `Debug` shows names
/// alone.
#[derive(Clone, Default)]
pub struct Variables(BTreeMap<String, String>);

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

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

    /// Those that hold no secret; the others are a problem. What is left may be shown, but for the credential's location,
    /// which has a check of its own.
    fn without_secrets(&self, problems: &mut Problems) -> Self {
        let mut others = self.clone();
        let shown = self.set().into_iter().filter(|(name, _)| !credential::NAMES.contains(name));
        for (name, _) in shown.filter(|(_, value)| is_secret(value)) {
            problems.not_shown(name);
            others.0.remove(name);
        }
        others
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
    fn parse(variables: &Variables, problems: &mut Problems) -> Self {
        let policies = [
            ("auto", Self::Auto),
            ("hash", Self::Hash),
            ("read-back", Self::ReadBack),
            ("size", Self::Size),
            ("none", Self::None),
        ];
        choice(variables, problems, "SFTP_PROOF", &policies)
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
        let variables = &variables.without_secrets(&mut problems);
        let host = server::host(variables, &mut problems);
        let port = number(variables, &mut problems, "SFTP_PORT", "22", 1..=65535);
        let user = server::user(variables, &mut problems);
        let location = server::location(variables, &mut problems);
        let credential = CredentialLocation::parse(variables, &mut problems);
        let trusted_host_keys = trusted_host_keys(variables, &mut problems);
        let login = LoginSettings::parse(variables, &mut problems);
        let proof = ProofPolicy::parse(variables, &mut problems);
        let marker = Marker::parse(variables, &mut problems);
        let attributes = AttributeSettings::parse(variables, &mut problems);
        let after_delivery = AfterDelivery::parse(variables, &mut problems);
        let policy = DeliveryPolicy::parse(variables, &mut problems);
        let max_connections = number(variables, &mut problems, "SFTP_MAX_CONNECTIONS", "1", 1..=16);
        let keep_connection = number(variables, &mut problems, "SFTP_KEEP_CONNECTION", "30", 0..=600);
        // Not used here, but here is where people are told.
        RecordSettings::read(variables, &mut problems);
        if let Err(problem) = LogLevel::of(variables) {
            problems.wrong("LOG_LEVEL", variables.get("LOG_LEVEL").unwrap_or_default(), &problem);
        }
        let complete = match (host, credential, trusted_host_keys, policy) {
            (Some(host), Some(credential), Some(trusted_host_keys), Some(policy)) => Some(Self {
                host: host.to_owned(),
                port: port as u16,
                user: user.map(str::to_owned),
                location: location.unwrap_or_default().to_owned(),
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
            _ => None,
        };
        problems.unless_any(complete)
    }
}

/// The value is not repeated: people paste the private key here. Public ones look like it.
fn trusted_host_keys(variables: &Variables, problems: &mut Problems) -> Option<TrustedHostKeys> {
    let Some(text) = variables.get("SFTP_TRUSTED_HOST_KEYS") else {
        problems.add(
            "SFTP_TRUSTED_HOST_KEYS",
            "is not set: the host keys of the partner's server; the check cannot be turned off",
        );
        return None;
    };
    TrustedHostKeys::parse(text).map_err(|problem| problems.add("SFTP_TRUSTED_HOST_KEYS", &problem)).ok()
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
        problems.wrong(name, text, &format!("expected a number from {first} to {last}"));
        *first
    })
}

/// One of a few words; the first is the default.
fn choice<T: Copy>(
    variables: &Variables,
    problems: &mut Problems,
    name: &'static str,
    choices: &[(&str, T)],
) -> T {
    let (default, first) = choices[0];
    let text = variables.get(name).unwrap_or(default);
    match choices.iter().find(|(word, _)| *word == text) {
        Some((_, chosen)) => *chosen,
        None => {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            problems.wrong(name, text, &format!("expected {}", in_words(&words)));
            first
        }
    }
}

/// `a, b or c`.
fn in_words(words: &[&str]) -> String {
    match words {
        [others @ .., last] if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        words => words.concat(),
    }
}

/// What keys begin with, or are put before them.
fn prefix<'v>(variables: &'v Variables, problems: &mut Problems, name: &'static str) -> Option<&'v str> {
    let prefix = variables.get(name)?;
    if prefix.contains(char::is_control) || prefix.len() > 1024 {
        let expected = "expected the beginning of object keys, at most 1024 bytes without control characters";
        problems.wrong(name, prefix, expected);
    }
    Some(prefix)
}

/// All that is wrong, a clause for each.
#[derive(Default)]
struct Problems {
    clauses: Vec<String>,
    /// What else would be said of these might show what they hold.
    not_shown: BTreeSet<&'static str>,
}

impl Problems {
    fn add(&mut self, name: &'static str, problem: &str) {
        if !self.not_shown.contains(name) {
            self.clauses.push(format!("{name} {problem}"));
        }
    }

    /// The value, and what is expected instead. Nobody knows what was pasted: a value that may be a secret is not shown.
    fn wrong(&mut self, name: &'static str, value: &str, problem: &str) {
        match may_be_secret(value) {
            true => self.not_shown(name),
            false => self.add(name, &format!("is {value:?}: {problem}")),
        }
    }

    fn not_shown(&mut self, name: &'static str) {
        let setting = SETTINGS.iter().find(|setting| setting.name == name);
        let description = setting.map_or("", |setting| setting.description);
        self.add(
            name,
            &format!(
                "is not shown, for it may be a secret that does not belong there; expected: {description}"
            ),
        );
        self.not_shown.insert(name);
    }

    /// What was parsed, unless something is wrong.
    fn unless_any<T>(self, parsed: Option<T>) -> Result<T> {
        match parsed {
            Some(parsed) if self.clauses.is_empty() => Ok(parsed),
            None if self.clauses.is_empty() => {
                Err(ErrorName::Internal.error("a setting is wrong and none was named"))
            }
            _ => Err(ErrorName::InvalidConfig.error(self.clauses.join("; "))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST_KEY: &str = "SHA256:UCUiLr7Pjs9wFFJMDByLgc3NrtdU344OgUM45wZPcIQ";

    const LEAST: [(&str, &str); 3] = [
        ("SFTP_HOST", "sftp.example.com"),
        ("SFTP_SECRET_ID", "partner"),
        ("SFTP_TRUSTED_HOST_KEYS", HOST_KEY),
    ];

    pub(super) fn parse(more: &[(&str, &str)]) -> Result<Settings> {
        Settings::parse(&LEAST.iter().chain(more).copied().collect())
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

    /// A wrong value for each setting, whether it is shown, and what is said to be allowed.
    const WRONG: [(&str, &str, bool, &str); SETTINGS.len()] = [
        ("SFTP_HOST", "sftp://h:22/in", true, "a name or an address"),
        ("SFTP_PORT", "70000", true, "a number from 1 to 65535"),
        ("SFTP_USER", "a\tb", true, "without control characters"),
        ("SFTP_LOCATION", "../in", true, "a directory such as incoming"),
        ("SFTP_SECRET_ID", "hunter#2", false, "a secret's name"),
        ("SFTP_S3_SSH_KEY", "hunter#3", false, "bucket/path/to/key"),
        ("SFTP_TRUSTED_HOST_KEYS", "hunter#4", false, "`SHA256:…`"),
        ("SFTP_AUTHENTICATION", "hostbased", true, "publickey, password, keyboard-interactive"),
        ("SFTP_ALGORITHMS", "modern,-aes*,-chacha*", true, "at least one of aes128-gcm@openssh.com"),
        ("SFTP_CONNECT_TIMEOUT", "0", true, "a number from 1 to 300"),
        ("SFTP_LOGIN_TIMEOUT", "1m", true, "a number from 1 to 300"),
        ("SFTP_PROOF", "md5", true, "auto, hash, read-back, size or none"),
        ("SFTP_MARKER", "sha1", true, "none, done, sha256 or md5"),
        ("SFTP_FILE_MODE", "0440", true, "includes 0600, such as 0640"),
        ("SFTP_DIR_MODE", "rwx", true, "off, an octal mode such as 0750, require:0750 or try:0750"),
        ("SFTP_PRESERVE_MTIME", "yes", true, "off, try or require"),
        ("SFTP_FSYNC", "yes", true, "try, off or require"),
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
        ("SFTP_PARTIAL_NAME", "{name}.tmp", true, "{id}, which"),
        ("SFTP_STAGING_DIRECTORY", "stage//in", true, "a directory below SFTP_LOCATION"),
        ("SFTP_CREATE_DIRECTORIES", "no", true, "true or false"),
        ("FAILURE_BUCKET", "s3://failures", true, "3 to 63 lower case letters"),
        ("FAILURE_PREFIX", "/failures", true, "such as failures/"),
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
            let alone = parse(&[
                ("SFTP_SECRET_ID", if name == "SFTP_S3_SSH_KEY" { "" } else { "partner" }),
                (name, value),
            ]);
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

    /// The settings that a value is shown of.
    fn shown() -> impl Iterator<Item = &'static str> {
        let names = SETTINGS.iter().map(|setting| setting.name);
        names.filter(|name| !credential::NAMES.contains(name))
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
                    "{name} is not shown, for it may be a secret that does not belong there; expected: "
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
}

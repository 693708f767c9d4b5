//! The settings that suit what was found: those that are set, and what has to change.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bridge::{CredentialLocation, SETTINGS, Settings, TrustedHostKeys};
use serde_json::{Value, json};

use super::Findings;
use super::configuration::Configuration;

/// From here on a second connection carries a large file faster (docs/performance.md).
const FAR: Duration = Duration::from_millis(20);

/// Maximum length that the template takes for host keys, characters; a test compares the two.
const HOST_KEYS_MAX: usize = 1900;

/// What was decided upon is spelled out, also where it is the default.
const DECIDED: [&str; 5] =
    ["SFTP_ALGORITHMS", "SFTP_PROOF", "SFTP_PUBLISH", "SFTP_MAX_CONNECTIONS", "SFTP_KEEP_CONNECTION"];

/// Settings, ready to paste.
pub(super) struct Recommendation {
    /// In the order of the README's table.
    settings: Vec<(&'static str, String)>,
    /// Those whose value is not the present one, and why.
    changes: BTreeMap<&'static str, String>,
    is_single_connection: bool,
    lacks_secret: bool,
}

impl Recommendation {
    /// `None`: too little was found out.
    pub(super) fn new(configuration: &Configuration, findings: &Findings) -> Option<Self> {
        findings.write.filter(|write| *write)?;
        let mut draft = Draft::of(configuration);
        if let Some(location) = &findings.other_location {
            draft.set("SFTP_LOCATION", location, "the directory is there under this name");
        }
        if findings.legacy == Some(false) && draft.get("SFTP_ALGORITHMS") == "legacy" {
            match findings.signs_with_sha1 {
                // What an RSA key signs with is agreed on apart from the rest.
                Some(true) => draft.set(
                    "SFTP_ALGORITHMS",
                    "modern,+ssh-rsa",
                    "the server needs no old algorithms, but perhaps for the RSA key",
                ),
                _ => draft.set("SFTP_ALGORITHMS", "modern", "the server needs no old algorithms"),
            }
        }
        let is_given = match draft.get("SFTP_PROOF").as_str() {
            "hash" => findings.hash == Some(true),
            "read-back" => findings.read == Some(true),
            "size" => findings.stat == Some(true),
            _ => true,
        };
        if !is_given {
            let why = "it takes the best that the server gives, which is not what was demanded";
            draft.set("SFTP_PROOF", "auto", why);
        }
        let keeps = |draft: &Draft| matches!(draft.get("SFTP_IF_EXISTS").as_str(), "fail" | "keep-both");
        if keeps(&draft) && findings.keep == Some(false) {
            draft.set("SFTP_IF_EXISTS", "replace", "the server does not let what is there be kept");
        }
        if findings.staging == Some(false) {
            draft.unset("SFTP_STAGING_DIRECTORY", "partial files cannot lie there, or be renamed from there");
        }
        if let Some(name) = &findings.partial_name {
            draft.set("SFTP_PARTIAL_NAME", name, "the server refuses the name that partial files have now");
        }
        if findings.fsync == Some(false) && draft.get("SFTP_FSYNC") == "require" {
            draft.set("SFTP_FSYNC", "try", "the server cannot sync a file to its disk");
        }
        let renames = if keeps(&draft) { findings.rename_new } else { findings.rename };
        let direct = match (findings.swept, renames) {
            (Some(true), _) => Some("the server takes files away as soon as they are closed"),
            (_, Some(false)) => Some("the server does not let this user rename"),
            _ => None,
        };
        if let Some(why) = direct {
            draft.set("SFTP_PUBLISH", "direct", why);
            if keeps(&draft) {
                draft.set("SFTP_IF_EXISTS", "replace", "without a rename, what is there cannot be kept");
            }
            for name in ["SFTP_PARTIAL_NAME", "SFTP_STAGING_DIRECTORY"] {
                draft.unset(name, "what is written directly has no partial file");
            }
        }
        let refused = "the server does not do it for this user";
        for (name, works) in [("SFTP_FILE_MODE", findings.chmod), ("SFTP_DIR_MODE", findings.chmod_dir)] {
            let mode = draft.get(name);
            if works == Some(false) && mode != "off" && !mode.starts_with("try:") {
                let bits = mode.strip_prefix("require:").unwrap_or(&mode);
                draft.set(name, &format!("try:{bits}"), refused);
            }
        }
        if findings.mtime == Some(false) && draft.get("SFTP_PRESERVE_MTIME") == "require" {
            draft.set("SFTP_PRESERVE_MTIME", "try", refused);
        }
        if findings.mkdir == Some(false) {
            draft.set("SFTP_CREATE_DIRECTORIES", "false", "this user may make no directories");
        }
        let is_far = findings.round_trip.is_some_and(|round_trip| round_trip >= FAR);
        let is_single_connection = findings.second_connection == Some(false);
        if is_single_connection {
            draft.set("SFTP_MAX_CONNECTIONS", "1", "one connection at a time is allowed");
            draft.set("SFTP_KEEP_CONNECTION", "0", "a kept connection would keep the next step out");
        } else if is_far
            && findings.second_connection == Some(true)
            && draft.get("SFTP_MAX_CONNECTIONS") == "1"
        {
            draft.set("SFTP_MAX_CONNECTIONS", "2", "it is far away: two carry large files faster");
        }
        for name in DECIDED {
            draft.spell_out(name);
        }
        let lacks_secret = draft.get("SFTP_SECRET_ID").is_empty() && draft.get("SFTP_S3_SSH_KEY").is_empty();
        let Draft { values, changes, .. } = draft;
        let settings =
            SETTINGS.iter().filter_map(|setting| Some((setting.name, values.get(setting.name)?.clone())));
        Some(Self { settings: settings.collect(), changes, is_single_connection, lacks_secret })
    }

    /// The parameters of the SAM template.
    fn parameters(&self) -> Vec<(String, String)> {
        let mut parameters: Vec<(String, String)> = self
            .settings
            .iter()
            .filter_map(|(name, value)| match *name {
                // The stack sets it from the number of connections; and it takes only some numbers.
                "SFTP_KEEP_CONNECTION" => None,
                "SFTP_MAX_CONNECTIONS" => {
                    let connections = match value.as_str() {
                        "1" | "2" => value.as_str(),
                        "3" => "2",
                        _ => "4",
                    };
                    Some(("ConnectionsPerFile".into(), connections.into()))
                }
                name => Some((parameter(name), value.clone())),
            })
            .collect();
        if self.is_single_connection {
            parameters.push(("MaxConnections".into(), "1".into()));
        }
        parameters
    }

    /// For people. A setting of several lines is shown as such, to be copied as it is.
    pub(super) fn to_lines(&self) -> Vec<String> {
        let text = self.to_string();
        [""].into_iter().chain(text.split('\n')).map(str::to_owned).collect()
    }

    pub(super) fn to_json(&self) -> Value {
        let environment: serde_json::Map<String, Value> =
            self.settings.iter().map(|(name, value)| ((*name).into(), json!(value))).collect();
        let parameters: serde_json::Map<String, Value> =
            self.parameters().into_iter().map(|(name, value)| (name, json!(value))).collect();
        json!({"environment": environment, "parameters": parameters, "changes": self.changes})
    }
}

impl fmt::Display for Recommendation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.changes.is_empty() {
            writeln!(f, "The settings are right as they are.")?;
        } else {
            writeln!(f, "Settings to change:")?;
            for (name, why) in &self.changes {
                writeln!(f, "  {name}: {}", bridge::printable(why))?;
            }
        }
        writeln!(f, "\nAs environment variables:")?;
        for (name, value) in &self.settings {
            writeln!(f, "  export {name}={}", quoted(value))?;
        }
        if self.lacks_secret {
            writeln!(f, "  export SFTP_SECRET_ID=...   # the secret that is to hold the credential")?;
        }
        write!(f, "\nAs parameters of the stack:\n  sam deploy --parameter-overrides")?;
        for (name, value) in self.parameters() {
            write!(f, " \\\n    {name}={}", doubly_quoted(&value))?;
        }
        if self.lacks_secret {
            write!(f, " \\\n    SftpSecretId=...")?;
        }
        Ok(())
    }
}

/// Values on their way to be recommended.
struct Draft {
    known: Vec<&'static str>,
    values: BTreeMap<&'static str, String>,
    changes: BTreeMap<&'static str, String>,
}

impl Draft {
    /// What is set, and is the partner's business.
    fn of(configuration: &Configuration) -> Self {
        let known: Vec<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
        let set = configuration.set().into_iter().filter(|(name, _)| name.starts_with("SFTP_"));
        let values = set.map(|(name, value)| (name, plain(&configuration.settings, name, value))).collect();
        let mut draft = Self { known, values, changes: BTreeMap::new() };
        for (name, why) in configuration.changed() {
            draft.changes.insert(name, why.to_owned());
        }
        draft
    }

    /// What is set, or the default.
    fn get(&self, name: &str) -> String {
        let default =
            SETTINGS.iter().find(|setting| setting.name == name).and_then(|setting| setting.default);
        self.values.get(name).cloned().or(default.map(str::to_owned)).unwrap_or_default()
    }

    /// Nothing that this version does not know is recommended.
    fn set(&mut self, name: &'static str, value: &str, why: &str) {
        if !self.known.contains(&name) || self.get(name) == value {
            return;
        }
        self.values.insert(name, value.to_owned());
        self.changes.insert(name, format!("{value}, because {why}"));
    }

    fn spell_out(&mut self, name: &'static str) {
        let value = self.get(name);
        if self.known.contains(&name) && !value.is_empty() {
            self.values.insert(name, value);
        }
    }

    /// It stays, without a value: whoever pastes it wants to get rid of what is set.
    fn unset(&mut self, name: &'static str, why: &str) {
        if let Some(value) = self.values.get_mut(name).filter(|value| !value.is_empty()) {
            value.clear();
            self.changes.insert(name, format!("not set, because {why}"));
        }
    }
}

/// The same value, as the settings were read, in the plainest of the forms that mean it. The template's patterns take
/// no other, and what was read is not what somebody pasted by mistake.
fn plain(settings: &Settings, name: &str, value: &str) -> String {
    match name {
        "SFTP_PORT" => settings.port.to_string(),
        "SFTP_S3_SSH_KEY" => match &settings.credential {
            CredentialLocation::S3 { bucket, object_key } => format!("{bucket}/{object_key}"),
            CredentialLocation::SecretsManager { .. } => String::new(),
        },
        "SFTP_TRUSTED_HOST_KEYS" => host_keys(&settings.trusted_host_keys, value),
        "SFTP_AUTHENTICATION" => {
            settings.login.methods.iter().map(|method| method.as_str()).collect::<Vec<_>>().join(",")
        }
        "SFTP_ALGORITHMS" => {
            let words = value.split(|c: char| c == ',' || c.is_ascii_whitespace());
            let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
            let is_named = words.first().is_some_and(|word| !word.starts_with(['+', '-', '^']));
            let preset = if is_named { None } else { Some("modern") };
            preset.into_iter().chain(words).collect::<Vec<_>>().join(",")
        }
        "SFTP_MAX_CONNECTIONS" => settings.max_connections.to_string(),
        "SFTP_KEEP_CONNECTION" => settings.keep_connection.as_secs().to_string(),
        _ => value.to_owned(),
    }
}

/// Keys that stood on lines of their own fit on one; where they are too many for the template, their fingerprints.
fn host_keys(trusted: &TrustedHostKeys, value: &str) -> String {
    let lines = value.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let line = lines.collect::<Vec<_>>().join(",");
    let is_same = TrustedHostKeys::parse(&line).is_ok_and(|parsed| parsed == *trusted);
    if is_same && line.len() <= HOST_KEYS_MAX { line } else { trusted.to_string().replace(", ", ",") }
}

/// `SFTP_S3_SSH_KEY` is `SftpS3SshKey`.
fn parameter(setting: &str) -> String {
    let word = |word: &str| {
        let (first, rest) = word.split_at(word.len().min(1));
        format!("{first}{}", rest.to_ascii_lowercase())
    };
    setting.split('_').map(word).collect()
}

fn is_plain(value: &str) -> bool {
    !value.is_empty() && value.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:+=@,".contains(c))
}

/// For a shell.
fn quoted(value: &str) -> String {
    if is_plain(value) { value.to_owned() } else { format!("'{}'", value.replace('\'', r"'\''")) }
}

/// For a shell, and then for the SAM CLI, which takes the inner quotes off.
fn doubly_quoted(value: &str) -> String {
    let inner = value.replace('\\', r"\\").replace('"', "\\\"");
    if is_plain(value) { value.to_owned() } else { quoted(&format!("\"{inner}\"")) }
}

#[cfg(test)]
mod tests {
    use bridge::Variables;

    use super::super::configuration::tests::configuration;
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";
    const FINGERPRINT: &str = "SHA256:UCUiLr7Pjs9wFFJMDByLgc3NrtdU344OgUM45wZPcIQ";

    fn recommended(more: &[(&str, &str)], findings: &Findings) -> Option<Recommendation> {
        let least = [("SFTP_HOST", "h"), ("SFTP_SECRET_ID", "s"), ("SFTP_TRUSTED_HOST_KEYS", KEY)];
        Recommendation::new(&configuration(&[&least, more].concat(), &[]).unwrap(), findings)
    }

    fn good() -> Findings {
        Findings {
            host_key: Some(KEY.into()),
            write: Some(true),
            stat: Some(true),
            read: Some(true),
            hash: Some(false),
            rename: Some(true),
            rename_new: Some(true),
            keep: Some(true),
            second_connection: Some(true),
            ..Findings::default()
        }
    }

    fn changes(more: &[(&str, &str)], findings: &Findings) -> Vec<(&'static str, String)> {
        let recommended = recommended(more, findings).unwrap();
        let changed = |name: &str| recommended.changes.contains_key(name);
        recommended.settings.iter().filter(|(name, _)| changed(name)).cloned().collect()
    }

    fn change(name: &'static str, value: &str) -> Vec<(&'static str, String)> {
        vec![(name, value.to_owned())]
    }

    #[test]
    fn nothing_is_recommended_before_a_file_was_written() {
        assert!(recommended(&[], &Findings::default()).is_none());
        assert!(recommended(&[], &Findings { write: Some(false), ..good() }).is_none());
    }

    #[test]
    fn what_works_stays() {
        assert_eq!(changes(&[], &good()), []);
        assert_eq!(changes(&[("SFTP_PROOF", "size"), ("SFTP_MAX_CONNECTIONS", "4")], &good()), []);
        assert_eq!(changes(&[("SFTP_PROOF", "none")], &good()), []);
    }

    #[test]
    fn a_proof_that_is_not_given_is_not_demanded() {
        let blind = Findings { stat: Some(false), read: Some(false), ..good() };
        assert_eq!(changes(&[("SFTP_PROOF", "hash")], &good()), change("SFTP_PROOF", "auto"));
        assert_eq!(changes(&[("SFTP_PROOF", "read-back")], &blind), change("SFTP_PROOF", "auto"));
        assert_eq!(changes(&[("SFTP_PROOF", "size")], &blind), change("SFTP_PROOF", "auto"));
        assert_eq!(changes(&[], &blind), [], "what can be proved later is not given up today");
    }

    #[test]
    fn what_is_demanded_and_refused_is_only_tried() {
        let refused = Findings { chmod: Some(false), chmod_dir: Some(false), mtime: Some(false), ..good() };
        for (name, value, recommended) in [
            ("SFTP_FILE_MODE", "0640", "try:0640"),
            ("SFTP_DIR_MODE", "750", "try:750"),
            ("SFTP_DIR_MODE", "require:0750", "try:0750"),
            ("SFTP_PRESERVE_MTIME", "require", "try"),
        ] {
            assert_eq!(changes(&[(name, value)], &refused), change(name, recommended));
            for lenient in [recommended, "off"] {
                assert_eq!(changes(&[(name, lenient)], &refused), [], "{lenient}");
            }
        }
        assert_eq!(changes(&[], &refused), []);
    }

    #[test]
    fn what_cannot_be_kept_is_replaced() {
        let (blind, swept) = (Findings { keep: Some(false), ..good() }, Some(true));
        for policy in ["fail", "keep-both"] {
            assert_eq!(changes(&[("SFTP_IF_EXISTS", policy)], &blind), change("SFTP_IF_EXISTS", "replace"));
        }
        assert_eq!(changes(&[("SFTP_IF_EXISTS", "skip")], &blind), []);
        let replacing = Findings { rename: Some(false), rename_new: Some(true), ..good() };
        assert_eq!(changes(&[("SFTP_IF_EXISTS", "fail")], &replacing), []);
        assert_eq!(changes(&[], &replacing), change("SFTP_PUBLISH", "direct"));
        let more = [
            ("SFTP_IF_EXISTS", "fail"),
            ("SFTP_STAGING_DIRECTORY", "stage"),
            ("SFTP_PARTIAL_NAME", "{name}.{id}"),
        ];
        let direct = [
            ("SFTP_IF_EXISTS", "replace"),
            ("SFTP_PUBLISH", "direct"),
            ("SFTP_PARTIAL_NAME", ""),
            ("SFTP_STAGING_DIRECTORY", ""),
        ];
        let direct = direct.map(|(name, value)| (name, value.to_owned()));
        assert_eq!(changes(&more, &Findings { swept, ..good() }), direct);
        let staging = Findings { staging: Some(false), ..good() };
        assert_eq!(changes(&more, &staging), change("SFTP_STAGING_DIRECTORY", ""));
    }

    #[test]
    fn old_algorithms_are_given_up_but_for_the_key() {
        let legacy = [("SFTP_ALGORITHMS", "legacy")];
        let modern = |signs_with_sha1| Findings { legacy: Some(false), signs_with_sha1, ..good() };
        assert_eq!(changes(&legacy, &modern(Some(false))), change("SFTP_ALGORITHMS", "modern"));
        assert_eq!(changes(&legacy, &modern(Some(true))), change("SFTP_ALGORITHMS", "modern,+ssh-rsa"));
        assert_eq!(changes(&legacy, &Findings { legacy: Some(true), ..good() }), []);
    }

    #[test]
    fn a_single_connection_and_a_far_one() {
        let single = Findings { second_connection: Some(false), ..good() };
        let recommended = recommended(&[("SFTP_MAX_CONNECTIONS", "4")], &single).unwrap();
        assert!(recommended.settings.contains(&("SFTP_MAX_CONNECTIONS", "1".into())));
        assert!(recommended.settings.contains(&("SFTP_KEEP_CONNECTION", "0".into())));
        let parameters = recommended.parameters();
        assert!(parameters.contains(&("MaxConnections".into(), "1".into())));
        assert!(parameters.contains(&("ConnectionsPerFile".into(), "1".into())));
        let far = Findings { round_trip: Some(Duration::from_millis(50)), ..good() };
        assert_eq!(changes(&[], &far), change("SFTP_MAX_CONNECTIONS", "2"));
    }

    #[test]
    fn host_keys_are_put_on_one_line() {
        let several = format!("# ours\n{FINGERPRINT}\n{KEY}\n");
        let recommended = recommended(&[("SFTP_TRUSTED_HOST_KEYS", &several)], &good()).unwrap();
        assert!(recommended.settings.contains(&("SFTP_TRUSTED_HOST_KEYS", format!("{FINGERPRINT},{KEY}"))));
    }

    #[test]
    fn it_can_be_pasted() {
        let recommended = recommended(&[("SFTP_LOCATION", "in box's")], &good()).unwrap();
        let text = recommended.to_string();
        for line in [
            "The settings are right as they are.",
            "  export SFTP_HOST=h\n",
            r"  export SFTP_LOCATION='in box'\''s'",
            &format!("    SftpTrustedHostKeys='\"{KEY}\"'"),
            "    SftpHost=h \\\n",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }

    const TEMPLATE: &str = include_str!("../../../../sam/template.yaml");

    /// Why the template would not take this value for a parameter.
    fn problem(parameter: &str, value: &str) -> Option<String> {
        let (_, rest) = TEMPLATE.split_once(&format!("\n  {parameter}:\n")).expect(parameter);
        let lines: Vec<&str> = rest.lines().take_while(|line| line.starts_with("    ")).collect();
        let property = |name: &str| {
            let start = format!("    {name}: ");
            lines.iter().find_map(|line| line.strip_prefix(&start))
        };
        if let Some(pattern) = property("AllowedPattern") {
            let pattern = pattern.trim_matches('\'').replace("''", "'");
            // As CloudFormation does it: the whole value.
            if !regex_lite::Regex::new(&format!("^(?:{pattern})$")).unwrap().is_match(value) {
                return Some(format!("{parameter}={value} does not match {pattern}"));
            }
        }
        if let Some(allowed) = property("AllowedValues") {
            let mut allowed = allowed.trim_matches(['[', ']']).split(',');
            if !allowed.any(|word| word.trim().trim_matches('"') == value) {
                return Some(format!("{parameter}={value} is none of the allowed values"));
            }
        }
        if let Some(most) = property("MaxLength").and_then(|most| most.parse::<usize>().ok())
            && value.len() > most
        {
            return Some(format!("{parameter} has {} characters of {most}", value.len()));
        }
        let least: Option<u32> = property("MinValue").and_then(|least| least.parse().ok());
        match (least, value.parse::<u32>()) {
            (Some(_), Err(_)) => Some(format!("{parameter}={value} is no number")),
            _ => None,
        }
    }

    #[test]
    fn the_template_takes_what_is_recommended() {
        let several = format!("# ours\n{KEY}\n@cert-authority * {KEY}\n{FINGERPRINT}");
        let many = vec![KEY; 20].join("\n");
        let sets: [&[(&str, &str)]; 5] = [
            &[],
            &[
                ("SFTP_PORT", "0022"),
                ("SFTP_USER", "acme"),
                ("SFTP_LOCATION", "/in box"),
                ("SFTP_SECRET_ID", ""),
                ("SFTP_S3_SSH_KEY", "s3://my-bucket/keys/id"),
                ("SFTP_TRUSTED_HOST_KEYS", &several),
                ("SFTP_AUTHENTICATION", "password  publickey, keyboard-interactive,"),
                ("SFTP_ALGORITHMS", "+ssh-rsa  ^aes256-ctr,\t-ecdh-*"),
                ("SFTP_MAX_CONNECTIONS", "16"),
            ],
            &[("SFTP_ALGORITHMS", "legacy -3des-cbc,"), ("SFTP_TRUSTED_HOST_KEYS", &many)],
            &[
                ("SFTP_FILE_MODE", "640"),
                ("SFTP_DIR_MODE", "try:0750"),
                ("SFTP_PRESERVE_MTIME", "require"),
                ("SFTP_IF_EXISTS", "keep-both"),
                ("SFTP_PROOF", "hash"),
                ("SFTP_PARTIAL_NAME", "{name}.{id}.filepart"),
                ("SFTP_STAGING_DIRECTORY", "/stage"),
                ("SFTP_REMOTE_PATH", "{date:%Y}/{key}"),
            ],
            &[("SFTP_SECRET_ID", "arn:aws:secretsmanager:eu-central-1:111122223333:secret:acme-AbCdEf")],
        ];
        let bad = Findings {
            other_location: Some("incoming".into()),
            chmod: Some(false),
            chmod_dir: Some(false),
            mtime: Some(false),
            mkdir: Some(false),
            second_connection: Some(false),
            partial_name: Some("{id}.{name}".into()),
            ..good()
        };
        let direct = Findings { swept: Some(true), ..good() };
        for more in sets {
            for findings in [&good(), &bad, &direct] {
                let recommended = recommended(more, findings).unwrap();
                let parameters = recommended.parameters();
                assert!(parameters.len() > 5);
                for (parameter, value) in parameters {
                    assert_eq!(problem(&parameter, &value), None, "{more:?}");
                }
                let set: Variables = recommended.settings.into_iter().collect();
                Settings::parse(&set).unwrap();
            }
        }
        assert!(problem("SftpS3SshKey", "s3://b/k").is_some() && problem("SftpPublish", "move").is_some());
    }

    #[test]
    fn values_mean_the_same_in_their_plainest_form() {
        for (name, value, plainest) in [
            ("SFTP_PORT", "0022", "22"),
            ("SFTP_S3_SSH_KEY", "s3://my-bucket/keys/id", "my-bucket/keys/id"),
            ("SFTP_AUTHENTICATION", "password publickey", "password,publickey"),
            ("SFTP_ALGORITHMS", "+ssh-rsa ^aes256-ctr", "modern,+ssh-rsa,^aes256-ctr"),
            ("SFTP_ALGORITHMS", "legacy, -3des-cbc", "legacy,-3des-cbc"),
        ] {
            let no_secret = ("SFTP_SECRET_ID", if name == "SFTP_S3_SSH_KEY" { "" } else { "s" });
            let recommended = recommended(&[no_secret, (name, value)], &good()).unwrap();
            assert!(recommended.settings.contains(&(name, plainest.into())), "{:?}", recommended.settings);
            assert!(recommended.changes.is_empty());
        }
        let many = vec![KEY; 40].join("\n");
        let recommended = recommended(&[("SFTP_TRUSTED_HOST_KEYS", &many)], &good()).unwrap();
        let fingerprints = vec![FINGERPRINT; 40].join(",");
        assert!(recommended.settings.contains(&("SFTP_TRUSTED_HOST_KEYS", fingerprints)));
    }

    #[test]
    fn host_keys_are_no_longer_than_the_template_takes() {
        let keys = TEMPLATE.split("\n  SftpTrustedHostKeys:\n").nth(1).unwrap();
        let max = keys.split("MaxLength: ").nth(1).unwrap().lines().next().unwrap();
        assert_eq!(max.parse(), Ok(HOST_KEYS_MAX));
    }

    #[test]
    fn parameters_are_named_like_settings() {
        assert_eq!(parameter("SFTP_S3_SSH_KEY"), "SftpS3SshKey");
        let not_the_users = ["SFTP_MAX_CONNECTIONS", "SFTP_KEEP_CONNECTION"];
        for setting in SETTINGS.iter().filter(|setting| setting.name.starts_with("SFTP_")) {
            if !not_the_users.contains(&setting.name) {
                let line = format!("\n  {}:\n", parameter(setting.name));
                assert!(TEMPLATE.contains(&line), "{line}");
            }
        }
    }
}

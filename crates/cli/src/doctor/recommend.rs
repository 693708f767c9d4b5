//! The settings that suit what was found: those that are set, and what has to change.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bridge::SETTINGS;
use serde_json::{Value, json};

use super::Findings;
use super::configuration::Configuration;

/// From here on a second connection carries a large file faster (docs/performance.md).
const FAR: Duration = Duration::from_millis(20);

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
            draft.set("SFTP_ALGORITHMS", "modern", "the server needs no old algorithms");
        }
        let proof = match findings {
            Findings { hash: Some(true), .. } | Findings { read: Some(true), .. } => "auto",
            Findings { stat: Some(true), .. } => "size",
            _ => "none",
        };
        let is_given = match draft.get("SFTP_PROOF").as_str() {
            "hash" => findings.hash == Some(true),
            "read-back" => findings.read == Some(true),
            "size" => findings.stat == Some(true),
            "none" => true,
            _ => proof == "auto",
        };
        if !is_given {
            draft.set("SFTP_PROOF", proof, "it is the best that the server gives");
        }
        if findings.rename == Some(false) {
            draft.set("SFTP_PUBLISH", "direct", "the server does not let this user rename");
            if matches!(draft.get("SFTP_IF_EXISTS").as_str(), "fail" | "keep-both") {
                draft.set("SFTP_IF_EXISTS", "replace", "without a rename, what is there cannot be kept");
            }
            draft.unset("SFTP_PARTIAL_NAME");
            draft.unset("SFTP_STAGING_DIRECTORY");
        }
        if findings.chmod == Some(false) && !matches!(draft.get("SFTP_FILE_MODE").as_str(), "" | "off") {
            draft.set("SFTP_FILE_MODE", "off", "the server does not let this user set modes");
        }
        if findings.mtime == Some(false) && !matches!(draft.get("SFTP_PRESERVE_MTIME").as_str(), "" | "off") {
            draft.set("SFTP_PRESERVE_MTIME", "off", "the server does not let this user set times");
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
            parameters.push(("MaxConnections".into(), "2".into()));
        }
        parameters
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
                writeln!(f, "  {name}: {why}")?;
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
        let values = set.map(|(name, value)| (name, value.to_owned())).collect();
        let mut draft = Self { known, values, changes: BTreeMap::new() };
        // Keys that stood on lines of their own fit on one.
        let keys = draft.get("SFTP_TRUSTED_HOST_KEYS");
        let keys: Vec<&str> =
            keys.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        draft.values.insert("SFTP_TRUSTED_HOST_KEYS", keys.join(","));
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

    fn unset(&mut self, name: &'static str) {
        self.values.remove(name);
    }
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
        assert_eq!(changes(&[("SFTP_PROOF", "hash")], &good()), change("SFTP_PROOF", "auto"));
        let blind = Findings { stat: Some(false), read: Some(false), ..good() };
        assert_eq!(changes(&[("SFTP_PROOF", "read-back")], &blind), change("SFTP_PROOF", "none"));
        assert_eq!(changes(&[], &blind), change("SFTP_PROOF", "none"));
        let sizes = Findings { read: Some(false), ..good() };
        assert_eq!(changes(&[], &sizes), change("SFTP_PROOF", "size"));
    }

    #[test]
    fn a_single_connection_and_a_far_one() {
        let single = Findings { second_connection: Some(false), ..good() };
        let recommended = recommended(&[("SFTP_MAX_CONNECTIONS", "4")], &single).unwrap();
        assert!(recommended.settings.contains(&("SFTP_MAX_CONNECTIONS", "1".into())));
        assert!(recommended.settings.contains(&("SFTP_KEEP_CONNECTION", "0".into())));
        let parameters = recommended.parameters();
        assert!(parameters.contains(&("MaxConnections".into(), "2".into())));
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

    #[test]
    fn parameters_are_named_like_settings() {
        assert_eq!(parameter("SFTP_S3_SSH_KEY"), "SftpS3SshKey");
        let template = include_str!("../../../../sam/template.yaml");
        let not_the_users = ["SFTP_MAX_CONNECTIONS", "SFTP_KEEP_CONNECTION"];
        for setting in SETTINGS.iter().filter(|setting| setting.name.starts_with("SFTP_")) {
            if !not_the_users.contains(&setting.name) {
                let line = format!("\n  {}:\n", parameter(setting.name));
                assert!(template.contains(&line), "{line}");
            }
        }
    }
}

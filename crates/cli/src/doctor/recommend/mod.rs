//! The settings that suit the server: those that are set, and those that must change.

mod draft;
mod plain;
mod rules;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use bridge::SETTINGS;
use serde_json::{Map, Value, json};

use self::draft::Draft;
use self::plain::{doubly_quoted, parameter, quoted};
use super::configuration::Configuration;
use super::facts::Facts;
use super::report::Direction;

/// Settings, ready to paste.
pub(super) struct Recommendation {
    /// In the order of docs/settings.md.
    settings: Vec<(&'static str, String)>,
    /// The settings whose value is not the present one, with the reason.
    changes: BTreeMap<&'static str, String>,
    is_single_connection: bool,
    lacks_secret: bool,
    /// The stack of the file that is checked or written.
    stack_name: Option<String>,
}

impl Recommendation {
    /// `None` if too little was found out.
    pub(super) fn new(configuration: &Configuration, facts: &Facts) -> Option<Self> {
        let mut draft = Draft::of(configuration);
        match configuration.direction() {
            Direction::Delivering if facts.write == Some(true) => rules::apply(&mut draft, facts),
            Direction::Collecting if facts.listing == Some(true) && configuration.examines_everything() => {
                rules::apply_to_collecting(&mut draft, facts);
            }
            Direction::Delivering | Direction::Collecting => return None,
        }
        let lacks_secret = draft.get("SFTP_SECRET_ID").is_empty() && draft.get("SFTP_S3_SSH_KEY").is_empty();
        let Draft { values, changes } = draft;
        let settings =
            SETTINGS.iter().filter_map(|setting| Some((setting.name, values.get(setting.name)?.clone())));
        Some(Self {
            settings: settings.collect(),
            changes,
            is_single_connection: facts.second_connection == Some(false),
            lacks_secret,
            stack_name: configuration.names_stack().map(str::to_owned),
        })
    }

    /// The parameters of the SAM template.
    pub(super) fn parameters(&self) -> Vec<(String, String)> {
        let parameters = self.settings.iter().filter_map(|(name, value)| match *name {
            // The stack sets it according to the number of connections.
            "SFTP_KEEP_CONNECTION" => None,
            // The template accepts some numbers only.
            "SFTP_MAX_CONNECTIONS" => {
                let connections = match value.as_str() {
                    "1" | "2" => value.as_str(),
                    "3" => "2",
                    _ => "4",
                };
                Some(("ConnectionsPerFile".into(), connections.into()))
            }
            name => Some((parameter(name), value.clone())),
        });
        let single = self.is_single_connection.then(|| ("MaxConnections".into(), "1".into()));
        parameters.chain(single).collect()
    }

    /// For people. A setting of several lines stays so, to be copied as it is.
    pub(super) fn to_lines(&self) -> Vec<String> {
        let text = self.to_string();
        [""].into_iter().chain(text.split('\n')).map(str::to_owned).collect()
    }

    pub(super) fn to_json(&self) -> Value {
        let environment: Map<String, Value> =
            self.settings.iter().map(|(name, value)| ((*name).into(), json!(value))).collect();
        let parameters: Map<String, Value> =
            self.parameters().into_iter().map(|(name, value)| (name, json!(value))).collect();
        json!({"environment": environment, "parameters": parameters, "changes": self.changes})
    }
}

impl fmt::Display for Recommendation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.changes.is_empty() {
            write!(f, "The settings are right as they are.")?;
            if self.stack_name.is_some() {
                // The partner's file is what is deployed; the same in other words would only be in its way.
                return Ok(());
            }
            writeln!(f)?;
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
            writeln!(f, "  export SFTP_SECRET_ID=...   # the secret that will contain the credential")?;
        }
        // CloudFormation refuses this name, so that nobody deploys over another partner's stack.
        let stack_name = self.stack_name.as_deref().unwrap_or("sftp-...");
        write!(
            f,
            "\nAs parameters of the stack:\n  sam deploy --stack-name {stack_name} --parameter-overrides"
        )?;
        for (name, value) in self.parameters() {
            write!(f, " \\\n    {name}={}", doubly_quoted(&value))?;
        }
        if self.lacks_secret {
            write!(f, " \\\n    SftpSecretId=...")?;
        }
        Ok(())
    }
}

//! Settings that are about to be recommended.

use std::collections::BTreeMap;

use bridge::SETTINGS;

use super::plain::plain;
use crate::doctor::configuration::Configuration;
use crate::doctor::report::Direction;

/// Settings that are about to be recommended.
pub(super) struct Draft {
    pub(super) values: BTreeMap<&'static str, String>,
    /// The settings whose value is not the present one: the new value and the reason.
    pub(super) changes: BTreeMap<&'static str, String>,
}

impl Draft {
    /// The settings that are set now, of the server and of what is checked.
    pub(super) fn of(configuration: &Configuration) -> Self {
        let is_collecting = configuration.direction() == Direction::Collecting;
        let is_shown =
            |name: &str| name.starts_with("SFTP_") || is_collecting && name.starts_with("COLLECT_");
        let set = configuration.set().into_iter().filter(|(name, _)| is_shown(name));
        let values = set.map(|(name, value)| (name, plain(&configuration.settings, name, value))).collect();
        let changes = configuration.changed().map(|(name, why)| (name, why.to_owned())).collect();
        Self { values, changes }
    }

    /// The value, or the default.
    pub(super) fn get(&self, name: &str) -> String {
        let default =
            SETTINGS.iter().find(|setting| setting.name == name).and_then(|setting| setting.default);
        self.values.get(name).cloned().or(default.map(str::to_owned)).unwrap_or_default()
    }

    pub(super) fn set(&mut self, name: &'static str, value: &str, why: &str) {
        if self.get(name) != value {
            self.values.insert(name, value.to_owned());
            self.changes.insert(name, format!("{value}, because {why}"));
        }
    }

    /// Shows a setting although it has its default.
    pub(super) fn spell_out(&mut self, name: &'static str) {
        let value = self.get(name);
        if !value.is_empty() {
            self.values.insert(name, value);
        }
    }

    /// Recommends an empty value, so that pasting it removes the present one.
    pub(super) fn unset(&mut self, name: &'static str, why: &str) {
        if let Some(value) = self.values.get_mut(name).filter(|value| !value.is_empty()) {
            value.clear();
            self.changes.insert(name, format!("not set, because {why}"));
        }
    }

    /// Whether a delivery must keep an existing file.
    pub(super) fn keeps(&self) -> bool {
        matches!(self.get("SFTP_IF_EXISTS").as_str(), "fail" | "keep-both")
    }
}

//! Environment variables.

use std::collections::BTreeMap;
use std::fmt;

use super::table::{SETTINGS, Setting};

/// Variables by name: the environment of the process, or a test's. Any of them may hold a secret, so `Debug` shows only
/// names.
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
        let variables = std::env::vars_os();
        variables
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// The same variables, with this one changed. An empty value removes it.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.0.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Names and values of the settings that are set, in the order of [`SETTINGS`].
    pub fn set(&self) -> Vec<(&'static str, &str)> {
        SETTINGS.iter().filter_map(|setting| Some((setting.name, self.get(setting)?))).collect()
    }

    /// The value of a variable that is no setting.
    pub fn named(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// The value, trimmed. An empty one counts as not set, because a template cannot leave a variable out.
    pub(super) fn get(&self, setting: &Setting) -> Option<&str> {
        self.named(setting.name)
    }

    /// The value, or the setting's default.
    pub(super) fn get_or_default(&self, setting: &Setting) -> &str {
        self.get(setting).or(setting.default).unwrap_or_default()
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Variables {
    fn from_iter<T: IntoIterator<Item = (K, V)>>(variables: T) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

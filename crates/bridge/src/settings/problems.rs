//! Everything that is wrong with the settings, reported at once.

use std::collections::BTreeSet;

use super::pasted::{is_secret, may_be_secret};
use super::table::{SETTINGS, Setting};
use super::variables::Variables;
use crate::error::{ErrorName, Result};

/// One clause for each problem.
#[derive(Default)]
pub(super) struct Problems {
    clauses: Vec<String>,
    /// Settings that may hold a secret. No further problem of theirs is reported, because its text might show the value.
    not_shown: BTreeSet<&'static str>,
}

impl Problems {
    /// Adds a problem. The text continues the setting's name and must not repeat the value.
    pub(super) fn add(&mut self, setting: &Setting, problem: &str) {
        if !self.not_shown.contains(setting.name) {
            self.clauses.push(format!("{} {problem}", setting.name));
        }
    }

    /// Adds a wrong value and what is expected instead. A value that may be a secret is not shown.
    pub(super) fn wrong(&mut self, setting: &Setting, value: &str, problem: &str) {
        if may_be_secret(value) {
            self.not_shown(setting);
        } else {
            self.add(setting, &format!("is {value:?}: {problem}"));
        }
    }

    fn not_shown(&mut self, setting: &Setting) {
        let problem = format!(
            "is not shown, because it may be a secret, which does not belong there; expected: {}",
            setting.description
        );
        self.add(setting, &problem);
        self.not_shown.insert(setting.name);
    }

    /// Reports every variable that holds a secret, and returns the others. Messages may show these, except the
    /// credential's location, which has a check of its own.
    pub(super) fn refuse_secrets(&mut self, variables: &Variables) -> Variables {
        let is_pasted =
            |setting: &&Setting| !setting.is_never_shown() && variables.get(setting).is_some_and(is_secret);
        let mut others = variables.clone();
        for setting in SETTINGS.iter().filter(is_pasted) {
            self.not_shown(setting);
            others = others.with(setting.name, "");
        }
        others
    }

    /// What was parsed, or `InvalidConfig` if there are problems.
    pub(super) fn into_result<T>(self, parsed: Option<T>) -> Result<T> {
        match parsed {
            Some(parsed) if self.clauses.is_empty() => Ok(parsed),
            None if self.clauses.is_empty() => {
                Err(ErrorName::Internal.error("a setting is wrong, but no problem was reported"))
            }
            _ => Err(ErrorName::InvalidConfig.error(self.clauses.join("; "))),
        }
    }
}

#[cfg(test)]
impl Problems {
    /// The result of one parser.
    pub(super) fn of<T>(
        variables: &[(&str, &str)],
        parse: impl FnOnce(&Variables, &mut Self) -> Option<T>,
    ) -> Result<T> {
        let mut problems = Self::default();
        let parsed = parse(&variables.iter().copied().collect(), &mut problems);
        problems.into_result(parsed)
    }
}

//! What people set: the parameters of the template, and the settings. A value that a release accepts stays accepted, and
//! one that nobody gives keeps its meaning.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use bridge::{Need, SETTINGS, Setting, Values};
use serde::{Deserialize, Serialize};

use crate::parameters::{Kind, Parameter, parameters};

/// Everything that can be set, by its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inputs {
    /// The parameters of the template.
    pub parameters: BTreeMap<String, Input>,
    /// The settings: environment variables.
    pub settings: BTreeMap<String, Input>,
}

/// Whether a value must be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Presence {
    /// It must.
    Required,
    /// There is a default, or it may be empty.
    Optional,
}

/// The values that a parameter or a setting accepts, and the one that it has if none is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Its type.
    pub kind: Kind,
    /// Whether it must be given.
    pub presence: Presence,
    /// The value if none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// The only values, if they are listed.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub allowed_values: BTreeSet<String>,
    /// What a value looks like, if a pattern says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_pattern: Option<String>,
    /// The smallest number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum: Option<u64>,
    /// The largest number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum: Option<u64>,
    /// The minimum number of characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length_min: Option<u64>,
    /// The maximum number of characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length_max: Option<u64>,
}

impl Inputs {
    /// The parameters of this template, and the settings of this code.
    pub fn of(template: &str) -> Result<Self> {
        let named = |it: Parameter| (it.name.clone(), Input::from(it));
        Ok(Self {
            parameters: parameters(template)?.into_iter().map(named).collect(),
            settings: SETTINGS.iter().map(|it| (it.name.to_owned(), Input::from(it))).collect(),
        })
    }

    /// What of these is not so any more. `decisions` are the texts of the recorded decisions.
    pub fn broken_by(&self, now: &Self, decisions: &[String]) -> Vec<String> {
        let groups = [(&self.parameters, &now.parameters), (&self.settings, &now.settings)];
        groups.into_iter().flat_map(|(then, now)| broken(then, now, decisions)).collect()
    }
}

fn broken(
    then: &BTreeMap<String, Input>,
    now: &BTreeMap<String, Input>,
    decisions: &[String],
) -> Vec<String> {
    let mut found = Vec::new();
    for (name, then) in then {
        let whys = match now.get(name) {
            Some(now) => then.broken_by(now, &|pattern| is_decided(decisions, name, pattern)),
            None => vec!["is gone".to_owned()],
        };
        found.extend(whys.into_iter().map(|why| format!("{name}: {why}")));
    }
    let new = now.iter().filter(|(name, _)| !then.contains_key(*name));
    let required = new.filter(|(_, now)| now.presence == Presence::Required);
    found.extend(required.map(|(name, _)| format!("{name}: is new, and required: give it a default")));
    found
}

/// Whether a decision names the parameter and has the pattern.
fn is_decided(decisions: &[String], name: &str, pattern: &str) -> bool {
    decisions.iter().any(|text| text.contains(&format!("`{name}`")) && text.contains(pattern))
}

impl Input {
    fn broken_by(&self, now: &Self, is_decided: &dyn Fn(&str) -> bool) -> Vec<String> {
        let narrower = [
            bound("the minimum", self.minimum, now.minimum, u64::gt),
            bound("the maximum", self.maximum, now.maximum, u64::lt),
            bound("the minimum length", self.length_min, now.length_min, u64::gt),
            bound("the maximum length", self.length_max, now.length_max, u64::lt),
        ];
        let mut found: Vec<String> = narrower.into_iter().flatten().collect();
        if self.kind != now.kind {
            found.push(format!("the type was {:?}, is {:?}", self.kind, now.kind));
        }
        found.extend(self.loses_its_default(now));
        found.extend(self.lacks_values(now));
        found.extend(self.has_another_pattern(now, is_decided));
        found
    }

    fn loses_its_default(&self, now: &Self) -> Option<String> {
        match (self.presence, now.presence) {
            (Presence::Optional, Presence::Required) => Some("was optional, is required".to_owned()),
            // A value that had to be given is given in every file already.
            (Presence::Required, _) => None,
            (Presence::Optional, Presence::Optional) => (self.default != now.default)
                .then(|| format!("the default was {}, is {}", shown(&self.default), shown(&now.default))),
        }
    }

    fn lacks_values(&self, now: &Self) -> Option<String> {
        if now.allowed_values.is_empty() {
            return None;
        }
        if self.allowed_values.is_empty() {
            return Some(format!("accepted any value, accepts only {:?}", now.allowed_values));
        }
        let refused: Vec<_> = self.allowed_values.difference(&now.allowed_values).collect();
        (!refused.is_empty()).then(|| format!("does not accept {refused:?} any more"))
    }

    fn has_another_pattern(&self, now: &Self, is_decided: &dyn Fn(&str) -> bool) -> Option<String> {
        let pattern = now.allowed_pattern.as_deref()?;
        if self.allowed_pattern.as_deref() == Some(pattern) || is_decided(pattern) {
            return None;
        }
        Some(format!(
            "the pattern was {}, is {pattern:?}. No test can tell whether it matches all that was accepted: record a \
             decision in docs/decisions that says so, with the name in backquotes and the new pattern",
            shown(&self.allowed_pattern)
        ))
    }
}

/// Why a limit is narrower than it was.
fn bound(
    what: &str,
    then: Option<u64>,
    now: Option<u64>,
    is_narrower: fn(&u64, &u64) -> bool,
) -> Option<String> {
    let now = now?;
    match then {
        None => Some(format!("there was no limit, {what} is {now}")),
        Some(then) => is_narrower(&now, &then).then(|| format!("{what} was {then}, is {now}")),
    }
}

fn shown(value: &Option<String>) -> String {
    value.as_ref().map_or("none".to_owned(), |value| format!("{value:?}"))
}

impl From<Parameter> for Input {
    fn from(it: Parameter) -> Self {
        Self {
            kind: it.kind,
            presence: if it.default.is_some() { Presence::Optional } else { Presence::Required },
            default: it.default,
            allowed_values: it.allowed_values.into_iter().collect(),
            allowed_pattern: it.allowed_pattern,
            minimum: it.minimum,
            maximum: it.maximum,
            length_min: it.length_min,
            length_max: it.length_max,
        }
    }
}

impl From<&Setting> for Input {
    fn from(it: &Setting) -> Self {
        let (kind, choices, range) = match it.values {
            Values::Text => (Kind::Text, [].as_slice(), None),
            Values::Choice(choices) => (Kind::Text, choices, None),
            Values::Number { minimum, maximum } => (Kind::Number, [].as_slice(), Some((minimum, maximum))),
        };
        Self {
            kind,
            presence: if it.need == Need::Required { Presence::Required } else { Presence::Optional },
            // A variable that is empty counts as not set.
            default: it.default.filter(|default| !default.is_empty()).map(str::to_owned),
            allowed_values: choices.iter().map(|&choice| choice.to_owned()).collect(),
            allowed_pattern: None,
            minimum: range.map(|(minimum, _)| minimum.into()),
            maximum: range.map(|(_, maximum)| maximum.into()),
            length_min: None,
            length_max: None,
        }
    }
}

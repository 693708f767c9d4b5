//! The parameters of the template. CloudFormation checks values, too, but `sam deploy` drops a name that the template
//! does not have without a word, and uploads everything before a value is refused.

use std::sync::LazyLock;

use bridge::{SETTINGS, is_secret, may_be_secret};
use regex_lite::Regex;

/// The template that this command was built with.
const TEMPLATE: &str = include_str!("../../../../../sam/template.yaml");

/// Values of these are never shown: people paste the private key itself here.
const NEVER_SHOWN: [&str; 3] = ["SftpSecretId", "SftpS3SshKey", "SftpTrustedHostKeys"];

/// A parameter, as far as the template limits its values.
pub(in crate::doctor) struct Parameter {
    pub(in crate::doctor) name: &'static str,
    /// `None`: it must be set.
    pub(in crate::doctor) default: Option<String>,
    pattern: Option<String>,
    values: Option<Vec<String>>,
    minimum: Option<i64>,
    maximum: Option<i64>,
    length_max: Option<usize>,
    expected: Option<String>,
}

/// All parameters, in the template's order.
pub(in crate::doctor) fn all() -> &'static [Parameter] {
    static ALL: LazyLock<Vec<Parameter>> = LazyLock::new(|| read(TEMPLATE));
    &ALL
}

/// The parameter of this name.
///
/// # Errors
/// What to write instead.
pub(in crate::doctor) fn find(name: &str) -> Result<&'static Parameter, String> {
    all().iter().find(|parameter| parameter.name == name).ok_or_else(|| {
        let wanted = plain(name);
        let distance = |parameter: &&Parameter| strsim::damerau_levenshtein(&plain(parameter.name), &wanted);
        let nearest = all().iter().min_by_key(distance).map(|parameter| parameter.name).unwrap_or_default();
        let name = if may_be_secret(name) { "a name" } else { name };
        format!("{name} is no parameter of the template: the nearest one is {nearest}")
    })
}

/// The default of the parameter of this name. `None`: it must be set, or there is no such parameter.
pub(super) fn default(name: &str) -> Option<&'static str> {
    find(name).ok()?.default.as_deref()
}

/// People write `SFTP_HOST`, which is the setting of `SftpHost`.
fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// The setting that a stack takes from this parameter and that a check can use.
pub(in crate::doctor) fn setting(parameter: &str) -> Option<&'static str> {
    // That one is about this command's own log.
    let is_its =
        |setting: &&bridge::Setting| setting.parameter() == Some(parameter) && setting.name != "LOG_LEVEL";
    SETTINGS.iter().find(is_its).map(|setting| setting.name)
}

/// A parameter and its value, unless that may be a secret.
pub(super) fn shown(name: &str, value: &str) -> String {
    if NEVER_SHOWN.contains(&name) || may_be_secret(value) {
        format!("{name} has a value that is not shown")
    } else {
        format!("{name} is {value:?}")
    }
}

impl Parameter {
    /// # Errors
    /// The parameter, its value unless it may be a secret, and what is expected.
    pub(in crate::doctor) fn check(&self, value: &str) -> Result<(), String> {
        if is_secret(value) {
            let name = self.name;
            return Err(format!(
                "{name} is not shown, because it may be a secret, which does not belong there"
            ));
        }
        match self.refusal(value) {
            Some(expected) => Err(format!("{}: expected {expected}", shown(self.name, value))),
            None => Ok(()),
        }
    }

    /// What is expected instead of this value, if the template refuses it.
    fn refusal(&self, value: &str) -> Option<String> {
        let described = |otherwise: String| self.expected.clone().unwrap_or(otherwise);
        if let Some(pattern) = &self.pattern
            // As CloudFormation does it: the whole value.
            && !Regex::new(&format!("^(?:{pattern})$")).is_ok_and(|regex| regex.is_match(value))
        {
            return Some(described(format!("what matches {pattern}")));
        }
        if let Some(values) = &self.values
            && !values.iter().any(|allowed| allowed == value)
        {
            return Some(format!("one of {} (with quotes in TOML)", values.join(", ")));
        }
        if let (Some(minimum), Some(maximum)) = (self.minimum, self.maximum)
            && !value.parse().is_ok_and(|number: i64| (minimum..=maximum).contains(&number))
        {
            return Some(format!("a number from {minimum} to {maximum}"));
        }
        let length_max = self.length_max.filter(|most| value.chars().count() > *most)?;
        Some(format!("at most {length_max} characters"))
    }
}

fn read(template: &'static str) -> Vec<Parameter> {
    let (_, rest) = template.split_once("\nParameters:\n").unwrap_or_default();
    let (section, _) = rest.split_once("\n\n").unwrap_or((rest, ""));
    let mut parameters: Vec<Parameter> = Vec::new();
    for line in section.lines() {
        let text = line.trim_start();
        match (line.len() - text.len(), parameters.last_mut()) {
            (2, _) => parameters.push(Parameter::new(text.trim_end_matches(':'))),
            (4, Some(parameter)) => {
                let (property, value) = text.split_once(": ").unwrap_or((text, ""));
                parameter.add(property, value);
            }
            _ => {}
        }
    }
    parameters
}

impl Parameter {
    fn new(name: &'static str) -> Self {
        let (default, pattern, values, expected) = (None, None, None, None);
        Self { name, default, pattern, values, minimum: None, maximum: None, length_max: None, expected }
    }

    fn add(&mut self, property: &str, value: &str) {
        match property {
            "Default" => self.default = Some(scalar(value)),
            "AllowedPattern" => self.pattern = Some(scalar(value)),
            "AllowedValues" => {
                let words = value.trim_matches(['[', ']']).split(',');
                self.values = Some(words.map(|word| scalar(word.trim())).collect());
            }
            "MinValue" => self.minimum = value.parse().ok(),
            "MaxValue" => self.maximum = value.parse().ok(),
            "MaxLength" => self.length_max = value.parse().ok(),
            "ConstraintDescription" => self.expected = Some(scalar(value)),
            _ => {}
        }
    }
}

/// A plain or quoted text of one line in YAML.
fn scalar(yaml: &str) -> String {
    let quoted = |quote| yaml.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
    match (quoted('\''), quoted('"')) {
        (Some(text), _) => text.replace("''", "'"),
        (_, Some(text)) => text.replace(r#"\""#, "\"").replace(r"\\", r"\"),
        _ => yaml.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The template is read by lines here. What the console shows in groups must all have been found.
    #[test]
    fn every_parameter_of_the_template_is_known_with_its_limits() {
        let names: Vec<&str> = all().iter().map(|parameter| parameter.name).collect();
        let (_, rest) = TEMPLATE.split_once("    ParameterLabels:\n").unwrap();
        let (labels, _) = rest.split_once("\n\n").unwrap();
        let labels: Vec<&str> = labels.lines().map(|line| line.trim().split(':').next().unwrap()).collect();
        assert_eq!(names, labels);
        let (_, rest) = TEMPLATE.split_once("\nParameters:\n").unwrap();
        let (section, _) = rest.split_once("\n\n").unwrap();
        let count = |property: &str| section.matches(&format!("\n    {property}: ")).count();
        let known = |has: fn(&Parameter) -> bool| all().iter().filter(|parameter| has(parameter)).count();
        assert_eq!(known(|parameter| parameter.default.is_some()), count("Default"));
        assert_eq!(known(|parameter| parameter.pattern.is_some()), count("AllowedPattern"));
        assert_eq!(known(|parameter| parameter.values.is_some()), count("AllowedValues"));
        assert_eq!(known(|parameter| parameter.minimum.is_some()), count("MinValue"));
        assert_eq!(known(|parameter| parameter.maximum.is_some()), count("MaxValue"));
        assert_eq!(known(|parameter| parameter.length_max.is_some()), count("MaxLength"));
        assert_eq!(known(|parameter| parameter.expected.is_some()), count("ConstraintDescription"));
        for parameter in all() {
            if let Some(pattern) = &parameter.pattern {
                assert!(Regex::new(&format!("^(?:{pattern})$")).is_ok(), "{pattern}");
            }
            if let Some(default) = &parameter.default {
                assert_eq!(parameter.check(default), Ok(()));
            }
        }
    }

    /// Who runs `sam deploy --guided` is asked in this order.
    #[test]
    fn what_most_stacks_set_comes_first() {
        let first: Vec<&str> = all().iter().take(8).map(|parameter| parameter.name).collect();
        let expected = [
            "SftpHost",
            "SftpUser",
            "SftpLocation",
            "SftpTrustedHostKeys",
            "SftpSecretId",
            "BucketName",
            "KeyPrefix",
            "AlarmTopicArn",
        ];
        assert_eq!(first, expected);
        let required: Vec<&str> = all().iter().filter(|it| it.default.is_none()).map(|it| it.name).collect();
        assert_eq!(required, ["SftpHost", "SftpTrustedHostKeys"]);
        let (_, rest) = TEMPLATE.split_once("    ParameterGroups:\n").unwrap();
        let (groups, _) = rest.split_once("    ParameterLabels:\n").unwrap();
        let labels: Vec<&str> = groups.lines().filter(|line| line.contains("- Label:")).collect();
        assert!(labels.len() > 5 && labels[1..].iter().all(|label| label.contains("(may stay as ")));
        let listed: String = groups.split_whitespace().filter(|word| *word != "-").collect();
        let expected = format!("Parameters:{}", expected.concat());
        assert!(listed.contains(&expected), "{listed}");
    }

    #[test]
    fn a_name_that_does_not_exist_is_answered_with_the_nearest_one() {
        for (name, nearest) in [
            ("SftpHots", "SftpHost"),
            ("SFTP_HOST", "SftpHost"),
            ("sftphost", "SftpHost"),
            ("MaxConnection", "MaxConnections"),
            ("SftpTrustedHostKey", "SftpTrustedHostKeys"),
        ] {
            let error = find(name).err().unwrap();
            assert_eq!(
                error,
                format!("{name} is no parameter of the template: the nearest one is {nearest}")
            );
        }
        assert!(find("SftpHost").is_ok());
    }

    #[test]
    fn values_are_refused_as_the_template_refuses_them() {
        for (name, value, message) in [
            ("SftpPort", "ssh", "SftpPort is \"ssh\": expected a number from 1 to 65535"),
            ("SftpPort", "0", "SftpPort is \"0\": expected a number from 1 to 65535"),
            ("SftpHost", "sftp://h", "SftpHost is \"sftp://h\": expected a host name, an IPv4"),
            ("Dashboard", "True", "Dashboard is \"True\": expected one of true, false (with quotes in TOML)"),
            (
                "SftpSecretId",
                "two words",
                "SftpSecretId has a value that is not shown: expected a secret's name",
            ),
            ("SftpUser", "-----BEGIN OPENSSH PRIVATE KEY-----", "SftpUser is not shown, because it may be a"),
        ] {
            let error = find(name).unwrap().check(value).unwrap_err();
            assert!(error.starts_with(message), "{error}");
        }
        let long = "x".repeat(129);
        let error = find("SftpUser").unwrap().check(&long).unwrap_err();
        assert!(error.ends_with("expected at most 128 characters"), "{error}");
        assert_eq!(find("SftpUser").unwrap().check(r"DOMAIN\acme"), Ok(()));
    }
}

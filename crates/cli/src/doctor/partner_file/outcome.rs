//! Whether the file is written after an examination, and what is in it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::file::{Parameters, problems};
use super::parameters;
use super::target::Target;
use crate::doctor::configuration::Configuration;
use crate::doctor::recommend::Recommendation;

/// What became of the file.
pub(in crate::doctor) struct Outcome {
    path: String,
    stack_name: String,
    /// Why it was not written.
    refusal: Option<String>,
}

/// Writes the file, if one is to be written and the examination found nothing against it.
pub(in crate::doctor) fn write(
    configuration: &Configuration,
    recommendation: Option<&Recommendation>,
    objection: Option<String>,
) -> Option<Outcome> {
    let target = configuration.target()?;
    let (path, stack_name) = (target.path().display().to_string(), target.stack_name.clone());
    let refusal = written(target, configuration, recommendation, objection).err();
    Some(Outcome { path, stack_name, refusal })
}

fn written(
    target: &Target,
    configuration: &Configuration,
    recommendation: Option<&Recommendation>,
    objection: Option<String>,
) -> Result<(), String> {
    if let Some(objection) = objection {
        return Err(objection);
    }
    let recommendation = recommendation.ok_or("the partner's server took no file")?;
    let mut parameters = configuration.parameters();
    parameters.extend(recommendation.parameters());
    fit(&mut parameters);
    let named = target.named();
    name_all(&mut parameters, &named.union(configuration.given()).cloned().collect());
    let problems = problems(&parameters);
    if !problems.is_empty() {
        return Err(format!("the template would not take it: {}", problems.join("; ")));
    }
    target.write(&parameters).map_err(|error| error.to_string())
}

/// `sam deploy` keeps the stack's value of a parameter that the file does not name. So what the file has named, or the
/// command line has given, is written even if it is the default.
fn name_all(parameters: &mut Parameters, named: &BTreeSet<String>) {
    for name in named {
        if let Some(default) = parameters::default(name) {
            parameters.entry(name.clone()).or_insert_with(|| default.to_owned());
        }
    }
    parameters
        .retain(|name, value| named.contains(name) || parameters::default(name) != Some(value.as_str()));
}

/// The template refuses more connections for one file than half of those that a direction has. The partner's limit stands.
fn fit(parameters: &mut Parameters) {
    let all = parameters.get("MaxConnections").and_then(|all| all.parse::<u32>().ok());
    let Some(all) = all.filter(|all| *all > 0) else { return };
    let is = |name: &str, value: &str| parameters.get(name).is_some_and(|it| it == value);
    let collects = parameters.contains_key("CollectBucket") && !is("CollectBucket", "");
    let does_both = collects && !is("CollectOnly", "true");
    let of_a_direction = if does_both { all / 2 } else { all };
    if let Some(each) = parameters.get_mut("ConnectionsPerFile") {
        let most = match of_a_direction {
            8.. => 4,
            4.. => 2,
            _ => 1,
        };
        if each.parse::<u32>().is_ok_and(|each| each > most) {
            *each = most.to_string();
        }
    }
}

impl Outcome {
    pub(in crate::doctor) fn is_written(&self) -> bool {
        self.refusal.is_none()
    }

    /// For people.
    pub(in crate::doctor) fn to_lines(&self) -> Vec<String> {
        let Self { path, stack_name, refusal } = self;
        match refusal {
            Some(why) => vec![String::new(), format!("{path} was not written, because {why}.")],
            None => vec![
                String::new(),
                format!("Wrote {path} for the stack {stack_name}. Deploy it in the folder of the package:"),
                format!("  sam deploy --config-file {path}"),
            ],
        }
    }

    pub(in crate::doctor) fn to_json(&self) -> Value {
        json!({
            "path": self.path,
            "stack_name": self.stack_name,
            "is_written": self.is_written(),
            "refusal": self.refusal,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_is_written_only_if_it_was_named_or_given() {
        let text = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let mut parameters: Parameters =
            [("SftpHost", "h"), ("SftpPort", "22"), ("SftpProof", "auto")].map(text).into();
        // `SftpStripPrefix` was given as "", which counts as not set for the checks.
        let named = ["SftpPort", "SftpStripPrefix", "SftpUnknown"].map(str::to_owned).into();
        name_all(&mut parameters, &named);
        let expected = [("SftpHost", "h"), ("SftpPort", "22"), ("SftpStripPrefix", "")].map(text).into();
        assert_eq!(parameters, expected);
    }

    #[test]
    fn connections_of_a_file_fit_into_those_of_the_partner() {
        for (all, each, fitting) in [
            (Some("1"), "2", "1"),
            (Some("3"), "4", "1"),
            (Some("4"), "4", "2"),
            (Some("8"), "4", "4"),
            (Some("0"), "4", "4"),
            (None, "2", "2"),
        ] {
            let all = all.map(|all| ("MaxConnections".to_owned(), all.to_owned()));
            let mut parameters: Parameters = all.into_iter().collect();
            parameters.insert("ConnectionsPerFile".into(), each.into());
            fit(&mut parameters);
            assert_eq!(parameters["ConnectionsPerFile"], fitting);
        }
        // Each direction has half of them.
        for (all, only, fitting) in [
            ("6", "false", "1"),
            ("8", "false", "2"),
            ("16", "false", "4"),
            ("4", "true", "2"),
            ("8", "true", "4"),
        ] {
            let parameters = [
                ("CollectBucket", "b"),
                ("CollectOnly", only),
                ("MaxConnections", all),
                ("ConnectionsPerFile", "4"),
            ];
            let text = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
            let mut parameters: Parameters = parameters.map(text).into();
            fit(&mut parameters);
            assert_eq!(parameters["ConnectionsPerFile"], fitting, "{all}, {only}");
        }
    }
}

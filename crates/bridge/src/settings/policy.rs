//! What is delivered, where to, and what happens to what is there.

use super::server::{NOT_HOME, is_shells_home};
use super::{Problems, Variables, choice, prefix};
use crate::paths::problem_of_directory;
use crate::{Glob, PartialName, RemotePathTemplate};

/// How the partner wants deliveries made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryPolicy {
    /// `SFTP_REMOTE_PATH`.
    pub remote_path: RemotePathTemplate,
    /// `SFTP_STRIP_PREFIX`; empty: nothing.
    pub strip_prefix: String,
    /// `SFTP_IF_EXISTS`.
    pub if_exists: IfExists,
    /// `SFTP_PUBLISH`, `SFTP_PARTIAL_NAME` and `SFTP_STAGING_DIRECTORY`.
    pub publish: Publish,
    /// `SFTP_CREATE_DIRECTORIES`.
    pub create_directories: bool,
    /// `SFTP_SKIP_EMPTY`.
    pub skip_empty: bool,
    /// `S3_INCLUDE`; empty: all.
    pub include: Vec<Glob>,
    /// `S3_EXCLUDE`.
    pub exclude: Vec<Glob>,
}

/// What happens to a file that has the final name already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfExists {
    /// It is replaced.
    Replace,
    /// It is left as it is if it has the same contents, else replaced.
    Skip,
    /// The delivery fails, unless it has the same contents.
    Fail,
    /// It stays, and the new one gets a number, unless one of them has the same contents.
    KeepBoth,
}

impl IfExists {
    const ALL: [Self; 4] = [Self::Replace, Self::Skip, Self::Fail, Self::KeepBoth];

    /// The word in the setting.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Replace => "replace",
            Self::Skip => "skip",
            Self::Fail => "fail",
            Self::KeepBoth => "keep-both",
        }
    }

    /// Whether a file that is there must not be replaced.
    pub fn keeps(self) -> bool {
        matches!(self, Self::Fail | Self::KeepBoth)
    }
}

/// How the final name comes into being.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Publish {
    /// By renaming a partial file.
    Rename {
        /// What it is called.
        partial_name: PartialName,
        /// Where it lies, if not beside the final name.
        staging_directory: Option<String>,
    },
    /// It is written to.
    Direct,
}

/// Values of `SFTP_PARTIAL_NAME` for a server that refuses the one in use, in the order to try them: names without a leading
/// dot, short ones, and ones that end as the final name ends.
pub fn other_partial_names(final_name: &str) -> Vec<String> {
    let names = ["{name}.{id}.part", "{id}.part", "{id}.{name}"].map(str::to_owned);
    let extension = final_name.rsplit_once('.').map(|(_, extension)| extension);
    let extension = extension.filter(|extension| extension.chars().all(|c| c.is_ascii_alphanumeric()));
    let with_extension = extension.map(|extension| format!("{{id}}.{extension}"));
    let names = names.into_iter().chain(with_extension).chain(["{id}".to_owned()]);
    names.filter(|name| PartialName::parse(name).is_ok()).collect()
}

/// The defaults.
const REMOTE_PATH: &str = "{key}";
const PARTIAL_NAME: &str = ".{name}.{id}.partial";

impl DeliveryPolicy {
    pub(super) fn parse(variables: &Variables, problems: &mut Problems) -> Option<Self> {
        let staging_directory = variables.get("SFTP_STAGING_DIRECTORY");
        if let Some(directory) = staging_directory {
            let expected = "expected a directory below SFTP_LOCATION, or with a leading slash anywhere";
            if let Some(problem) = problem_of_directory(directory) {
                problems.wrong("SFTP_STAGING_DIRECTORY", directory, &format!("its {problem}, {expected}"));
            } else if is_shells_home(directory) {
                problems.wrong("SFTP_STAGING_DIRECTORY", directory, &format!("{NOT_HOME}, {expected}"));
            }
        }
        let text = variables.get("SFTP_REMOTE_PATH").unwrap_or(REMOTE_PATH);
        if is_shells_home(text) {
            let expected = "expected a path below SFTP_LOCATION such as in/{key}";
            problems.wrong("SFTP_REMOTE_PATH", text, &format!("{NOT_HOME}, {expected}"));
        }
        let remote_path = RemotePathTemplate::parse(text);
        let remote_path = remote_path.map_err(|problem| problems.wrong("SFTP_REMOTE_PATH", text, &problem));
        let text = variables.get("SFTP_PARTIAL_NAME").unwrap_or(PARTIAL_NAME);
        let partial_name = PartialName::parse(text);
        let partial_name =
            partial_name.map_err(|problem| problems.wrong("SFTP_PARTIAL_NAME", text, &problem));
        let policies = IfExists::ALL.map(|policy| (policy.as_str(), policy));
        let if_exists = choice(variables, problems, "SFTP_IF_EXISTS", &policies);
        let direct = choice(variables, problems, "SFTP_PUBLISH", &[("rename", false), ("direct", true)]);
        if direct {
            for name in ["SFTP_PARTIAL_NAME", "SFTP_STAGING_DIRECTORY"] {
                if let Some(value) = variables.get(name) {
                    let problem = "with SFTP_PUBLISH=direct there is no partial file, expected nothing";
                    problems.wrong(name, value, problem);
                }
            }
            if if_exists.keeps() {
                let problem = "SFTP_PUBLISH=direct cannot keep to it, for what is left of a try that broke off cannot be told from a file that was there before, expected replace or skip";
                problems.wrong("SFTP_IF_EXISTS", if_exists.as_str(), problem);
            }
        }
        let truth = [("false", false), ("true", true)];
        let skip_empty = choice(variables, problems, "SFTP_SKIP_EMPTY", &truth);
        let create_directories =
            choice(variables, problems, "SFTP_CREATE_DIRECTORIES", &[("true", true), ("false", false)]);
        let strip_prefix = prefix(variables, problems, "SFTP_STRIP_PREFIX");
        let include = globs(variables, problems, "S3_INCLUDE");
        let exclude = globs(variables, problems, "S3_EXCLUDE");
        let publish = match direct {
            true => Publish::Direct,
            false => Publish::Rename {
                partial_name: partial_name.ok()?,
                staging_directory: staging_directory.map(str::to_owned),
            },
        };
        Some(Self {
            remote_path: remote_path.ok()?,
            strip_prefix: strip_prefix.unwrap_or_default().to_owned(),
            if_exists,
            publish,
            create_directories,
            skip_empty,
            include,
            exclude,
        })
    }

    /// Why an object of this key is not delivered, if it is not.
    pub fn passes_over(&self, object_key: &str) -> Option<String> {
        if let Some(pattern) = self.exclude.iter().find(|pattern| pattern.matches(object_key)) {
            return Some(format!("S3_EXCLUDE has {}, which the key matches", pattern.as_str()));
        }
        let included =
            self.include.is_empty() || self.include.iter().any(|pattern| pattern.matches(object_key));
        (!included).then(|| "S3_INCLUDE has no pattern that the key matches".to_owned())
    }
}

#[cfg(test)]
impl Default for DeliveryPolicy {
    #[allow(clippy::unwrap_used)]
    fn default() -> Self {
        Self::parse(&Variables::default(), &mut Problems::default()).unwrap()
    }
}

/// Separated by commas.
fn globs(variables: &Variables, problems: &mut Problems, name: &'static str) -> Vec<Glob> {
    let text = variables.get(name).unwrap_or_default();
    let patterns: Vec<&str> = text.split(',').map(str::trim).filter(|pattern| !pattern.is_empty()).collect();
    if patterns.iter().any(|pattern| pattern.contains(char::is_control)) {
        problems.wrong(
            name,
            text,
            "expected patterns of object keys, separated by commas, without control characters",
        );
    }
    patterns.into_iter().map(Glob::new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(variables: &[(&str, &str)]) -> Result<DeliveryPolicy, String> {
        let mut problems = Problems::default();
        let policy = DeliveryPolicy::parse(&variables.iter().copied().collect(), &mut problems);
        problems.unless_any(policy).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn the_defaults_change_nothing() {
        let policy = parse(&[]).unwrap();
        assert_eq!(policy.if_exists, IfExists::Replace);
        assert!(policy.create_directories && !policy.skip_empty);
        assert_eq!(policy.passes_over("any/key"), None);
    }

    #[test]
    fn keys_are_included_and_excluded() {
        let policy = parse(&[("S3_INCLUDE", "*.csv, out/**"), ("S3_EXCLUDE", "out/tmp/**,,")]).unwrap();
        assert_eq!(policy.passes_over("a.csv"), None);
        assert_eq!(policy.passes_over("out/a/b.txt"), None);
        assert!(policy.passes_over("out/tmp/a.csv").unwrap().contains("S3_EXCLUDE has out/tmp/**"));
        assert!(policy.passes_over("in/a.csv").unwrap().contains("S3_INCLUDE"));
    }

    #[test]
    fn all_that_is_wrong_is_named_with_what_is_allowed() {
        let wrong = [
            ("SFTP_REMOTE_PATH", "{nmae}"),
            ("SFTP_IF_EXISTS", "overwrite"),
            ("SFTP_PUBLISH", "move"),
            ("SFTP_PARTIAL_NAME", "{name}.tmp"),
            ("SFTP_STAGING_DIRECTORY", "../stage"),
            ("SFTP_CREATE_DIRECTORIES", "yes"),
            ("SFTP_SKIP_EMPTY", "1"),
        ];
        let error = parse(&wrong).unwrap_err();
        for (name, value) in wrong {
            let alone = parse(&[(name, value)]).unwrap_err();
            assert!(
                alone.starts_with(&format!("{name} is {value:?}: ")) && error.contains(&alone),
                "{name}: {alone}\n{error}"
            );
        }
        for words in [
            "{nmae}",
            "replace, skip, fail or keep-both",
            "rename or direct",
            "{id}",
            "\"..\"",
            "true or false",
        ] {
            assert!(error.contains(words), "{words}: {error}");
        }
    }

    #[test]
    fn story_124_no_directory_is_called_tilde() {
        for (name, value) in [
            ("SFTP_STAGING_DIRECTORY", "~"),
            ("SFTP_STAGING_DIRECTORY", "~/stage"),
            ("SFTP_REMOTE_PATH", "~/{key}"),
        ] {
            let error = parse(&[(name, value)]).unwrap_err();
            assert!(error.starts_with(&format!("{name} is {value:?}: {NOT_HOME}, expected a ")), "{error}");
        }
        for (name, value) in [("SFTP_STAGING_DIRECTORY", "a/~"), ("SFTP_REMOTE_PATH", "{key}~")] {
            parse(&[(name, value)]).unwrap();
        }
    }

    #[test]
    fn other_names_of_partial_files_end_like_the_file_or_do_without_a_dot() {
        let names = |name| other_partial_names(name).join(" ");
        assert_eq!(names("report.tar.gz"), "{name}.{id}.part {id}.part {id}.{name} {id}.gz {id}");
        assert_eq!(names("README"), "{name}.{id}.part {id}.part {id}.{name} {id}");
        assert_eq!(names("odd.{x}"), names("README"), "an extension that no template can hold");
    }

    #[test]
    fn what_direct_cannot_do_is_said_at_once() {
        let direct = ("SFTP_PUBLISH", "direct");
        assert_eq!(parse(&[direct, ("SFTP_IF_EXISTS", "skip")]).unwrap().publish, Publish::Direct);
        for other in [
            ("SFTP_IF_EXISTS", "fail"),
            ("SFTP_IF_EXISTS", "keep-both"),
            ("SFTP_PARTIAL_NAME", "{id}"),
            ("SFTP_STAGING_DIRECTORY", "stage"),
        ] {
            assert!(parse(&[direct, other]).unwrap_err().starts_with(other.0), "{other:?}");
        }
    }
}

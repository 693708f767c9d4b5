//! What is delivered, to which path, and what happens to a file that is already there.

use super::names::{NOT_HOME, begins_with_tilde};
use super::problems::Problems;
use super::read::{choice, globs, key_prefix};
use super::table::{
    S3_EXCLUDE, S3_INCLUDE, SFTP_CREATE_DIRECTORIES, SFTP_IF_EXISTS, SFTP_PARTIAL_NAME, SFTP_PUBLISH,
    SFTP_REMOTE_PATH, SFTP_SKIP_EMPTY, SFTP_STAGING_DIRECTORY, SFTP_STRIP_PREFIX,
};
use super::variables::Variables;
use crate::paths::{PartialName, RemotePathTemplate, problem_of_directory};
use terms::Glob;

/// What the partner agreed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryPolicy {
    /// `SFTP_REMOTE_PATH`.
    pub remote_path: RemotePathTemplate,
    /// `SFTP_STRIP_PREFIX`, or empty.
    pub strip_prefix: String,
    /// `SFTP_IF_EXISTS`.
    pub if_exists: IfExists,
    /// `SFTP_PUBLISH`, `SFTP_PARTIAL_NAME` and `SFTP_STAGING_DIRECTORY`.
    pub publish: Publish,
    /// `SFTP_CREATE_DIRECTORIES`.
    pub create_directories: bool,
    /// `SFTP_SKIP_EMPTY`.
    pub skip_empty: bool,
    /// `S3_INCLUDE`. If it is empty, every object is included.
    pub include: Vec<Glob>,
    /// `S3_EXCLUDE`.
    pub exclude: Vec<Glob>,
}

/// What happens if a file already has the final name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfExists {
    /// It is replaced.
    Replace,
    /// It is kept if it has the same contents, and replaced otherwise.
    Skip,
    /// The delivery fails, unless the file has the same contents.
    Fail,
    /// It is kept, and the new file gets a number, unless a kept file has the same contents.
    KeepBoth,
}

impl IfExists {
    const ALL: [Self; 4] = [Self::Replace, Self::Skip, Self::Fail, Self::KeepBoth];

    /// The word in `SFTP_IF_EXISTS`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Replace => "replace",
            Self::Skip => "skip",
            Self::Fail => "fail",
            Self::KeepBoth => "keep-both",
        }
    }

    /// Whether an existing file must not be replaced.
    pub fn keeps(self) -> bool {
        matches!(self, Self::Fail | Self::KeepBoth)
    }
}

/// How a file gets its final name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Publish {
    /// A partial file is renamed.
    Rename {
        /// Its name.
        partial_name: PartialName,
        /// Its directory. `None`: that of the final name.
        staging_directory: Option<String>,
    },
    /// The final name is written to.
    Direct,
}

/// Values of `SFTP_PARTIAL_NAME` to try, in this order, if a server refuses the present one: without a leading dot, short,
/// and with the extension of the final name.
pub fn other_partial_names(final_name: &str) -> Vec<String> {
    let names = ["{name}.{id}.part", "{id}.part", "{id}.{name}"].map(str::to_owned);
    let extension = final_name.rsplit_once('.').map(|(_, extension)| extension);
    let extension = extension.filter(|extension| extension.chars().all(|c| c.is_ascii_alphanumeric()));
    let with_extension = extension.map(|extension| format!("{{id}}.{extension}"));
    let names = names.into_iter().chain(with_extension).chain(["{id}".to_owned()]);
    names.filter(|name| PartialName::parse(name).is_ok()).collect()
}

impl DeliveryPolicy {
    pub(super) fn parse(variables: &Variables, problems: &mut Problems) -> Option<Self> {
        let remote_path = remote_path(variables, problems);
        let policies = IfExists::ALL.map(|policy| (policy.as_str(), policy));
        let if_exists = choice(variables, problems, &SFTP_IF_EXISTS, &policies);
        let publish = publish(variables, problems, if_exists);
        let booleans = [("false", false), ("true", true)];
        let skip_empty = choice(variables, problems, &SFTP_SKIP_EMPTY, &booleans);
        let booleans = [("true", true), ("false", false)];
        let create_directories = choice(variables, problems, &SFTP_CREATE_DIRECTORIES, &booleans);
        let strip_prefix = key_prefix(variables, problems, &SFTP_STRIP_PREFIX);
        let include = globs(variables, problems, &S3_INCLUDE, "object keys");
        let exclude = globs(variables, problems, &S3_EXCLUDE, "object keys");
        Some(Self {
            remote_path: remote_path?,
            strip_prefix: strip_prefix.unwrap_or_default().to_owned(),
            if_exists,
            publish: publish?,
            create_directories,
            skip_empty,
            include,
            exclude,
        })
    }

    /// The reason why an object with this key is not delivered, if there is one.
    pub fn passes_over(&self, object_key: &str) -> Option<String> {
        if let Some(pattern) = self.exclude.iter().find(|pattern| pattern.matches(object_key)) {
            return Some(format!("the key matches {} in S3_EXCLUDE", pattern.as_str()));
        }
        let is_included =
            self.include.is_empty() || self.include.iter().any(|pattern| pattern.matches(object_key));
        (!is_included).then(|| "the key matches no pattern in S3_INCLUDE".to_owned())
    }
}

#[cfg(test)]
impl Default for DeliveryPolicy {
    #[allow(clippy::unwrap_used)]
    fn default() -> Self {
        Self::parse(&Variables::default(), &mut Problems::default()).unwrap()
    }
}

fn remote_path(variables: &Variables, problems: &mut Problems) -> Option<RemotePathTemplate> {
    let text = variables.get_or_default(&SFTP_REMOTE_PATH);
    if begins_with_tilde(text) {
        let expected = "expected a path below SFTP_LOCATION such as in/{key}";
        problems.wrong(&SFTP_REMOTE_PATH, text, &format!("{NOT_HOME}, {expected}"));
    }
    let template = RemotePathTemplate::parse(text);
    template.map_err(|problem| problems.wrong(&SFTP_REMOTE_PATH, text, &problem)).ok()
}

fn publish(variables: &Variables, problems: &mut Problems, if_exists: IfExists) -> Option<Publish> {
    let staging_directory = staging_directory(variables, problems);
    let text = variables.get_or_default(&SFTP_PARTIAL_NAME);
    let partial_name = PartialName::parse(text);
    let partial_name =
        partial_name.map_err(|problem| problems.wrong(&SFTP_PARTIAL_NAME, text, &problem)).ok();
    let is_direct = choice(variables, problems, &SFTP_PUBLISH, &[("rename", false), ("direct", true)]);
    if !is_direct {
        let staging_directory = staging_directory.map(str::to_owned);
        return Some(Publish::Rename { partial_name: partial_name?, staging_directory });
    }
    for setting in [SFTP_PARTIAL_NAME, SFTP_STAGING_DIRECTORY] {
        if let Some(value) = variables.get(&setting) {
            let problem = "with SFTP_PUBLISH=direct there is no partial file, expected nothing";
            problems.wrong(&setting, value, problem);
        }
    }
    if if_exists.keeps() {
        let problem = "with SFTP_PUBLISH=direct the bridge cannot tell an incomplete file of an earlier attempt from a file that must be kept, expected replace or skip";
        problems.wrong(&SFTP_IF_EXISTS, if_exists.as_str(), problem);
    }
    Some(Publish::Direct)
}

pub(super) fn staging_directory<'v>(variables: &'v Variables, problems: &mut Problems) -> Option<&'v str> {
    let directory = variables.get(&SFTP_STAGING_DIRECTORY)?;
    let expected = "expected a directory below SFTP_LOCATION, or an absolute path";
    if let Some(problem) = problem_of_directory(directory) {
        problems.wrong(&SFTP_STAGING_DIRECTORY, directory, &format!("its {problem}, {expected}"));
    } else if begins_with_tilde(directory) {
        problems.wrong(&SFTP_STAGING_DIRECTORY, directory, &format!("{NOT_HOME}, {expected}"));
    }
    Some(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(variables: &[(&str, &str)]) -> Result<DeliveryPolicy, String> {
        Problems::of(variables, DeliveryPolicy::parse).map_err(|error| error.message().to_owned())
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
        assert!(policy.passes_over("out/tmp/a.csv").unwrap().contains("matches out/tmp/** in S3_EXCLUDE"));
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

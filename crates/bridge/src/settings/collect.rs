//! `COLLECT_*`: what is collected from the server, when, under which keys, and what becomes of the files.

use std::time::Duration;

use super::names::{NOT_HOME, begins_with_tilde, is_bucket_name};
use super::overlap;
use super::problems::Problems;
use super::read::{choice, globs, number};
use super::server;
use super::table::{
    COLLECT_AFTERWARDS, COLLECT_ARCHIVE_DAYS, COLLECT_ARCHIVE_DIRECTORY, COLLECT_BUCKET, COLLECT_DIRECTORY,
    COLLECT_EMPTY, COLLECT_EXCLUDE, COLLECT_IF_EXISTS, COLLECT_INCLUDE, COLLECT_MARK_SYNCHED, COLLECT_MARKER,
    COLLECT_MAX_FILES, COLLECT_NEWEST_ONLY, COLLECT_OBJECT_KEY, COLLECT_RECURSIVE, COLLECT_SETTLE_SECONDS,
};
use super::variables::Variables;
use crate::collect::{Afterwards, MarkerPattern, RemoteFile};
use crate::error::Result;
use crate::paths::{ObjectKeyTemplate, problem_of_directory};
use terms::Glob;

/// The settings of `list-remote`, `collect` and `settle-remote`, beside those of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectSettings {
    /// `COLLECT_BUCKET`.
    pub bucket: String,
    /// `COLLECT_DIRECTORY`, without slashes at its end.
    pub directory: String,
    /// `COLLECT_INCLUDE`. If it is empty, every file is included.
    pub include: Vec<Glob>,
    /// `COLLECT_EXCLUDE`.
    pub exclude: Vec<Glob>,
    /// `COLLECT_RECURSIVE`.
    pub recursive: bool,
    /// `COLLECT_SETTLE_SECONDS`.
    pub settle: Duration,
    /// `COLLECT_MARKER`. Markers are looked for among all names of a directory, also those that are excluded.
    pub marker: Option<MarkerPattern>,
    /// `COLLECT_OBJECT_KEY`.
    pub object_key: ObjectKeyTemplate,
    /// `COLLECT_IF_EXISTS`.
    pub if_exists: CollectIfExists,
    /// `COLLECT_AFTERWARDS` and `COLLECT_ARCHIVE_DIRECTORY`.
    pub afterwards: Afterwards,
    /// `COLLECT_ARCHIVE_DAYS`. `None`: archived files are kept.
    pub archive_days: Option<u32>,
    /// `COLLECT_EMPTY`.
    pub collect_empty: bool,
    /// `COLLECT_NEWEST_ONLY`.
    pub newest_only: bool,
    /// `COLLECT_MAX_FILES`.
    pub max_files: u32,
    /// `COLLECT_MARK_SYNCHED`.
    pub mark_synched: bool,
}

/// What happens if an object already has the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CollectIfExists {
    /// It is replaced.
    Replace,
    /// It is kept if it has the same contents, and replaced otherwise.
    Skip,
    /// The collection fails, unless the object has the same contents.
    Fail,
    /// It is kept, and the new object gets a number.
    KeepBoth,
}

impl CollectIfExists {
    const ALL: [Self; 4] = [Self::Replace, Self::Skip, Self::Fail, Self::KeepBoth];

    /// The word in `COLLECT_IF_EXISTS`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Replace => "replace",
            Self::Skip => "skip",
            Self::Fail => "fail",
            Self::KeepBoth => "keep-both",
        }
    }
}

impl CollectSettings {
    /// Parses all settings of this direction. `Settings` has the server.
    ///
    /// # Errors
    /// `InvalidConfig` with one clause for each setting that is missing or wrong.
    pub fn parse(variables: &Variables) -> Result<Self> {
        let mut problems = Problems::default();
        let variables = problems.refuse_secrets(variables);
        let settings = Self::read(&variables, &mut problems);
        problems.into_result(settings)
    }

    /// Whether anything is to be collected.
    pub(super) fn is_wanted(variables: &Variables) -> bool {
        variables.get(&COLLECT_BUCKET).is_some()
    }

    pub(super) fn read(variables: &Variables, problems: &mut Problems) -> Option<Self> {
        let bucket = bucket(variables, problems).map(str::to_owned);
        let directory = server::directory(variables, problems, &COLLECT_DIRECTORY, "outgoing");
        let directory = without_end(directory.unwrap_or_default()).to_owned();
        let booleans = [("false", false), ("true", true)];
        let recursive = choice(variables, problems, &COLLECT_RECURSIVE, &booleans);
        let afterwards = afterwards(variables, problems, &directory, recursive);
        let policies = CollectIfExists::ALL.map(|policy| (policy.as_str(), policy));
        let (marker, object_key) = (marker(variables, problems), object_key(variables, problems));
        let settle = number(variables, problems, &COLLECT_SETTLE_SECONDS);
        let settings = Self {
            bucket: bucket.unwrap_or_default(),
            directory,
            include: globs(variables, problems, &COLLECT_INCLUDE, "names or paths"),
            exclude: globs(variables, problems, &COLLECT_EXCLUDE, "names or paths"),
            recursive,
            settle: Duration::from_secs(settle.into()),
            marker,
            if_exists: choice(variables, problems, &COLLECT_IF_EXISTS, &policies),
            archive_days: archive_days(variables, problems, &afterwards),
            newest_only: newest_only(variables, problems, &afterwards),
            afterwards,
            collect_empty: choice(variables, problems, &COLLECT_EMPTY, &[("collect", true), ("skip", false)]),
            max_files: number(variables, problems, &COLLECT_MAX_FILES),
            mark_synched: choice(variables, problems, &COLLECT_MARK_SYNCHED, &booleans),
            // Last, so that everything else is checked, too.
            object_key: object_key?,
        };
        if settings.include.is_empty() && settings.afterwards != Afterwards::Leave {
            overlap::refuse(variables, problems, &settings.directory, settings.recursive);
        }
        Some(settings)
    }

    /// The reason why the file at this path below the directory is not collected, if its path tells one.
    pub fn passes_over(&self, path: &str) -> Option<String> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        if !parent.is_empty() && !self.recursive {
            return Some("it is in a directory below, and COLLECT_RECURSIVE is false".to_owned());
        }
        if self.afterwards.holds(&self.directory, path) {
            return Some("it is in the archive".to_owned());
        }
        if self.marker.as_ref().is_some_and(|marker| marker.file_of(path).is_some()) {
            return Some("it is a marker, by COLLECT_MARKER".to_owned());
        }
        if let Some(pattern) = self.excluding(path) {
            return Some(format!("it matches {} in COLLECT_EXCLUDE", pattern.as_str()));
        }
        let is_included = |pattern: &Glob| pattern.matches(if is_for_path(pattern) { path } else { name });
        let is_included = self.include.is_empty() || self.include.iter().any(is_included);
        (!is_included).then(|| "it matches no pattern in COLLECT_INCLUDE".to_owned())
    }

    /// The reason why the file is not collected, if its path or its size tells one.
    pub fn skips(&self, file: &RemoteFile) -> Option<String> {
        let is_unwanted = file.size == 0 && !self.collect_empty;
        let empty = || is_unwanted.then(|| "it is empty, and COLLECT_EMPTY is skip".to_owned());
        self.passes_over(&file.path).or_else(empty)
    }

    /// The reason why the directory at this path below the directory is not listed, if there is one.
    pub fn passes_over_directory(&self, path: &str) -> Option<String> {
        if !self.recursive {
            return Some("COLLECT_RECURSIVE is false".to_owned());
        }
        // As a file in it would be.
        if self.afterwards.holds(&self.directory, &format!("{path}/name")) {
            return Some("it is the archive".to_owned());
        }
        let pattern = self.excluding(path)?;
        Some(format!("it matches {} in COLLECT_EXCLUDE", pattern.as_str()))
    }

    fn excluding(&self, path: &str) -> Option<&Glob> {
        self.exclude.iter().find(|pattern| {
            if is_for_path(pattern) {
                return pattern.matches(path);
            }
            path.split('/').any(|component| pattern.matches(component))
        })
    }

    /// The key of the object that the file becomes. `time` is that of the execution's start, in RFC 3339.
    ///
    /// # Errors
    /// Why there is no such key, as a clause about the file.
    pub fn object_key(&self, file: &RemoteFile, time: &str) -> std::result::Result<String, String> {
        self.object_key.fill(&file.path, time)
    }
}

/// Whether a pattern is for the whole path. Without a slash it is for a name.
fn is_for_path(pattern: &Glob) -> bool {
    pattern.as_str().contains('/')
}

/// Without the slashes at the end. The root is nothing but a slash.
fn without_end(directory: &str) -> &str {
    match directory.trim_end_matches('/') {
        "" if directory.starts_with('/') => "/",
        directory => directory,
    }
}

fn bucket<'v>(variables: &'v Variables, problems: &mut Problems) -> Option<&'v str> {
    let Some(bucket) = variables.get(&COLLECT_BUCKET) else {
        problems.add(&COLLECT_BUCKET, "is not set: set it to the bucket for collected files");
        return None;
    };
    if !is_bucket_name(bucket) {
        let expected = "expected a bucket's name: 3 to 63 lower case letters, digits, dots and hyphens";
        problems.wrong(&COLLECT_BUCKET, bucket, expected);
    }
    Some(bucket)
}

fn marker(variables: &Variables, problems: &mut Problems) -> Option<MarkerPattern> {
    let text = variables.get_or_default(&COLLECT_MARKER);
    if text == "none" {
        return None;
    }
    let pattern = MarkerPattern::parse(text);
    pattern.map_err(|problem| problems.wrong(&COLLECT_MARKER, text, &problem)).ok()
}

fn object_key(variables: &Variables, problems: &mut Problems) -> Option<ObjectKeyTemplate> {
    let text = variables.get_or_default(&COLLECT_OBJECT_KEY);
    let template = ObjectKeyTemplate::parse(text);
    template.map_err(|problem| problems.wrong(&COLLECT_OBJECT_KEY, text, &problem)).ok()
}

fn afterwards(
    variables: &Variables,
    problems: &mut Problems,
    directory: &str,
    recursive: bool,
) -> Afterwards {
    let archive = Afterwards::Archive { directory: archive_directory(variables, problems) };
    let choices = [&archive, &Afterwards::Delete, &Afterwards::Leave].map(|it| (it.as_str(), it));
    let chosen = choice(variables, problems, &COLLECT_AFTERWARDS, &choices).clone();
    let Some(named) = variables.get(&COLLECT_ARCHIVE_DIRECTORY) else { return chosen };
    let problem = if !matches!(chosen, Afterwards::Archive { .. }) {
        Some(format!("with COLLECT_AFTERWARDS={} nothing is archived, expected nothing", chosen.as_str()))
    } else if without_end(named) == directory {
        Some(
            "archived files would be collected again, expected another directory than COLLECT_DIRECTORY"
                .into(),
        )
    } else if named.starts_with('/') && !directory.starts_with('/') {
        let also = if recursive { ", or in a directory below it" } else { "" };
        Some(format!(
            "whether this is in COLLECT_DIRECTORY{also} cannot be told, because that begins in the home directory; expected a directory without a leading slash, or a COLLECT_DIRECTORY with one"
        ))
    } else {
        None
    };
    if let Some(problem) = problem {
        problems.wrong(&COLLECT_ARCHIVE_DIRECTORY, named, &problem);
    }
    chosen
}

fn archive_directory(variables: &Variables, problems: &mut Problems) -> Option<String> {
    let directory = variables.get(&COLLECT_ARCHIVE_DIRECTORY)?;
    let expected = "expected a directory below COLLECT_DIRECTORY, or an absolute path";
    if let Some(problem) = problem_of_directory(directory) {
        problems.wrong(&COLLECT_ARCHIVE_DIRECTORY, directory, &format!("its {problem}, {expected}"));
    } else if begins_with_tilde(directory) {
        problems.wrong(&COLLECT_ARCHIVE_DIRECTORY, directory, &format!("{NOT_HOME}, {expected}"));
    }
    Some(without_end(directory).to_owned())
}

fn archive_days(variables: &Variables, problems: &mut Problems, afterwards: &Afterwards) -> Option<u32> {
    let days = number(variables, problems, &COLLECT_ARCHIVE_DAYS);
    if days > 0 && !matches!(afterwards, Afterwards::Archive { .. }) {
        let problem =
            format!("with COLLECT_AFTERWARDS={} nothing is archived, expected 0", afterwards.as_str());
        problems.wrong(&COLLECT_ARCHIVE_DAYS, &days.to_string(), &problem);
    }
    (days > 0).then_some(days)
}

fn newest_only(variables: &Variables, problems: &mut Problems, afterwards: &Afterwards) -> bool {
    let choices = [("false", false), ("true", true)];
    let newest_only = choice(variables, problems, &COLLECT_NEWEST_ONLY, &choices);
    if newest_only && *afterwards != Afterwards::Leave {
        let problem = format!(
            "with COLLECT_AFTERWARDS={} the newest file goes, and the next look would take an older one for the newest; expected false, or leave in COLLECT_AFTERWARDS",
            afterwards.as_str()
        );
        problems.wrong(&COLLECT_NEWEST_ONLY, "true", &problem);
    }
    newest_only
}

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
    COLLECT_MAX_FILES, COLLECT_NEWEST_ONLY, COLLECT_OBJECT_KEY, COLLECT_ONLY, COLLECT_RECURSIVE,
    COLLECT_SETTLE_SECONDS,
};
use super::variables::Variables;
use crate::collect::{Afterwards, MarkerPattern, RemoteFile, numbered_key};
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
    /// `COLLECT_ONLY`. If so, nothing is delivered that could be collected.
    pub only: bool,
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
        let directory = directory(variables, problems).unwrap_or_default().to_owned();
        let booleans = [("false", false), ("true", true)];
        let recursive = choice(variables, problems, &COLLECT_RECURSIVE, &booleans);
        let afterwards = afterwards(variables, problems, &directory, recursive);
        let policies = CollectIfExists::ALL.map(|policy| (policy.as_str(), policy));
        let (marker, object_key) = (marker(variables, problems), object_key(variables, problems));
        let settle = number(variables, problems, &COLLECT_SETTLE_SECONDS);
        let settings = Self {
            bucket: bucket.unwrap_or_default(),
            directory,
            only: choice(variables, problems, &COLLECT_ONLY, &booleans),
            include: globs(variables, problems, &COLLECT_INCLUDE, "names or paths"),
            exclude: exclude(variables, problems),
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
        if !settings.only && settings.include.is_empty() && settings.afterwards != Afterwards::Leave {
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
        if Afterwards::is_aside(name) {
            return Some("it was collected, and moved aside to be deleted".to_owned());
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
        if self.is_archive(path) {
            return Some("it is the archive".to_owned());
        }
        let pattern = self.excluding(path)?;
        Some(format!("it matches {} in COLLECT_EXCLUDE", pattern.as_str()))
    }

    /// Whether the directory at this path is an archive, or lies in one.
    pub fn is_archive(&self, path: &str) -> bool {
        self.afterwards.holds(&self.directory, &format!("{path}/name"))
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

    /// The key beside which `number` others are kept, with `COLLECT_IF_EXISTS` `keep-both`.
    pub fn numbered_key(&self, object_key: &str, number: u32) -> String {
        numbered_key(object_key, number, self.object_key.fixed().len())
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

/// `COLLECT_DIRECTORY`, if it is set and valid.
pub(super) fn directory<'v>(variables: &'v Variables, problems: &mut Problems) -> Option<&'v str> {
    server::directory(variables, problems, &COLLECT_DIRECTORY, "outgoing").map(without_end)
}

/// `COLLECT_BUCKET`, if it is set and valid.
pub(super) fn bucket_if_set<'v>(variables: &'v Variables, problems: &mut Problems) -> Option<&'v str> {
    if variables.get(&COLLECT_BUCKET).is_some() { bucket(variables, problems) } else { None }
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

fn exclude(variables: &Variables, problems: &mut Problems) -> Vec<Glob> {
    // An empty variable counts as not set, so this stands for an empty list.
    match variables.get(&COLLECT_EXCLUDE) {
        Some("none") => Vec::new(),
        _ => globs(variables, problems, &COLLECT_EXCLUDE, "names or paths"),
    }
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
    } else if named.starts_with('/') && without_end(named) == directory {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorName;

    const LEAST: [(&str, &str); 3] =
        [("COLLECT_BUCKET", "collected"), ("COLLECT_DIRECTORY", "out"), ("SFTP_LOCATION", "in")];

    fn parse(more: &[(&str, &str)]) -> std::result::Result<CollectSettings, String> {
        let parsed = CollectSettings::parse(&LEAST.iter().chain(more).copied().collect());
        parsed.map_err(|error| {
            assert_eq!(error.name, ErrorName::InvalidConfig);
            error.message().to_owned()
        })
    }

    fn passes_over(more: &[(&str, &str)], path: &str) -> String {
        parse(more).unwrap().passes_over(path).unwrap_or_default()
    }

    #[test]
    fn the_least_and_its_defaults() {
        let settings = parse(&[("COLLECT_DIRECTORY", "out//")]).unwrap();
        assert_eq!((settings.bucket.as_str(), settings.directory.as_str()), ("collected", "out"));
        assert_eq!((settings.settle, settings.max_files), (Duration::from_secs(60), 1_000));
        assert_eq!((settings.if_exists, settings.archive_days), (CollectIfExists::Replace, None));
        assert_eq!(settings.afterwards, Afterwards::Archive { directory: None });
        assert!(settings.collect_empty && !settings.recursive && !settings.newest_only);
        assert!(settings.marker.is_none() && !settings.mark_synched && settings.include.is_empty());
        let file = RemoteFile {
            host: "h".into(),
            directory: "out".into(),
            path: "a/b.csv".into(),
            size: 0,
            modified: None,
        };
        assert_eq!(settings.object_key(&file, "").as_deref(), Ok("a/b.csv"));
    }

    #[test]
    fn the_root_and_the_home_directory_are_directories() {
        for (directory, expected) in
            [("/", "/"), ("//", "/"), ("/data/out/", "/data/out"), ("", ""), ("./", ".")]
        {
            let settings = parse(&[("COLLECT_DIRECTORY", directory), ("COLLECT_INCLUDE", "*")]);
            assert_eq!(settings.as_ref().map(|it| it.directory.as_str()), Ok(expected), "{directory:?}");
        }
    }

    #[test]
    fn story_287_hidden_files_and_what_other_tools_have_not_finished_is_left_alone() {
        let recursive = [("COLLECT_RECURSIVE", "true")];
        for path in [
            ".hidden",
            ".a.csv.0123456789abcdef.partial",
            "a.csv.part",
            "a.csv.partial",
            "a.csv.filepart",
            "a.tmp",
            "a.csv.working",
            ".ssh/authorized_keys",
            "a/.snapshot/b.csv",
            "a/b/.hidden",
            "a/b.csv.filepart",
            "a.tmp/b.csv",
        ] {
            let reason = passes_over(&recursive, path);
            assert!(reason.contains("in COLLECT_EXCLUDE"), "{path}: {reason}");
        }
        for path in ["a.csv", "a/b.csv", "part", "a.part.csv", "tmp/a.csv", "a..csv", "räksmörgås"] {
            assert_eq!(passes_over(&recursive, path), "", "{path}");
        }
        // Another list takes its place, and `none` is an empty one.
        let other = [("COLLECT_EXCLUDE", "*.bak, tmp")];
        assert_eq!(passes_over(&other, "a.bak"), "it matches *.bak in COLLECT_EXCLUDE");
        assert_eq!(passes_over(&other, ".hidden"), "");
        assert_eq!(passes_over(&[("COLLECT_EXCLUDE", "none")], ".hidden"), "");
    }

    #[test]
    fn a_pattern_without_a_slash_is_for_names_and_another_one_for_paths() {
        let patterns = [
            ("COLLECT_RECURSIVE", "true"),
            ("COLLECT_INCLUDE", "*.csv,in/*.txt"),
            ("COLLECT_EXCLUDE", "tmp,old/**/x?.csv"),
        ];
        for (path, words) in [
            ("a.csv", ""),
            ("a/b/c.csv", ""),
            ("in/a.txt", ""),
            ("a.txt", "COLLECT_INCLUDE"),
            ("a/in/a.txt", "COLLECT_INCLUDE"),
            ("in/b/a.txt", "COLLECT_INCLUDE"),
            ("a.csv/b", "COLLECT_INCLUDE"),
            ("tmp/a.csv", "tmp in COLLECT_EXCLUDE"),
            ("a/tmp/a.csv", "tmp in COLLECT_EXCLUDE"),
            ("old/x1.csv", "old/**/x?.csv in COLLECT_EXCLUDE"),
            ("old/a/b/x1.csv", "old/**/x?.csv in COLLECT_EXCLUDE"),
            ("old/y1.csv", ""),
        ] {
            let reason = passes_over(&patterns, path);
            assert!(reason.contains(words) && reason.is_empty() == words.is_empty(), "{path}: {reason}");
        }
    }

    #[test]
    fn directories_are_listed_only_if_files_in_them_can_be_collected() {
        let into = |more: &[(&str, &str)], path: &str| {
            parse(more).unwrap().passes_over_directory(path).unwrap_or_default()
        };
        assert_eq!(into(&[], "a"), "COLLECT_RECURSIVE is false");
        assert_eq!(passes_over(&[], "a/b.csv"), "it is in a directory below, and COLLECT_RECURSIVE is false");
        let recursive = ("COLLECT_RECURSIVE", "true");
        let archive = ("COLLECT_ARCHIVE_DIRECTORY", "old/acme/");
        let nothing = ("COLLECT_EXCLUDE", "none");
        for (more, path, expected) in [
            (&[recursive][..], "a", ""),
            (&[recursive], "a/.snapshot", "it matches .* in COLLECT_EXCLUDE"),
            (&[recursive, nothing], ".snapshot", ""),
            (&[recursive, nothing], "a/.done", "it is the archive"),
            (&[recursive, archive], "old", ""),
            (&[recursive, archive], "old/acme", "it is the archive"),
            (&[recursive, archive], "old/acme/2026", "it is the archive"),
            (&[recursive, archive], "a/old/acme", ""),
        ] {
            assert_eq!(into(more, path), expected, "{path}");
        }
        assert_eq!(
            passes_over(&[recursive, archive], "old/acme/20261127120000-a.csv"),
            "it is in the archive"
        );
        assert_eq!(passes_over(&[recursive, nothing], ".done/20261127120000-a.csv"), "it is in the archive");
    }

    #[test]
    fn story_285_a_marker_is_not_collected_itself() {
        let marker = [("COLLECT_MARKER", "{name}.done"), ("COLLECT_RECURSIVE", "true")];
        let settings = parse(&marker).unwrap();
        for path in ["a.csv.done", "b/a.csv.done", "without-a-file.done"] {
            assert_eq!(settings.passes_over(path).as_deref(), Some("it is a marker, by COLLECT_MARKER"));
        }
        for path in ["a.csv", ".done.csv", "a.done.csv"] {
            assert_eq!(settings.passes_over(path).is_none(), !path.starts_with('.'), "{path}");
        }
        // It is found although its name is excluded.
        let hidden = parse(&[("COLLECT_MARKER", ".{name}.ok")]).unwrap();
        assert_eq!(hidden.marker.unwrap().of("a.csv"), ".a.csv.ok");
        assert!(parse(&[("COLLECT_MARKER", "none")]).unwrap().marker.is_none());
    }

    #[test]
    fn story_283_an_empty_file_is_collected_unless_it_is_not_wanted() {
        let file = |size| RemoteFile {
            host: "h".into(),
            directory: "out".into(),
            path: "a.csv".into(),
            size,
            modified: Some(1),
        };
        let skipping = parse(&[("COLLECT_EMPTY", "skip")]).unwrap();
        assert_eq!(parse(&[]).unwrap().skips(&file(0)), None);
        assert_eq!(skipping.skips(&file(0)).as_deref(), Some("it is empty, and COLLECT_EMPTY is skip"));
        assert_eq!(skipping.skips(&file(1)), None);
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let wrong = [
            ("COLLECT_BUCKET", "Collected"),
            ("COLLECT_DIRECTORY", "~/out"),
            ("COLLECT_ONLY", "yes"),
            ("COLLECT_INCLUDE", "a\u{7}b"),
            ("COLLECT_RECURSIVE", "yes"),
            ("COLLECT_SETTLE_SECONDS", "soon"),
            ("COLLECT_MARKER", ".done"),
            ("COLLECT_OBJECT_KEY", "{paht}"),
            ("COLLECT_IF_EXISTS", "overwrite"),
            ("COLLECT_AFTERWARDS", "rename"),
            ("COLLECT_ARCHIVE_DIRECTORY", "~/old"),
            ("COLLECT_ARCHIVE_DAYS", "-1"),
            ("COLLECT_EMPTY", "keep"),
            ("COLLECT_NEWEST_ONLY", "maybe"),
            ("COLLECT_MAX_FILES", "0"),
            ("COLLECT_MARK_SYNCHED", "1"),
        ];
        let error = parse(&wrong).unwrap_err();
        for (name, value) in wrong {
            assert!(error.contains(&format!("{name} is {value:?}: ")), "{name}: {error}");
        }
        let error = CollectSettings::parse(&Variables::default()).unwrap_err();
        assert!(error.message().starts_with("COLLECT_BUCKET is not set: set it to"), "{error}");
    }

    #[test]
    fn settings_that_contradict_each_other_are_named() {
        let leave = ("COLLECT_AFTERWARDS", "leave");
        let delete = ("COLLECT_AFTERWARDS", "delete");
        for (more, words) in [
            (
                &[leave, ("COLLECT_ARCHIVE_DIRECTORY", "old")][..],
                "COLLECT_ARCHIVE_DIRECTORY is \"old\": with COLLECT_AFTERWARDS=leave nothing is archived, expected nothing",
            ),
            (
                &[delete, ("COLLECT_ARCHIVE_DIRECTORY", "old")],
                "with COLLECT_AFTERWARDS=delete nothing is archived",
            ),
            (
                &[leave, ("COLLECT_ARCHIVE_DAYS", "14")],
                "COLLECT_ARCHIVE_DAYS is \"14\": with COLLECT_AFTERWARDS=leave nothing is archived, expected 0",
            ),
            (
                &[("COLLECT_NEWEST_ONLY", "true")],
                "COLLECT_NEWEST_ONLY is \"true\": with COLLECT_AFTERWARDS=archive the newest file goes",
            ),
            (&[("COLLECT_NEWEST_ONLY", "true"), delete], "expected false, or leave in COLLECT_AFTERWARDS"),
            (
                &[("COLLECT_ARCHIVE_DIRECTORY", "/old")],
                "COLLECT_ARCHIVE_DIRECTORY is \"/old\": whether this is in COLLECT_DIRECTORY cannot be told",
            ),
            (
                &[
                    ("COLLECT_DIRECTORY", "/out"),
                    ("SFTP_LOCATION", "/in"),
                    ("COLLECT_ARCHIVE_DIRECTORY", "/out/"),
                ],
                "would be collected again, expected another directory",
            ),
        ] {
            let error = parse(more).unwrap_err();
            assert!(error.contains(words) && !error.contains("; COLLECT"), "{words}: {error}");
        }
        for more in [
            &[leave, ("COLLECT_NEWEST_ONLY", "true")][..],
            &[("COLLECT_ARCHIVE_DIRECTORY", "old"), ("COLLECT_ARCHIVE_DAYS", "14")],
            &[("COLLECT_ARCHIVE_DIRECTORY", "out")],
            &[("COLLECT_IF_EXISTS", "keep-both"), leave],
            &[("COLLECT_SETTLE_SECONDS", "0"), ("COLLECT_MARKER", "{name}.done")],
        ] {
            parse(more).unwrap();
        }
    }
}

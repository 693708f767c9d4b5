//! From an object key to a safe path on the partner's server.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::calendar::{self, Moment};
use crate::{DeliveryPolicy, ErrorName, PinnedObject, Publish, Result};

/// NAME_MAX of nearly every file system, bytes.
const COMPONENT_MAX: usize = 255;

/// So many files are kept under one name, beside the first.
pub const NUMBER_MAX: u32 = 999;

/// Digits in the name of a partial file. They differ between object versions and between executions.
const ID_LENGTH: usize = 16;

/// Where one object version goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemotePaths {
    /// The final name, that readers look for.
    pub path: String,
    /// The partial file. Its name is made of the object version and the execution: every call of one execution resumes
    /// the same file, and no two executions ever write to one. The same as `path` where the final name itself is
    /// written to.
    pub partial: String,
}

impl RemotePaths {
    /// Makes the remote path of the object and places it under `location` (`""`: the directory the server logs us into).
    /// `execution` is the id of the execution that delivers it, and `time` the event's.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn new(
        location: &str,
        policy: &DeliveryPolicy,
        object: &PinnedObject,
        execution: &str,
        time: &str,
    ) -> Result<Self> {
        let path = under(location, &relative(policy, &object.bucket, &object.object_key, time)?);
        let partial = match &policy.publish {
            Publish::Direct => path.clone(),
            Publish::Rename { partial_name, staging_directory } => {
                let (directory, name) = split(&path);
                let name = partial_name.of(name, &identity(&path, object, execution));
                match staging_directory {
                    Some(staging) => under(&under(location, staging), &name),
                    None => format!("{directory}{name}"),
                }
            }
        };
        Ok(Self { path, partial })
    }

    /// Where a marker goes that has the file's name and `suffix`.
    ///
    /// # Errors
    /// `RemotePathRejected` if its name is too long.
    pub fn marker(&self, suffix: &str, policy: &DeliveryPolicy) -> Result<Self> {
        let path = format!("{}{suffix}", self.path);
        let (_, name) = split(&path);
        if let Some(problem) = problem_of(name) {
            return Err(ErrorName::RemotePathRejected
                .error(format!("the marker's name {name:?} {problem}; nothing was sent")));
        }
        let partial = match &policy.publish {
            Publish::Direct => path.clone(),
            Publish::Rename { partial_name, .. } => {
                let (directory, _) = split(&self.partial);
                format!("{directory}{}", partial_name.of(name, &derived("marker", &self.partial, &path)))
            }
        };
        Ok(Self { path, partial })
    }

    /// Where the file that has the final name `path` is moved while ours takes its place, on servers that do not replace
    /// a file in one step. Beside it, since a rename may not cross file systems. `None` where nothing is renamed.
    pub fn aside(&self, path: &str, policy: &DeliveryPolicy) -> Option<String> {
        let Publish::Rename { partial_name, .. } = &policy.publish else { return None };
        let (directory, name) = split(path);
        Some(format!("{directory}{}", partial_name.of(name, &derived("aside", &self.partial, path))))
    }

    /// Checks the remote path of an object before anything is asked of anyone. `time` is the event's, for templates that
    /// want a date.
    ///
    /// # Errors
    /// `RemotePathRejected` naming the component that is unsafe or too long, or the prefix that the key does not have;
    /// `InvalidInput` if the time is wanted and is none.
    pub fn check(policy: &DeliveryPolicy, bucket: &str, object_key: &str, time: &str) -> Result<()> {
        relative(policy, bucket, object_key, time).map(drop)
    }

    /// Nowhere: for what is not delivered.
    pub fn nowhere() -> Self {
        Self { path: String::new(), partial: String::new() }
    }

    /// Whether the final name itself is written to, for want of a rename.
    pub fn is_direct(&self) -> bool {
        self.path == self.partial
    }

    /// The final name beside which `number` others are kept: `report.csv`, `report.1.csv`, `report.2.csv`.
    pub fn numbered(&self, number: u32) -> String {
        if number == 0 {
            return self.path.clone();
        }
        let (directory, name) = split(&self.path);
        let (stem, extension) = split_extension(name);
        let tail = match extension {
            "" => format!(".{number}"),
            extension => format!(".{number}.{extension}"),
        };
        format!("{directory}{}{tail}", cut(stem, COMPONENT_MAX.saturating_sub(tail.len())))
    }

    /// The directories above the file, outermost first; without those of the root.
    pub fn directories(&self) -> Vec<&str> {
        directories_above(&self.path)
    }

    /// Those above the partial file.
    pub fn partial_directories(&self) -> Vec<&str> {
        directories_above(&self.partial)
    }
}

fn directories_above(path: &str) -> Vec<&str> {
    path.match_indices('/').map(|(index, _)| &path[..index]).filter(|path| !path.is_empty()).collect()
}

/// The template filled in, and checked.
fn relative(policy: &DeliveryPolicy, bucket: &str, object_key: &str, time: &str) -> Result<String> {
    let Some(key) = object_key.strip_prefix(policy.strip_prefix.as_str()) else {
        return Err(ErrorName::RemotePathRejected.error(format!(
            "the object key {object_key:?} does not begin with {:?}, which SFTP_STRIP_PREFIX takes off; nothing was sent",
            policy.strip_prefix
        )));
    };
    let path = policy.remote_path.fill(bucket, key, time)?;
    match path.split('/').find_map(|component| Some((component, problem_of(component)?))) {
        None => Ok(path),
        Some((component, problem)) => {
            let shown: String = component.chars().take(64).collect();
            Err(ErrorName::RemotePathRejected
                .error(format!("the remote path's component {shown:?} {problem}; nothing was sent")))
        }
    }
}

/// `path` below `location`; an absolute one is where it is.
fn under(location: &str, path: &str) -> String {
    match location {
        _ if path.starts_with('/') => path.to_owned(),
        "" => path.to_owned(),
        "/" => format!("/{path}"),
        location => format!("{}/{path}", location.trim_end_matches('/')),
    }
}

/// The directory with its slash, and the name.
fn split(path: &str) -> (&str, &str) {
    path.split_at(path.rfind('/').map_or(0, |slash| slash + 1))
}

/// What stands before and after the last dot. A dot that begins or ends the name begins no extension.
fn split_extension(name: &str) -> (&str, &str) {
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && !extension.is_empty() => (stem, extension),
        _ => (name, ""),
    }
}

/// As much of the text as fits.
fn cut(text: &str, length: usize) -> &str {
    let mut end = text.len().min(length);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// `SFTP_REMOTE_PATH`: what the remote path is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemotePathTemplate(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Key,
    /// With the slash behind it, which it takes along where there is no directory.
    Dir {
        slash: bool,
    },
    Name,
    Stem,
    /// With the dot before it, which it takes along where there is no extension.
    Ext {
        dot: bool,
    },
    Bucket,
    Date(String),
}

impl RemotePathTemplate {
    /// Reads a template.
    ///
    /// # Errors
    /// What is wrong with it, as a clause.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        const EXPECTED: &str =
            "expected {key}, {dir}, {name}, {stem}, {ext}, {bucket} or {date:FORMAT}, such as {date:%Y%m%d}";
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let brace = rest.find(['{', '}']).unwrap_or(rest.len());
            let (literal, tail) = rest.split_at(brace);
            let mut literal = literal.to_owned();
            let part = match tail.strip_prefix('{').map(|inner| inner.split_once('}')) {
                None if tail.is_empty() => None,
                None | Some(None) => return Err(format!("a brace lacks its other half, {EXPECTED}")),
                Some(Some((placeholder, behind))) => {
                    rest = behind;
                    Some(match placeholder {
                        "key" => Part::Key,
                        "dir" => {
                            let slash = behind.starts_with('/');
                            rest = behind.strip_prefix('/').unwrap_or(behind);
                            Part::Dir { slash }
                        }
                        "name" => Part::Name,
                        "stem" => Part::Stem,
                        "ext" => {
                            let dot = literal.ends_with('.');
                            literal.truncate(literal.len() - usize::from(dot));
                            Part::Ext { dot }
                        }
                        "bucket" => Part::Bucket,
                        other => match other.strip_prefix("date:").filter(|format| !format.is_empty()) {
                            Some(format) => match calendar::unknown_sign(format) {
                                None => Part::Date(format.to_owned()),
                                Some(sign) => {
                                    let known = calendar::SIGNS;
                                    return Err(format!("for {sign:?} in a date, expected {known}"));
                                }
                            },
                            None => return Err(format!("for {{{other}}}, {EXPECTED}")),
                        },
                    })
                }
            };
            if !literal.is_empty() {
                parts.push(Part::Text(literal));
            }
            match part {
                Some(part) => parts.push(part),
                None => break,
            }
        }
        let template = Self(parts);
        // What is wrong for the plainest of keys is wrong for all.
        let sample = template.fill("bucket", "directory/name.ext", "2026-01-01T00:00:00Z");
        let sample = sample.map_err(|error| error.message().to_owned())?;
        match sample.split('/').find_map(|component| Some((component, problem_of(component)?))) {
            None => Ok(template),
            Some((component, problem)) => {
                Err(format!("its component {component:?} {problem}, expected a path such as in/{{key}}"))
            }
        }
    }

    /// Whether two uploads of one key may have two paths.
    pub fn has_date(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Date(_)))
    }

    fn fill(&self, bucket: &str, key: &str, time: &str) -> Result<String> {
        let (directory, name) = split(key);
        let directory = directory.strip_suffix('/');
        let (stem, extension) = split_extension(name);
        let mut path = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => path += text,
                Part::Key => path += key,
                Part::Dir { slash } => {
                    if let Some(directory) = directory {
                        path += directory;
                        path += if *slash { "/" } else { "" };
                    }
                }
                Part::Name => path += name,
                Part::Stem => path += stem,
                Part::Ext { dot } => {
                    path += if *dot && !extension.is_empty() { "." } else { "" };
                    path += extension;
                }
                Part::Bucket => path += bucket,
                Part::Date(format) => {
                    let moment = Moment::parse(time).ok_or_else(|| {
                        ErrorName::InvalidInput.error(
                            "field `time`: SFTP_REMOTE_PATH needs a date; expected one like 2026-01-31T12:00:00Z in the event, or that of the execution's start",
                        )
                    })?;
                    path += &moment.format(format);
                }
            }
        }
        Ok(path)
    }
}

/// `SFTP_PARTIAL_NAME`: what the partial file is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartialName(String);

impl PartialName {
    /// Reads a template of `{name}` and `{id}`.
    ///
    /// # Errors
    /// What is wrong with it, as a clause.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        let plain = text.replace("{name}", "").replace("{id}", "");
        let expected = if plain.contains(['{', '}']) {
            "expected no braces but {name} and {id}"
        } else if text.matches("{id}").count() != 1 || text.matches("{name}").count() > 1 {
            "expected {id}, which tells the versions of an object apart, once, and {name} at most once"
        } else if plain.contains('/') {
            "expected a name, and for a directory of its own there is SFTP_STAGING_DIRECTORY"
        } else if plain.len() > COMPONENT_MAX / 2 {
            "expected no more than 127 bytes beside {name} and {id}"
        } else {
            return match problem_of(&text.replace("{id}", "0").replace("{name}", "n")) {
                None => Ok(Self(text.to_owned())),
                Some(problem) => {
                    Err(format!("it {problem}, expected a name such as {{name}}.{{id}}.partial"))
                }
            };
        };
        Err(expected.to_owned())
    }

    /// The name is cut where the whole would be too long.
    fn of(&self, name: &str, id: &str) -> String {
        let with_id = self.0.replace("{id}", id);
        let others = with_id.replace("{name}", "").len();
        with_id.replace("{name}", cut(name, COMPONENT_MAX.saturating_sub(others)))
    }
}

/// A directory in the settings: what is wrong with it.
pub(crate) fn problem_of_directory(path: &str) -> Option<String> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    path.split('/').find_map(|component| Some(format!("component {component:?} {}", problem_of(component)?)))
}

/// `SFTP_LOCATION`, which is the operator's own: it may name where the server logs us in, and a server that takes
/// backslashes.
pub(crate) fn problem_of_location(path: &str) -> Option<String> {
    let path = path.trim_end_matches('/');
    let path = path.strip_prefix("./").unwrap_or(path);
    match path {
        "" | "." => None,
        path => problem_of_directory(&path.replace('\\', "-")),
    }
}

fn problem_of(component: &str) -> Option<&'static str> {
    Some(match component {
        "" => "is empty (the path starts or ends with `/`, or has `//`)",
        "." | ".." => "would leave the directory",
        _ if component.len() > COMPONENT_MAX => "is longer than 255 bytes",
        _ if component.contains('\\') => "has a backslash, which some servers take for a separator",
        _ if component.chars().any(char::is_control) => "has a control character",
        _ => return None,
    })
}

/// Hexadecimal digits that stand for the object version, the execution, and where the file goes: partial files of many
/// directories may lie in one.
fn identity(path: &str, object: &PinnedObject, execution: &str) -> String {
    let version_id = object.version_id.as_deref().unwrap_or("");
    digits(&[&object.bucket, &object.object_key, &object.etag, version_id, path, execution])
}

/// Digits for another file of the execution whose partial file this is.
fn derived(purpose: &str, partial: &str, path: &str) -> String {
    digits(&[purpose, partial, path])
}

fn digits(parts: &[&str]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().iter().take(ID_LENGTH / 2).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(object_key: &str) -> PinnedObject {
        PinnedObject {
            bucket: "b".into(),
            object_key: object_key.into(),
            etag: "e".into(),
            version_id: Some("v1".into()),
            size: 1,
            last_modified: None,
            checksum: None,
            hash: None,
        }
    }

    const TIME: &str = "2026-01-31T23:59:00Z";

    fn rename(partial_name: &str, staging_directory: Option<&str>) -> Publish {
        let partial_name = PartialName::parse(partial_name).unwrap();
        Publish::Rename { partial_name, staging_directory: staging_directory.map(str::to_owned) }
    }

    fn paths(location: &str, object: &PinnedObject) -> Result<RemotePaths> {
        RemotePaths::new(location, &DeliveryPolicy::default(), object, "execution", "")
    }

    /// The path that the template makes of the key.
    fn filled(template: &str, strip_prefix: &str, key: &str) -> Result<String> {
        let remote_path = RemotePathTemplate::parse(template).unwrap();
        let strip_prefix = strip_prefix.to_owned();
        let policy = DeliveryPolicy { remote_path, strip_prefix, ..DeliveryPolicy::default() };
        Ok(RemotePaths::new("in", &policy, &object(key), "execution", TIME)?.path)
    }

    #[test]
    fn story_01_names_are_exact() {
        let long = ["x".repeat(255), "y".repeat(255), "z".repeat(255), "w".repeat(255)].join("/");
        assert_eq!(long.len(), 1_023);
        for key in ["a b+c%2B.txt", "räksmörgås/ü.csv", "📦/🙂.bin", ".hidden", "...", long.as_str()]
        {
            let paths = paths("in/box/", &object(key)).unwrap();
            assert_eq!(paths.path, format!("in/box/{key}"));
            assert!(paths.partial.rsplit('/').next().unwrap().len() <= COMPONENT_MAX);
        }
    }

    #[test]
    fn locations() {
        let path = |location| paths(location, &object("d/f")).unwrap();
        assert_eq!(path("").path, "d/f");
        assert_eq!(path("").directories(), ["d"]);
        assert_eq!(path("/").path, "/d/f");
        assert_eq!(path("/").directories(), ["/d"]);
        assert_eq!(path("/in").directories(), ["/in", "/in/d"]);
        assert!(path("/in").partial.starts_with("/in/d/.f."), "{}", path("/in").partial);
    }

    #[test]
    fn story_03_unsafe_names_are_refused_by_component() {
        for (key, component) in [
            ("../../x", "\"..\""),
            ("/abs", "\"\""),
            ("a//b", "\"\""),
            ("folder/", "\"\""),
            (".", "\".\""),
            ("a/./b", "\".\""),
            ("a/..", "\"..\""),
            ("nul\0", "nul\\0"),
            ("line\nbreak", "line\\nbreak"),
            ("a\\b", "a\\\\b"),
            (&"x".repeat(256), "xxx"),
        ] {
            let error = paths("in", &object(key)).unwrap_err();
            assert_eq!(error.name, ErrorName::RemotePathRejected);
            assert!(error.message().contains(component), "{key:?}: {error}");
        }
    }

    #[test]
    fn a_marker_is_beside_the_file_and_has_a_partial_name_of_its_own() {
        for name in ["f", &"x".repeat(248)] {
            let (object, key) = (object(&format!("d/{name}")), format!("in/d/{name}"));
            let (paths, policy) = (paths("in", &object).unwrap(), DeliveryPolicy::default());
            let marker = paths.marker(".sha256", &policy).unwrap();
            assert_eq!(marker.path, format!("{key}.sha256"));
            assert!(marker.partial.starts_with("in/d/.") && marker.partial != paths.partial, "{marker:?}");
        }
        let object = object(&"x".repeat(249));
        let error = paths("", &object).unwrap().marker(".sha256", &DeliveryPolicy::default()).unwrap_err();
        assert_eq!(error.name, ErrorName::RemotePathRejected);
    }

    #[test]
    fn story_35_the_partial_name_differs_between_versions_and_between_executions() {
        let policy = DeliveryPolicy::default();
        let paths =
            |object: &PinnedObject, execution| RemotePaths::new("", &policy, object, execution, "").unwrap();
        let partial = |object: &PinnedObject, execution| paths(object, execution).partial;
        let one = object("k");
        let other_version = PinnedObject { version_id: Some("v2".into()), ..one.clone() };
        let other_content = PinnedObject { etag: "f".into(), ..one.clone() };
        assert_eq!(partial(&one, "a"), partial(&one.clone(), "a"));
        assert_ne!(partial(&one, "a"), partial(&one, "b"));
        assert_ne!(partial(&one, "a"), partial(&other_version, "a"));
        assert_ne!(partial(&one, "a"), partial(&other_content, "a"));
        let (a, b) = (paths(&one, "a"), paths(&one, "b"));
        let names = |it: &RemotePaths| {
            [it.marker(".done", &policy).unwrap().partial, it.aside("k", &policy).unwrap()]
        };
        for (a, b) in names(&a).into_iter().zip(names(&b)) {
            assert_ne!(a, b, "nor do they share any other file");
        }
        assert!(a.aside("d/k", &policy).unwrap().starts_with("d/.k."), "beside the final name");
        assert_ne!(a.aside("k", &policy), Some(a.partial));
    }

    #[test]
    fn templates_make_the_path() {
        for (template, key, path) in [
            ("{key}", "a/b.csv", "in/a/b.csv"),
            ("{name}", "a/b/c.csv", "in/c.csv"),
            ("{dir}/{name}", "a/b/c.csv", "in/a/b/c.csv"),
            ("{dir}/{name}", "c.csv", "in/c.csv"),
            ("x/{dir}/y/{name}", "c.csv", "in/x/y/c.csv"),
            ("{stem}.{ext}", "README", "in/README"),
            ("{stem}.{ext}", "ends.", "in/ends."),
            ("{stem}.{ext}", ".hidden", "in/.hidden"),
            ("{stem}.{ext}", "a.tar.gz", "in/a.tar.gz"),
            ("{stem}_{date:%Y%m%d}.{ext}", "a/orders.csv", "in/orders_20260131.csv"),
            ("{stem}_{date:%Y%m%d}.{ext}", "orders", "in/orders_20260131"),
            ("{bucket}/{date:%Y/%m/%d}/{key}", "a/o.csv", "in/b/2026/01/31/a/o.csv"),
            ("{name}{ext}", "o.csv", "in/o.csvcsv"),
            ("{key}", "{name}{date:%B}}", "in/{name}{date:%B}}"),
        ] {
            assert_eq!(filled(template, "", key).unwrap(), path, "{template} {key}");
        }
        let no_date = RemotePathTemplate::parse("{date:%Y}").unwrap();
        assert_eq!(no_date.fill("b", "k", "yesterday").unwrap_err().name, ErrorName::InvalidInput);
    }

    #[test]
    fn templates_that_cannot_be_meant_are_refused() {
        for (template, words) in [
            ("{nmae}", "{nmae}"),
            ("{date}", "{date}"),
            ("{date:}", "{date:}"),
            ("{date:%Y%B}", "%B"),
            ("{key", "brace"),
            ("key}", "brace"),
            ("{{key}}", "{{key}"),
            ("/{key}", "empty"),
            ("{dir}//{name}", "empty"),
            ("{dir}/", "empty"),
            ("../{key}", ".."),
            ("a\\{key}", "backslash"),
        ] {
            let problem = RemotePathTemplate::parse(template).unwrap_err();
            assert!(problem.contains(words), "{template}: {problem}");
        }
    }

    #[test]
    fn a_prefix_is_taken_off_and_demanded() {
        assert_eq!(filled("{key}", "acme/", "acme/a/b.csv").unwrap(), "in/a/b.csv");
        assert_eq!(filled("{dir}/{name}", "acme/", "acme/b.csv").unwrap(), "in/b.csv");
        assert_eq!(filled("{key}", "acme/out-", "acme/out-b.csv").unwrap(), "in/b.csv");
        for (key, words) in [("other/b.csv", "SFTP_STRIP_PREFIX"), ("acme/", "empty"), ("acme//etc", "empty")]
        {
            let error = filled("{key}", "acme/", key).unwrap_err();
            assert_eq!(error.name, ErrorName::RemotePathRejected);
            assert!(error.message().contains(words), "{key}: {error}");
        }
        assert!(filled("{name}/{stem}", "", "a/..").is_err(), "what a template makes is checked, too");
    }

    #[test]
    fn partial_files_may_be_called_otherwise_and_lie_elsewhere() {
        let partial = |publish: Publish, location: &str, key: &str| {
            let policy = DeliveryPolicy { publish, ..DeliveryPolicy::default() };
            RemotePaths::new(location, &policy, &object(key), "execution", "").unwrap()
        };
        let id = |paths: &RemotePaths| identity(&paths.path, &object("d/f.csv"), "execution");
        let suffix = partial(rename("{name}.{id}.filepart", None), "in", "d/f.csv");
        assert_eq!(suffix.partial, format!("in/d/f.csv.{}.filepart", id(&suffix)));
        for (staging, expected) in [("stage", "in/stage/"), ("/stage", "/stage/")] {
            let staged = partial(rename("{id}", Some(staging)), "in", "d/f.csv");
            assert_eq!(staged.partial, format!("{expected}{}", id(&staged)));
            assert_eq!(staged.directories(), ["in", "in/d"]);
            assert_ne!(
                staged.partial,
                partial(rename("{id}", Some(staging)), "out", "d/f.csv").partial,
                "two places, two files"
            );
        }
        let long = partial(rename("~{name}-{id}", None), "", &"ü".repeat(127));
        assert!(long.partial.len() <= COMPONENT_MAX && long.partial.starts_with("~üü"), "{}", long.partial);
        let direct = partial(Publish::Direct, "in", "d/f.csv");
        assert!(direct.is_direct() && direct.partial == "in/d/f.csv" && !suffix.is_direct());
        for name in ["{name}.tmp", "{id}{id}", "a/{id}", "{id}{x}", "{id}\\", &"x".repeat(200)] {
            assert!(PartialName::parse(name).is_err(), "{name}");
        }
    }

    #[test]
    fn kept_files_are_numbered_before_the_extension() {
        let numbered = |key: &str| paths("in", &object(key)).unwrap().numbered(12);
        assert_eq!(numbered("a.b/report.csv"), "in/a.b/report.12.csv");
        assert_eq!(numbered("a.b/README"), "in/a.b/README.12");
        assert_eq!(numbered(".hidden"), "in/.hidden.12");
        assert_eq!(paths("in", &object("k")).unwrap().numbered(0), "in/k");
        let long = numbered(&format!("{}.csv", "ü".repeat(125)));
        assert!(long.len() == "in/".len() + COMPONENT_MAX && long.ends_with("ü.12.csv"), "{long}");
    }
}

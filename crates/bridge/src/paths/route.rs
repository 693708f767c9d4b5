//! Where one object version goes on the partner's server, and how its final name comes into being.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::names::{COMPONENT_MAX, numbered, problem_of, split};
use crate::{DeliveryPolicy, ErrorName, ObjectSummary, Publish, Result};

/// Maximum number of files that are kept under one name, in addition to the first.
pub const NUMBER_MAX: u32 = 999;

/// Hexadecimal digits in the name of a partial file. They differ between object versions and between executions.
const ID_LENGTH: usize = 16;

/// Where one object version goes, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "publish", rename_all = "snake_case")]
pub enum Route {
    /// The object is sent into a partial file, which is renamed to the final name once it is proved.
    Rename {
        /// The final name, that readers look for.
        path: String,
        /// The partial file. Its name is made of the object version and the execution: every call of one execution
        /// resumes the same file, and no two executions ever write to one.
        partial: String,
    },
    /// The final name itself is written to, on servers that cannot rename.
    Direct {
        /// The final name.
        path: String,
    },
}

impl Route {
    /// Makes the remote path of the object and places it under `location` (`""`: the directory after login).
    /// `execution` is the id of the execution that delivers it, and `time` the event's.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn new(
        location: &str,
        policy: &DeliveryPolicy,
        object: &ObjectSummary,
        execution: &str,
        time: &str,
    ) -> Result<Self> {
        let path = under(location, &relative(policy, &object.bucket, &object.object_key, time)?);
        Ok(match &policy.publish {
            Publish::Direct => Self::Direct { path },
            Publish::Rename { partial_name, staging_directory } => {
                let (directory, name) = split(&path);
                let name = partial_name.of(name, &identity(&path, object, execution));
                let partial = match staging_directory {
                    Some(staging) => under(&under(location, staging), &name),
                    None => format!("{directory}{name}"),
                };
                Self::Rename { path, partial }
            }
        })
    }

    /// Checks the remote path of an object before any request is sent. `time` is the event's, for templates with a date.
    ///
    /// # Errors
    /// `RemotePathRejected` names the component that is unsafe or too long, or the prefix that the key does not have.
    /// `InvalidInput` if a time is needed and cannot be parsed.
    pub fn check(policy: &DeliveryPolicy, bucket: &str, object_key: &str, time: &str) -> Result<()> {
        relative(policy, bucket, object_key, time).map(drop)
    }

    /// The route of the marker of the file at `path`: its name is the file's with `suffix`.
    ///
    /// # Errors
    /// `RemotePathRejected` if its name is too long.
    pub fn marker(&self, path: &str, suffix: &str, policy: &DeliveryPolicy) -> Result<Self> {
        let path = format!("{path}{suffix}");
        let (_, name) = split(&path);
        if let Some(problem) = problem_of(name) {
            return Err(ErrorName::RemotePathRejected
                .error(format!("the marker's name {name:?} {problem}; nothing was sent")));
        }
        Ok(match &policy.publish {
            Publish::Direct => Self::Direct { path },
            Publish::Rename { partial_name, .. } => {
                let (directory, _) = split(self.upload_path());
                let name = partial_name.of(name, &derived("marker", self.upload_path(), &path));
                Self::Rename { partial: format!("{directory}{name}"), path }
            }
        })
    }

    /// Where the file that has the final name `path` is moved while ours takes its name, on servers that do not replace
    /// a file in one step. Beside it, since a rename may not cross file systems. `None` if nothing is renamed.
    pub fn aside(&self, path: &str, policy: &DeliveryPolicy) -> Option<String> {
        let Publish::Rename { partial_name, .. } = &policy.publish else { return None };
        let (directory, name) = split(path);
        let id = derived("aside", self.upload_path(), path);
        Some(format!("{directory}{}", partial_name.of(name, &id)))
    }

    /// The final name.
    pub fn path(&self) -> &str {
        match self {
            Self::Rename { path, .. } | Self::Direct { path } => path,
        }
    }

    /// The file that the object is sent into: the partial file, or the final one.
    pub fn upload_path(&self) -> &str {
        match self {
            Self::Rename { partial, .. } => partial,
            Self::Direct { path } => path,
        }
    }

    /// The partial file, if there is one. It is ours alone, so it may be removed.
    pub fn partial(&self) -> Option<&str> {
        match self {
            Self::Rename { partial, .. } => Some(partial),
            Self::Direct { .. } => None,
        }
    }

    /// Whether the final name itself is written to.
    pub fn is_direct(&self) -> bool {
        matches!(self, Self::Direct { .. })
    }

    /// The final name beside which `number` others are kept: `report.csv`, `report.1.csv`, `report.2.csv`.
    pub fn numbered(&self, number: u32) -> String {
        numbered(self.path(), number, COMPONENT_MAX)
    }

    /// The directories above the final name, outermost first, without the root.
    pub fn directories(&self) -> Vec<&str> {
        directories_above(self.path())
    }

    /// The directories above the file that the object is sent into.
    pub fn upload_directories(&self) -> Vec<&str> {
        directories_above(self.upload_path())
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

/// Hexadecimal digits that stand for the object version, the execution, and where the file goes: partial files of many
/// directories may lie in one.
fn identity(path: &str, object: &ObjectSummary, execution: &str) -> String {
    let [etag, version_id] = [&object.etag, &object.version_id].map(|id| id.as_deref().unwrap_or_default());
    digits(&[&object.bucket, &object.object_key, etag, version_id, path, execution])
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
    hex::encode(&digest.finalize()[..ID_LENGTH / 2])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PartialName, RemotePathTemplate};

    fn object(object_key: &str) -> ObjectSummary {
        ObjectSummary {
            bucket: "b".into(),
            object_key: object_key.into(),
            etag: Some("e".into()),
            version_id: Some("v1".into()),
            size: Some(1),
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

    fn paths(location: &str, object: &ObjectSummary) -> Result<Route> {
        Route::new(location, &DeliveryPolicy::default(), object, "execution", "")
    }

    /// The path that the template makes of the key.
    fn filled(template: &str, strip_prefix: &str, key: &str) -> Result<String> {
        let remote_path = RemotePathTemplate::parse(template).unwrap();
        let strip_prefix = strip_prefix.to_owned();
        let policy = DeliveryPolicy { remote_path, strip_prefix, ..DeliveryPolicy::default() };
        Ok(Route::new("in", &policy, &object(key), "execution", TIME)?.path().to_owned())
    }

    #[test]
    fn story_01_names_are_exact() {
        let long = ["x".repeat(255), "y".repeat(255), "z".repeat(255), "w".repeat(255)].join("/");
        assert_eq!(long.len(), 1_023);
        for key in ["a b+c%2B.txt", "räksmörgås/ü.csv", "📦/🙂.bin", ".hidden", "...", long.as_str()]
        {
            let paths = paths("in/box/", &object(key)).unwrap();
            assert_eq!(paths.path(), format!("in/box/{key}"));
            assert!(paths.upload_path().rsplit('/').next().unwrap().len() <= COMPONENT_MAX);
        }
    }

    #[test]
    fn locations() {
        let path = |location| paths(location, &object("d/f")).unwrap();
        assert_eq!(path("").path(), "d/f");
        assert_eq!(path("").directories(), ["d"]);
        assert_eq!(path("/").path(), "/d/f");
        assert_eq!(path("/").directories(), ["/d"]);
        assert_eq!(path("/in").directories(), ["/in", "/in/d"]);
        assert!(path("/in").upload_path().starts_with("/in/d/.f."), "{}", path("/in").upload_path());
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
            let marker = paths.marker(paths.path(), ".sha256", &policy).unwrap();
            assert_eq!(marker.path(), format!("{key}.sha256"));
            assert!(
                marker.upload_path().starts_with("in/d/.") && marker.upload_path() != paths.upload_path(),
                "{marker:?}"
            );
        }
        let object = object(&"x".repeat(249));
        let paths = paths("", &object).unwrap();
        let error = paths.marker(paths.path(), ".sha256", &DeliveryPolicy::default()).unwrap_err();
        assert_eq!(error.name, ErrorName::RemotePathRejected);
    }

    #[test]
    fn story_35_the_partial_name_differs_between_versions_and_between_executions() {
        let policy = DeliveryPolicy::default();
        let paths =
            |object: &ObjectSummary, execution| Route::new("", &policy, object, execution, "").unwrap();
        let partial = |object: &ObjectSummary, execution| paths(object, execution).upload_path().to_owned();
        let one = object("k");
        let other_version = ObjectSummary { version_id: Some("v2".into()), ..one.clone() };
        let other_content = ObjectSummary { etag: Some("f".into()), ..one.clone() };
        assert_eq!(partial(&one, "a"), partial(&one.clone(), "a"));
        assert_ne!(partial(&one, "a"), partial(&one, "b"));
        assert_ne!(partial(&one, "a"), partial(&other_version, "a"));
        assert_ne!(partial(&one, "a"), partial(&other_content, "a"));
        let (a, b) = (paths(&one, "a"), paths(&one, "b"));
        let names = |it: &Route| {
            [
                it.marker(it.path(), ".done", &policy).unwrap().upload_path().to_owned(),
                it.aside("k", &policy).unwrap(),
            ]
        };
        for (a, b) in names(&a).into_iter().zip(names(&b)) {
            assert_ne!(a, b, "nor do they share any other file");
        }
        assert!(a.aside("d/k", &policy).unwrap().starts_with("d/.k."), "beside the final name");
        assert_ne!(a.aside("k", &policy).as_deref(), a.partial());
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
            Route::new(location, &policy, &object(key), "execution", "").unwrap()
        };
        let id = |paths: &Route| identity(paths.path(), &object("d/f.csv"), "execution");
        let suffix = partial(rename("{name}.{id}.filepart", None), "in", "d/f.csv");
        assert_eq!(suffix.upload_path(), format!("in/d/f.csv.{}.filepart", id(&suffix)));
        for (staging, expected) in [("stage", "in/stage/"), ("/stage", "/stage/")] {
            let staged = partial(rename("{id}", Some(staging)), "in", "d/f.csv");
            assert_eq!(staged.upload_path(), format!("{expected}{}", id(&staged)));
            assert_eq!(staged.directories(), ["in", "in/d"]);
            assert_ne!(
                staged.upload_path(),
                partial(rename("{id}", Some(staging)), "out", "d/f.csv").upload_path(),
                "two places, two files"
            );
        }
        let long = partial(rename("~{name}-{id}", None), "", &"ü".repeat(127));
        assert!(
            long.upload_path().len() <= COMPONENT_MAX && long.upload_path().starts_with("~üü"),
            "{}",
            long.upload_path()
        );
        let direct = partial(Publish::Direct, "in", "d/f.csv");
        assert!(direct.is_direct() && direct.upload_path() == "in/d/f.csv" && !suffix.is_direct());
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

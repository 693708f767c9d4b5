//! `SFTP_REMOTE_PATH`, `COLLECT_OBJECT_KEY` and `SFTP_PARTIAL_NAME`: templates of paths, keys and names.

use super::names::{COMPONENT_MAX, cut, problem_of, split, split_extension};
use crate::calendar::{self, Moment};
use crate::collect::OBJECT_KEY_MAX;
use crate::{ErrorName, Result};

/// `SFTP_REMOTE_PATH`: what the remote path is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemotePathTemplate(Template);

/// `COLLECT_OBJECT_KEY`: what the key of a collected object is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectKeyTemplate {
    template: Template,
    /// The text up to the first placeholder. The stack's role may write only objects whose keys begin with it.
    fixed: String,
}

/// Text, and parts of the key or path of the file that is moved.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// The key or path as a whole.
    Whole,
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

/// The placeholders of one setting.
struct Placeholders {
    /// The one that stands for the whole key or path.
    whole: &'static str,
    /// Whether there is `{bucket}`.
    has_bucket: bool,
    expected: &'static str,
    example: &'static str,
}

const OF_REMOTE_PATH: Placeholders = Placeholders {
    whole: "key",
    has_bucket: true,
    expected: "expected {key}, {dir}, {name}, {stem}, {ext}, {bucket} or {date:FORMAT}, such as {date:%Y%m%d}",
    example: "expected a path such as in/{key}",
};

const OF_OBJECT_KEY: Placeholders = Placeholders {
    whole: "path",
    has_bucket: false,
    expected: "expected {path}, {dir}, {name}, {stem}, {ext} or {date:FORMAT}, such as {date:%Y%m%d}",
    example: "expected a key such as from-partner/{path}",
};

/// A key or path of the plainest kind. What is wrong for it is wrong for all.
const SAMPLE: &str = "directory/name.ext";

impl RemotePathTemplate {
    /// Reads a template.
    ///
    /// # Errors
    /// What is wrong with it, as a clause.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        Template::parse(text, &OF_REMOTE_PATH).map(Self)
    }

    /// Whether two uploads of one key may have two paths.
    pub fn has_date(&self) -> bool {
        self.0.0.iter().any(|part| matches!(part, Part::Date(_)))
    }

    /// The directory in which every path begins, without the slash at its end; empty if there is none.
    pub(crate) fn common_directory(&self) -> &str {
        match self.0.0.first() {
            Some(Part::Text(text)) => split(text).0.trim_end_matches('/'),
            _ => "",
        }
    }

    pub(super) fn fill(&self, bucket: &str, key: &str, time: &str) -> Result<String> {
        self.0.fill(bucket, key, time).ok_or_else(|| {
            ErrorName::InvalidInput.error(
                "field `time`: SFTP_REMOTE_PATH needs a date; expected one like 2026-01-31T12:00:00Z in the event, or that of the execution's start",
            )
        })
    }
}

impl ObjectKeyTemplate {
    /// Reads a template.
    ///
    /// # Errors
    /// What is wrong with it, as a clause.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        let fixed = text.split('{').next().unwrap_or_default().to_owned();
        Ok(Self { template: Template::parse(text, &OF_OBJECT_KEY)?, fixed })
    }

    /// The text with which every key begins.
    pub(crate) fn fixed(&self) -> &str {
        &self.fixed
    }

    /// The key of the object that the file at `path` becomes. `time` is for templates with a date.
    ///
    /// # Errors
    /// Why there is no such key, as a clause.
    pub(crate) fn fill(&self, path: &str, time: &str) -> std::result::Result<String, String> {
        let Some(key) = self.template.fill("", path, time) else {
            return Err(format!(
                "COLLECT_OBJECT_KEY needs a date, and {time:?} is none; expected one like 2026-01-31T12:00:00Z"
            ));
        };
        match key.split('/').find(|component| matches!(*component, "." | "..")) {
            _ if key.is_empty() => Err("its object key would be empty".into()),
            _ if key.len() > OBJECT_KEY_MAX => {
                Err(format!("its object key would have {} bytes, and S3 takes {OBJECT_KEY_MAX}", key.len()))
            }
            _ if key.ends_with('/') => Err("its object key would end in `/`, as that of a folder".into()),
            Some(component) => Err(format!("its object key would have the component {component:?}")),
            // As `a.{ext}` without an extension.
            None if !key.starts_with(&self.fixed) => Err(format!(
                "its object key would be {key:?}, and COLLECT_OBJECT_KEY lets every key begin with {:?}",
                self.fixed
            )),
            None => Ok(key),
        }
    }
}

impl Template {
    fn parse(text: &str, placeholders: &Placeholders) -> std::result::Result<Self, String> {
        let expected = placeholders.expected;
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let brace = rest.find(['{', '}']).unwrap_or(rest.len());
            let (literal, tail) = rest.split_at(brace);
            let mut literal = literal.to_owned();
            let part = match tail.strip_prefix('{').map(|inner| inner.split_once('}')) {
                None if tail.is_empty() => None,
                None | Some(None) => return Err(format!("a brace lacks its other half, {expected}")),
                Some(Some((placeholder, behind))) => {
                    rest = behind;
                    Some(match placeholder {
                        whole if whole == placeholders.whole => Part::Whole,
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
                        "bucket" if placeholders.has_bucket => Part::Bucket,
                        other => Part::date(other, expected)?,
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
        let sample = template.fill("bucket", SAMPLE, "2026-01-01T00:00:00Z").unwrap_or_default();
        match sample.split('/').find_map(|component| Some((component, problem_of(component)?))) {
            None => Ok(template),
            Some((component, problem)) => {
                Err(format!("its component {component:?} {problem}, {}", placeholders.example))
            }
        }
    }

    /// `None` if a date is needed, and `time` is none.
    fn fill(&self, bucket: &str, whole: &str, time: &str) -> Option<String> {
        let (directory, name) = split(whole);
        let directory = directory.strip_suffix('/');
        let (stem, extension) = split_extension(name);
        let mut path = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => path += text,
                Part::Whole => path += whole,
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
                Part::Date(format) => path += &Moment::parse(time)?.format(format),
            }
        }
        Some(path)
    }
}

impl Part {
    /// `date:FORMAT`.
    fn date(placeholder: &str, expected: &str) -> std::result::Result<Self, String> {
        match placeholder.strip_prefix("date:").filter(|format| !format.is_empty()) {
            Some(format) => match calendar::unknown_sign(format) {
                None => Ok(Self::Date(format.to_owned())),
                Some(sign) => Err(format!("for {sign:?} in a date, expected {}", calendar::SIGNS)),
            },
            None => Err(format!("for {{{placeholder}}}, {expected}")),
        }
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
            "expected {id} exactly once and {name} at most once"
        } else if plain.contains('/') {
            "expected a name without a slash; for another directory set SFTP_STAGING_DIRECTORY"
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
    pub(super) fn of(&self, name: &str, id: &str) -> String {
        let with_id = self.0.replace("{id}", id);
        let others = with_id.replace("{name}", "").len();
        with_id.replace("{name}", cut(name, COMPONENT_MAX.saturating_sub(others)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "2026-03-01T01:30:00+02:00";

    fn key(template: &str, path: &str) -> std::result::Result<String, String> {
        ObjectKeyTemplate::parse(template).unwrap().fill(path, TIME)
    }

    #[test]
    fn an_object_key_is_made_of_the_path_and_a_prefix() {
        for (template, path, expected) in [
            ("{path}", "a/b.csv", "a/b.csv"),
            ("from-acme/{path}", "a/b.csv", "from-acme/a/b.csv"),
            ("{dir}/{stem}_{date:%Y%m%d}.{ext}", "a/b/c.tar.gz", "a/b/c.tar_20260228.gz"),
            ("{dir}/{stem}_{date:%Y%m%d}.{ext}", "README", "README_20260228"),
            ("{date:%Y/%m}/{name}", "a/räksmörgås", "2026/02/räksmörgås"),
            ("prices/latest.{ext}", "2026-02-28.csv", "prices/latest.csv"),
            ("in {path}+%2B", "a b", "in a b+%2B"),
        ] {
            assert_eq!(key(template, path).as_deref(), Ok(expected), "{template}");
        }
    }

    #[test]
    fn story_288_a_key_that_s3_cannot_hold_has_a_reason() {
        let name = "x".repeat(255);
        let path = [name.as_str(); 4].join("/");
        assert_eq!(key("{path}", &path).map(|key| key.len()), Ok(1_023));
        assert_eq!(key("i{path}", &path).map(|key| key.len()), Ok(1_024));
        let error = key("in/{path}", &path).unwrap_err();
        assert_eq!(error, "its object key would have 1026 bytes, and S3 takes 1024");
        // As bytes, not as characters.
        let umlauts = [&"ü".repeat(127)[..]; 4].join("/");
        assert!(key("{path}/{name}", &umlauts).is_err());
        for (template, path, words) in [
            ("{ext}", "README", "empty"),
            ("{dir}/{ext}", "a/README", "end in `/`"),
            ("{dir}/{stem}", "a/...x", "component \"..\""),
            ("{stem}/{name}", "..x", "component \".\""),
        ] {
            let error = key(template, path).unwrap_err();
            assert!(error.contains(words) && error.starts_with("its object key would "), "{error}");
        }
        let error = ObjectKeyTemplate::parse("{date:%Y}/{path}").unwrap().fill("a", "").unwrap_err();
        assert!(error.contains("COLLECT_OBJECT_KEY needs a date"), "{error}");
    }

    #[test]
    fn what_makes_no_object_key_is_refused_at_once() {
        for (template, words) in [
            ("", "is empty"),
            ("{key}", "for {key}, expected {path}, {dir}"),
            ("{bucket}/{path}", "for {bucket}, expected {path}"),
            ("{path", "lacks its other half"),
            ("path}", "lacks its other half"),
            ("{date:}", "for {date:}"),
            ("{date:%B}", "for \"%B\" in a date"),
            ("/in/{path}", "expected a key such as from-partner/{path}"),
            ("{path}/", "expected a key such as from-partner/{path}"),
            ("in//{path}", "is empty"),
            ("../{path}", "would leave"),
            ("in\\{path}", "backslash"),
            ("in\n{path}", "control character"),
        ] {
            let problem = ObjectKeyTemplate::parse(template).unwrap_err();
            assert!(problem.contains(words), "{template}: {problem}");
        }
        assert!(
            RemotePathTemplate::parse("{path}").unwrap_err().contains("for {path}, expected {key}, {dir}")
        );
    }

    #[test]
    fn the_directory_in_which_every_path_begins() {
        for (template, expected) in [
            ("{key}", ""),
            ("in/{key}", "in"),
            ("in/box/day-{date:%d}/{name}", "in/box"),
            ("in-{name}", ""),
            ("in/latest.csv", "in"),
        ] {
            assert_eq!(RemotePathTemplate::parse(template).unwrap().common_directory(), expected);
        }
    }
}

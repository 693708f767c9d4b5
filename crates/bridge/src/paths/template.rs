//! `SFTP_REMOTE_PATH` and `SFTP_PARTIAL_NAME`: templates of paths and names.

use super::names::{COMPONENT_MAX, cut, problem_of, split, split_extension};
use crate::calendar::{self, Moment};
use crate::{ErrorName, Result};

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

    pub(super) fn fill(&self, bucket: &str, key: &str, time: &str) -> Result<String> {
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

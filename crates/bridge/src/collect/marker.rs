//! `COLLECT_MARKER`: a second file by which the partner says that a file is complete.

use crate::paths::{problem_of, split};

/// The placeholder in a pattern.
const NAME: &str = "{name}";

/// What markers are called. A marker is in the directory of its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkerPattern {
    before: String,
    behind: String,
}

impl MarkerPattern {
    /// Reads a pattern such as `{name}.done`.
    ///
    /// # Errors
    /// What is wrong with it, as a clause.
    pub fn parse(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected none, or a name with {name} in it once, such as {name}.done";
        let Some((before, behind)) = text.split_once(NAME) else { return Err(EXPECTED.into()) };
        let others = format!("{before}{behind}");
        if others.contains(['{', '}']) {
            return Err(EXPECTED.into());
        }
        if others.is_empty() {
            return Err(format!("every file would be its own marker, {EXPECTED}"));
        }
        if others.contains('/') {
            return Err("expected a name without a slash: a marker is in the directory of its file".into());
        }
        match problem_of(&text.replace(NAME, "n")) {
            Some(problem) => Err(format!("it {problem}, {EXPECTED}")),
            None => Ok(Self { before: before.to_owned(), behind: behind.to_owned() }),
        }
    }

    /// The path of the marker of the file at `path`.
    pub fn of(&self, path: &str) -> String {
        let (directory, name) = split(path);
        format!("{directory}{}{name}{}", self.before, self.behind)
    }

    /// The path of the file whose marker this is. `None` if the name is not that of a marker.
    pub fn file_of(&self, marker_path: &str) -> Option<String> {
        let (directory, name) = split(marker_path);
        let name = name.strip_prefix(self.before.as_str())?.strip_suffix(self.behind.as_str())?;
        (!name.is_empty()).then(|| format!("{directory}{name}"))
    }
}

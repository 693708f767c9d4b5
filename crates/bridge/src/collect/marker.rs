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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn story_285_a_marker_and_its_file_name_each_other() {
        for (pattern, path, marker) in [
            ("{name}.done", "a.csv", "a.csv.done"),
            ("{name}.trg", "in/räksmörgås", "in/räksmörgås.trg"),
            ("READY_{name}", "a/b/c.csv", "a/b/READY_c.csv"),
            (".{name}.ok", "a.csv", ".a.csv.ok"),
        ] {
            let pattern = MarkerPattern::parse(pattern).unwrap();
            assert_eq!(pattern.of(path), marker);
            assert_eq!(pattern.file_of(marker).as_deref(), Some(path));
            assert_eq!(pattern.file_of(path), None, "a file is not its own marker");
        }
    }

    #[test]
    fn story_285_what_is_called_otherwise_is_no_marker() {
        let pattern = MarkerPattern::parse("{name}.done").unwrap();
        for path in [".done", "a/.done", "a.done/b", "a.DONE", "a.done.csv", "done", ""] {
            assert_eq!(pattern.file_of(path), None, "{path}");
        }
        // A marker may be late, and may itself look like a file that waits for one.
        assert_eq!(pattern.file_of("a.done.done").as_deref(), Some("a.done"));
        let both = MarkerPattern::parse("x{name}x").unwrap();
        assert_eq!(both.file_of("x"), None, "one letter is not both ends");
        assert_eq!(both.file_of("xx"), None);
    }

    #[test]
    fn story_285_a_pattern_that_tells_nothing_is_refused() {
        for (pattern, words) in [
            ("", "{name}"),
            (".done", "{name} in it once"),
            ("{name}", "its own marker"),
            ("{name}{name}.done", "once"),
            ("{stem}.done", "{name}"),
            ("{name}.{ext}", "once"),
            ("done/{name}", "without a slash"),
            ("{name}\\done", "backslash"),
            ("{name}\u{7}", "control character"),
        ] {
            let problem = MarkerPattern::parse(pattern).unwrap_err();
            assert!(problem.contains(words) && problem.contains("expected"), "{pattern}: {problem}");
        }
    }
}

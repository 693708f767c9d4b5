//! The objects that an operator's file names.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;

use crate::operate::problem::Problem;

/// An object of the file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Named {
    pub(super) object_key: String,
    /// `None`: the current version.
    pub(super) version_id: Option<String>,
}

/// Reads the file. Each object is named once.
pub(super) fn read(file: &Path) -> Result<Vec<Named>, Problem> {
    let wrong = |words: String| Problem::Usage(format!("{}: {words}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    parse(&text).map_err(wrong)
}

fn parse(text: &str) -> Result<Vec<Named>, String> {
    let mut named = BTreeSet::new();
    for (index, line) in text.lines().enumerate() {
        if !line.is_empty() {
            named.insert(parse_line(line).map_err(|words| format!("line {}: {words}", index + 1))?);
        }
    }
    if named.is_empty() {
        return Err("it names no object".to_owned());
    }
    Ok(named.into_iter().collect())
}

/// A key stands as it is, with its spaces. A key that begins with a brace needs the other form.
fn parse_line(line: &str) -> Result<Named, String> {
    if !line.starts_with('{') {
        return Ok(Named { object_key: line.to_owned(), version_id: None });
    }
    let named: Named = serde_json::from_str(line).map_err(|error| {
        format!("expected a key, or {{\"object_key\": ..., \"version_id\": ...}}: {error}")
    })?;
    if named.object_key.is_empty() { Err("the object_key is empty".to_owned()) } else { Ok(named) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn story_223_a_file_has_keys_or_json_and_names_each_object_once() {
        let named = |object_key: &str, version_id: Option<&str>| Named {
            object_key: object_key.into(),
            version_id: version_id.map(str::to_owned),
        };
        let text = "in/a b+c%2B.csv\n\n{\"object_key\": \"in/b\", \"version_id\": \"v\"}\r\nin/a b+c%2B.csv\n\
                    {\"object_key\": \"in/a b+c%2B.csv\"}";
        assert_eq!(parse(text).unwrap(), [named("in/a b+c%2B.csv", None), named("in/b", Some("v"))]);
    }

    #[test]
    fn story_223_a_wrong_line_is_named() {
        for (text, words) in [
            ("", "names no object"),
            ("\n\n", "names no object"),
            ("a\n{\"key\": \"b\"}", "line 2: expected a key, or"),
            ("{\"object_key\": \"\"}", "line 1: the object_key is empty"),
            ("{", "line 1: expected a key, or"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(words), "{text:?}: {error}");
        }
        let problem = read(Path::new("no-such-file")).unwrap_err();
        assert!(matches!(&problem, Problem::Usage(words) if words.contains("no-such-file")), "{problem:?}");
    }
}

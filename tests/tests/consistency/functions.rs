//! Functions fit a screen.

use std::path::{Path, PathBuf};

use integration_tests::tools::workspace;
use regex_lite::Regex;

/// Maximum length of a function outside tests, in lines between its braces.
const LINES_MAX: usize = 60;

#[test]
fn no_function_outside_tests_is_longer_than_a_screen() {
    let mut files = Vec::new();
    for folder in ["crates", "functions", "xtask", "tests/src"] {
        collect(&workspace().join(folder), &mut files);
    }
    assert!(files.len() > 150, "{}", files.len());
    let long: Vec<String> = files
        .iter()
        .flat_map(|file| {
            let source = std::fs::read_to_string(file).unwrap();
            let long = long_functions(&source);
            long.into_iter().map(|name| format!("{}: {name}", file.display())).collect::<Vec<_>>()
        })
        .collect();
    assert!(long.is_empty(), "functions of more than {LINES_MAX} lines:\n{}", long.join("\n"));
}

#[test]
fn a_long_function_is_found() {
    let function =
        |lines: usize| format!("impl X {{\n    fn long() {{\n{}    }}\n}}\n", "        x;\n".repeat(lines));
    assert!(long_functions(&function(LINES_MAX)).is_empty());
    assert_eq!(long_functions(&function(LINES_MAX + 1)), ["long (61 lines)"]);
    assert!(long_functions(&format!("#[cfg(test)]\n{}", function(99))).is_empty());
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy();
        if path.is_dir() && name != "target" {
            collect(&path, files);
        } else if name.ends_with(".rs") && name != "tests.rs" {
            files.push(path);
        }
    }
}

/// rustfmt puts the closing brace of a function below the beginning of its first line.
fn long_functions(source: &str) -> Vec<String> {
    let begins = Regex::new(r"^( *)(?:pub(?:\([^)]*\))? )?(?:const )?(?:async )?fn (\w+)").unwrap();
    let lines: Vec<&str> = source.lines().take_while(|line| *line != "#[cfg(test)]").collect();
    let mut long = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some(found) = begins.captures(line) else { continue };
        let closing = format!("{}}}", &found[1]);
        let length = lines[index + 1..].iter().position(|line| *line == closing).unwrap_or_default();
        if length > LINES_MAX {
            long.push(format!("{} ({length} lines)", &found[2]));
        }
    }
    long
}

//! The keys under which several objects of one name are kept.

use crate::paths::{cut, numbered, split, split_extension};

/// S3's limit for an object key, in bytes.
pub const OBJECT_KEY_MAX: usize = 1024;

/// The key beside which `number` others are kept: `a/report.csv`, `a/report.1.csv`, `a/report.2.csv`. The first `fixed`
/// bytes stay as they are: if the extension begins within them, the number stands at the end.
pub(crate) fn numbered_key(object_key: &str, number: u32, fixed: usize) -> String {
    let (directory, name) = split(object_key);
    let (stem, _) = split_extension(name);
    if number > 0 && directory.len() + stem.len() < fixed {
        let tail = format!(".{number}");
        return format!("{}{tail}", cut(object_key, OBJECT_KEY_MAX - tail.len()));
    }
    numbered(object_key, number, OBJECT_KEY_MAX - directory.len().min(OBJECT_KEY_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_stands_before_the_extension() {
        for (key, number, expected) in [
            ("a/report.csv", 0, "a/report.csv"),
            ("a/report.csv", 1, "a/report.1.csv"),
            ("report", 12, "report.12"),
            ("a.b/report", 2, "a.b/report.2"),
            (".hidden", 1, ".hidden.1"),
        ] {
            assert_eq!(numbered_key(key, number, 0), expected);
        }
    }

    #[test]
    fn a_key_with_a_number_is_not_too_long() {
        for key in [format!("{}.csv", "x".repeat(1_020)), format!("{}/ä{}", "d".repeat(500), "ä".repeat(261))]
        {
            let numbered = numbered_key(&key, 999, 0);
            assert!(numbered.len() <= OBJECT_KEY_MAX && numbered.contains(".999"), "{numbered}");
        }
    }

    /// The stack's role may write only what begins so.
    #[test]
    fn the_text_with_which_every_key_begins_stays() {
        for (fixed, key, expected) in [
            ("a.b", "a.b.csv", "a.b.1.csv"),
            ("a.b", "a.bREADME", "a.bREADME.1"),
            ("v1.2/", "v1.2/report.csv", "v1.2/report.1.csv"),
            ("latest.csv", "latest.csv", "latest.csv.1"),
            (".x", ".xy", ".xy.1"),
        ] {
            let key = numbered_key(key, 1, fixed.len());
            assert_eq!(key, expected);
            assert!(key.starts_with(fixed));
        }
    }
}

//! The keys under which several objects of one name are kept.

use crate::paths::numbered;

/// S3's limit for an object key, in bytes.
pub const OBJECT_KEY_MAX: usize = 1024;

/// The key beside which `number` others are kept: `a/report.csv`, `a/report.1.csv`, `a/report.2.csv`.
pub fn numbered_key(object_key: &str, number: u32) -> String {
    let directory = object_key.rfind('/').map_or(0, |slash| slash + 1);
    numbered(object_key, number, OBJECT_KEY_MAX - directory.min(OBJECT_KEY_MAX))
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
            assert_eq!(numbered_key(key, number), expected);
        }
    }

    #[test]
    fn a_key_with_a_number_is_not_too_long() {
        for key in [format!("{}.csv", "x".repeat(1_020)), format!("{}/ä{}", "d".repeat(500), "ä".repeat(261))]
        {
            let numbered = numbered_key(&key, 999);
            assert!(numbered.len() <= OBJECT_KEY_MAX && numbered.contains(".999"), "{numbered}");
        }
    }
}

//! Parts of keys. A comma separates fields: Step Functions allows none in an execution's name.

use sha2::{Digest as _, Sha256};

/// Maximum length of the part that names the object, in bytes. S3 allows 1,024 for the whole key.
const OBJECT_MAX: usize = 700;

/// Number of bytes of a long object key that stay readable. The hash of the whole key follows.
const OBJECT_HEAD: usize = 600;

/// The object's key as a part of a record's key. Keys of up to 700 bytes stand there as they are, so that a prefix of the
/// object's key is a prefix of the record's. Longer ones are cut, and the hash of the whole key is added.
pub fn object_part(object_key: &str) -> String {
    if object_key.len() <= OBJECT_MAX {
        return object_key.to_owned();
    }
    let head = &object_key[..object_key.floor_char_boundary(OBJECT_HEAD)];
    format!("{head},{}", hex::encode(Sha256::digest(object_key)))
}

/// What the records of all objects below this prefix begin with, after their folder. More records may begin so: those of
/// long keys do not hold the whole key.
pub(super) fn object_prefix(prefix: &str) -> &str {
    &prefix[..prefix.floor_char_boundary(OBJECT_HEAD)]
}

/// Text that stands between commas and slashes.
pub(super) fn field(text: &str) -> String {
    plain(text, "._-")
}

/// An execution's name. The commands look executions up by it, so it stays as it is, even if a person typed it.
pub(super) fn execution_field(name: &str) -> String {
    plain(name, "._-+=@!")
}

/// ASCII letters, digits and these signs; other characters become `_`.
fn plain(text: &str, signs: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || signs.contains(c);
    let plain: String = text.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    if plain.is_empty() { "unknown".to_owned() } else { plain }
}

/// RFC 3339 in UTC as `20261127T091500Z`: sorts by time.
pub(super) fn compact(time: &str) -> String {
    let digits: String = time.chars().filter(char::is_ascii_digit).take(14).collect();
    if digits.len() == 14 { format!("{}T{}Z", &digits[..8], &digits[8..]) } else { "undated".to_owned() }
}

/// RFC 3339 in UTC, to the second: what a key tells of a time. Other text stays as it is.
pub(super) fn to_the_second(time: &str) -> String {
    expanded(&compact(time)).unwrap_or_else(|| time.to_owned())
}

/// `20261127T091500Z` as RFC 3339.
pub(super) fn expanded(time: &str) -> Option<String> {
    let is_compact = time.len() == 16 && time.is_ascii() && time.as_bytes()[8] == b'T' && time.ends_with('Z');
    let part = |range: std::ops::Range<usize>| &time[range];
    is_compact.then(|| {
        format!(
            "{}-{}-{}T{}:{}:{}Z",
            part(0..4),
            part(4..6),
            part(6..8),
            part(9..11),
            part(11..13),
            part(13..15)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_key_is_cut_between_characters_and_stays_unique() {
        let long = format!("{}ä{}", "a".repeat(599), "b".repeat(400));
        let part = object_part(&long);
        assert_eq!(part.len(), 599 + 1 + 64);
        assert_ne!(part, object_part(&format!("{long}c")));
        assert_eq!(object_part("a/b c,d.txt"), "a/b c,d.txt");
    }

    #[test]
    fn a_long_prefix_finds_the_long_keys_below_it() {
        let prefix = "ä".repeat(400);
        for key in [prefix.clone(), format!("{prefix}b"), format!("{prefix}{}", "c".repeat(200))] {
            assert!(object_part(&key).starts_with(object_prefix(&prefix)), "{key}");
        }
        assert_eq!(object_prefix("in/"), "in/");
    }

    #[test]
    fn times_go_there_and_back() {
        assert_eq!(compact("2026-11-27T09:15:00.123Z"), "20261127T091500Z");
        assert_eq!(expanded("20261127T091500Z").as_deref(), Some("2026-11-27T09:15:00Z"));
        for odd in ["", "undated", "2026-11-27", "ä0261127T09150Z"] {
            assert_eq!((compact(odd).as_str(), expanded(odd)), ("undated", None), "{odd}");
        }
    }

    #[test]
    fn a_field_holds_no_separator() {
        assert_eq!(field("Lambda.Unknown"), "Lambda.Unknown");
        assert_eq!(field("a,b/c d\n"), "a_b_c_d_");
        assert_eq!(field(""), "unknown");
        assert_eq!(field("a+b=c@d!"), "a_b_c_d_");
    }

    #[test]
    fn an_execution_keeps_the_name_that_a_person_typed() {
        assert_eq!(execution_field("again+1=x@home!"), "again+1=x@home!");
        assert_eq!(execution_field("ä,(b)/c"), "___b__c");
    }
}

//! Names that a server lists. They are hostile until they are found plain.

use crate::paths::problem_of;

/// The name as one component of a path.
///
/// # Errors
/// Why it is none, as a clause: it is not UTF-8, or leads elsewhere, or holds what no name should.
pub fn plain_name(name: &[u8]) -> Result<&str, String> {
    let Ok(name) = std::str::from_utf8(name) else { return Err("its name is not UTF-8".into()) };
    let problem = match name {
        "" => Some("is empty"),
        name if name.contains('/') => Some("has a slash"),
        name => problem_of(name),
    };
    match problem {
        Some(problem) => Err(format!("its name {problem}")),
        None => Ok(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn story_289_a_name_from_a_server_is_one_component_or_none() {
        for name in ["a", ".a", "..a", "...", "a b", "ä€🙂", "-rf", "~", "C:", "%2e%2e%2f", &"x".repeat(255)]
        {
            assert_eq!(plain_name(name.as_bytes()), Ok(name));
        }
        for (name, words) in [
            (&b""[..], "is empty"),
            (b".", "would leave"),
            (b"..", "would leave"),
            (b"/", "slash"),
            (b"/etc", "slash"),
            (b"../a", "slash"),
            (b"a/", "slash"),
            (b"a\\b", "backslash"),
            (b"a\0", "control"),
            (b"a\nb", "control"),
            (b"\x7f", "control"),
            (b"\xc2\x9b", "control"),
            (b"\xff", "UTF-8"),
            (b"\xc0\xae\xc0\xae", "UTF-8"),
            (&[b'x'; 256], "255 bytes"),
        ] {
            let problem = plain_name(name).unwrap_err();
            assert!(problem.contains(words), "{name:?}: {problem}");
        }
    }
}

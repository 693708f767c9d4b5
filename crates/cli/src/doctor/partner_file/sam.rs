//! How the SAM CLI changes the values of a table of parameters: it removes a pair of quotes around a value, and a
//! backslash before a space or a quote. It does so for values from TOML as well as for those of its command line.

/// The value that the SAM CLI passes on.
pub(super) fn read(text: &str) -> String {
    let unquoted = ['"', '\''].iter().find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote));
    unquoted.unwrap_or(text).replace(r"\ ", " ").replace(r#"\""#, "\"").replace(r"\'", "'")
}

/// The text of which the SAM CLI makes this value.
pub(super) fn write(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut rest = value.chars().peekable();
    while let Some(c) = rest.next() {
        text.push(c);
        if c == '\\' && matches!(rest.peek(), Some(' ' | '"' | '\'')) {
            text.push('\\');
        }
    }
    let ends = (text.chars().next(), text.chars().next_back());
    let is_quoted = matches!(ends, (Some('"'), Some('"')) | (Some('\''), Some('\'')));
    if is_quoted { format!("\"{text}\"") } else { text }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn usual_values_stay_as_they_are() {
        for value in
            ["", "acme", r"DOMAIN\acme", "in box", "ssh-ed25519 AAAA c@h\nSHA256:x", "it's", "\"a\" b"]
        {
            assert_eq!((write(value).as_str(), read(value).as_str()), (value, value));
        }
        assert_eq!(write("\"a b\""), "\"\"a b\"\"");
        assert_eq!((write(r"a\ b"), read(r"a\\ b")), (r"a\\ b".into(), r"a\ b".into()));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(value in prop_oneof![r#"[\\ "'a]{0,12}"#, any::<String>()]) {
            prop_assert_eq!(read(&write(&value)), value);
        }
    }
}

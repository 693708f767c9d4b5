//! Makes foreign text safe to show in a terminal.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Escapes (`\n`, `\u{1b}`) every character that would control a terminal, begin a new line, or change the order in which
/// the text is shown. Backslashes are not escaped.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            c if is_unprintable(c) => {
                // Writing to a string never fails.
                let _ = write!(escaped, "\\u{{{:x}}}", u32::from(c));
            }
            c => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

/// Whether a character is a control character, a line separator, invisible, or changes the direction of the text.
#[must_use]
pub fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // Direction.
            '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}'
            // Lines.
            | '\u{2028}' | '\u{2029}'
            // Invisible, except the joiners U+200C and U+200D, which words and emoji need.
            | '\u{00ad}' | '\u{180e}' | '\u{200b}' | '\u{2060}'..='\u{2065}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_plain_stays_as_it_is() {
        for text in ["", "räksmörgås.csv", r"DOMAIN\user", "👩\u{200d}🚀", "日本"] {
            assert!(matches!(printable(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }

    #[test]
    fn what_commands_a_terminal_is_escaped() {
        for (text, shown) in [
            ("a\nb\r\tc", r"a\nb\r\tc"),
            ("\x1b[2J\0\u{7f}\u{9b}", r"\u{1b}[2J\u{0}\u{7f}\u{9b}"),
            ("txt.\u{202e}gpj\u{202c}", r"txt.\u{202e}gpj\u{202c}"),
            ("\u{2028}\u{85}\u{2066}\u{200f}\u{61c}", r"\u{2028}\u{85}\u{2066}\u{200f}\u{61c}"),
        ] {
            assert_eq!(printable(text), shown);
        }
    }
}

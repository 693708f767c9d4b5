//! Texts of a server, cut to a maximum length, and time limits as text.

use std::time::Duration;

/// Maximum length of a server's text that is kept, in bytes. It goes into error messages, and these into payloads.
pub(crate) const WORDS_MAX: usize = 1024;

/// The beginning of a server's text.
pub(crate) fn clipped(text: &str) -> &str {
    &text[..text.floor_char_boundary(WORDS_MAX)]
}

/// The beginning of a server's text, as it was received. Not every server sends UTF-8.
pub(crate) fn words(bytes: &[u8]) -> String {
    clipped(&String::from_utf8_lossy(bytes)).to_owned()
}

/// The problem of a step that reached its time limit.
pub(crate) fn late(limit: Duration) -> String {
    let tenths = (limit.as_millis() + 50) / 100;
    match tenths % 10 {
        0 => format!("no answer within {} s", tenths / 10),
        rest => format!("no answer within {}.{rest} s", tenths / 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_limits_in_words() {
        for (milliseconds, words) in [(20_000, "20 s"), (999, "1 s"), (6667, "6.7 s"), (500, "0.5 s")] {
            assert_eq!(late(Duration::from_millis(milliseconds)), format!("no answer within {words}"));
        }
    }
}

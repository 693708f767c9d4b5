//! `LOG_LEVEL`: how much is logged.

use super::Variables;

/// A level, and those of single parts behind it, as [`tracing`](https://docs.rs/tracing-subscriber) reads them. The
/// default is `info`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLevel(String);

const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

impl Default for LogLevel {
    fn default() -> Self {
        Self("info".into())
    }
}

impl LogLevel {
    /// The level that is set, or the default.
    ///
    /// # Errors
    /// What is expected, as a clause.
    pub fn of(variables: &Variables) -> Result<Self, String> {
        variables.get("LOG_LEVEL").map_or_else(|| Ok(Self::default()), Self::parse)
    }

    /// `debug`, or `info,transfer=debug`.
    fn parse(text: &str) -> Result<Self, String> {
        let is_level = |word: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word));
        let is_part =
            |word: &str| word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_:".contains(&byte));
        let is_directive = |word: &str| match word.trim().split_once('=') {
            Some((part, level)) => !part.is_empty() && is_part(part) && is_level(level),
            None => is_level(word.trim()),
        };
        if !text.split(',').all(is_directive) {
            return Err("expected error, warn, info, debug or trace, and behind it others for single parts, such as info,transfer=debug".into());
        }
        let text = text.replace(' ', "");
        // Nothing is said of the other parts: they keep the default.
        let has_level = text.split(',').any(|word| !word.contains('='));
        Ok(Self(if has_level { text } else { format!("{},{text}", Self::default()) }))
    }
}

impl std::fmt::Display for LogLevel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(text: &str) -> Result<String, String> {
        LogLevel::of(&[("LOG_LEVEL", text)].into_iter().collect()).map(|level| level.to_string())
    }

    #[test]
    fn levels_and_those_of_single_parts() {
        assert_eq!(LogLevel::of(&Variables::default()).unwrap().to_string(), "info");
        assert_eq!(level(" ").unwrap(), "info");
        assert_eq!(level("DEBUG").unwrap(), "DEBUG");
        assert_eq!(level("warn, sftp::upload=trace").unwrap(), "warn,sftp::upload=trace");
        assert_eq!(level("transfer=debug").unwrap(), "info,transfer=debug");
        for wrong in
            ["verbose", "off", "info,", "transfer", "=debug", "transfer=", "transfer=loud", "info debug"]
        {
            assert!(level(wrong).unwrap_err().contains("expected error, warn"), "{wrong}");
        }
    }
}

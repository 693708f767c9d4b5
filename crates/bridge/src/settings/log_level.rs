//! `LOG_LEVEL`: how much is logged.

use std::fmt;

use super::table::LOG_LEVEL;
use super::variables::Variables;

/// A level, and levels of single modules, in the syntax of
/// [`tracing`](https://docs.rs/tracing-subscriber/latest/tracing_subscriber/filter/struct.EnvFilter.html).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLevel(String);

const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

impl Default for LogLevel {
    fn default() -> Self {
        Self(LOG_LEVEL.default.unwrap_or_default().to_owned())
    }
}

impl LogLevel {
    /// The level that is set, or the default.
    ///
    /// # Errors
    /// What is expected, as a clause.
    pub fn of(variables: &Variables) -> Result<Self, String> {
        Self::parse(variables.get_or_default(&LOG_LEVEL))
    }

    /// Parses `debug`, or `info,transfer=debug`.
    fn parse(text: &str) -> Result<Self, String> {
        let is_level = |word: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word));
        let is_module =
            |word: &str| word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_:".contains(&byte));
        let is_directive = |word: &str| match word.trim().split_once('=') {
            Some((module, level)) => !module.is_empty() && is_module(module) && is_level(level),
            None => is_level(word.trim()),
        };
        if !text.split(',').all(is_directive) {
            return Err("expected error, warn, info, debug or trace, then levels of single modules, such as info,transfer=debug".into());
        }
        let text = text.replace(' ', "");
        // Without a level for all other modules, they keep the default.
        let has_level = text.split(',').any(|word| !word.contains('='));
        Ok(Self(if has_level { text } else { format!("{},{text}", Self::default()) }))
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
    fn levels_and_those_of_single_modules() {
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

//! Reads values of the kinds that several settings share.

use super::problems::Problems;
use super::table::{Setting, Values};
use super::variables::Variables;
use terms::Glob;

/// An integer in the setting's range. A wrong one is a problem, and the default takes its place.
pub(super) fn number(variables: &Variables, problems: &mut Problems, setting: &Setting) -> u32 {
    let (minimum, maximum) = match setting.values {
        Values::Number { minimum, maximum } => (minimum, maximum),
        Values::Text | Values::Choice(_) => (0, u32::MAX),
    };
    let text = variables.get_or_default(setting);
    text.parse().ok().filter(|number| (minimum..=maximum).contains(number)).unwrap_or_else(|| {
        problems.wrong(setting, text, &format!("expected a number from {minimum} to {maximum}"));
        minimum
    })
}

/// One of the setting's words, as the value that `choices` has for it. Another word is a problem, and the first choice
/// takes its place.
pub(super) fn choice<T: Copy>(
    variables: &Variables,
    problems: &mut Problems,
    setting: &Setting,
    choices: &[(&str, T)],
) -> T {
    let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
    debug_assert!(matches!(setting.values, Values::Choice(allowed) if allowed == words), "{}", setting.name);
    let text = variables.get_or_default(setting);
    match choices.iter().find(|(word, _)| *word == text) {
        Some((_, chosen)) => *chosen,
        None => {
            problems.wrong(setting, text, &format!("expected {}", in_words(&words)));
            choices[0].1
        }
    }
}

/// `a, b or c`.
fn in_words(words: &[&str]) -> String {
    match words {
        [others @ .., last] if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        words => words.concat(),
    }
}

/// The text as `parse` reads it; its error says what is expected. A wrong text is a problem, and the default takes its
/// place.
pub(super) fn parsed<T: Default>(
    variables: &Variables,
    problems: &mut Problems,
    setting: &Setting,
    parse: fn(&str) -> Result<T, String>,
) -> T {
    let Some(text) = variables.get(setting) else { return T::default() };
    parse(text).unwrap_or_else(|problem| {
        problems.wrong(setting, text, &problem);
        T::default()
    })
}

/// The beginning of object keys.
pub(super) fn key_prefix<'v>(
    variables: &'v Variables,
    problems: &mut Problems,
    setting: &Setting,
) -> Option<&'v str> {
    let prefix = variables.get(setting)?;
    if prefix.contains(char::is_control) || prefix.len() > 1024 {
        let expected = "expected the beginning of object keys, at most 1024 bytes without control characters";
        problems.wrong(setting, prefix, expected);
    }
    Some(prefix)
}

/// Patterns of `what`, separated by commas.
pub(super) fn globs(
    variables: &Variables,
    problems: &mut Problems,
    setting: &Setting,
    what: &str,
) -> Vec<Glob> {
    let text = variables.get_or_default(setting);
    let patterns: Vec<&str> = text.split(',').map(str::trim).filter(|pattern| !pattern.is_empty()).collect();
    if patterns.iter().any(|pattern| pattern.contains(char::is_control)) {
        let expected =
            format!("expected patterns of {what}, separated by commas, without control characters");
        problems.wrong(setting, text, &expected);
    }
    patterns.into_iter().map(Glob::new).collect()
}

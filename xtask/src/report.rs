//! What the tasks tell the person at the terminal, in at most 80 columns.

use std::io::{IsTerminal, Write, stdout};
use std::time::{Duration, Instant};

use anyhow::Result;

/// Maximum width of a line, in columns.
pub(crate) const WIDTH: usize = 80;

const NAME: usize = 12;
const TIME: usize = 12;
const DETAIL: usize = WIDTH - "   ".len() - NAME - TIME;

/// Does one step and prints one line for it, with the time that it took. `work` returns its value and the text of the
/// line.
pub(crate) async fn step<T>(
    name: &str,
    doing: &str,
    work: impl Future<Output = Result<(T, String)>>,
) -> Result<T> {
    let start = Instant::now();
    if stdout().is_terminal() {
        print!("  {name:NAME$} {doing} …");
        stdout().flush()?;
    }
    let result = work.await;
    clear_line()?;
    let detail = match &result {
        Ok((_, done)) => done,
        Err(_) => "failed",
    };
    println!("  {name:NAME$} {detail:DETAIL$}{:>TIME$}", seconds(start.elapsed()));
    result.map(|(value, _)| value)
}

fn clear_line() -> Result<()> {
    if stdout().is_terminal() {
        print!("\r\x1b[2K");
        stdout().flush()?;
    }
    Ok(())
}

pub(crate) fn heading(text: &str) {
    println!("\n{text}");
}

/// Prints text below a heading.
pub(crate) fn paragraph(text: &str) {
    print!("{}", wrapped("  ", "  ", text));
}

/// Prints an item of a list.
pub(crate) fn item(text: &str) {
    print!("{}", wrapped("  - ", "    ", text));
}

/// Prints a value with its name. Nothing if there is no value.
pub(crate) fn field(indent: &str, name: &str, value: &str) {
    if !value.is_empty() {
        let first = format!("{indent}{name:15} ");
        let rest = " ".repeat(first.chars().count());
        print!("{}", wrapped(&first, &rest, value));
    }
}

/// Breaks text between words into lines of at most [`WIDTH`] columns. A longer word, such as an ARN, stays whole, so that
/// it can be copied.
fn wrapped(first: &str, rest: &str, text: &str) -> String {
    let (mut lines, mut line, mut is_empty) = (String::new(), first.to_owned(), true);
    for word in text.split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines += &format!("{line}\n");
            (line, is_empty) = (rest.to_owned(), true);
        }
        if !is_empty {
            line.push(' ');
        }
        line += word;
        is_empty = false;
    }
    format!("{lines}{line}\n")
}

/// `0.25 s`, `12 s`, `3 min 05 s`
pub(crate) fn seconds(duration: Duration) -> String {
    match duration.as_secs() {
        0..10 => format!("{:.2} s", duration.as_secs_f64()),
        10..60 => format!("{:.0} s", duration.as_secs_f64()),
        seconds => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

/// `5 B`, `12.3 KiB`, `64.0 MiB`
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_only_there() {
        let text = format!("{} {} end", "a".repeat(70), "b".repeat(90));
        let expected = format!("  {}\n    {}\n    end\n", "a".repeat(70), "b".repeat(90));
        assert_eq!(wrapped("  ", "    ", &text), expected);
        assert_eq!(wrapped("  ", "  ", &"word ".repeat(17)).lines().count(), 2);
    }
}

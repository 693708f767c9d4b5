//! What a test binary prints: which tests passed, and what the others printed.

use crate::summary::{Failure, Summary};

/// Reads the output of one binary of the standard test harness, line by line.
pub(crate) struct Output<'a> {
    /// What the binary is, for people.
    binary: &'a str,
    summary: &'a mut Summary,
    /// Whether the heading was printed. A binary without tests prints nothing.
    has_heading: bool,
    place: Place,
}

enum Place {
    /// Before the first line that counts, or in a binary without tests.
    Nothing,
    /// Among the lines of tests.
    Tests,
    /// In the output of the failed test with this name.
    OutputOf(String),
}

impl<'a> Output<'a> {
    pub(crate) fn new(binary: &'a str, summary: &'a mut Summary) -> Self {
        Self { binary, summary, has_heading: false, place: Place::Nothing }
    }

    /// Takes the next line, and says whether a person should see it.
    pub(crate) fn line(&mut self, line: &str) -> bool {
        if let Some(count) = line.strip_prefix("running ") {
            self.place = if count.starts_with("0 ") { Place::Nothing } else { Place::Tests };
            if matches!(self.place, Place::Tests) && !self.has_heading {
                println!("\n{}", self.binary);
                self.has_heading = true;
            }
            return false;
        }
        if matches!(self.place, Place::Nothing) {
            return false;
        }
        if let Some(result) = line.strip_prefix("test result: ") {
            self.count(result);
            self.place = Place::Nothing;
            return true;
        }
        self.failure(line);
        true
    }

    /// Collects the names of failed tests, and what they printed.
    fn failure(&mut self, line: &str) {
        if let Some(name) = line.strip_prefix("test ").and_then(|line| line.strip_suffix(" ... FAILED")) {
            let name = format!("{name} ({})", self.binary);
            self.summary.failures.push(Failure { name, output: Vec::new() });
        } else if let Some(name) =
            line.strip_prefix("---- ").and_then(|line| line.strip_suffix(" stdout ----"))
        {
            self.place = Place::OutputOf(format!("{name} ({})", self.binary));
        } else if line == "failures:" {
            self.place = Place::Tests;
        } else if let Place::OutputOf(name) = &self.place {
            let failure = self.summary.failures.iter_mut().find(|failure| failure.name == *name);
            if let Some(failure) = failure {
                failure.output.push(line.to_owned());
            }
        }
    }

    /// Adds up `ok. 5 passed; 0 failed; 1 ignored; ...`.
    fn count(&mut self, result: &str) {
        let number = |word: &str| {
            let part = result.split([';', '.']).find(|part| part.trim_end().ends_with(word))?;
            part.split_whitespace().next()?.parse::<u32>().ok()
        };
        self.summary.passed += number("passed").unwrap_or(0);
        if let Some(ignored @ 1..) = number("ignored") {
            self.summary
                .skipped
                .push(format!("{ignored} tests of {} that are marked as ignored", self.binary));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "
running 3 tests
test a::passes ... ok
test a::fails ... FAILED
test b::fails ... FAILED

failures:

---- a::fails stdout ----
case 1
thread 'a::fails' panicked at src/a.rs:1:2:
no

---- b::fails stdout ----
thread 'b::fails' panicked at src/b.rs:1:2:
neither

failures:
    a::fails
    b::fails

test result: FAILED. 5 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s
";

    fn read(printed: &str) -> (Summary, usize) {
        let mut summary = Summary::default();
        let mut output = Output::new("stories", &mut summary);
        let shown = printed.lines().filter(|line| output.line(line)).count();
        (summary, shown)
    }

    #[test]
    fn failures_are_collected_with_what_they_printed() {
        let (summary, _) = read(PRINTED);
        assert_eq!((summary.passed, summary.failures.len(), summary.skipped.len()), (5, 2, 1));
        assert_eq!(summary.failures[0].name, "a::fails (stories)");
        assert_eq!(
            summary.failures[0].output,
            ["case 1", "thread 'a::fails' panicked at src/a.rs:1:2:", "no", ""]
        );
        assert_eq!(summary.failures[1].output[1], "neither");
    }

    #[test]
    fn a_binary_without_tests_is_hidden() {
        let (summary, shown) = read(
            "\nrunning 0 tests\n\ntest result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 9 filtered out; finished in 0s\n\n",
        );
        assert!(summary.is_empty() && shown == 0);
        assert_eq!(read(PRINTED).1, PRINTED.lines().count() - 2);
    }
}

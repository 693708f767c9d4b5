//! What the checks and tests of a run found. The end of the output says all that a reader needs.

use anyhow::{Result, bail};

use crate::report::step;

/// Maximum number of lines that the summary shows of a failure.
const LINES_MAX: usize = 40;

/// The results of checks and tests so far.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    pub(crate) passed: u32,
    pub(crate) failures: Vec<Failure>,
    /// Why something was not tried.
    pub(crate) skipped: Vec<String>,
}

/// A check or test that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) name: String,
    /// What it printed.
    pub(crate) output: Vec<String>,
}

impl Summary {
    /// Runs one check. The run goes on after a failure.
    pub(crate) async fn check(&mut self, name: &str, what: &str, work: impl Future<Output = Result<()>>) {
        match step(name, what, async { work.await.map(|()| ((), format!("{what}: ok"))) }).await {
            Ok(()) => self.passed += 1,
            Err(error) => {
                let text = format!("{error:#}");
                println!("\n{text}\n");
                self.failed(what, &text);
            }
        }
    }

    pub(crate) fn failed(&mut self, name: impl Into<String>, output: &str) {
        let output = output.lines().map(str::to_owned).collect();
        self.failures.push(Failure { name: name.into(), output });
    }

    /// Whether nothing has run.
    pub(crate) fn is_empty(&self) -> bool {
        self.passed == 0 && self.failures.is_empty() && self.skipped.is_empty()
    }

    /// Prints the results. An error if something failed.
    pub(crate) fn conclude(self) -> Result<()> {
        println!();
        for reason in &self.skipped {
            println!("skipped: {reason}");
        }
        for failure in &self.failures {
            println!("\nfailed: {}", failure.name);
            for line in failure.excerpt() {
                println!("    {line}");
            }
        }
        let failed = self.failures.len();
        println!("\n{} passed, {failed} failed, {} skipped", self.passed, self.skipped.len());
        if failed > 0 {
            let names: Vec<_> = self.failures.iter().map(|failure| failure.name.as_str()).collect();
            bail!("{failed} of the checks and tests failed: {}", names.join(", "));
        }
        Ok(())
    }
}

impl Failure {
    /// The end of what it printed, without backtraces: the panic's message is the last thing that a test prints.
    fn excerpt(&self) -> Vec<&str> {
        let is_frame = |line: &&str| {
            let line = line.trim_start();
            let number = line.split(':').next().unwrap_or_default();
            line.starts_with("at ") || !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        };
        let mut lines = Vec::new();
        let mut in_backtrace = false;
        for line in self.output.iter().map(String::as_str) {
            in_backtrace = line == "stack backtrace:" || in_backtrace && is_frame(&line);
            if !in_backtrace && !line.is_empty() && !line.starts_with("note: ") {
                lines.push(line);
            }
        }
        lines.split_off(lines.len().saturating_sub(LINES_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excerpt(output: &str) -> String {
        let mut summary = Summary::default();
        summary.failed("name", output);
        summary.failures[0].excerpt().join("\n")
    }

    #[test]
    fn an_excerpt_has_the_message_and_no_backtrace() {
        let output = "case 1\n\nthread 'a::b' panicked at tests/a.rs:1:2:\nassertion failed: 12: no\n\
                      stack backtrace:\n   0: rust_begin_unwind\n             at /rustc/1:2\n  10: main\n\
                      note: run with `RUST_BACKTRACE=full`\n";
        let expected = "case 1\nthread 'a::b' panicked at tests/a.rs:1:2:\nassertion failed: 12: no";
        assert_eq!(excerpt(output), expected);
    }

    #[test]
    fn an_excerpt_is_the_end() {
        let output: String = (0..100).map(|number| format!("line {number}\n")).collect();
        let shown = excerpt(&output);
        assert_eq!(shown.lines().count(), LINES_MAX);
        assert!(shown.starts_with("line 60\n") && shown.ends_with("line 99"), "{shown}");
    }
}

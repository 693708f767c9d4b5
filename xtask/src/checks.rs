//! `cargo xtask test` and `cargo xtask lint`.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Result, bail};
use integration_tests::tools::{self, workspace};
use integration_tests::{SKIPPED_FILE, process, stack};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::report::{seconds, step};

/// How many checks or tests did what.
#[derive(Default)]
struct Count {
    passed: u32,
    failed: u32,
    skipped: Vec<String>,
}

pub(crate) async fn lint() -> Result<()> {
    let mut count = Count::default();
    lints(&mut count).await;
    conclude(count)
}

pub(crate) async fn test(filter: Option<&str>) -> Result<()> {
    let start = Instant::now();
    let mut count = Count::default();
    if filter.is_none() {
        lints(&mut count).await;
    }
    // Before the tests, which would otherwise build the functions in silence.
    count.check("functions", "sam build", stack::build()).await;
    tests(filter, &mut count).await?;
    println!("\nall of it took {}", seconds(start.elapsed()));
    conclude(count)
}

impl Count {
    /// One check that counts as a test. A failed one does not keep the others from being run.
    async fn check(&mut self, name: &str, what: &str, work: impl Future<Output = Result<()>>) {
        match step(name, what, async { work.await.map(|()| ((), format!("{what}: ok"))) }).await {
            Ok(()) => self.passed += 1,
            Err(error) => {
                println!("\n{error:#}\n");
                self.failed += 1;
            }
        }
    }
}

async fn lints(count: &mut Count) {
    count.check("format", "cargo fmt --check", cargo(&["fmt", "--all", "--check"])).await;
    let clippy = ["clippy", "--quiet", "--workspace", "--all-targets", "--", "--deny", "warnings"];
    count.check("code", "cargo clippy", cargo(&clippy)).await;

    let definition = workspace().join("statemachine/check");
    match tools::npm_packages(&definition).await {
        Ok(true) => {
            let mut check = Command::new("node");
            check.arg("check.mjs").current_dir(&definition);
            count.check("definition", "asl-validator and the house rules", quiet(check)).await;
        }
        Ok(false) => count.skipped.push(
            "the strict check of statemachine/bridge.asl.json: it needs Node.js and npm (apt-get install npm)".to_owned(),
        ),
        Err(error) => count.check("definition", "npm ci", async { Err(error) }).await,
    }

    let template = workspace().join("sam/template.yaml");
    let lint = async {
        let sam = tools::sam().await?;
        let mut lint = Command::new(sam.program("cfn-lint"));
        lint.arg(&template);
        quiet(lint).await
    };
    count.check("template", "cfn-lint", lint).await;
    let validate = async {
        let sam = tools::sam().await?;
        let mut validate = stack::sam_command(&sam, &["validate"])?;
        validate.arg("--lint").arg("--template-file").arg(&template);
        quiet(validate).await
    };
    count.check("template", "sam validate --lint", validate).await;
}

/// `cargo test`, with its own output, from which the numbers are taken.
async fn tests(filter: Option<&str>, count: &mut Count) -> Result<()> {
    println!();
    let skipped = tools::logs().join("skipped");
    std::fs::create_dir_all(tools::logs())?;
    std::fs::write(&skipped, "")?;
    let mut command = cargo_command(&["test", "--workspace", "--no-fail-fast"]);
    command.args(filter).env(SKIPPED_FILE, &skipped);
    let mut child = process::task(&command).stdout(Stdio::piped()).spawn()?;
    let leash = child.stdin.take();
    if let Some(stdout) = child.stdout.take() {
        let mut lines = BufReader::new(stdout).lines();
        while let Some(line) = lines.next_line().await? {
            println!("{line}");
            count.add(&line);
        }
    }
    let status = child.wait().await?;
    drop(leash);
    // A test that does not compile, or dies, has no line of its own.
    if !status.success() && count.failed == 0 {
        count.failed += 1;
    }
    count.skipped.extend(std::fs::read_to_string(&skipped)?.lines().map(str::to_owned));
    Ok(())
}

impl Count {
    /// Adds up `test result: ok. 5 passed; 0 failed; 1 ignored; ...`.
    fn add(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else { return };
        let number = |word: &str| {
            let part = result.split([';', '.']).find(|part| part.trim_end().ends_with(word))?;
            part.split_whitespace().next()?.parse::<u32>().ok()
        };
        self.passed += number("passed").unwrap_or(0);
        self.failed += number("failed").unwrap_or(0);
        if let Some(ignored @ 1..) = number("ignored") {
            self.skipped.push(format!("{ignored} tests that are marked as ignored"));
        }
    }
}

fn conclude(count: Count) -> Result<()> {
    for reason in &count.skipped {
        println!("skipped: {reason}");
    }
    println!("\n{} passed, {} failed, {} skipped", count.passed, count.failed, count.skipped.len());
    if count.failed > 0 {
        bail!("{} of the checks and tests failed", count.failed);
    }
    Ok(())
}

pub(crate) fn cargo_command(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    command.args(arguments).current_dir(workspace());
    command
}

async fn cargo(arguments: &[&str]) -> Result<()> {
    quiet(cargo_command(arguments)).await
}

/// Runs a command whose output is of interest only if it fails.
async fn quiet(command: Command) -> Result<()> {
    let output = process::output(&command).await?;
    if !output.status.success() {
        bail!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Count;

    #[test]
    fn the_numbers_of_cargo_test_are_added_up() {
        let mut count = Count::default();
        count.add(
            "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s",
        );
        count.add("test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out");
        count.add("test story ... ok");
        assert_eq!((count.passed, count.failed, count.skipped.len()), (7, 3, 1));
    }
}

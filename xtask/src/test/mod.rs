//! `cargo xtask test`: builds, runs all tests, and says at the end what failed and why.

mod output;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use integration_tests::stack::{self, Priority};
use integration_tests::{SKIPPED_FILE, cli, process, tools};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::commands::{cargo, stdout};
use crate::lint;
use crate::report::{seconds, step};
use crate::summary::Summary;

use output::Output;

/// The tests of this binary wait most of the time: for a server, a time limit, a pause. Nothing in them measures time
/// closely, so eight of them run at the same time, with `sam build` beside them.
const WAITING: &str = "stories";
const WAITING_THREADS: usize = 8;

/// Minimum number of tests of other binaries that run at the same time.
const THREADS_MIN: usize = 4;

/// The only test binary that needs what `sam build` makes.
const END_TO_END: &str = "end_to_end";

/// A compiled test binary.
struct TestBinary {
    /// `stories`; for unit tests, the package's name.
    name: String,
    executable: PathBuf,
    /// The package's folder, in which cargo runs the tests.
    folder: PathBuf,
}

pub(crate) async fn run(filter: Option<&str>) -> Result<()> {
    let start = Instant::now();
    let mut summary = Summary::default();
    if filter.is_none() {
        // Installing takes a minute, most of which is waiting; the lints compile in the meantime.
        let installing = async { tokio::join!(tools::ministack(), tools::sam(), tools::servers()) };
        let (_, _installed) = tokio::join!(lint::all(&mut summary), installing);
    }
    tests(filter, &mut summary).await?;
    println!("\nall of it took {}", seconds(start.elapsed()));
    if let Some(filter) = filter {
        ensure!(!summary.is_empty(), "no test has {filter:?} in its name");
    }
    summary.conclude()
}

async fn tests(filter: Option<&str>, summary: &mut Summary) -> Result<()> {
    let skipped = tools::logs().join("skipped");
    std::fs::create_dir_all(tools::logs())?;
    std::fs::write(&skipped, "")?;
    let binaries = step("tests", "building them (the first time takes minutes)", async {
        let binaries = build().await?;
        cli::build().await?;
        let done = format!("built {} test binaries", binaries.len());
        Ok((binaries, done))
    })
    .await?;
    let (waiting, mut others): (Vec<_>, Vec<_>) =
        binaries.into_iter().partition(|binary| binary.name == WAITING);
    let functions = match others.iter().find(|binary| binary.name == END_TO_END) {
        Some(binary) if binary.has_tests(filter).await? => Some(tokio::spawn(stack::build(Priority::Low))),
        _ => None,
    };
    for binary in &waiting {
        binary.run(filter, &skipped, summary).await?;
    }
    if let Some(functions) = functions {
        println!();
        let done = "sam build, beside the tests above".to_owned();
        let built = step("functions", "sam build", async { functions.await?.map(|()| ((), done)) }).await;
        if let Err(error) = built {
            summary.failed("sam build", &format!("{error:#}"));
            others.retain(|binary| binary.name != END_TO_END);
        }
    }
    for binary in &others {
        binary.run(filter, &skipped, summary).await?;
    }
    documentation(filter, summary).await?;
    summary.skipped.extend(std::fs::read_to_string(&skipped)?.lines().map(str::to_owned));
    Ok(())
}

/// Builds all test binaries.
async fn build() -> Result<Vec<TestBinary>> {
    let build = ["test", "--workspace", "--no-run", "--quiet", "--message-format", "json-render-diagnostics"];
    let messages = stdout(&cargo(&build)).await?;
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    messages.filter(|message| message["profile"]["test"] == true).filter_map(TestBinary::of).collect()
}

impl TestBinary {
    fn of(message: Value) -> Option<Result<Self>> {
        let executable = PathBuf::from(message["executable"].as_str()?);
        let read = || {
            let manifest = Path::new(message["manifest_path"].as_str().context("an artifact of no package")?);
            let folder = manifest.parent().context("a manifest in no folder")?.to_owned();
            let target = message["target"]["name"].as_str().unwrap_or_default();
            let is_integration_test = message["target"]["kind"][0] == "test";
            let name =
                if is_integration_test { target.to_owned() } else { format!("unit tests of {target}") };
            Ok(Self { name, executable, folder })
        };
        Some(read())
    }

    fn command(&self, filter: Option<&str>) -> Command {
        let mut command = Command::new(&self.executable);
        command.args(filter).current_dir(&self.folder);
        command
    }

    async fn has_tests(&self, filter: Option<&str>) -> Result<bool> {
        let mut list = self.command(filter);
        list.arg("--list");
        Ok(stdout(&list).await?.lines().any(|line| line.ends_with(": test")))
    }

    async fn run(&self, filter: Option<&str>, skipped: &Path, summary: &mut Summary) -> Result<()> {
        let mut command = self.command(filter);
        command.env(SKIPPED_FILE, skipped);
        if std::env::var_os("RUST_TEST_THREADS").is_none() {
            let least = if self.name == WAITING { WAITING_THREADS } else { THREADS_MIN };
            let threads = std::thread::available_parallelism()?.get().max(least);
            command.env("RUST_TEST_THREADS", threads.to_string());
        }
        follow(&command, &self.name, summary).await
    }
}

/// The examples in the documentation of the crates.
async fn documentation(filter: Option<&str>, summary: &mut Summary) -> Result<()> {
    // Quiet is cargo, not the tests.
    let mut command = cargo(&["test", "--workspace", "--doc", "--quiet", "--no-fail-fast", "--"]);
    command.args(["--format", "pretty"]).args(filter);
    follow(&command, "examples in the documentation", summary).await
}

/// Runs tests to their end and shows what they print.
async fn follow(command: &Command, name: &str, summary: &mut Summary) -> Result<()> {
    let failed_before = summary.failures.len();
    let mut child = process::task(command).stdout(Stdio::piped()).spawn()?;
    let leash = child.stdin.take();
    let stdout = child.stdout.take().context("a process without output")?;
    let mut output = Output::new(name, summary);
    let mut lines = BufReader::new(stdout).lines();
    while let Some(line) = lines.next_line().await? {
        if output.line(&line) {
            println!("{line}");
        }
    }
    let status: ExitStatus = child.wait().await?;
    drop(leash);
    // A process that dies names no failed test.
    if !status.success() && summary.failures.len() == failed_before {
        summary.failed(name, &format!("ended with {status}, and named no failed test"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Crates that are small, and that only tests and benchmarks of other crates ask for more of.
    const SMALL: [&str; 3] = ["either ", "regex-automata ", "regex-syntax "];

    /// The crates of other projects with their features.
    fn features(selection: &[&str]) -> BTreeSet<String> {
        let mut tree = cargo(&["tree", "--locked", "--offline", "--prefix", "none", "--format", "{p} {f}"]);
        let output = tree.args(selection).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let lines = text.lines().map(|line| line.trim_end_matches(" (*)").to_owned());
        lines.filter(|line| !line.contains("(/") && !line.is_empty()).collect()
    }

    /// The tests' own build, xtask and the command line share their dependencies, or cargo would compile the AWS SDK three
    /// times. `tests/Cargo.toml` turns on what is missing.
    #[test]
    fn dependencies_are_built_once() {
        let tests = features(&["--workspace", "--edges", "normal,build,dev"]);
        let command_line: Vec<_> = cli::PACKAGES.iter().flat_map(|package| ["--package", package]).collect();
        for selection in [&["--package", "xtask"][..], &command_line] {
            let built = features(&[selection, &["--edges", "normal,build"]].concat());
            let more: Vec<_> = built.difference(&tests).collect();
            let large: Vec<_> =
                more.iter().filter(|line| !SMALL.iter().any(|small| line.starts_with(small))).collect();
            assert!(built.len() > 100 && large.is_empty(), "{selection:?}: {large:#?}");
        }
    }
}

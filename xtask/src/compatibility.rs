//! `cargo xtask compatibility`: tests every server and writes `docs/compatibility.md`.

use anyhow::Result;
use integration_tests::compatibility::{self, RENEWING};
use integration_tests::{SKIPPED_FILE, process, tools};

use crate::commands::cargo;

pub(crate) async fn run() -> Result<()> {
    let found = compatibility::found();
    if found.exists() {
        std::fs::remove_dir_all(&found)?;
    }
    let skipped = tools::logs().join("skipped");
    std::fs::create_dir_all(tools::logs())?;
    std::fs::write(&skipped, "")?;
    let mut tests = cargo(&["test", "--package", "integration-tests", "--test", "engine"]);
    tests.args(["compatibility::"]).env(RENEWING, "1").env(SKIPPED_FILE, &skipped);
    let mut child = process::task(&tests).spawn()?;
    let leash = child.stdin.take();
    let status = child.wait().await?;
    drop(leash);
    for reason in std::fs::read_to_string(&skipped)?.lines() {
        println!("skipped: {reason}");
    }
    anyhow::ensure!(status.success(), "a server did not behave as the tests expect; the page is as it was");
    let (page, kept) = compatibility::renew()?;
    let changed = std::fs::read_to_string(compatibility::page()).map_or(true, |former| former != page);
    std::fs::write(compatibility::page(), page)?;
    for name in kept {
        println!("kept as it was, because it could not be asked here: {name}");
    }
    println!("docs/compatibility.md {}", if changed { "has changed" } else { "is up to date" });
    Ok(())
}

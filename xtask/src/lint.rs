//! `cargo xtask lint`: format, code, state machine, template.

use std::process::Command;

use anyhow::Result;
use integration_tests::stack;
use integration_tests::tools::{self, workspace};

use crate::commands::{cargo, quiet};
use crate::summary::Summary;

pub(crate) async fn run() -> Result<()> {
    let mut summary = Summary::default();
    all(&mut summary).await;
    summary.conclude()
}

/// Runs all lints.
pub(crate) async fn all(summary: &mut Summary) {
    summary.check("format", "cargo fmt --check", quiet(&cargo(&["fmt", "--all", "--check"]))).await;
    // With the features that only the micro-benchmarks need.
    let all = ["--workspace", "--all-targets", "--all-features"];
    let clippy = cargo(&[&["clippy", "--quiet"][..], &all, &["--", "--deny", "warnings"]].concat());
    summary.check("code", "cargo clippy", quiet(&clippy)).await;
    definition(summary).await;
    template(summary).await;
}

async fn definition(summary: &mut Summary) {
    let folder = workspace().join("statemachine/check");
    match tools::npm_packages(&folder).await {
        Ok(true) => {
            for definition in ["bridge", "backfill", "collect", "watch"] {
                let mut check = Command::new("node");
                check.args(["check.mjs", definition]).current_dir(&folder);
                let what = format!("asl-validator and the house rules: {definition}");
                summary.check("definition", &what, quiet(&check)).await;
            }
        }
        Ok(false) => summary.skipped.push(
            "the strict check of the state machines needs Node.js and npm (apt-get install npm)".to_owned(),
        ),
        Err(error) => summary.check("definition", "npm ci", async { Err(error) }).await,
    }
}

async fn template(summary: &mut Summary) {
    let template = workspace().join("sam/template.yaml");
    let lint = async {
        let sam = tools::sam().await?;
        let mut lint = Command::new(sam.program("cfn-lint"));
        lint.arg(&template);
        quiet(&lint).await
    };
    summary.check("template", "cfn-lint", lint).await;
    let validate = async {
        let sam = tools::sam().await?;
        let mut validate = stack::sam_command(&sam, &["validate"])?;
        validate.arg("--lint").arg("--template-file").arg(&template);
        quiet(&validate).await
    };
    summary.check("template", "sam validate --lint", validate).await;
}

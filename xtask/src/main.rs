//! `cargo xtask`: everything that a developer of the bridge runs.

mod bench;
mod burst;
mod commands;
mod compatibility;
mod demo;
mod docs;
mod far;
mod lint;
mod package;
mod report;
mod summary;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

/// Everything that a developer of the bridge runs. It installs what it needs into `target/tools`. Only `package --bucket`
/// touches an AWS account.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Shows the whole chain on this machine: upload, event, state machine, functions, SFTP server, and a failure.
    Demo {
        /// Leave everything running until Ctrl-C, for experiments.
        #[arg(long)]
        keep: bool,
    },
    /// Runs the lints and all tests, on the local AWS and real SFTP servers.
    Test {
        /// Only the tests whose names contain this, and no lints.
        filter: Option<String>,
    },
    /// Compares the speed of the bridge with the tools that people would use instead, on this machine.
    Bench(bench::Options),
    /// Simulates a burst of files: how long it takes, what the retries cost, and how fair they are.
    Burst(burst::Options),
    /// Runs a command far away from an SFTP server: in another network namespace, with delayed packets. As root, on Linux.
    Far(far::Options),
    /// Tests every kind of server that partners run, and writes docs/compatibility.md.
    Compatibility,
    /// Generates docs/settings.md, the settings' parameters in sam/template.yaml, and the Terraform module's variables.
    Docs {
        /// Only check that they are current.
        #[arg(long)]
        check: bool,
    },
    /// Checks format, code, state machine and template.
    Lint,
    /// Builds a release package: what is needed to deploy the bridge without a compiler.
    Package(package::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    let task = async {
        match Arguments::parse().task {
            Task::Demo { keep } => demo::run(keep).await,
            Task::Test { filter } => test::run(filter.as_deref()).await,
            Task::Bench(options) => bench::run(&options).await,
            Task::Burst(options) => burst::run(&options),
            Task::Far(options) => far::run(&options).await,
            Task::Compatibility => compatibility::run().await,
            Task::Docs { check } => docs::run(check),
            Task::Lint => lint::run().await,
            Task::Package(options) => package::run(&options).await,
        }
    };
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return ExitCode::FAILURE };
    let result = tokio::select! {
        result = task => result,
        _ = terminate.recv() => return stopped(),
        _ = tokio::signal::ctrl_c() => return stopped(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// All child processes have ended: their owners were dropped.
fn stopped() -> ExitCode {
    eprintln!("\nstopped");
    ExitCode::from(130)
}

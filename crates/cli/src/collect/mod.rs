//! `collect` and `list`: the other direction. Files on the partner's server become objects in S3.

mod batch;
mod entry;
mod file;
mod keys;
mod list;
mod look;
mod run;
mod runner;
mod seen;
mod summary;
mod target;
mod uploads;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use bridge::Result;

use self::runner::CollectRunner;
use self::target::Target;
use crate::failure;
use crate::stop::Stop;

/// Collect what is due from the partner's server
///
/// Does in one process what the state machines do: takes each file that is due
/// in COLLECT_DIRECTORY, stores it in COLLECT_BUCKET, compares the object, and
/// then archives, deletes or leaves the file, as COLLECT_AFTERWARDS says. The
/// settings come from the environment (SFTP_HOST, COLLECT_BUCKET and so on), and
/// so does the AWS configuration.
///
/// Waits once for COLLECT_SETTLE_SECONDS: a file that changes meanwhile is left
/// for the next run. Many are collected at the same time, over one connection.
/// If one fails, the others are still collected.
///
/// If a run was stopped or killed, run the same command again: it resumes.
///
/// Exit status:
///   0  collected, or nothing is due
///   1  some were not collected, or stopped
///   2  wrong usage or settings
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct CollectArguments {
    // Not a documentation comment: rustdoc would take the brackets for a link.
    #[arg(help = "A file or a directory below COLLECT_DIRECTORY; without it, all", value_name = "PATH")]
    path: Option<String>,
    /// Print what would be collected, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print only receipts, as JSON, one on each line
    #[arg(long)]
    json: bool,
    /// Directory for the state of unfinished runs
    ///
    /// The next run of the same command resumes from it. Default:
    /// $XDG_STATE_HOME/s3-sftp-bridge, or ~/.local/state/s3-sftp-bridge.
    #[arg(long, value_name = "DIRECTORY", verbatim_doc_comment)]
    state_dir: Option<PathBuf>,
}

/// Print what would be collected, and why the rest would not
///
/// Looks twice, COLLECT_SETTLE_SECONDS apart, and prints a line for each name in
/// COLLECT_DIRECTORY:
///
///   '+'  due
///   '~'  still changing
///   '='  collected already; S3 has it
///   '-'  passed over on purpose
///   '!'  cannot be collected
///
/// Changes nothing. The settings come from the environment, as for collect.
///
/// Exit status:
///   0  listed
///   1  the directory cannot be listed, or stopped
///   2  wrong usage or settings
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct ListArguments {
    #[arg(help = "A file or a directory below COLLECT_DIRECTORY; without it, all", value_name = "PATH")]
    path: Option<String>,
    /// Print JSON, one name on each line
    #[arg(long)]
    json: bool,
}

pub(crate) async fn collect(arguments: CollectArguments, stop: &Stop) -> ExitCode {
    let CollectArguments { path, dry_run, json, state_dir } = arguments;
    let (runner, target) = match start(path.as_deref(), state_dir, stop).await {
        Ok(started) => started,
        Err(code) => return code,
    };
    let code = if dry_run {
        list::run(&runner, &target, list::Shown::Due, json, stop).await
    } else {
        run::run(&runner, &target, json, stop).await
    };
    runner.disconnect().await;
    code
}

pub(crate) async fn list(arguments: ListArguments, stop: &Stop) -> ExitCode {
    let ListArguments { path, json } = arguments;
    let (runner, target) = match start(path.as_deref(), None, stop).await {
        Ok(started) => started,
        Err(code) => return code,
    };
    let code = list::run(&runner, &target, list::Shown::All, json, stop).await;
    runner.disconnect().await;
    code
}

/// Reads the settings and the credential. If that fails, prints why.
async fn start(
    path: Option<&str>,
    state_directory: Option<PathBuf>,
    stop: &Stop,
) -> Result<(Arc<CollectRunner>, Target), ExitCode> {
    let started = tokio::select! {
        started = CollectRunner::start(state_directory) => started,
        () = stop.requested() => return Err(ExitCode::from(1)),
    };
    let runner = started.map_err(|error| failure::print(&error))?;
    match Target::parse(path, &runner.server(), &runner.collect_settings().directory) {
        Ok(target) => Ok((Arc::new(runner), target)),
        Err(problem) => {
            crate::output::note(&[format!("error: {problem}")]);
            Err(ExitCode::from(2))
        }
    }
}

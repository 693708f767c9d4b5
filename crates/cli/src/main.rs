//! `s3-sftp-bridge`, the operator's tool. It runs the Lambda functions' handlers on this machine.

mod address;
mod arguments;
mod collect;
mod deliver;
mod doctor;
mod failure;
mod host_key;
mod location;
mod many;
mod moments;
mod operate;
mod output;
mod progress;
#[cfg(test)]
mod samples;
mod state;
mod stop;

use std::process::ExitCode;

use bridge::Variables;

use crate::arguments::Command;
use crate::stop::Stop;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    aws::core_dumps::forbid();
    let command = match arguments::parse() {
        Ok(command) => command,
        Err(error) => return usage(&error),
    };
    if Variables::from_environment().set().iter().any(|(name, _)| *name == "LOG_LEVEL") {
        aws::telemetry::init_to(output::Log::new);
    }
    let stop = Stop::listen();
    let code = match command {
        Command::Deliver(arguments) => deliver::run(arguments, &stop).await,
        Command::Collect(arguments) => collect::collect(arguments, &stop).await,
        Command::List(arguments) => collect::list(arguments, &stop).await,
        Command::HostKey { server, json } => tokio::select! {
            code = host_key::run(&server, json) => code,
            () = stop.requested() => ExitCode::from(1),
        },
        Command::Doctor(arguments) => doctor::run(&arguments, &stop).await,
        Command::Operate(command) => operate::run(&command, &stop).await,
    };
    if output::is_incomplete() {
        output::note(&["cannot write all of the output to standard output or standard error".into()]);
        return ExitCode::from(1);
    }
    code
}

/// Prints help, the version, or what is wrong with the arguments.
fn usage(error: &clap::Error) -> ExitCode {
    output::usage(error, std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()));
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

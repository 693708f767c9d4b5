//! `s3-sftp-bridge`, the operator's tool: the Lambda functions' own handlers, run by hand.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is what a command line tool is for")]

mod deliver;
mod progress;

use std::process::ExitCode;

use bridge::{ErrorName, Outcome, Receipt};
use clap::{Parser, Subcommand};

/// Delivers S3 objects to partners' SFTP servers, whole and verified.
#[derive(Parser)]
#[command(name = "s3-sftp-bridge", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Delivers one object now, with the settings of the environment (SFTP_HOST, …), as the state machine would.
    ///
    /// The AWS configuration comes from the environment, too, AWS_ENDPOINT_URL included. Exit status: 0 delivered,
    /// or nothing to deliver; 1 not delivered; 2 bad usage or settings.
    Deliver {
        /// s3://BUCKET/KEY, or BUCKET/KEY. The key is taken as it is, not URL-decoded.
        #[arg(value_parser = deliver::parse_object)]
        object: deliver::Object,
        /// Print the receipt as JSON, alone on standard output.
        #[arg(long)]
        json: bool,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    // Usage errors end here, with exit status 2.
    let Command::Deliver { object, json } = Arguments::parse().command;
    if std::env::var_os("LOG_LEVEL").is_some() {
        aws::telemetry::init_to(std::io::stderr);
    }
    match deliver::run(&object).await {
        Ok(receipt) if json => match serde_json::to_string_pretty(&receipt) {
            Ok(text) => {
                println!("{text}");
                ExitCode::SUCCESS
            }
            Err(error) => failure(&ErrorName::Internal.error(error.to_string())),
        },
        Ok(receipt) => {
            println!("{}", summary(&receipt));
            ExitCode::SUCCESS
        }
        Err(error) => failure(&error),
    }
}

fn failure(error: &bridge::Error) -> ExitCode {
    eprintln!("{error}");
    eprintln!("{} (docs/errors.md#{})", error.name.hint(), error.name.as_str().to_lowercase());
    match error.name {
        ErrorName::InvalidConfig => ExitCode::from(2),
        _ => ExitCode::from(1),
    }
}

fn summary(receipt: &Receipt) -> String {
    let object = format!("s3://{}/{}", receipt.object.bucket, receipt.object.object_key);
    let reason = receipt.reason.as_deref().unwrap_or_default();
    let proof = receipt.proof.and_then(|proof| serde_json::to_value(proof).ok());
    let proof = proof.as_ref().and_then(|proof| proof.as_str()).unwrap_or_default();
    let to = format!("sftp://{}/{}", receipt.remote_host, receipt.remote_path.as_deref().unwrap_or_default());
    let mut text = match receipt.outcome {
        Outcome::Delivered => {
            format!("delivered {object} to {to} ({} bytes, proof: {proof})", receipt.object.size)
        }
        Outcome::AlreadyDelivered => {
            format!("{to} already holds {object} ({} bytes, proof: {proof})", receipt.object.size)
        }
        Outcome::Skipped => format!("skipped {object}: {reason}"),
        Outcome::Superseded => format!("not delivered: {object}: {reason}"),
    };
    for warning in &receipt.warnings {
        text.push_str("\nwarning: ");
        text.push_str(warning);
    }
    text
}

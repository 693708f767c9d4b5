//! `s3-sftp-bridge`, the operator's tool: the Lambda functions' own handlers, run by hand.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is what a command line tool is for")]

mod deliver;
mod doctor;
mod host_key;
mod location;
mod progress;
mod recursive;

use std::process::ExitCode;
use std::sync::Arc;

use bridge::{ErrorName, Outcome, Receipt, Variables};
use clap::{CommandFactory, Parser, Subcommand};

use crate::deliver::Bridge;
use crate::location::Location;

/// Delivers S3 objects to partners' SFTP servers, whole and verified.
#[derive(Parser)]
#[command(name = "s3-sftp-bridge", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Delivers objects now, with the settings of the environment (SFTP_HOST, …), as the state machine would.
    ///
    /// The AWS configuration comes from the environment, too, AWS_ENDPOINT_URL included. Exit status: 0 delivered,
    /// or nothing to deliver; 1 not delivered; 2 bad usage or settings.
    Deliver {
        /// s3://BUCKET/KEY, or BUCKET/KEY. The key is taken as it is, not URL-decoded.
        #[arg(value_parser = Location::parse)]
        object: Location,
        /// Deliver every object whose key begins with KEY, many at once; one that fails does not stop the others.
        #[arg(long, short)]
        recursive: bool,
        /// Print the receipts as JSON, alone on standard output; with --recursive, one on each line.
        #[arg(long)]
        json: bool,
    },
    /// Prints the host keys that a server presents, as fingerprints and as lines for SFTP_TRUSTED_HOST_KEYS.
    ///
    /// It needs neither settings, nor a credential, nor AWS. Compare what it prints with what the partner told you by
    /// another way: whoever answers at the address could have printed it.
    HostKey {
        /// HOST, HOST:PORT or [IPV6]:PORT.
        #[arg(value_parser = host_key::parse)]
        server: sftp::Endpoint,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Checks the settings of the environment (SFTP_HOST, …) against the partner's server, and says what to change.
    ///
    /// No bucket is needed, and with --key-file nothing of AWS. It writes files of its own into SFTP_LOCATION, whose names
    /// begin with .s3-sftp-bridge-doctor- (partial files are called and lie as deliveries' do), and removes them. Exit
    /// status: 0 all is well; 1 something needs a change; 2 bad usage or settings.
    Doctor(doctor::Arguments),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    // Usage errors end here, with exit status 2.
    let command = Arguments::parse().command;
    if Variables::from_environment().set().iter().any(|(name, _)| *name == "LOG_LEVEL") {
        aws::telemetry::init_to(std::io::stderr);
    }
    match command {
        Command::Deliver { object, recursive, json } => deliver(object, recursive, json).await,
        Command::HostKey { server, json } => match host_key::run(&server, json).await {
            Ok(text) => {
                println!("{text}");
                ExitCode::SUCCESS
            }
            Err(error) => failure(&error),
        },
        Command::Doctor(arguments) => doctor::run(&arguments).await,
    }
}

async fn deliver(object: Location, recursive: bool, json: bool) -> ExitCode {
    if object.object_key.is_empty() && !recursive {
        let message = "expected s3://BUCKET/KEY; for all objects of a bucket, add --recursive";
        Arguments::command().error(clap::error::ErrorKind::ValueValidation, message).exit();
    }
    let bridge = match Bridge::start(&object).await {
        Ok(bridge) => Arc::new(bridge),
        Err(error) => return failure(&error),
    };
    let code = if recursive {
        deliver_all(&bridge, &object, json).await
    } else {
        let bar = progress::bar("sending");
        let outcome = bridge.deliver(&object, progress::observers(&bar)).await;
        bar.finish_and_clear();
        match outcome {
            Ok(receipt) => {
                println!("{}", if json { pretty(&receipt) } else { summary(&receipt) });
                ExitCode::SUCCESS
            }
            Err(error) => failure(&error),
        }
    };
    bridge.end().await;
    code
}

async fn deliver_all(bridge: &Arc<Bridge>, prefix: &Location, json: bool) -> ExitCode {
    let bar = progress::bar("sending");
    let (mut delivered, mut others, mut failed) = (0, 0, 0);
    let listed = recursive::run(Arc::clone(bridge), prefix, &bar, |object, outcome| {
        bar.suspend(|| match outcome {
            Ok(receipt) => {
                match receipt.outcome {
                    Outcome::Delivered => delivered += 1,
                    _ => others += 1,
                }
                println!("{}", if json { one_line(receipt) } else { summary(receipt) });
            }
            Err(error) => {
                failed += 1;
                eprintln!("not delivered: {object}: {error}");
            }
        });
    })
    .await;
    bar.finish_and_clear();
    eprintln!("{delivered} delivered, {others} needed nothing, {failed} failed");
    match listed {
        Err(error) => failure(&error),
        Ok(()) if failed > 0 => ExitCode::from(1),
        Ok(()) => ExitCode::SUCCESS,
    }
}

/// A receipt has nothing in it that JSON could not hold.
fn pretty(receipt: &Receipt) -> String {
    serde_json::to_string_pretty(receipt).unwrap_or_default()
}

fn one_line(receipt: &Receipt) -> String {
    serde_json::to_string(receipt).unwrap_or_default()
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

//! `s3-sftp-bridge`, the operator's tool: the Lambda functions' own handlers, run by hand.

mod deliver;
mod doctor;
mod host_key;
mod location;
mod output;
mod stop;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use bridge::{Outcome, Variables};
use clap::{CommandFactory, Parser, Subcommand};

use crate::deliver::progress;
use crate::deliver::recursive::batch::{self as recursive, End, Summary};
use crate::deliver::runner::Bridge;
use crate::deliver::summary::{self, Server};
use crate::location::Location;
use crate::output::Layout;
use crate::stop::Stop;

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
    /// or nothing to deliver; 1 not delivered, or no object found; 2 bad usage or settings.
    Deliver(DeliverArguments),
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

#[derive(clap::Args)]
struct DeliverArguments {
    /// s3://BUCKET/KEY, or BUCKET/KEY. The key is taken as it is, not URL-decoded.
    #[arg(value_parser = Location::parse)]
    object: Location,
    /// Deliver every object whose key begins with KEY, many at once; one that fails does not stop the others.
    #[arg(long, short)]
    recursive: bool,
    /// Print the receipts as JSON, alone on standard output; with --recursive, one on each line.
    #[arg(long)]
    json: bool,
    /// Where a run that does not finish leaves what the next one goes on with. Without it:
    /// $XDG_STATE_HOME/s3-sftp-bridge, or ~/.local/state/s3-sftp-bridge.
    #[arg(long, value_name = "DIRECTORY")]
    state_dir: Option<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    aws::core_dumps::forbid();
    let command = match Arguments::try_parse() {
        Ok(arguments) => arguments.command,
        Err(error) => return usage(&error),
    };
    if Variables::from_environment().set().iter().any(|(name, _)| *name == "LOG_LEVEL") {
        aws::telemetry::init_to(output::Log::new);
    }
    let stop = Stop::listen();
    let code = match command {
        Command::Deliver(arguments) => deliver(arguments, &stop).await,
        Command::HostKey { server, json } => tokio::select! {
            code = host_key::run(&server, json) => code,
            () = stop.wanted() => ExitCode::from(1),
        },
        Command::Doctor(arguments) => doctor::run(&arguments, &stop).await,
    };
    if output::is_incomplete() {
        output::note(&["standard output or standard error could not be written to".into()]);
        return ExitCode::from(1);
    }
    code
}

/// Help and version are no errors; what is, has exit status 2.
fn usage(error: &clap::Error) -> ExitCode {
    output::usage(error, std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()));
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

async fn deliver(arguments: DeliverArguments, stop: &Stop) -> ExitCode {
    let DeliverArguments { object, recursive, json, state_dir } = arguments;
    if object.object_key.is_empty() && !recursive {
        let message = "expected s3://BUCKET/KEY; for all objects of a bucket, add --recursive";
        let error = Arguments::command().error(clap::error::ErrorKind::ValueValidation, message);
        return usage(&error);
    }
    let started = tokio::select! {
        started = Bridge::start(&object, state_dir) => started,
        () = stop.wanted() => return ExitCode::from(1),
    };
    let bridge = match started {
        Ok(bridge) => Arc::new(bridge),
        Err(error) => return summary::failure(&error),
    };
    let code = if recursive {
        deliver_all(&bridge, &object, json, stop).await
    } else {
        deliver_one(&bridge, &object, json, stop).await
    };
    bridge.end().await;
    code
}

async fn deliver_one(bridge: &Bridge, object: &Location, json: bool, stop: &Stop) -> ExitCode {
    let bar = progress::one_file();
    let mut delivery = bridge.delivery(object, progress::observers(&bar)).await;
    let outcome = tokio::select! {
        outcome = delivery.run() => Some(outcome),
        () = stop.due() => None,
    };
    bar.finish_and_clear();
    let Some(outcome) = outcome else {
        output::note(&summary::stopped(bridge.states.are_kept()));
        return ExitCode::from(1);
    };
    delivery.settle(&outcome).await;
    match outcome {
        Ok(receipt) if json => {
            output::say_json(&receipt, Layout::Pretty);
            ExitCode::SUCCESS
        }
        Ok(receipt) => {
            output::say(&summary::receipt(&receipt, &Server::of(bridge.settings())));
            if receipt.outcome == Outcome::Skipped && object.object_key.ends_with('/') {
                output::note(&["to deliver the objects below it, add --recursive".into()]);
            }
            ExitCode::SUCCESS
        }
        Err(error) => summary::failure(&bridge.explain(object, error).await),
    }
}

async fn deliver_all(bridge: &Arc<Bridge>, prefix: &Location, json: bool, stop: &Stop) -> ExitCode {
    let bar = progress::many_files();
    let server = Server::of(bridge.settings());
    let (mut delivered, mut others, mut failed) = (0, 0, 0);
    let run = recursive::run(Arc::clone(bridge), prefix, stop, &bar, |object, outcome| {
        bar.suspend(|| match outcome {
            Ok(receipt) => {
                match receipt.outcome {
                    Outcome::Delivered => delivered += 1,
                    _ => others += 1,
                }
                if json {
                    output::say_json(receipt, Layout::OneLine);
                } else {
                    output::say(&summary::receipt(receipt, &server));
                }
            }
            Err(error) => {
                failed += 1;
                output::note(&[summary::not_delivered(object, error)]);
            }
        });
    })
    .await;
    bar.finish_and_clear();
    output::note(&[summary::counts(delivered, others, failed, &run)]);
    let Summary { found, end, .. } = run;
    match end {
        End::Listing(error) => summary::failure(&error),
        End::Partner { error, not_tried } => {
            let code = summary::failure(&error);
            output::note(&[summary::not_tried(&not_tried)]);
            code
        }
        End::Stopped => {
            output::note(&summary::stopped(bridge.states.are_kept()));
            ExitCode::from(1)
        }
        End::All if found == 0 => {
            output::note(&[format!(
                "no object's key begins with {:?} in the bucket {:?}",
                prefix.object_key, prefix.bucket
            )]);
            ExitCode::from(1)
        }
        End::All if failed > 0 => ExitCode::from(1),
        End::All => ExitCode::SUCCESS,
    }
}

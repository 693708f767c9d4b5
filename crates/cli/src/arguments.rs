//! The arguments of the command line. Line breaks of the longer texts are kept, so that they fit into 80 columns.

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

use crate::location::Location;
use crate::{collect, doctor, host_key, operate};

/// Moves files between S3 and a partner's SFTP server, complete and verified
#[derive(Parser)]
#[command(name = "s3-sftp-bridge", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Deliver an object, or all objects below a prefix
    ///
    /// Does in one process what the state machine does. The settings come from the
    /// environment (SFTP_HOST and so on), and so does the AWS configuration
    /// (AWS_PROFILE, AWS_REGION, AWS_ENDPOINT_URL and so on).
    ///
    /// If a run was stopped or killed, run the same command again: it resumes.
    ///
    /// Exit status:
    ///   0  delivered, or nothing to deliver
    ///   1  not delivered, stopped, or no object found
    ///   2  wrong usage or settings
    #[command(verbatim_doc_comment)]
    Deliver(DeliverArguments),
    Collect(collect::CollectArguments),
    List(collect::ListArguments),
    /// Print the host keys of a server, for SFTP_TRUSTED_HOST_KEYS
    ///
    /// Needs no settings, no credential and no AWS.
    ///
    /// Compare the fingerprints with those that the partner gave you by phone, in a
    /// contract or on a website. An attacker between you and the server could present
    /// other keys.
    #[command(verbatim_doc_comment)]
    HostKey {
        // Not a documentation comment: rustdoc would take the brackets for a link.
        #[arg(value_parser = host_key::parse, help = "HOST, HOST:PORT or [IPV6]:PORT")]
        server: sftp::Endpoint,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Check the settings against the partner's server
    ///
    /// Prints what works, what to change, and which settings suit the server. The
    /// settings come from the environment (SFTP_HOST and so on), or with --config-file
    /// from a partner's file; options replace them. No bucket is needed, and with
    /// --key-file no AWS. With --write, a good configuration becomes a file for
    /// `sam deploy`.
    ///
    /// Writes test files to SFTP_LOCATION and removes them. Their names begin with
    /// .s3-sftp-bridge-doctor-, except for partial files, which have the names and the
    /// directory that a delivery would use.
    ///
    /// With --collect it checks the other direction: whether COLLECT_DIRECTORY can be
    /// listed, files can be told apart, read, and archived or deleted. Then the only
    /// test file is in COLLECT_DIRECTORY, and no file of the partner's is changed.
    ///
    /// Exit status:
    ///   0  all is well
    ///   1  a setting, or something on the server, must change
    ///   2  wrong usage or settings
    #[command(verbatim_doc_comment)]
    Doctor(doctor::Arguments),
    #[command(flatten)]
    Operate(operate::Command),
}

#[derive(clap::Args)]
pub(crate) struct DeliverArguments {
    /// s3://BUCKET/KEY or BUCKET/KEY; the key is not URL-decoded
    #[arg(value_parser = Location::parse)]
    pub(crate) object: Location,
    /// Deliver all objects whose keys begin with KEY
    ///
    /// Many are delivered at the same time, over one connection. If one
    /// fails, the others are still delivered. Without KEY: the whole bucket.
    #[arg(long, short, verbatim_doc_comment)]
    pub(crate) recursive: bool,
    /// Print only the receipt, as JSON
    ///
    /// With --recursive: one receipt on each line.
    #[arg(long, verbatim_doc_comment)]
    pub(crate) json: bool,
    /// Directory for the state of unfinished runs
    ///
    /// The next run of the same command resumes from it. Default:
    /// $XDG_STATE_HOME/s3-sftp-bridge, or ~/.local/state/s3-sftp-bridge.
    #[arg(long, value_name = "DIRECTORY", verbatim_doc_comment)]
    pub(crate) state_dir: Option<PathBuf>,
}

/// Parses the arguments of this process.
pub(crate) fn parse() -> Result<Command, clap::Error> {
    let command = Arguments::try_parse()?.command;
    match &command {
        Command::Deliver(arguments) if arguments.object.object_key.is_empty() && !arguments.recursive => {
            let message = "expected s3://BUCKET/KEY; to deliver all objects of a bucket, add --recursive";
            let mut root = Arguments::command();
            // Fills in the usage line of the subcommands.
            root.build();
            let deliver = root.find_subcommand("deliver").cloned();
            Err(deliver.unwrap_or(root).error(ErrorKind::ValueValidation, message))
        }
        _ => Ok(command),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_fits_into_80_columns() {
        let mut root = Arguments::command();
        root.build();
        let subcommands: Vec<clap::Command> = root.get_subcommands().cloned().collect();
        for mut command in [root].into_iter().chain(subcommands) {
            for help in [command.render_help(), command.render_long_help()] {
                let help = help.to_string();
                let wide: Vec<&str> = help.lines().filter(|line| line.chars().count() > 80).collect();
                assert_eq!(wide, Vec::<&str>::new(), "{}", command.get_name());
            }
        }
    }
}

//! `cargo xtask far`: runs a command far away from an SFTP server.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use integration_tests::far::{Distance, FAR, Far};
use integration_tests::object_source::{Body, Listening, ObjectSource};
use integration_tests::partner::{self, Partner};
use integration_tests::pattern;
use integration_tests::process::Leashed;
use integration_tests::tools;

/// The bucket with the objects.
const BUCKET: &str = "far";
/// Bucket and object key of the private key.
const CREDENTIAL: &str = "credentials/partner";

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Round trip time, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 50)]
    rtt: u64,
    /// The percentage of the packets that are lost, each way.
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0)]
    loss: f64,
    /// The command. Its environment leads the bridge to the server and to the bucket `far`, with the objects `64k`,
    /// `10m`, `256m` and 500 files below `many/`. FAR_FOLDER is what the server serves, FAR_KEY the file of the private
    /// key; `nsenter --net=$FAR_NAMESPACE COMMAND` runs beside the server.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// An SFTP server and an object source in the namespaces of a distance: the server far, the source near.
pub(crate) struct Distant {
    // Ends first.
    _server: Leashed,
    _source: Listening,
    pub(crate) far: Far,
}

impl Distant {
    pub(crate) async fn open(distance: Distance, partner: &Partner, source: &ObjectSource) -> Result<Self> {
        let far = Far::start(distance)?;
        let source = source.listen_in(&far.near)?;
        Ok(Self { _server: partner.serve_in(&far.far, FAR).await?, _source: source, far })
    }

    /// A program that runs near.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let [nsenter, options @ ..] = self.far.near.entrance();
        let mut command = Command::new(nsenter);
        command.args(options).arg(program);
        command
    }
}

pub(crate) async fn run(options: &Options) -> Result<()> {
    let distance = Distance { round_trip: Duration::from_millis(options.rtt), loss: options.loss };
    let sshd = tools::sshd().await?.context("OpenSSH's server is neither installed nor available")?;
    let in_memory = Path::new("/dev/shm");
    let parent = in_memory.is_dir().then(|| in_memory.to_owned());
    let partner = partner::Options { parent, ..partner::Options::default() };
    let partner = Partner::open_ssh(sshd, partner).await?;
    let source = objects(&partner)?;
    let distant = Distant::open(distance, &partner, &source).await?;
    let (program, arguments) = options.command.split_first().context("no command")?;
    let mut command = distant.command(program);
    command.args(arguments);
    command.envs(source.environment());
    command.env("SFTP_HOST", FAR.to_string()).env("SFTP_PORT", partner.port.to_string());
    command.env("SFTP_USER", &partner.user).env("SFTP_S3_SSH_KEY", CREDENTIAL);
    command.env("SFTP_TRUSTED_HOST_KEYS", &partner.host_key.public);
    command.env("FAR_FOLDER", &partner.root).env("FAR_KEY", partner.client_key_file());
    command.env("FAR_NAMESPACE", distant.far.far.path());
    let status = tokio::process::Command::from(command).kill_on_drop(true).status().await?;
    if !status.success() {
        bail!("the command failed ({status})");
    }
    Ok(())
}

fn objects(partner: &Partner) -> Result<ObjectSource> {
    let source = ObjectSource::start()?;
    source.put(CREDENTIAL, Body::Bytes(partner.client_key.private.clone().into_bytes()))?;
    for (name, size) in [("64k", 64 << 10), ("10m", 10 << 20), ("256m", 256 << 20)] {
        source.put(&format!("{BUCKET}/{name}"), Body::Pattern(size))?;
    }
    for number in 0..500 {
        let bytes = pattern::bytes(number * 10240, 10240);
        source.put(&format!("{BUCKET}/many/{number:04}"), Body::Bytes(bytes))?;
    }
    Ok(source)
}

//! The compared programs. Each runs as its users would run it, tuned for the case if it has settings for that.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use integration_tests::far::FAR;
use integration_tests::object_source::Body;
use integration_tests::pattern;
use integration_tests::tools::{runs, workspace};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;

use super::measure::{self, Sample};
use super::place::{BUCKET, CREDENTIAL, Place, built, many, small_file};
use crate::far::Distant;

/// The work of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Copies one file of this many bytes to the server.
    Copy(u64),
    /// Copies this many small files to the server.
    CopyMany(u64),
    /// Computes the hash of a file of this many bytes on the server.
    Hash(u64),
    /// Copies one file of this many bytes from the server.
    Collect(u64),
    /// Copies this many small files from the server.
    CollectMany(u64),
    /// Lists a directory of this many names.
    List(u64),
    /// Opens an SFTP session.
    Connect,
    /// Starts a process that is ready to work.
    Start,
}

/// The program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contestant {
    /// The bridge with its defaults and `SFTP_PROOF=size`.
    Bridge,
    /// The same with `SFTP_PROOF=auto`: it reads the file back.
    BridgeReadsBack,
    /// The bridge with at most this many connections.
    BridgeWith(u32),
    /// OpenSSH's `sftp` and `ssh` with their defaults.
    OpenSsh,
    /// OpenSSH's `sftp` with the cipher that is fastest here.
    OpenSshAesGcm,
    Rclone,
    /// Python with boto3 and paramiko.
    Predecessor,
    /// The kernel's TCP without any protocol above it.
    Tcp,
}

use Contestant::{Bridge, BridgeReadsBack, BridgeWith, OpenSsh, OpenSshAesGcm, Predecessor, Rclone, Tcp};

impl Work {
    /// Whether files of the server are read.
    pub(crate) fn is_collecting(self) -> bool {
        matches!(self, Self::Collect(_) | Self::CollectMany(_) | Self::List(_))
    }
}

impl Contestant {
    pub(crate) fn name(self) -> String {
        match self {
            Bridge => "s3-sftp-bridge".into(),
            BridgeReadsBack => "s3-sftp-bridge, reads back".into(),
            BridgeWith(1) => "s3-sftp-bridge, 1 connection".into(),
            BridgeWith(connections) => format!("s3-sftp-bridge, {connections} connections"),
            OpenSsh => "OpenSSH".into(),
            OpenSshAesGcm => "OpenSSH with aes128-gcm".into(),
            Rclone => "rclone".into(),
            Predecessor => "boto3 and paramiko".into(),
            Tcp => "TCP alone".into(),
        }
    }

    /// Why the program cannot do this. `None` if it can.
    pub(crate) async fn cannot(self, work: Work) -> Option<String> {
        let example = |name: &str| {
            let there = workspace().join(format!("crates/sftp/examples/{name}.rs")).exists();
            (!there).then(|| format!("crates/sftp/examples/{name}.rs is not there"))
        };
        match (self, work) {
            (Bridge, Work::Hash(_)) => example("read_back"),
            (Bridge, Work::Connect) => example("connect"),
            (Bridge | BridgeReadsBack, Work::CopyMany(_)) => {
                let help = Command::new(built("s3-sftp-bridge")).args(["deliver", "--help"]).output().ok()?;
                let there = String::from_utf8_lossy(&help.stdout).contains("--recursive");
                (!there).then(|| "`deliver --recursive` is not there".to_owned())
            }
            (OpenSsh | OpenSshAesGcm, _) if !runs("ssh", "-V") => {
                Some("OpenSSH's client is not installed (apt-get install openssh-client)".to_owned())
            }
            _ => None,
        }
    }
}

/// Puts the objects that this work needs.
pub(crate) fn put_objects(place: &Place, work: Work) -> Result<()> {
    match work {
        Work::Copy(size) => place.source.put(&format!("{BUCKET}/{size}"), Body::Pattern(size)),
        Work::CopyMany(count) => (0..count).try_for_each(|number| {
            let name = format!("{BUCKET}/{}/{number:04}", many(count));
            place.source.put(&name, Body::Bytes(small_file(number)))
        }),
        _ => Ok(()),
    }
}

/// One run, and the proof that it did its work. The proof does not count in its time.
pub(crate) async fn run(
    place: &Place,
    who: Contestant,
    work: Work,
    distant: Option<&Distant>,
) -> Result<Sample> {
    let at = At { place, distant };
    let remote = |name: &str| place.partner.root.join(name);
    match work {
        Work::Copy(size) if who == Tcp => tcp_alone(distant, size),
        Work::Copy(size) => {
            let name = size.to_string();
            let command = at.copy(who, size, &name)?;
            let (sample, _) = measure::run(command).await?;
            let path = remote(&name);
            check(&path, size).await?;
            std::fs::remove_file(path)?;
            Ok(sample)
        }
        Work::CopyMany(count) => {
            let (sample, _) = measure::run(at.copy_many(who, count)?).await?;
            for number in 0..count {
                let path = remote(&many(count)).join(format!("{number:04}"));
                let found = std::fs::read(&path).with_context(|| format!("{} is missing", path.display()))?;
                ensure!(found == small_file(number), "{} differs", path.display());
            }
            std::fs::remove_dir_all(remote(&many(count)))?;
            Ok(sample)
        }
        Work::Hash(size) => {
            let path = remote("hashed");
            if std::fs::metadata(&path).map_or(0, |metadata| metadata.len()) != size {
                std::fs::copy(place.local_file(size)?, &path)?;
            }
            let (sample, printed) = measure::run(at.hash(who, "hashed")?).await?;
            if who == Bridge {
                let crc = pattern::crc64nvme(size);
                ensure!(says_crc(&printed, crc), "the hash is {crc:016x} and not {printed}");
            }
            Ok(sample)
        }
        Work::Collect(_) | Work::CollectMany(_) | Work::List(_) => {
            bail!("files of the server are collected elsewhere")
        }
        Work::Connect => Ok(measure::run(at.connect(who)?).await?.0),
        Work::Start if who == Bridge => lambda_start(&at).await,
        Work::Start => {
            let mut python = at.command(place.peers.program("python"));
            python.args(["-c", "import boto3, paramiko"]);
            Ok(measure::run(python).await?.0)
        }
    }
}

/// It is as fast in the other direction.
pub(super) fn tcp_alone(distant: Option<&Distant>, size: u64) -> Result<Sample> {
    let far = &distant.context("TCP alone is for a distance")?.far;
    let took = tokio::task::block_in_place(|| far.tcp_alone(size))?;
    Ok(Sample { wall: took.as_secs_f64(), ..Sample::default() })
}

async fn check(path: &Path, size: u64) -> Result<()> {
    let file = std::fs::File::open(path).with_context(|| format!("{} did not arrive", path.display()))?;
    let compare = tokio::task::spawn_blocking(move || pattern::difference(file, size));
    match compare.await?? {
        None => Ok(()),
        Some(offset) => bail!("{} differs from byte {offset} on", path.display()),
    }
}

/// Whether the JSON holds this CRC-64, in any of its usual forms.
fn says_crc(printed: &str, crc: u64) -> bool {
    use base64::Engine as _;
    let base64 = base64::prelude::BASE64_STANDARD.encode(crc.to_be_bytes());
    let forms = [base64, format!("{crc:016x}"), format!("{crc:x}"), crc.to_string()];
    let Ok(Value::Object(fields)) = serde_json::from_str(printed) else { return false };
    fields.values().any(|value| match value {
        Value::String(text) => forms.contains(text),
        other => forms.contains(&other.to_string()),
    })
}

/// The place and the server.
pub(super) struct At<'a> {
    pub(super) place: &'a Place,
    /// `None`: the server is on this loopback interface.
    pub(super) distant: Option<&'a Distant>,
}

impl At<'_> {
    pub(super) fn host(&self) -> String {
        self.distant.map_or(self.place.partner.host.clone(), |_| FAR.to_string())
    }

    /// With an empty environment.
    pub(super) fn command(&self, program: impl Into<PathBuf>) -> Command {
        let mut command = match self.distant {
            None => Command::new(program.into()),
            Some(distant) => distant.command(program.into()),
        };
        let folder = &self.place.folder;
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", folder.join("home")).env("TMPDIR", folder.join("tmp"));
        command.env("AWS_ACCESS_KEY_ID", "bench").env("AWS_SECRET_ACCESS_KEY", "bench");
        command.env("AWS_REGION", "us-east-1").env("AWS_DEFAULT_REGION", "us-east-1");
        command.env("AWS_EC2_METADATA_DISABLED", "true");
        command.env("AWS_ENDPOINT_URL", self.place.source.endpoint());
        command
    }

    fn copy(&self, who: Contestant, size: u64, name: &str) -> Result<Command> {
        match who {
            Bridge | BridgeReadsBack | BridgeWith(_) => {
                let mut bridge = self.bridge(who);
                bridge.arg("deliver").arg(format!("s3://{BUCKET}/{name}"));
                Ok(bridge)
            }
            OpenSsh | OpenSshAesGcm => {
                self.sftp(who, &format!("put {} {name}\n", self.place.local_file(size)?.display()))
            }
            Rclone => {
                let mut rclone = self.rclone()?;
                rclone.arg("copyto").arg(format!("s3:{BUCKET}/{name}")).arg(format!("sftp:{name}"));
                Ok(rclone)
            }
            Predecessor => {
                let script = self.place.folder.join("predecessor.py");
                std::fs::write(&script, include_str!("predecessor.py"))?;
                let partner = &self.place.partner;
                let mut python = self.command(self.place.peers.program("python"));
                python.arg(script).args([
                    BUCKET,
                    name,
                    &self.host(),
                    &partner.port.to_string(),
                    &partner.user,
                ]);
                python.arg(partner.client_key_file()).arg(name);
                Ok(python)
            }
            Tcp => bail!("TCP alone is no program"),
        }
    }

    fn copy_many(&self, who: Contestant, count: u64) -> Result<Command> {
        match who {
            Bridge | BridgeReadsBack | BridgeWith(_) => {
                let mut bridge = self.bridge(who);
                bridge.arg("deliver").arg(format!("s3://{BUCKET}/{}/", many(count))).arg("--recursive");
                Ok(bridge)
            }
            OpenSsh | OpenSshAesGcm => {
                self.sftp(who, &format!("put -r {}\n", self.place.local_folder(count)?.display()))
            }
            Rclone => {
                let mut rclone = self.rclone()?;
                rclone.args(["copy", "--transfers", "16", "--checkers", "16"]);
                rclone.arg(format!("s3:{BUCKET}/{}", many(count)));
                rclone.arg(format!("sftp:{}", many(count)));
                Ok(rclone)
            }
            Predecessor | Tcp => bail!("it knows one object at a time"),
        }
    }

    fn hash(&self, who: Contestant, name: &str) -> Result<Command> {
        if who == Bridge {
            let mut read_back = self.example("read_back")?;
            read_back.arg(name);
            return Ok(read_back);
        }
        let mut ssh = self.open_ssh("ssh", who);
        let path = self.place.partner.root.join(name);
        ssh.args(["-p", &self.place.partner.port.to_string()])
            .arg(self.login())
            .arg(format!("md5sum {}", path.display()));
        Ok(ssh)
    }

    fn connect(&self, who: Contestant) -> Result<Command> {
        if who == Bridge { self.example("connect") } else { self.sftp(who, "bye\n") }
    }

    pub(super) fn bridge(&self, who: Contestant) -> Command {
        let mut bridge = self.command(built("s3-sftp-bridge"));
        self.settings(&mut bridge);
        match who {
            BridgeWith(connections) => bridge.env("SFTP_MAX_CONNECTIONS", connections.to_string()),
            BridgeReadsBack => bridge.env("SFTP_PROOF", "auto"),
            _ => &mut bridge,
        };
        bridge
    }

    fn settings(&self, command: &mut Command) {
        let partner = &self.place.partner;
        command.env("SFTP_HOST", self.host()).env("SFTP_PORT", self.place.partner.port.to_string());
        command.env("SFTP_USER", &partner.user).env("SFTP_S3_SSH_KEY", CREDENTIAL);
        command.env("SFTP_TRUSTED_HOST_KEYS", &partner.host_key.public).env("SFTP_PROOF", "size");
    }

    /// An example of the crate `sftp`: `HOST PORT USER KEYFILE HOSTKEYFINGERPRINT`.
    fn example(&self, name: &str) -> Result<Command> {
        let partner = &self.place.partner;
        let mut example = self.command(built("examples").join(name));
        example.args([&self.host(), &partner.port.to_string(), &partner.user]);
        example.arg(partner.client_key_file()).arg(partner.host_key.fingerprint()?);
        Ok(example)
    }

    fn login(&self) -> String {
        format!("{}@{}", self.place.partner.user, self.host())
    }

    fn open_ssh(&self, program: &str, who: Contestant) -> Command {
        let mut command = self.command(program);
        command.args(["-F", "none", "-o", "IdentitiesOnly=yes", "-o", "PasswordAuthentication=no"]);
        command.args(["-o", "BatchMode=yes", "-o", "HostKeyAlias=partner", "-o"]);
        command.arg(format!("UserKnownHostsFile={}", self.place.known_hosts.display()));
        command.arg("-i").arg(self.place.partner.client_key_file());
        if who == OpenSshAesGcm {
            command.args(["-o", "Ciphers=aes128-gcm@openssh.com"]);
        }
        command
    }

    pub(super) fn sftp(&self, who: Contestant, batch: &str) -> Result<Command> {
        let file = self.place.folder.join("batch");
        std::fs::write(&file, batch)?;
        let mut sftp = self.open_ssh("sftp", who);
        sftp.arg("-q")
            .arg("-b")
            .arg(file)
            .args(["-P", &self.place.partner.port.to_string()])
            .arg(self.login());
        Ok(sftp)
    }

    /// Without all checks and requests that it can omit, and with more in flight than by default.
    pub(super) fn rclone(&self) -> Result<Command> {
        let partner = &self.place.partner;
        let config = self.place.folder.join("rclone.conf");
        let text = format!(
            "[s3]\ntype = s3\nprovider = Other\nendpoint = {}\naccess_key_id = bench\nsecret_access_key = bench\n\
             region = us-east-1\nforce_path_style = true\nlist_version = 2\nno_check_bucket = true\n\
             disable_checksum = true\nno_head = true\n\n\
             [sftp]\ntype = sftp\nhost = {}\nport = {}\nuser = {}\nkey_file = {}\nknown_hosts_file = {}\n\
             shell_type = none\ndisable_hashcheck = true\nset_modtime = false\nconcurrency = 64\nchunk_size = 255Ki\n",
            self.place.source.endpoint(),
            self.host(),
            partner.port,
            partner.user,
            partner.client_key_file().display(),
            self.place.known_hosts.display(),
        );
        std::fs::write(&config, text)?;
        let mut rclone = self.command(self.place.peers.program("rclone"));
        rclone.arg("--config").arg(config);
        rclone.args(["--ignore-checksum", "--no-check-dest", "--inplace", "--use-server-modtime"]);
        rclone.args(["--multi-thread-streams", "4", "--retries", "1", "--stats", "0"]);
        Ok(rclone)
    }
}

/// From the start of the Lambda function's process to its first request to the runtime API.
async fn lambda_start(at: &At<'_>) -> Result<Sample> {
    let api = TcpListener::bind(("127.0.0.1", 0)).await?;
    let mut function = at.command(built("transfer"));
    at.settings(&mut function);
    function.env("AWS_LAMBDA_RUNTIME_API", api.local_addr()?.to_string());
    function.env("AWS_LAMBDA_FUNCTION_NAME", "transfer").env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST");
    function.env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512");
    let mut function = tokio::process::Command::from(function);
    function.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let start = Instant::now();
    let mut function = function.spawn()?;
    let question = async {
        let (stream, _) = api.accept().await?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).await?;
        Ok::<_, anyhow::Error>(line)
    };
    let line = tokio::time::timeout(Duration::from_secs(10), question).await;
    let wall = start.elapsed().as_secs_f64();
    function.kill().await?;
    let line = line.context("the function asks for nothing")??;
    ensure!(line.starts_with("GET /2018-06-01/runtime/invocation/next"), "it asks for {line}");
    Ok(Sample { wall, ..Sample::default() })
}

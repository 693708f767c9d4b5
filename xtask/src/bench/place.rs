//! The place of the measurements: programs, an object source, OpenSSH's server, a folder in memory.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use integration_tests::far::FAR;
use integration_tests::object_source::{Body, ObjectSource};
use integration_tests::partner::{self, Partner};
use integration_tests::pattern;
use integration_tests::process::{self, Leashed};
use integration_tests::tools::{self, Tool, workspace};
use serde_json::{Map, Value, json};

use crate::report::step;

/// The bucket with the objects.
pub(crate) const BUCKET: &str = "bench";
/// The object key of the private key, for `SFTP_S3_SSH_KEY`.
pub(crate) const CREDENTIAL: &str = "credentials/partner";
/// Each of many files has this many bytes.
const SMALL: u64 = 10 * 1024;

/// The folder with this many files, its name in S3 and on the servers.
pub(crate) fn many(count: u64) -> String {
    format!("many-{count}")
}

/// The contents of one of them.
pub(crate) fn small_file(number: u64) -> Vec<u8> {
    pattern::bytes(number * SMALL, SMALL as usize)
}

pub(crate) struct Place {
    pub(crate) source: ObjectSource,
    pub(crate) partner: Partner,
    /// With rclone and Python.
    pub(crate) peers: Tool,
    /// Files of the clients.
    pub(crate) folder: PathBuf,
    /// Inside the folder, so that it is removed with it.
    pub(crate) known_hosts: PathBuf,
    /// Removes the folder, even if this process is killed: it may hold gigabytes of memory.
    _guard: Leashed,
}

impl Place {
    pub(crate) async fn prepare() -> Result<Self> {
        if !Path::new("/proc/self/stat").exists() {
            bail!("the benchmarks read Linux's /proc");
        }
        let sshd = step("install", "OpenSSH's server", async {
            match tools::sshd().await? {
                Some(sshd) => Ok((sshd.clone(), format!("OpenSSH's server: {}", sshd.program.display()))),
                None => bail!(
                    "OpenSSH's server is neither installed nor available (apt-get install openssh-server)"
                ),
            }
        });
        let sshd = sshd.await?;
        let peers = step("install", "rclone, boto3, paramiko into target/tools/bench", async {
            let tool = tools::bench().await?;
            let what = if tool.fresh { "installed" } else { "there already" };
            Ok((tool, format!("rclone, boto3 and paramiko in target/tools/bench: {what}")))
        });
        let peers = peers.await?;
        step("build", "cargo build --release; minutes, the first time", async {
            build(&["-p", "s3-sftp-bridge", "-p", "transfer"]).await?;
            if workspace().join("crates/sftp/examples").exists() {
                build(&["-p", "pinned-sftp", "--examples"]).await?;
            }
            Ok(((), "cargo build --release".to_owned()))
        })
        .await?;

        let (folder, in_memory) = new_folder()?;
        let guard = Leashed::start(
            {
                let mut guard = Leashed::command(Some(&folder));
                guard.args(["sleep", "infinity"]);
                guard
            },
            &tools::logs().join("bench.log"),
        )?;
        for name in ["tmp", "home", "local"] {
            std::fs::create_dir(folder.join(name))?;
        }
        let options = partner::Options { parent: Some(folder.clone()), ..partner::Options::default() };
        let partner = Partner::open_ssh(sshd, options).await?;
        let known_hosts = folder.join("known_hosts");
        let mut known = format!("partner {}\n", partner.host_key.public);
        // rclone knows no alias for a host.
        for host in [Ipv4Addr::LOCALHOST, FAR] {
            known += &format!("[{host}]:{} {}\n", partner.port, partner.host_key.public);
        }
        std::fs::write(&known_hosts, known)?;
        let source = ObjectSource::start_writable()?;
        source.put(CREDENTIAL, Body::Bytes(partner.client_key.private.clone().into_bytes()))?;
        let room = if in_memory { "in memory" } else { "on disk" };
        println!("  {:12} an object source and an SFTP server on loopback, files {room}", "start");
        Ok(Self { source, partner, peers, folder, known_hosts, _guard: guard })
    }

    /// A local file of this many bytes. It is made unless it exists.
    pub(crate) fn local_file(&self, size: u64) -> Result<PathBuf> {
        let path = self.folder.join("local").join(size.to_string());
        if !path.exists() {
            pattern::write(std::fs::File::create(&path)?, size)?;
        }
        Ok(path)
    }

    /// The local folder with many files.
    pub(crate) fn local_folder(&self, count: u64) -> Result<PathBuf> {
        let path = self.folder.join("local").join(many(count));
        if !path.exists() {
            std::fs::create_dir(&path)?;
            for number in 0..count {
                std::fs::write(path.join(format!("{number:04}")), small_file(number))?;
            }
        }
        Ok(path)
    }

    /// Removes all files of clients and server, to make room for the next case.
    pub(crate) fn clean(&self) -> Result<()> {
        for folder in [self.folder.join("local"), self.folder.join("tmp"), self.partner.root.clone()] {
            for entry in std::fs::read_dir(folder)? {
                let path = entry?.path();
                if path.is_dir() { std::fs::remove_dir_all(path)? } else { std::fs::remove_file(path)? }
            }
        }
        Ok(())
    }

    /// Machine, versions and other facts that a reader of the numbers needs.
    pub(crate) async fn facts(&self) -> Map<String, Value> {
        let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let python = self.peers.program("python").display().to_string();
        let version = |package| format!("import importlib.metadata as m; print(m.version('{package}'))");
        let mut facts = Map::new();
        facts.insert("processor".into(), json!(cpu.trim_start_matches([' ', '\t', ':'])));
        facts.insert("cores".into(), json!(cores));
        facts.insert("load_before".into(), json!(load.split(' ').next().unwrap_or_default()));
        for (name, program, arguments) in [
            ("kernel", "uname".to_owned(), vec!["-sr".to_owned()]),
            ("commit", "git".to_owned(), vec!["describe".into(), "--always".into(), "--dirty".into()]),
            ("openssh", "ssh".to_owned(), vec!["-V".into()]),
            ("rclone", self.peers.program("rclone").display().to_string(), vec!["version".into()]),
            ("python", python.clone(), vec!["--version".into()]),
            ("boto3", python.clone(), vec!["-c".into(), version("boto3")]),
            ("paramiko", python, vec!["-c".into(), version("paramiko")]),
            ("rustc", "rustc".to_owned(), vec!["--version".into()]),
        ] {
            let mut command = Command::new(program);
            command.args(arguments).current_dir(workspace());
            let Ok(output) = process::output(&command).await else { continue };
            // OpenSSH prints its version to standard error.
            let text = [output.stdout, output.stderr].concat();
            let line = String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned();
            facts.insert(name.into(), json!(line));
        }
        facts
    }
}

/// A program that was built here.
pub(crate) fn built(name: &str) -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    target.join("release").join(name)
}

/// How many bytes may safely be written into memory.
pub(crate) fn memory_left() -> u64 {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// In memory if there is room for a file, its copy, a temporary one and the programs. Otherwise on disk.
fn new_folder() -> Result<(PathBuf, bool)> {
    let shm = Path::new("/dev/shm");
    let in_memory = shm.is_dir() && memory_left() > 6 << 30;
    let parent = if in_memory { shm.to_owned() } else { workspace().join("target/tmp") };
    std::fs::create_dir_all(&parent)?;
    let folder = tempfile::Builder::new().prefix("s3-sftp-bridge-bench-").tempdir_in(&parent);
    Ok((folder.with_context(|| format!("cannot write to {}", parent.display()))?.keep(), in_memory))
}

async fn build(arguments: &[&str]) -> Result<()> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    command.args(["build", "--release", "--quiet"]).args(arguments).current_dir(workspace());
    process::run(&command, &tools::logs().join("bench.log")).await
}

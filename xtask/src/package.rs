//! `cargo xtask package`: builds a release package, and puts it into a bucket if asked to.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use integration_tests::package::hosting::{self, Place};
use integration_tests::package::{Architecture, Binaries, COMMAND_LINE, FUNCTIONS, Package, sums};
use integration_tests::process;
use integration_tests::stack::environment_of_builds;
use integration_tests::tools::{self, workspace};

use crate::commands::stdout;
use crate::report::{item, step};

/// The release of glibc that the command line needs at least: Amazon Linux 2, Debian 10, RHEL 8 and all later ones
/// have it.
const GLIBC: &str = "2.26";

const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The processor: x86_64 or arm64.
    #[arg(long, value_name = "PROCESSOR", default_value_t = Architecture::of_this_machine().name().to_owned())]
    arch: String,
    /// Where the package goes.
    #[arg(long, value_name = "FOLDER", default_value_os_t = workspace().join("target/package"))]
    out: PathBuf,
    /// Builds it once more from a copy of the commit in another folder, and compares every file.
    #[arg(long)]
    twice: bool,
    /// Builds nothing, and takes this package, unpacked.
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["arch", "out", "twice"])]
    package: Option<PathBuf>,
    /// Uploads the package into this bucket, with the AWS credentials of the environment, and prints the link that
    /// creates a stack.
    #[arg(long)]
    bucket: Option<String>,
    /// The beginning of the object keys; it must end with a slash.
    #[arg(long, requires = "bucket", default_value = "s3-sftp-bridge/", value_parser = prefix)]
    prefix: String,
    /// The region of the stacks. The bucket must be in it.
    #[arg(long, requires = "bucket")]
    region: Option<String>,
}

fn prefix(text: &str) -> Result<String> {
    ensure!(text.ends_with('/'), "it must end with a slash, as s3-sftp-bridge/ does");
    Ok(text.to_owned())
}

pub(crate) async fn run(options: &Options) -> Result<()> {
    let architecture = Architecture::parse(&options.arch)?;
    // What can be refused is refused before the minutes of a build.
    let place = match &options.bucket {
        Some(bucket) => Some(place(bucket, options).await?),
        None => None,
    };
    let package = match &options.package {
        Some(folder) => Package::open(folder)?,
        None => {
            Package::ensure_place(VERSION, architecture, &options.out)?;
            ensure_target(architecture).await?;
            if options.twice {
                ensure_committed().await?;
            }
            let package = build(workspace(), architecture, &options.out).await?;
            if options.twice {
                compare(&package).await?;
            }
            package
        }
    };
    match place {
        Some(place) => upload(&package, &place).await,
        None => Ok(()),
    }
}

/// The bucket, and its region.
async fn place(bucket: &str, options: &Options) -> Result<Place> {
    let found = hosting::region_of(&hosting::client(options.region.as_deref()).await, bucket).await?;
    if let Some(region) = &options.region {
        ensure!(
            *region == found,
            "the bucket {bucket:?} is in {found}, and --region is {region}; Lambda reads code from buckets of its own \
             region only, so take a bucket in {region}"
        );
    }
    Ok(Place { bucket: bucket.to_owned(), prefix: options.prefix.clone(), region: found })
}

async fn upload(package: &Package, place: &Place) -> Result<()> {
    let s3 = hosting::client(Some(&place.region)).await;
    let hosted = hosting::upload(&s3, package, place).await?;
    for object_key in &hosted.written {
        item(&format!("written: s3://{}/{object_key}", place.bucket));
    }
    for object_key in &hosted.kept {
        item(&format!("there already: s3://{}/{object_key}", place.bucket));
    }
    // Whole lines, so that they can be copied.
    println!("\nTemplate:\n{}\n\nLaunch Stack:\n{}", hosted.template_url, hosted.launch_url);
    Ok(())
}

/// Whether Rust's library for this processor is there.
async fn ensure_target(architecture: Architecture) -> Result<()> {
    let target = architecture.target();
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir", "--target", target]).current_dir(workspace());
    let folder = stdout(&rustc).await.context("rustc does not run")?;
    ensure!(
        Path::new(folder.trim()).is_dir(),
        "Rust cannot build for {} here, because its library for {target} is missing; add it: rustup target add {target}",
        architecture.name()
    );
    Ok(())
}

async fn ensure_committed() -> Result<()> {
    let changed = stdout(git(workspace()).args(["status", "--porcelain"])).await?;
    ensure!(
        changed.is_empty(),
        "--twice compares with a copy of the commit, so commit or remove these first:\n{changed}"
    );
    Ok(())
}

fn git(folder: &Path) -> Command {
    let mut git = Command::new("git");
    git.arg("-C").arg(folder);
    git
}

/// Builds a package from the workspace in the folder `root`.
async fn build(root: &Path, architecture: Architecture, out: &Path) -> Result<Package> {
    let target = root.join("target/release-build");
    let functions = step("functions", "building with link-time optimisation", async {
        let functions = target.join("functions");
        let packages: Vec<_> = FUNCTIONS.iter().flat_map(|name| ["--package", name]).collect();
        cargo_lambda(root, &target, architecture, "", &packages, &functions).await?;
        Ok((functions, "built".to_owned()))
    })
    .await?;
    let command_line = step("command line", "building with link-time optimisation", async {
        let folder = target.join("command-line");
        let options = ["--package", COMMAND_LINE];
        // People's systems may be older than Lambda's.
        cargo_lambda(root, &target, architecture, &format!(".{GLIBC}"), &options, &folder).await?;
        Ok((folder.join(COMMAND_LINE).join("bootstrap"), "built".to_owned()))
    })
    .await?;
    let package = step("package", "packing", async {
        let binaries = Binaries::of_cargo_lambda(&functions, &command_line);
        let package = Package::assemble_from(root, &binaries, VERSION, architecture, out)?;
        package.archive()?;
        Ok((package, "packed".to_owned()))
    })
    .await?;
    for file in sums::files(&package.folder)?.iter().map(|file| package.folder.join(file)) {
        println!("  {:>12} {}", std::fs::metadata(&file)?.len(), file.display());
    }
    let archive = package.archive_file();
    println!("  {:>12} {}", std::fs::metadata(&archive)?.len(), archive.display());
    Ok(package)
}

/// `cargo lambda build`, so that no folder of this machine is in the programs.
async fn cargo_lambda(
    root: &Path,
    target_folder: &Path,
    architecture: Architecture,
    glibc: &str,
    options: &[&str],
    into: &Path,
) -> Result<()> {
    let sam = tools::sam().await?;
    let home = std::env::home_dir().context("HOME is not set")?;
    let cargo_home = std::env::var_os("CARGO_HOME").map_or(home.join(".cargo"), PathBuf::from);
    let folders = replaced(root, &cargo_home, &tools::folder(), target_folder);
    ensure!(!folders.concat().contains(' '), "a folder's name has a space: {}", folders.join(", "));
    let rust = folders.clone().map(|folder| format!("--remap-path-prefix={folder}"));
    let c = folders.map(|folder| format!("-ffile-prefix-map={folder}"));
    let mut build = Command::new(sam.program("cargo-lambda"));
    environment_of_builds(&mut build, &sam)?;
    // What a developer sets for other builds would change the programs.
    for (name, _) in std::env::vars_os() {
        let changes = ["CARGO_PROFILE_", "CARGO_BUILD_", "CARGO_TARGET_", "CARGO_LAMBDA_"];
        if changes.iter().any(|start| name.to_string_lossy().starts_with(start)) {
            build.env_remove(name);
        }
    }
    build.current_dir(root).args(["lambda", "build", "--release", "--locked", "--target"]);
    build.arg(format!("{}{glibc}", architecture.target())).args(options).arg("--lambda-dir").arg(into);
    build.env("CARGO_TARGET_DIR", target_folder).env("RUSTFLAGS", rust.join(" "));
    build.env("CFLAGS", c.join(" ")).env_remove("CARGO_ENCODED_RUSTFLAGS").env("CARGO_INCREMENTAL", "0");
    build.env_remove("RUSTC_WRAPPER").env("SOURCE_DATE_EPOCH", "315532800").env("TZ", "UTC");
    let log = tools::logs().join("package.log");
    std::fs::create_dir_all(tools::logs())?;
    process::run(&build, &log).await.context("the release build failed")
}

/// What replaces the folders of this machine. The last one that fits wins, so the workspace is the first: the others may
/// lie in it.
fn replaced(root: &Path, cargo_home: &Path, tools: &Path, target: &Path) -> [String; 4] {
    let folders = [(root, "/s3-sftp-bridge"), (cargo_home, "/cargo"), (tools, "/tools"), (target, "/target")];
    folders.map(|(from, to)| format!("{}={to}", from.display()))
}

/// Builds the package once more, in another folder, and compares.
async fn compare(package: &Package) -> Result<()> {
    let copy = tempfile::Builder::new().prefix("s3-sftp-bridge-again-").tempdir()?;
    let root = copy.path().join("another/folder");
    let mut clone = Command::new("git");
    clone.args(["clone", "--quiet", "--no-hardlinks"]).arg(workspace()).arg(&root);
    stdout(&clone).await.context("cannot copy the commit")?;
    let again = build(&root, package.architecture, &copy.path().join("out")).await?;
    let different = differences(package, &again)?;
    if !different.is_empty() {
        let kept = copy.keep();
        bail!(
            "two builds differ in: {}. Compare {} with {}",
            different.join(", "),
            package.folder.display(),
            kept.join("out").display()
        );
    }
    println!("  two builds in two folders are byte-identical");
    Ok(())
}

/// The files that differ between two packages, and those that only one of them has.
fn differences(one: &Package, other: &Package) -> Result<Vec<String>> {
    let (files, others) = (sums::files(&one.folder)?, sums::files(&other.folder)?);
    let mut different = Vec::new();
    for file in files.iter().chain(others.iter().filter(|file| !files.contains(file))) {
        let both = [one, other].map(|package| package.folder.join(file));
        if !both.iter().all(|path| path.is_file()) || sums::of(&both[0])? != sums::of(&both[1])? {
            different.push(file.clone());
        }
    }
    if sums::of(&one.archive_file())? != sums::of(&other.archive_file())? {
        different.push("the archive".to_owned());
    }
    Ok(different)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "/home/me/bridge";
    const COPY: &str = "/tmp/again/another/folder";

    /// Of a build in this folder. The tools stay in the first one.
    fn list(root: &str) -> [String; 4] {
        let [cargo_home, tools] = [".cargo", "bridge/target/tools"].map(|it| Path::new("/home/me").join(it));
        replaced(Path::new(root), &cargo_home, &tools, &Path::new(root).join("target/release-build"))
    }

    /// What a compiler writes: the last one that fits wins.
    fn written(list: &[String], file: &str) -> String {
        let replace = |it: &String| {
            let (from, to) = it.split_once('=').unwrap();
            Some(format!("{to}{}", file.strip_prefix(from)?))
        };
        list.iter().rev().find_map(replace).unwrap()
    }

    #[test]
    fn two_builds_in_two_folders_write_the_same_names_of_files() {
        let expected = |root: &str| {
            [
                format!("{root}=/s3-sftp-bridge"),
                "/home/me/.cargo=/cargo".to_owned(),
                "/home/me/bridge/target/tools=/tools".to_owned(),
                format!("{root}/target/release-build=/target"),
            ]
        };
        for root in [HERE, COPY] {
            let list = list(root);
            assert_eq!(list, expected(root));
            for (file, name) in [
                (format!("{root}/crates/sftp/src/lib.rs"), "/s3-sftp-bridge/crates/sftp/src/lib.rs"),
                (format!("{root}/target/release-build/release/out.rs"), "/target/release/out.rs"),
                (format!("{HERE}/target/tools/zig/lib.c"), "/tools/zig/lib.c"),
                ("/home/me/.cargo/registry/lib.rs".to_owned(), "/cargo/registry/lib.rs"),
            ] {
                assert_eq!(written(&list, &file), name, "{root}");
            }
        }
    }

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn a_prefix_without_a_slash_at_its_end_is_refused() {
        let parse = |prefix| {
            let line = ["package", "--bucket", "code", "--prefix", prefix];
            <Line as clap::Parser>::try_parse_from(line).map(|line| line.options.prefix)
        };
        assert_eq!(parse("acme/bridge/").unwrap(), "acme/bridge/");
        let refused = parse("acme").unwrap_err().to_string();
        assert!(refused.contains("'acme' for '--prefix <PREFIX>': it must end with a slash"), "{refused}");
        assert!(parse("").is_err());
    }
}

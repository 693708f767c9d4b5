//! A release package: everything that an AWS account needs, and no compiler. `docs/packages.md` describes it.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::cli;
use crate::stack::{self, Priority};
use crate::tools::workspace;

mod archive;
pub mod hosting;
mod parts;
pub mod sbom;
pub mod sums;
pub mod template;

use parts::zip_of;
pub use parts::{Architecture, COMMAND_LINE, DEFINITIONS, FUNCTIONS};

/// The programs of a package, as they were built.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// Each function's `bootstrap`, by the function's name.
    pub functions: BTreeMap<&'static str, PathBuf>,
    /// `s3-sftp-bridge`.
    pub command_line: PathBuf,
}

impl Binaries {
    /// The functions as cargo-lambda leaves them: `FOLDER/NAME/bootstrap`.
    pub fn of_cargo_lambda(folder: &Path, command_line: &Path) -> Self {
        let function = |name| (name, folder.join(name).join("bootstrap"));
        Self { functions: FUNCTIONS.map(function).into(), command_line: command_line.to_owned() }
    }

    /// The functions as `sam build` leaves them: `FOLDER/TransferFunction/bootstrap`.
    pub fn of_sam(folder: &Path, command_line: &Path) -> Self {
        let function = |name| (name, folder.join(resource(name)).join("bootstrap"));
        Self { functions: FUNCTIONS.map(function).into(), command_line: command_line.to_owned() }
    }

    /// Files that begin as programs do, for tests that run none of them.
    pub fn pretended(folder: &Path, architecture: Architecture) -> Result<Self> {
        let head = [b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0", &architecture.machine()[..]].concat();
        let command_line = folder.join(COMMAND_LINE);
        let binaries = Self::of_cargo_lambda(folder, &command_line);
        for (name, path) in binaries.functions.iter().chain([(&COMMAND_LINE, &command_line)]) {
            fs::create_dir_all(path.parent().context("a file without a folder")?)?;
            fs::write(path, [&head, name.repeat(5000).as_bytes()].concat())?;
        }
        Ok(binaries)
    }
}

/// The template's name of a function: `TransferFunction` for `transfer`.
fn resource(function: &str) -> String {
    let words = function.split('-').map(|word| [&word[..1].to_uppercase(), &word[1..]].concat());
    words.chain(["Function".to_owned()]).collect()
}

/// A package, unpacked.
#[derive(Clone, Debug)]
pub struct Package {
    /// `s3-sftp-bridge-VERSION-ARCHITECTURE`
    pub folder: PathBuf,
    /// The bridge's version.
    pub version: String,
    /// The processor that it is for.
    pub architecture: Architecture,
}

impl Package {
    /// Makes a package of this version in the folder `into`. Everything but the programs is this workspace's.
    pub fn assemble(
        binaries: &Binaries,
        version: &str,
        architecture: Architecture,
        into: &Path,
    ) -> Result<Self> {
        Self::assemble_from(workspace(), binaries, version, architecture, into)
    }

    /// The same from another copy of the workspace.
    pub fn assemble_from(
        root: &Path,
        binaries: &Binaries,
        version: &str,
        architecture: Architecture,
        into: &Path,
    ) -> Result<Self> {
        let name = name_of(version, architecture);
        let folder = into.join(&name);
        fs::create_dir_all(into).with_context(|| format!("cannot create {}", into.display()))?;
        let unfinished = tempfile::Builder::new().prefix(&format!(".{name}-")).tempdir_in(into)?;
        let package =
            Self { folder: unfinished.path().to_owned(), version: version.to_owned(), architecture };
        package.fill(root, binaries)?;
        fs::set_permissions(unfinished.path(), Permissions::from_mode(0o755))?;
        if folder.exists() {
            ensure_replaceable(&folder)?;
            fs::remove_dir_all(&folder)?;
        }
        fs::rename(unfinished.keep(), &folder)?;
        Ok(Self { folder, ..package })
    }

    /// An error if a package of this version in the folder `into` would take the place of files that are not a
    /// package's.
    pub fn ensure_place(version: &str, architecture: Architecture, into: &Path) -> Result<()> {
        let folder = into.join(name_of(version, architecture));
        if folder.exists() { ensure_replaceable(&folder) } else { Ok(()) }
    }

    /// A package of this workspace's code for tests: the functions that tests use, without link-time optimisation, and
    /// the command line as it is built for development. A released package has other programs.
    pub async fn from_this_build(into: &Path) -> Result<Self> {
        stack::build(Priority::Normal).await?;
        let binaries = Binaries::of_sam(&stack::build_folder(), cli::build().await?);
        Self::assemble(&binaries, env!("CARGO_PKG_VERSION"), Architecture::of_this_machine(), into)
    }

    /// A package that was unpacked. An error if a file is missing or was changed.
    pub fn open(folder: &Path) -> Result<Self> {
        let listed = sums::check(folder)?;
        for file in FUNCTIONS.map(zip_of).iter().map(String::as_str).chain(DEFINITIONS).chain([COMMAND_LINE])
        {
            ensure!(listed.contains_key(file), "{} has no sum of {file}", folder.join(sums::FILE).display());
        }
        let template = fs::read_to_string(folder.join(template::FILE))
            .with_context(|| format!("{} has no {}", folder.display(), template::FILE))?;
        let (version, architecture) = template::facts(&template)?;
        Ok(Self { folder: folder.to_owned(), version, architecture })
    }

    /// Writes the package as one file, beside its folder, and the file's SHA-256 beside it.
    pub fn archive(&self) -> Result<PathBuf> {
        let name = self.name();
        let archive = self.archive_file();
        let files = sums::files(&self.folder)?;
        let entry = |file: &String| archive::Entry {
            name: format!("{name}/{file}"),
            mode: mode(file),
            contents: self.folder.join(file),
        };
        archive::write(&archive, &files.iter().map(entry).collect::<Vec<_>>())?;
        let sum = sums::of(&archive)?;
        let beside = archive.with_file_name(format!("{name}.zip.sha256"));
        fs::write(beside, sums::line(&sum, &format!("{name}.zip")))?;
        Ok(archive)
    }

    /// Where [`Package::archive`] writes.
    pub fn archive_file(&self) -> PathBuf {
        self.folder.with_file_name(format!("{}.zip", self.name()))
    }

    fn name(&self) -> String {
        self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The template.
    pub fn template(&self) -> PathBuf {
        self.folder.join(template::FILE)
    }

    /// The command line.
    pub fn command_line(&self) -> PathBuf {
        self.folder.join(COMMAND_LINE)
    }

    fn fill(&self, root: &Path, binaries: &Binaries) -> Result<()> {
        let mut zips = BTreeMap::new();
        for (function, bootstrap) in &binaries.functions {
            self.accept(bootstrap)?;
            let zip = zip_of(function);
            let entry =
                archive::Entry { name: "bootstrap".to_owned(), mode: 0o755, contents: bootstrap.clone() };
            archive::write(&self.folder.join(&zip), &[entry])?;
            self.finish(&zip)?;
            zips.insert(zip.clone(), sums::of(&self.folder.join(&zip))?);
        }
        self.accept(&binaries.command_line)?;
        self.copy(&binaries.command_line, COMMAND_LINE)?;
        for definition in DEFINITIONS {
            self.copy(&root.join("statemachine").join(definition), definition)?;
        }
        self.copy(&root.join("LICENSE"), "LICENSE")?;
        let source = root.join("sam/template.yaml");
        let source = fs::read_to_string(&source).with_context(|| format!("reading {}", source.display()))?;
        let template = template::packaged(&source, &self.version, self.architecture, &zips)?;
        self.write(template::FILE, &template)?;
        self.write(sbom::FILE, &sbom::document(root, &self.version, self.architecture)?)?;
        self.write(sums::FILE, &sums::document(&self.folder)?)
    }

    fn copy(&self, from: &Path, file: &str) -> Result<()> {
        fs::copy(from, self.folder.join(file)).with_context(|| format!("copying {}", from.display()))?;
        self.finish(file)
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        fs::write(self.folder.join(file), text).with_context(|| format!("writing {file}"))?;
        self.finish(file)
    }

    /// The same mode whatever the umask is.
    fn finish(&self, file: &str) -> Result<()> {
        Ok(fs::set_permissions(self.folder.join(file), Permissions::from_mode(mode(file)))?)
    }

    /// Whether this is a program for the package's processor.
    fn accept(&self, program: &Path) -> Result<()> {
        use std::io::Read;
        let mut head = [0; 20];
        let read = File::open(program).and_then(|mut file| file.read_exact(&mut head));
        read.with_context(|| format!("the program {} cannot be read; build it first", program.display()))?;
        let [0x7f, b'E', b'L', b'F', ..] = head else {
            bail!("{} is no program for Linux", program.display());
        };
        let found = Architecture::ALL.into_iter().find(|known| head[18..] == known.machine());
        ensure!(
            found == Some(self.architecture),
            "the package is for {}, and {} is a program for {}",
            self.architecture.name(),
            program.display(),
            found.map_or("another processor", Architecture::name)
        );
        Ok(())
    }
}

fn name_of(version: &str, architecture: Architecture) -> String {
    format!("{COMMAND_LINE}-{version}-{}", architecture.name())
}

/// Whether this folder has a package's files and no others: people put their partners' files and keys beside them.
fn ensure_replaceable(folder: &Path) -> Result<()> {
    ensure!(
        folder.join(sums::FILE).exists(),
        "{} is there already and is no package; choose another folder",
        folder.display()
    );
    let listed = sums::listed(folder)?;
    let files = sums::files(folder)?.into_iter();
    let others: Vec<_> = files.filter(|file| file != sums::FILE && !listed.contains_key(file)).collect();
    ensure!(
        others.is_empty(),
        "{} is there already, and has files that its {} does not list: {}; move them away, or choose another folder",
        folder.display(),
        sums::FILE,
        others.join(", ")
    );
    Ok(())
}

fn mode(file: &str) -> u32 {
    if file == COMMAND_LINE { 0o755 } else { 0o644 }
}

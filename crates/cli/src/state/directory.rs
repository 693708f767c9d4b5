//! The directory of the states.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::file;

/// Creates `directory`, or the default one. Fails if no file can be written there, and says why.
pub(super) fn prepare(directory: Option<PathBuf>) -> Result<PathBuf, String> {
    let directory = directory.or_else(default_directory).ok_or("neither XDG_STATE_HOME nor HOME is set")?;
    create(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    Ok(directory)
}

fn create(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    // An existing directory may be read-only.
    let probe = directory.join(format!(".{:016x}", fastrand::u64(..)));
    file::private().open(&probe)?;
    std::fs::remove_file(probe)
}

fn default_directory() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
    base.map(|base| base.join("s3-sftp-bridge"))
}

//! `SHA256SUMS`, as sha256sum reads it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

/// The name of the file.
pub const FILE: &str = "SHA256SUMS";

/// The SHA-256 of a file, in hexadecimal.
pub fn of(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("reading {}", path.display()))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match std::io::Read::read(&mut file, &mut buffer)? {
            0 => return Ok(hex(&hash.finalize())),
            read => hash.update(&buffer[..read]),
        }
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The line of a file.
pub fn line(sum: &str, file: &str) -> String {
    format!("{sum}  {file}\n")
}

/// The names of a folder's files, in order.
pub fn files(folder: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        files.push(entry?.file_name().to_string_lossy().into_owned());
    }
    files.sort();
    Ok(files)
}

/// The text of `SHA256SUMS` for a folder.
pub fn document(folder: &Path) -> Result<String> {
    let files = files(folder)?;
    let files = files.iter().filter(|file| *file != FILE);
    files.map(|file| Ok(line(&of(&folder.join(file))?, file))).collect()
}

/// The sums that `SHA256SUMS` lists, by file.
pub fn listed(folder: &Path) -> Result<BTreeMap<String, String>> {
    let list = folder.join(FILE);
    let text = fs::read_to_string(&list)
        .with_context(|| format!("{} is no package: it has no {FILE}", folder.display()))?;
    let mut sums = BTreeMap::new();
    for line in text.lines() {
        let Some((sum, file)) = line.split_once("  ") else {
            bail!("{} has a line without a sum and a name: {line:?}", list.display());
        };
        sums.insert(file.to_owned(), sum.to_owned());
    }
    Ok(sums)
}

/// Compares every file with `SHA256SUMS`, and returns the sums by file.
pub fn check(folder: &Path) -> Result<BTreeMap<String, String>> {
    let sums = listed(folder)?;
    for (file, sum) in &sums {
        let path = folder.join(file);
        ensure!(path.is_file(), "{} is missing; unpack the package again", path.display());
        let found = of(&path)?;
        ensure!(
            found == *sum,
            "{} was changed: its SHA-256 is {found}, and {FILE} says {sum}; unpack the package again",
            path.display()
        );
    }
    Ok(sums)
}

//! Archives that depend on nothing but their contents.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::DeflateEncoder;
use rawzip::time::UtcDateTime;
use rawzip::{CompressionMethod, ZipArchiveWriter};

/// 1980-01-01, the first time that the format has.
const TIME: i64 = 315_532_800;
/// The bits of a mode that say: a file.
const REGULAR: u32 = 0o100_000;

/// A file of an archive.
pub(super) struct Entry {
    /// Its name in the archive.
    pub(super) name: String,
    /// Its mode in the archive.
    pub(super) mode: u32,
    /// Where its contents are.
    pub(super) contents: PathBuf,
}

/// Writes an archive with these files, in the order of their names, all with the same time.
pub(super) fn write(path: &Path, entries: &[Entry]) -> Result<()> {
    let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    let mut archive = ZipArchiveWriter::new(BufWriter::new(file));
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    sorted.sort_by(|one, other| one.name.cmp(&other.name));
    for entry in sorted {
        add(&mut archive, entry).with_context(|| format!("packing {}", entry.contents.display()))?;
    }
    Ok(archive.finish()?.flush()?)
}

fn add(archive: &mut ZipArchiveWriter<BufWriter<File>>, entry: &Entry) -> Result<()> {
    let mut contents = File::open(&entry.contents)?;
    let (mut compressed, config) = archive
        .new_file(&entry.name)
        .compression_method(CompressionMethod::DEFLATE)
        .last_modified(UtcDateTime::from_unix(TIME))
        .unix_permissions(REGULAR | entry.mode)
        .start()?;
    let mut writer = config.wrap(DeflateEncoder::new(&mut compressed, Compression::default()));
    std::io::copy(&mut contents, &mut writer)?;
    let (encoder, descriptor) = writer.finish()?;
    encoder.finish()?;
    compressed.finish(descriptor)?;
    Ok(())
}

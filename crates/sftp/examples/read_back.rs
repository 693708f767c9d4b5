//! Reads a file and computes its CRC-64/NVME: `read_back HOST PORT USER KEY_FILE HOST_KEY REMOTE_PATH`.

#![allow(clippy::print_stdout, reason = "an example prints its result")]

use std::time::Instant;

use bridge::{ChecksumAlgorithm, RunningChecksum};
use sftp::OpenFlags;

#[path = "shared/arguments.rs"]
mod arguments;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (partner, rest) = arguments::parse()?;
    let path = rest.first().ok_or("missing argument REMOTE_PATH")?;
    let session = partner.connect().await?;
    let start = Instant::now();
    let sftp = session.sftp();
    let file = sftp.open(path, OpenFlags::READ).await?;
    let size = sftp.fstat(&file).await?.size.ok_or("the server does not report a size")?;
    let mut checksum = RunningChecksum::new(ChecksumAlgorithm::Crc64Nvme);
    let mut download = sftp.download(&file, 0, size);
    let mut read = 0;
    while let Some(bytes) = download.next().await? {
        read += bytes.len() as u64;
        checksum.update(&bytes);
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(r#"{{"seconds": {seconds}, "bytes": {read}, "crc64nvme": "{}"}}"#, checksum.checksum().value);
    session.disconnect().await;
    Ok(())
}

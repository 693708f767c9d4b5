//! Reads a file and computes its CRC-64/NVME: `read_back HOST PORT USER KEY_FILE HOST_KEY REMOTE_PATH`.

#![allow(clippy::print_stdout, reason = "an example prints its result")]

use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use crc_fast::{CrcAlgorithm, Digest};
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
    let mut checksum = Digest::new(CrcAlgorithm::Crc64Nvme);
    let mut download = sftp.download(&file, 0, size);
    let mut read = 0;
    while let Some(bytes) = download.next().await? {
        read += bytes.len() as u64;
        checksum.update(&bytes);
    }
    let seconds = start.elapsed().as_secs_f64();
    let checksum = BASE64.encode(checksum.finalize().to_be_bytes());
    println!(r#"{{"seconds": {seconds}, "bytes": {read}, "crc64nvme": "{checksum}"}}"#);
    session.disconnect().await;
    Ok(())
}

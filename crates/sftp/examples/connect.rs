//! Measures how long it takes until SFTP is ready: `connect HOST PORT USER KEY_FILE HOST_KEY`.

#![allow(clippy::print_stdout, reason = "an example prints its result")]

use std::time::Instant;

#[path = "shared/arguments.rs"]
mod arguments;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (partner, _) = arguments::parse()?;
    let start = Instant::now();
    let session = partner.connect().await?;
    println!(r#"{{"seconds": {}}}"#, start.elapsed().as_secs_f64());
    session.disconnect().await;
    Ok(())
}

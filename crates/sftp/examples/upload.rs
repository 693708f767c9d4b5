//! Sends a file, and resumes where an earlier run was cut off. To see that, press Ctrl-C in the middle and run it again:
//!
//! ```sh
//! cargo run --package pinned-sftp --example upload -- \
//!     acme@sftp.example.com:22 SHA256:UCUiLr7Pjs9wFFJMDByLgc3NrtdU344OgUM45wZPcIQ ~/.ssh/id_ed25519 \
//!     report.csv in/report.csv
//! ```

#![allow(clippy::print_stderr, reason = "it shows its progress in a terminal")]

use std::error::Error;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use sftp::{
    AHEAD_MAX, Caps, Endpoint, Journal, Login, OpenFlags, Options, PrivateKey, Session, TrustedHostKeys,
};

/// Length of a piece that is read from the local file, in bytes.
const PIECE: usize = 256 * 1024;

/// Shows up to where the server has acknowledged every byte.
struct Progress {
    size: u64,
}

impl Journal for Progress {
    type Mark = ();

    fn sent(&mut self, _: &[Bytes]) {}

    fn acknowledged(&mut self, offset: u64, (): ()) {
        eprint!("\r{offset} of {} bytes", self.size);
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [server, trusted, key_file, local, remote] = &arguments[..] else {
        return Err("usage: upload USER@HOST[:PORT] HOST-KEY KEY-FILE LOCAL-FILE REMOTE-FILE".into());
    };
    let (user, server) = server.split_once('@').ok_or("expected USER@HOST")?;
    let (host, port) = server.rsplit_once(':').unwrap_or((server, "22"));
    let endpoint = Endpoint { host: host.to_owned(), port: port.parse()? };
    let private_key = PrivateKey::parse(&std::fs::read_to_string(key_file)?.into(), None)?;
    let login = Login { user_name: user.to_owned(), private_key: Some(private_key), ..Login::default() };
    let trusted = TrustedHostKeys::parse(trusted)?;
    let session = Arc::new(Session::connect(&endpoint, &login, &trusted, &Options::default()).await?);
    let sent = upload(&session, local, remote).await;
    session.disconnect().await;
    sent
}

async fn upload(session: &Arc<Session>, local: &str, remote: &str) -> Result<(), Box<dyn Error>> {
    let mut file = File::open(local)?;
    let metadata = file.metadata()?;
    let size = metadata.len();
    // The name is unique for this version of the file: data under it was sent by an earlier run.
    let modified = metadata.modified()?.duration_since(UNIX_EPOCH)?.as_nanos();
    let partial = format!("{remote}.{size}-{modified:x}.partial");

    let sftp = session.sftp();
    let handle = sftp.open(&partial, OpenFlags::WRITE | OpenFlags::CREATE).await?;
    let held = sftp.fstat(&handle).await?.size.unwrap_or(0);
    // All but the last `AHEAD_MAX` bytes on the server are known to be without a gap.
    let offset = held.min(size).saturating_sub(AHEAD_MAX);
    file.seek(SeekFrom::Start(offset))?;

    let spread = session.spread(size - offset, Caps::default());
    let upload = session.upload(handle).offset(offset).held(held).spread(spread);
    let mut upload = upload.journal(Progress { size }).start();
    loop {
        let mut piece = vec![0; PIECE];
        let length = file.read(&mut piece)?;
        if length == 0 {
            break;
        }
        piece.truncate(length);
        upload.push(piece.into()).await?;
    }
    upload.flush().await?;
    let told = upload.finish(true).await?.attributes.and_then(|attributes| attributes.size);
    eprintln!();
    if told.is_some_and(|told| told != size) {
        return Err(format!("{partial} has {told:?} bytes on the server, not {size}").into());
    }
    // The file gets its final name when it is complete.
    sftp.rename(&partial, remote).await?;
    Ok(())
}

//! `throughput`: how fast a file is written and read.

use std::time::{Duration, Instant};

use bytes::Bytes;
use partner::files::{Reply, open_fresh};
use sftp::{OpenFlags, Sftp};

use crate::doctor::examination::{Doctor, Step, Stopped, answer, bytes_in_words, lost};
use crate::doctor::report::Finding;

/// Maximum size of the sample, in bytes.
const SAMPLE_MAX: u64 = 16 * 1024 * 1024;
/// Maximum time to write or read it.
const SAMPLE_TIME: Duration = Duration::from_secs(5);
/// Size of the block that the sample repeats, in bytes.
const BLOCK: usize = 256 * 1024;

/// What was sent or received.
struct Measured {
    bytes: u64,
    time: Duration,
}

impl Measured {
    fn rate(&self) -> f64 {
        self.bytes as f64 / self.time.as_secs_f64()
    }
}

pub(in crate::doctor) async fn check(doctor: &mut Doctor) -> Step<Finding> {
    // A sample that cannot be removed would stay, and one that somebody takes away would confuse them.
    if doctor.facts.delete != Some(true) {
        return Ok(Finding::absent("not measured: the file could not be removed"));
    }
    let path = doctor.scratch.file(".sample");
    let mut block = vec![0; BLOCK];
    fastrand::fill(&mut block);
    let block = Bytes::from(block);
    let sent = match send(doctor, &path, &block).await? {
        Reply::Done(sent) => sent,
        Reply::Refused(status) => {
            let error = bridge::Error::from(sftp::Error::from(status));
            let hint = "small files can be written, but not larger ones: ask the partner for the limit";
            return Ok(Finding::fail(error.message(), hint));
        }
    };
    doctor.facts.write_rate = Some(sent.rate());
    let mut found = format!("writes {}/s", bytes_in_words(sent.rate()));
    let (mut sample, mut gigabyte, mut with_proof) = (sent.bytes, 1e9 / sent.rate(), "");
    if doctor.facts.read == Some(true) {
        match answer(receive(&*doctor.sftp()?, &path, &block, sent.bytes).await)? {
            Reply::Done(Some(received)) => {
                doctor.facts.read_rate = Some(received.rate());
                found.push_str(&format!(", reads {}/s", bytes_in_words(received.rate())));
                sample = received.bytes;
                gigabyte += 1e9 / received.rate();
                with_proof = ", including reading it back";
            }
            Reply::Done(None) => {
                return Ok(Finding::fail(
                    format!("{found}; the file has other contents than were written"),
                    "something alters files on arrival: ask the partner what (a scanner, text mode)",
                ));
            }
            Reply::Refused(status) => found.push_str(&format!("; reading: {status}")),
        }
    }
    let sample = bytes_in_words(sample as f64);
    found.push_str(&format!(" ({sample} from this machine); 1 GB takes about {gigabyte:.0} s{with_proof}"));
    Ok(Finding::ok(found))
}

async fn send(doctor: &Doctor, path: &str, block: &Bytes) -> Step<Reply<Measured>> {
    let Some(session) = &doctor.session else { return Err(Stopped::Earlier) };
    // An eighth of the free space at most, so that the sample does not fill the disk.
    let sample = SAMPLE_MAX.min(doctor.facts.free_bytes.unwrap_or(SAMPLE_MAX) / 8);
    let file = match open_fresh(session.sftp(), path).await.map_err(|error| lost(error.into()))? {
        Reply::Done(file) => file,
        Reply::Refused(status) => return Ok(Reply::Refused(status)),
    };
    let mut upload = session.upload(file).start();
    let started = Instant::now();
    let sent = async {
        let mut bytes = 0;
        while bytes < sample.max(1) && started.elapsed() < SAMPLE_TIME {
            upload.push(block.clone()).await?;
            bytes += block.len() as u64;
        }
        upload.flush().await?;
        Ok(Measured { bytes, time: started.elapsed() })
    };
    let sent: sftp::Result<_> = sent.await;
    // Closed in any case, so that it can be removed.
    let closed = upload.finish(false).await;
    answer(sent.and_then(|sent| closed.map(|_| sent)))
}

/// Reads for [`SAMPLE_TIME`] at most. `None`: the contents are not those that were sent.
async fn receive(sftp: &Sftp, path: &str, block: &Bytes, length: u64) -> sftp::Result<Option<Measured>> {
    let file = sftp.open(path, OpenFlags::READ).await?;
    let started = Instant::now();
    let mut download = sftp.download(&file, 0, length);
    // Wherever an answer begins, its expected contents are here in one piece.
    let twice = [&block[..], block].concat();
    let mut offset = 0;
    let outcome = loop {
        match download.next().await {
            Ok(Some(bytes)) => {
                let start = offset % BLOCK;
                if twice.get(start..start + bytes.len()) != Some(&bytes[..]) {
                    break Ok(None);
                }
                offset += bytes.len();
                if started.elapsed() > SAMPLE_TIME {
                    break Ok(Some(Measured { bytes: offset as u64, time: started.elapsed() }));
                }
            }
            Ok(None) if offset as u64 == length => {
                break Ok(Some(Measured { bytes: length, time: started.elapsed() }));
            }
            Ok(None) => break Ok(None),
            Err(error) => break Err(error),
        }
    };
    drop(download);
    let _ = sftp.close(file).await;
    outcome
}

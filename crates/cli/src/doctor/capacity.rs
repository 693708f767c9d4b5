//! How fast it will be, how many channels and connections there may be; and cleaning up.

use std::time::{Duration, Instant};

use bridge::ErrorName;
use bytes::Bytes;
use sftp::{OpenFlags, Session, Sftp};

use super::files::bytes_in_words;
use super::names::open_fresh;
use super::{Doctor, Step};

/// So much is sent, or for so long, whichever comes first.
const SAMPLE: u64 = 16 * 1024 * 1024;
const SAMPLE_TIME: Duration = Duration::from_secs(5);
const BLOCK: usize = 256 * 1024;
const ROUND_TRIPS: usize = 5;

impl Doctor {
    /// Latency and throughput.
    pub(super) async fn measure(&mut self) -> Step {
        let sftp = self.sftp()?;
        let mut round_trips = Vec::new();
        for _ in 0..ROUND_TRIPS {
            let asked_at = Instant::now();
            // Any answer will do.
            let _ = self.answer("latency", sftp.stat(".").await)?;
            round_trips.push(asked_at.elapsed());
        }
        round_trips.sort_unstable();
        let round_trip = round_trips[ROUND_TRIPS / 2];
        self.findings.round_trip = Some(round_trip);
        let connect = self.findings.connect.map_or_else(String::new, |connect| {
            format!("; connecting and logging in took {:.0} ms", connect.as_secs_f64() * 1000.0)
        });
        self.report
            .ok("latency", format!("an answer takes {:.1} ms{connect}", round_trip.as_secs_f64() * 1000.0));
        // A sample that cannot be removed would stay, and so would one that is taken away by others.
        if self.findings.delete == Some(true) {
            self.measure_throughput(&sftp).await?;
        } else {
            self.report.absent("throughput", "not measured: the file could not be removed again");
        }
        Ok(())
    }

    async fn measure_throughput(&mut self, sftp: &Sftp) -> Step {
        let path = self.scratch.file(".sample");
        let mut block = vec![0; BLOCK];
        fastrand::fill(&mut block);
        let block = Bytes::from(block);
        // A disk that is nearly full is not filled by us.
        let sample = SAMPLE.min(self.findings.free_bytes.unwrap_or(SAMPLE) / 8);
        let sent = self.send(&path, &block, sample).await;
        let (length, took) = match self.answer("throughput", sent)? {
            Ok(sent) => sent,
            Err(error) => {
                let error = bridge::Error::from(error);
                let hint =
                    "small files can be written there and larger ones not; ask the partner for the limit";
                self.report.fail("throughput", error.message(), hint);
                return Ok(());
            }
        };
        let rate = length as f64 / took.as_secs_f64();
        self.findings.write_rate = Some(rate);
        let mut found = format!("writes {}/s", bytes_in_words(rate));
        let mut a_gigabyte = 1e9 / rate;
        if self.findings.read == Some(true) {
            let read = receive(sftp, &path, &block, length).await;
            match self.answer("throughput", read)? {
                Ok(Some((length, took))) => {
                    let rate = length as f64 / took.as_secs_f64();
                    self.findings.read_rate = Some(rate);
                    found.push_str(&format!(", reads {}/s", bytes_in_words(rate)));
                    a_gigabyte += 1e9 / rate;
                }
                Ok(None) => {
                    let hint =
                        "something alters files on arrival: ask the partner what (a scanner, text mode)";
                    self.report.fail(
                        "throughput",
                        format!("{found}; what is read is not what was written"),
                        hint,
                    );
                    return Ok(());
                }
                Err(error) => found.push_str(&format!("; reading: {error}")),
            }
        }
        let with_proof = if self.findings.read_rate.is_some() { ", reading back included" } else { "" };
        let sample = bytes_in_words(length as f64);
        found.push_str(&format!(
            " ({sample} from this machine); 1 GB takes about {a_gigabyte:.0} s{with_proof}"
        ));
        self.report.ok("throughput", found);
        Ok(())
    }

    async fn send(&self, path: &str, block: &Bytes, sample: u64) -> sftp::Result<(u64, Duration)> {
        let Some(session) = &self.session else { return Ok((0, Duration::ZERO)) };
        let file = open_fresh(session.sftp(), path).await?;
        let mut upload = session.upload(file).start();
        let started = Instant::now();
        let sent = async {
            let mut length = 0;
            while length < sample.max(1) && started.elapsed() < SAMPLE_TIME {
                upload.push(block.clone()).await?;
                length += block.len() as u64;
            }
            upload.flush().await?;
            Ok((length, started.elapsed()))
        };
        let sent: sftp::Result<_> = sent.await;
        // Closed in any case, so that it can be removed.
        let closed = upload.finish(false).await;
        sent.and_then(|sent| closed.map(|_| sent))
    }

    /// Takes away what is ours, on this connection or another.
    pub(super) async fn clean_up(&mut self, interrupted: bool) {
        if self.scratch.is_empty() {
            if self.session.is_some() {
                self.report.ok("clean-up", "nothing of ours is left");
            }
            return;
        }
        if self.session.as_ref().is_none_or(|session| session.sftp().is_poisoned()) {
            self.reconnect().await;
        }
        let mut problems = self.clear().await;
        if interrupted && !self.scratch.is_empty() {
            // A file that is still open cannot be removed everywhere; the end of its connection closes it.
            self.reconnect().await;
            problems = self.clear().await;
        }
        if self.scratch.is_empty() {
            self.report.ok("clean-up", "nothing of ours is left");
        } else {
            let found = format!("left behind: {}; {}", self.scratch.names(), problems.join("; "));
            self.report.warn("clean-up", found, "remove it by hand, or let the partner do it");
        }
    }

    async fn clear(&mut self) -> Vec<String> {
        match &self.session {
            Some(session) => self.scratch.clear(session.sftp()).await,
            None => vec!["no connection is left to remove it on".into()],
        }
    }

    async fn reconnect(&mut self) {
        let (Some(login), true) = (self.login.clone(), self.session.is_some()) else { return };
        self.disconnect().await;
        if self.may_be_refused(&login) {
            let session = self.connect(&login).await;
            self.session = session.ok().map(std::sync::Arc::new);
        }
    }

    /// What might end a session: only when nothing of ours is there any more.
    pub(super) async fn examine_connections(&mut self) {
        let Some(session) = self.session.clone() else { return };
        if session.sftp().is_poisoned() {
            return;
        }
        // Before the channels: a server that cuts a connection for a second one on it would look like one that allows none.
        self.examine_second_connection(&session).await;
        let second = async {
            let sftp = session.channel(1).await?;
            sftp.stat(".")
                .await
                .map(drop)
                .or_else(|error| if error.is_status() { Ok(()) } else { Err(error) })
        };
        let second = tokio::time::timeout(self.configuration.timeout(), second).await;
        let works = matches!(second, Ok(Ok(())));
        self.findings.second_channel = Some(works);
        let why = match second {
            Ok(Ok(())) => String::new(),
            Ok(Err(error)) => bridge::Error::from(error).message().to_owned(),
            Err(_) => "no answer".into(),
        };
        match works {
            true => self.report.ok("channels", "several channels on one connection are allowed"),
            false => self.report.absent("channels", format!("one on each connection: {why}")),
        }
        drop(session);
        self.disconnect().await;
        self.examine_methods().await;
    }

    async fn examine_second_connection(&mut self, session: &Session) {
        let Some(login) = self.login.clone() else { return };
        if !self.may_be_refused(&login) {
            return self
                .report
                .absent("connections", "a second one was not tried, for the sake of the account");
        }
        let timeout = self.configuration.timeout();
        let why = match session.reconnect().await.map_err(bridge::Error::from) {
            Ok(second) if second.is_alive(timeout).await => {
                second.disconnect().await;
                match session.is_alive(timeout).await {
                    true => None,
                    false => Some("it ended the first one".to_owned()),
                }
            }
            Ok(_) => Some("it was opened, and says nothing".to_owned()),
            Err(error) => {
                // Some servers refuse one connection too many as if the credential were wrong.
                self.refused +=
                    if error.name == ErrorName::AuthenticationRejected { self.cost(&login) } else { 0 };
                Some(error.message().to_owned())
            }
        };
        self.findings.second_connection = Some(why.is_none());
        let Some(why) = why else {
            return self.report.ok("connections", "a second one at the same time is allowed");
        };
        let keeps = !self.configuration.settings.keep_connection.is_zero();
        if self.configuration.settings.max_connections > 1 || keeps {
            self.report.fail(
                "connections",
                format!("a second one at the same time is not allowed: {why}"),
                "set SFTP_MAX_CONNECTIONS=1 and SFTP_KEEP_CONNECTION=0 (with SAM: MaxConnections=1, ConnectionsPerFile=1), or a step of a delivery keeps the next one out",
            );
        } else {
            self.report.absent("connections", format!("one at a time, as it is set: {why}"));
        }
    }
}

/// Reads for no longer than the sample may take; `None`: it is not what was sent.
async fn receive(
    sftp: &Sftp,
    path: &str,
    block: &Bytes,
    length: u64,
) -> sftp::Result<Option<(u64, Duration)>> {
    let file = sftp.open(path, OpenFlags::READ).await?;
    let started = Instant::now();
    let mut download = sftp.download(&file, 0, length);
    // Wherever an answer begins, what it is to be lies here in one piece.
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
                    break Ok(Some((offset as u64, started.elapsed())));
                }
            }
            Ok(None) if offset as u64 == length => break Ok(Some((length, started.elapsed()))),
            Ok(None) => break Ok(None),
            Err(error) => break Err(error),
        }
    };
    drop(download);
    let _ = sftp.close(file).await;
    outcome
}

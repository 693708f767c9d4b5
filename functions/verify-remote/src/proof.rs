//! Proving that the file on the server is the pinned object.

use std::time::Duration;

use bridge::{
    Checkpoint, Deadline, ErrorName, Hashes, IfExists, Mismatch, NUMBER_MAX, Proof, ProofPolicy, ReadBack,
    Result, RunningChecksum, RunningSha256, compare_with_stored,
};
use partner::files::{Patience, Seen, look, look_until};
use sftp::{FileHandle, OpenFlags, Sftp};

use crate::Deps;
use crate::hashes::{self, Known};

/// The file to prove.
pub(crate) struct Subject {
    path: String,
    partial: bool,
    /// Bytes, if the server says.
    size: Option<u64>,
}

impl Subject {
    /// The partial file; or the final one, if the transfer found it there or the partial file has become it. `None` if
    /// there is neither. A size or an absence that is not expected is believed only after some seconds.
    pub(crate) async fn find(sftp: &Sftp, checkpoint: &Checkpoint, stop: Deadline) -> Result<Option<Self>> {
        let candidates = [(checkpoint.remote.partial.clone(), true), (checkpoint.final_path(), false)];
        for (path, partial) in candidates.into_iter().skip(usize::from(checkpoint.already_there)) {
            let was_just_written = partial && !checkpoint.publishing;
            let seen = match was_just_written {
                true => look_until(sftp, &path, stop, |seen| is_as_sent(seen, checkpoint), patience).await?,
                false => look(sftp, &path).await?,
            };
            match seen {
                Seen::File(size) => return Ok(Some(Self { path, partial, size })),
                // A server that lets nothing be seen: what was acknowledged is all that is known.
                Seen::Hidden => return Ok(Some(Self { path, partial, size: None })),
                Seen::Nothing | Seen::Directory => {}
            }
        }
        Ok(None)
    }

    /// Whether it is known to be shorter than it is to be.
    pub(crate) fn is_shorter(&self, than: u64) -> bool {
        self.size.is_some_and(|size| size < than)
    }

    pub(crate) fn size(&self) -> Option<u64> {
        self.size
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn is_partial(&self) -> bool {
        self.partial
    }
}

fn is_as_sent(seen: Seen, checkpoint: &Checkpoint) -> bool {
    match seen {
        Seen::File(Some(size)) => size == checkpoint.object.size || checkpoint.sizes_unreliable,
        Seen::File(None) | Seen::Hidden => true,
        Seen::Nothing | Seen::Directory => false,
    }
}

fn patience(seen: Seen) -> Patience {
    if seen == Seen::Nothing { Patience::Short } else { Patience::Long }
}

pub(crate) enum Verdict {
    Proved {
        proof: Proof,
        warnings: Vec<String>,
    },
    /// It is another file, and may stay: where files are compared only.
    Differs,
    /// It was cut short; the checkpoint says where.
    StopCame,
}

/// What is to be found among the files that are kept under the final name.
pub(crate) enum Search {
    /// One with the same contents; the checkpoint says which.
    Same(Proof),
    /// None, and the checkpoint's is a name that is free.
    Free,
    /// None, and the name is taken.
    Taken,
    /// It was cut short; the checkpoint says where.
    StopCame,
}

pub(crate) struct Prover<'a> {
    pub(crate) deps: &'a Deps,
    pub(crate) sftp: &'a Sftp,
    pub(crate) stop: Deadline,
}

/// A server may take as long as for any request to hash a file, and a second more for so many bytes: a slow disk.
const HASH_RATE: u64 = 50_000_000;

/// How often the way read back is written into the checkpoint, bytes.
const RECORD_AFTER: u64 = 4 * 1024 * 1024;

/// Whether a way of proving could be gone.
enum Attempt {
    Done(Verdict),
    /// The server doesn't offer it, or refuses; says why.
    Refused(String),
}

impl Prover<'_> {
    /// Proves the size always, where the server tells it; then the contents as `SFTP_PROOF` asks.
    pub(crate) async fn prove(&self, subject: &Subject, checkpoint: &mut Checkpoint) -> Result<Verdict> {
        let expected = checkpoint.object.size;
        let told = subject.size.filter(|size| *size != expected);
        // Some servers tell 0 of every file. Of such a one the contents decide.
        let is_told_empty = told == Some(0) && subject.partial;
        if let Some(size) = told.filter(|_| !is_told_empty) {
            return Err(ErrorName::RemoteMismatch
                .error(format!("{:?} has {size} bytes on the server; {expected} were sent", subject.path)));
        }
        if let Some(Err(Mismatch { ours, stored })) = compare_with_stored(checkpoint) {
            return Err(ErrorName::RemoteMismatch.error(format!(
                "the bytes sent to {:?} have the checksum {ours}, but S3 stored {stored} for the object",
                subject.path
            )));
        }
        let policy = self.policy(checkpoint);
        let attempt = match policy {
            ProofPolicy::None => done(Proof::Unverified),
            ProofPolicy::Size => self.size(subject),
            ProofPolicy::Hash => self.server_hash(subject, checkpoint, true).await?,
            ProofPolicy::ReadBack => self.read_back(subject, checkpoint, |it| &mut it.read_back).await?,
            ProofPolicy::Auto => self.best(subject, checkpoint).await?,
        };
        let attempt = match is_told_empty {
            true => self.without_size(attempt, policy, subject, checkpoint)?,
            false => attempt,
        };
        match attempt {
            Attempt::Done(verdict) => Ok(verdict),
            Attempt::Refused(_) if may_be_anothers(checkpoint) => Err(ErrorName::RemoteMismatch.error(
                format!("{:?} may be this file already, but cannot be read to prove it", subject.path),
            )),
            Attempt::Refused(why) => {
                let stands = match checkpoint.remote.is_direct() {
                    true => "the file is there, and is not proved",
                    false => "nothing was published",
                };
                Err(ErrorName::InvalidConfig.error(format!(
                    "SFTP_PROOF demands a proof that the server does not give: {why}; {stands}. Set it to auto, or to what the server gives"
                )))
            }
        }
    }

    fn policy(&self, checkpoint: &Checkpoint) -> ProofPolicy {
        match self.deps.partner.settings.proof {
            // A file that someone else may have put there is taken for ours on the strength of its contents only.
            ProofPolicy::Size | ProofPolicy::None if may_be_anothers(checkpoint) => ProofPolicy::ReadBack,
            policy => policy,
        }
    }

    /// The server tells the size 0 of a file that was sent whole. That is not believed if the contents say otherwise, or
    /// if nothing is to be proved.
    fn without_size(
        &self,
        attempt: Attempt,
        policy: ProofPolicy,
        subject: &Subject,
        checkpoint: &mut Checkpoint,
    ) -> Result<Attempt> {
        let expected = checkpoint.object.size;
        match attempt {
            Attempt::Done(Verdict::Proved { proof, mut warnings })
                if matches!(proof, Proof::ServerHash | Proof::ReadBack) || policy == ProofPolicy::None =>
            {
                checkpoint.sizes_unreliable = true;
                warnings.push(format!(
                    "the server tells the size 0 of {:?}, where {expected} bytes were sent: its sizes were not believed",
                    subject.path
                ));
                Ok(Attempt::Done(Verdict::Proved { proof, warnings }))
            }
            Attempt::Done(Verdict::StopCame) => Ok(attempt),
            Attempt::Done(_) | Attempt::Refused(_) => Err(ErrorName::RemoteMismatch.error(format!(
                "{:?} has 0 bytes on the server; {expected} were sent. If the server tells 0 of every file and lets none be read, set SFTP_PROOF to none",
                subject.path
            ))),
        }
    }

    /// Looks through the files that are kept under the final name for one with the same contents. Contents and not
    /// size and time: fixed lengths are common, the clocks of two servers differ, and no version may end up there twice.
    pub(crate) async fn search(&self, checkpoint: &mut Checkpoint) -> Result<Search> {
        loop {
            let path = checkpoint.final_path();
            match self.sftp.stat(&path).await {
                Ok(None) => return Ok(Search::Free),
                Ok(Some(attributes)) => {
                    if attributes.size.is_none_or(|size| size == checkpoint.object.size) {
                        let subject = Subject { path, partial: false, size: attributes.size };
                        match self.compare(&subject, checkpoint).await? {
                            Verdict::Proved { proof, .. } => return Ok(Search::Same(proof)),
                            Verdict::StopCame => return Ok(Search::StopCame),
                            Verdict::Differs => {}
                        }
                    }
                }
                Err(error) if error.is_status() => return Err(self.cannot_tell(&error.to_string())),
                Err(error) => return Err(error.into()),
            }
            checkpoint.comparing = None;
            let if_exists = self.deps.partner.settings.policy.if_exists;
            if if_exists != IfExists::KeepBoth || checkpoint.number >= NUMBER_MAX {
                return Ok(Search::Taken);
            }
            checkpoint.number += 1;
        }
    }

    async fn compare(&self, subject: &Subject, checkpoint: &mut Checkpoint) -> Result<Verdict> {
        let demands_hash = self.deps.partner.settings.proof == ProofPolicy::Hash;
        let mut attempt = self.server_hash(subject, checkpoint, demands_hash).await;
        if !demands_hash && matches!(attempt, Ok(Attempt::Refused(_))) {
            attempt = self.read_back(subject, checkpoint, |it| &mut it.comparing).await;
        }
        match attempt {
            Ok(Attempt::Done(verdict)) => Ok(verdict),
            Ok(Attempt::Refused(why)) => Err(self.cannot_tell(&why)),
            Err(error) if error.name == ErrorName::RemoteMismatch => Ok(Verdict::Differs),
            Err(error) => Err(error),
        }
    }

    /// Whether what exists is this very file.
    fn cannot_tell(&self, why: &str) -> bridge::Error {
        ErrorName::InvalidConfig.error(format!(
            "SFTP_IF_EXISTS is {}, but the server does not let what exists be compared: {why}; nothing was published. Set it to replace",
            self.deps.partner.settings.policy.if_exists.as_str()
        ))
    }

    /// `auto`: the best that the server allows, and what it did not allow as warnings.
    async fn best(&self, subject: &Subject, checkpoint: &mut Checkpoint) -> Result<Attempt> {
        if let hashed @ Attempt::Done(_) = self.server_hash(subject, checkpoint, false).await? {
            return Ok(hashed);
        }
        let may_be_anothers = may_be_anothers(checkpoint);
        let mut refusals = match self.read_back(subject, checkpoint, |it| &mut it.read_back).await? {
            Attempt::Refused(why) if !may_be_anothers => vec![why],
            read_or_needed => return Ok(read_or_needed),
        };
        let proof = match self.size(subject) {
            Attempt::Done(_) => Proof::Size,
            Attempt::Refused(why) => {
                refusals.push(why);
                Proof::Unverified
            }
        };
        tracing::warn!(?proof, ?refusals, "the server does not let the contents be proved");
        Ok(Attempt::Done(Verdict::Proved { proof, warnings: refusals }))
    }

    /// [`prove`](Self::prove) has compared the size already, if there is one.
    fn size(&self, subject: &Subject) -> Attempt {
        match subject.size {
            Some(_) => done(Proof::Size),
            None => Attempt::Refused("the server does not tell the size".into()),
        }
    }

    /// With `demanded`, the object is read from S3 once more if its SHA-256 was not computed on the way, and the server
    /// may take all the time there is.
    async fn server_hash(
        &self,
        subject: &Subject,
        checkpoint: &mut Checkpoint,
        demanded: bool,
    ) -> Result<Attempt> {
        if !self.sftp.can_hash() {
            return Ok(Attempt::Refused("it offers no check-file extension".into()));
        }
        if checkpoint.hash_given_up && !demanded {
            return Ok(Attempt::Refused("it did not finish hashing the file".into()));
        }
        let size = checkpoint.object.size;
        let patience = self.sftp.stall_timeout() + Duration::from_secs(size / HASH_RATE);
        if patience > self.stop.remaining() && !demanded {
            // Reading back can be cut short, and goes on in the next call.
            return Ok(Attempt::Refused(format!("it may take {} s to hash the file", patience.as_secs())));
        }
        match hashes::know(self.deps, checkpoint, Hashes { sha256: demanded, md5: false }, self.stop).await? {
            Known::Yes => {}
            Known::NotYet => return Ok(Attempt::Done(Verdict::StopCame)),
            Known::Never(why) => {
                return Ok(Attempt::Done(Verdict::Proved { proof: Proof::Size, warnings: vec![why] }));
            }
        }
        let Some(expected) = checkpoint.sha256.as_ref().map(RunningSha256::digest) else {
            return Ok(Attempt::Refused("no SHA-256 was computed on the way".into()));
        };
        let file = match self.open(subject).await? {
            Ok(file) => file,
            Err(why) => return Ok(Attempt::Refused(why)),
        };
        let hash = match self.sftp.sha256(&file, size, patience).await {
            Err(error) if !error.is_status() => {
                // Some servers do nothing else meanwhile, and seem dead. The file is read back in another session.
                checkpoint.hash_given_up = true;
                return Err(error.into());
            }
            answer => answer,
        };
        self.close(file).await?;
        match hash {
            Ok(Some(hash)) if hash[..] == expected[..] => Ok(done(Proof::ServerHash)),
            Ok(Some(_)) => Err(ErrorName::RemoteMismatch.error(format!(
                "{:?}: the server's SHA-256 differs from that of the bytes sent",
                subject.path
            ))),
            Ok(None) => Ok(Attempt::Refused("it hashes, but not with SHA-256".into())),
            // ProFTPD hashes nothing that begins at the end of a file. Of an empty one the size says all.
            Err(_) if demanded && (subject.size, size) == (Some(0), 0) => Ok(done(Proof::Size)),
            Err(error) => Ok(Attempt::Refused(error.to_string())),
        }
    }

    /// Goes on where `so_far` says, and keeps it up to date: this future may be dropped at any moment.
    async fn read_back(
        &self,
        subject: &Subject,
        checkpoint: &mut Checkpoint,
        so_far: impl Fn(&mut Checkpoint) -> &mut Option<ReadBack>,
    ) -> Result<Attempt> {
        let file = match self.open(subject).await? {
            Ok(file) => file,
            Err(why) => return Ok(Attempt::Refused(why)),
        };
        let outcome = self.read(&file, subject, checkpoint, so_far).await;
        if outcome.is_ok() {
            self.close(file).await?;
        }
        outcome
    }

    async fn read(
        &self,
        file: &FileHandle,
        subject: &Subject,
        checkpoint: &mut Checkpoint,
        so_far: impl Fn(&mut Checkpoint) -> &mut Option<ReadBack>,
    ) -> Result<Attempt> {
        let (size, expected) = (checkpoint.object.size, checkpoint.checksum.clone());
        let so_far = so_far(checkpoint);
        let (start, mut running) = match so_far {
            Some(read_back) => (read_back.offset, RunningChecksum::resume(&read_back.checksum)?),
            None => (0, RunningChecksum::new(expected.algorithm)),
        };
        let mut offset = start;
        let mut download = self.sftp.download(file, start, size);
        loop {
            let next = download.next().await;
            if let Ok(Some(bytes)) = &next {
                running.update(bytes);
                offset += bytes.len() as u64;
                (self.deps.on_progress)(offset, size);
            }
            let recorded = so_far.as_ref().map_or(0, |read_back| read_back.offset);
            let goes_on = matches!(next, Ok(Some(_))) && !self.stop.has_passed();
            if offset > recorded && (!goes_on || offset - recorded >= RECORD_AFTER) {
                *so_far = Some(ReadBack { offset, checksum: running.checksum() });
            }
            match next {
                Ok(Some(_)) if !goes_on && offset < size => return Ok(Attempt::Done(Verdict::StopCame)),
                Ok(Some(_)) => {}
                Ok(None) => break,
                // Whoever has let a part be read does not refuse it.
                Err(error) if error.is_status() && offset == 0 => {
                    return Ok(Attempt::Refused(error.to_string()));
                }
                Err(error) => return Err(error.into()),
            }
        }
        let read = running.checksum();
        if offset == size && read == expected {
            return Ok(done(Proof::ReadBack));
        }
        // Read from the start if it comes to that again.
        *so_far = None;
        Err(ErrorName::RemoteMismatch.error(format!(
            "{:?}: {offset} of {size} bytes were read back, with the checksum {}; that of the bytes sent is {}",
            subject.path, read.value, expected.value
        )))
    }

    async fn open(&self, subject: &Subject) -> Result<std::result::Result<FileHandle, String>> {
        match self.sftp.open(&subject.path, OpenFlags::READ).await {
            Ok(file) => Ok(Ok(file)),
            Err(error) if error.is_status() => Ok(Err(error.to_string())),
            Err(error) => Err(error.into()),
        }
    }

    /// A file that was only read: how its close is answered does not matter.
    async fn close(&self, file: FileHandle) -> Result<()> {
        match self.sftp.close(file).await {
            Err(error) if !error.is_status() => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// Whether someone else may have put the file there.
fn may_be_anothers(checkpoint: &Checkpoint) -> bool {
    checkpoint.already_there || checkpoint.vanished
}

fn done(proof: Proof) -> Attempt {
    Attempt::Done(Verdict::Proved { proof, warnings: Vec::new() })
}

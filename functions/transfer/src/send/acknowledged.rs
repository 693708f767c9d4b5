//! What the server has acknowledged so far. It outlives the session, so a lost session loses nothing.

use std::sync::{Mutex, MutexGuard};

use bridge::{Checkpoint, Checksum, Digests, Hashes, OnProgress, Phase, Result, RunningChecksum};
use bytes::Bytes;

/// **Invariant:** offset and digests cover the same bytes, all of them acknowledged without a gap.
pub(crate) struct Acknowledged(Mutex<Checkpoint>);

/// How far it had come at some moment. After starting over, every byte is further than before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark {
    restarts: u32,
    pub(crate) offset: u64,
}

/// A file that may be this object. `verify-remote` proves it before anything relies on it.
pub(crate) struct Found {
    /// See [`Route::numbered`].
    pub(crate) number: u32,
    /// What S3 stored of the object: what the file is proved by.
    pub(crate) checksum: Checksum,
}

impl Acknowledged {
    pub(crate) fn new(checkpoint: Checkpoint) -> Self {
        Self(Mutex::new(checkpoint))
    }

    fn lock(&self) -> MutexGuard<'_, Checkpoint> {
        bridge::lock(&self.0)
    }

    pub(crate) fn checkpoint(&self) -> Checkpoint {
        self.lock().clone()
    }

    pub(crate) fn offset(&self) -> u64 {
        self.lock().sent.offset
    }

    pub(crate) fn mark(&self) -> Mark {
        let sent = &self.lock().sent;
        Mark { restarts: sent.restarts, offset: sent.offset }
    }

    /// Whether bytes were acknowledged since.
    pub(crate) fn is_beyond(&self, mark: Mark) -> bool {
        let now = self.mark();
        now > mark && now.offset > 0
    }

    /// The server refused to take more, in the middle of a session that had come so far.
    pub(crate) fn refused_here(&self) {
        let sent = &mut self.lock().sent;
        sent.refused_at = Some(sent.offset);
    }

    pub(crate) fn was_refused_here(&self) -> bool {
        let sent = &self.lock().sent;
        sent.refused_at == Some(sent.offset)
    }

    /// The server refused to close the file, or to continue it: no later call believes what it holds.
    pub(crate) fn distrust(&self) {
        self.lock().sent.distrusted = true;
    }

    /// The server has written the file to its disk.
    pub(crate) fn synced(&self) {
        self.lock().sent.synced = true;
    }

    /// Another session has taken over.
    pub(crate) fn resume(&self) {
        self.lock().report.resumes += 1;
    }

    /// The server accepted this version of the secret, which is not the current one.
    pub(crate) fn logged_in_with(&self, version_id: Option<String>) {
        self.lock().report.credential_version_id = version_id;
    }

    pub(crate) fn credential_version_id(&self) -> Option<String> {
        self.lock().report.credential_version_id.clone()
    }

    /// The server is known to hold these bytes, which follow the acknowledged ones, from an earlier session.
    pub(crate) fn add_proved(&self, bytes: &[u8]) {
        let sent = &mut self.lock().sent;
        sent.digests.update(bytes);
        sent.offset += bytes.len() as u64;
    }

    /// Continues at byte 0; this counts as a restart if it was further. The hashes that are `wanted` are computed.
    pub(crate) fn start_over(&self, wanted: Hashes) {
        let Checkpoint { object, sent, .. } = &mut *self.lock();
        sent.digests = Digests::new(object, wanted);
        sent.restarts += u32::from(sent.offset > 0);
        sent.offset = 0;
        sent.synced = false;
    }

    /// Continues at byte 0 because of how the file was sent, not because of what the server can do: this counts as no restart.
    pub(crate) fn send_again(&self) {
        let Checkpoint { object, sent, .. } = &mut *self.lock();
        sent.digests = Digests::new(object, Hashes::default());
        sent.offset = 0;
        sent.synced = false;
    }

    /// There is nothing to send: the file under the final name is to be proved.
    pub(crate) fn found(&self, found: Found) -> Result<()> {
        let checksum = RunningChecksum::resume(&found.checksum)?;
        let checkpoint = &mut *self.lock();
        checkpoint.name.number = found.number;
        // The hashes of what was sent before are of its beginning only.
        checkpoint.sent.digests = Digests { checksum, sha256: None, md5: None };
        checkpoint.phase = Phase::found();
        Ok(())
    }

    /// Every byte is acknowledged, and the file is closed.
    pub(crate) fn sent(&self) {
        self.lock().phase = Phase::sent();
    }

    /// For the receipt.
    pub(crate) fn warn(&self, warning: String) {
        self.lock().report.warnings.push(warning);
    }

    /// For an upload that continues from here.
    pub(crate) fn journal<'a>(&'a self, on_progress: &'a OnProgress) -> Journal<'a> {
        let checkpoint = self.lock();
        let (size, sent) = (checkpoint.object.size, checkpoint.sent.digests.clone());
        Journal { acknowledged: self, on_progress, size, sent }
    }
}

/// Computes the digests of bytes when they are sent, so that the bytes need not be kept until they are acknowledged.
pub(crate) struct Journal<'a> {
    acknowledged: &'a Acknowledged,
    on_progress: &'a OnProgress,
    size: u64,
    sent: Digests,
}

impl sftp::Journal for Journal<'_> {
    type Mark = Digests;

    fn sent(&mut self, parts: &[Bytes]) -> Digests {
        let mut length = 0;
        for part in parts {
            self.sent.update(part);
            length += part.len() as u64;
        }
        self.acknowledged.lock().report.bytes_sent += length;
        self.sent.clone()
    }

    fn acknowledged(&mut self, offset: u64, digests: Digests) {
        let mut checkpoint = self.acknowledged.lock();
        checkpoint.sent.offset = offset;
        checkpoint.sent.digests = digests;
        drop(checkpoint);
        (self.on_progress)(offset, self.size);
    }
}

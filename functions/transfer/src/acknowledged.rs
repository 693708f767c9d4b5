//! What the server has acknowledged so far. It outlives the session, so that a session that is lost loses nothing.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bridge::{Checkpoint, Checksum, Digests, Hashes, OnProgress, Result, Status};
use bytes::Bytes;
use sftp::Journal;

/// **Invariant:** offset and digests speak of the same bytes, all of them acknowledged without a gap.
pub(crate) struct Acknowledged(Mutex<State>);

/// How far it had come at some moment. Whoever has started over since is further from the first byte on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark {
    restarts: u32,
    pub(crate) offset: u64,
}

struct State {
    checkpoint: Checkpoint,
    digests: Digests,
}

impl Acknowledged {
    pub(crate) fn new(checkpoint: Checkpoint) -> Result<Self> {
        let digests = Digests::resume(&checkpoint)?;
        Ok(Self(Mutex::new(State { checkpoint, digests })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn offset(&self) -> u64 {
        self.lock().checkpoint.offset
    }

    pub(crate) fn mark(&self) -> Mark {
        let Checkpoint { restarts, offset, .. } = self.lock().checkpoint;
        Mark { restarts, offset }
    }

    /// Whether bytes were acknowledged since.
    pub(crate) fn is_beyond(&self, mark: Mark) -> bool {
        let now = self.mark();
        now > mark && now.offset > 0
    }

    /// The server refused to take more, in the middle of a session that had brought it so far.
    pub(crate) fn refused_here(&self) {
        let State { checkpoint, .. } = &mut *self.lock();
        checkpoint.refused_at = Some(checkpoint.offset);
    }

    pub(crate) fn was_refused_here(&self) -> bool {
        let State { checkpoint, .. } = &*self.lock();
        checkpoint.refused_at == Some(checkpoint.offset)
    }

    /// The server refused to close the file, or to continue it: what it holds is not to be believed in any later call.
    pub(crate) fn distrust(&self) {
        self.lock().checkpoint.distrusted = true;
    }

    /// The server has written the file to its disk.
    pub(crate) fn synced(&self) {
        self.lock().checkpoint.synced = true;
    }

    /// Another session has taken over.
    pub(crate) fn resume(&self) {
        self.lock().checkpoint.resumes += 1;
    }

    /// The server took this version of the secret.
    pub(crate) fn logged_in_with(&self, version_id: Option<String>) {
        self.lock().checkpoint.credential_version_id = version_id;
    }

    /// The version of the secret that the server took, if it was not the current one.
    pub(crate) fn credential_version_id(&self) -> Option<String> {
        self.lock().checkpoint.credential_version_id.clone()
    }

    /// The server is known to hold these bytes, which follow those before, from an earlier session.
    pub(crate) fn add_proved(&self, bytes: &[u8]) {
        let State { checkpoint, digests } = &mut *self.lock();
        digests.update(bytes);
        checkpoint.offset += bytes.len() as u64;
    }

    /// From the first byte; if it was further already, this counts as a restart. What is `wanted` is computed along.
    pub(crate) fn start_over(&self, wanted: Hashes) {
        let State { checkpoint, digests } = &mut *self.lock();
        *digests = Digests::new(checkpoint, wanted);
        checkpoint.restarts += u32::from(checkpoint.offset > 0);
        checkpoint.offset = 0;
        checkpoint.synced = false;
    }

    /// The final name, or that of the `number`th file that is kept under it, seems to hold the file already: there is
    /// nothing to send, and all to prove. What is to be proved is that it has the checksum that S3 stored.
    pub(crate) fn is_already_there(&self, number: u32, stored: &Checksum) -> Result<()> {
        let State { checkpoint, digests } = &mut *self.lock();
        checkpoint.number = number;
        checkpoint.checksum = stored.clone();
        // Those of what was sent before it was found are of its beginning only.
        checkpoint.sha256 = None;
        checkpoint.md5 = None;
        *digests = Digests::resume(checkpoint)?;
        checkpoint.already_there = true;
        checkpoint.status = Status::Complete;
        Ok(())
    }

    /// For the receipt.
    pub(crate) fn warn(&self, warning: String) {
        self.lock().checkpoint.warnings.push(warning);
    }

    pub(crate) fn complete(&self) {
        self.lock().checkpoint.status = Status::Complete;
    }

    pub(crate) fn checkpoint(&self) -> Checkpoint {
        let State { checkpoint, digests } = &*self.lock();
        let mut checkpoint = checkpoint.clone();
        digests.store(&mut checkpoint);
        checkpoint
    }

    /// For an upload that goes on from here.
    pub(crate) fn journal<'a>(&'a self, on_progress: &'a OnProgress) -> Sending<'a> {
        let state = self.lock();
        Sending {
            acknowledged: self,
            on_progress,
            size: state.checkpoint.object.size,
            sent: state.digests.clone(),
        }
    }
}

/// Digests run ahead with what is sent, so that the bytes need not be kept until they are acknowledged.
pub(crate) struct Sending<'a> {
    acknowledged: &'a Acknowledged,
    on_progress: &'a OnProgress,
    size: u64,
    sent: Digests,
}

impl Journal for Sending<'_> {
    type Mark = Digests;

    fn sent(&mut self, parts: &[Bytes]) -> Digests {
        let mut length = 0;
        for part in parts {
            self.sent.update(part);
            length += part.len() as u64;
        }
        self.acknowledged.lock().checkpoint.bytes_sent += length;
        self.sent.clone()
    }

    fn acknowledged(&mut self, offset: u64, digests: Digests) {
        let mut state = self.acknowledged.lock();
        state.checkpoint.offset = offset;
        state.digests = digests;
        drop(state);
        (self.on_progress)(offset, self.size);
    }
}

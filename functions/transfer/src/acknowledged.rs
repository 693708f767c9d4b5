//! What the server has acknowledged so far. It outlives the slice, so that a slice that is given up loses nothing.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bridge::{Checkpoint, Checksum, Result, RunningChecksum, RunningSha256, Status};

/// **Invariant:** offset, checksum and SHA-256 speak of the same bytes, all of them acknowledged without a gap.
pub(crate) struct Acknowledged(Mutex<State>);

struct State {
    checkpoint: Checkpoint,
    checksum: RunningChecksum,
}

impl Acknowledged {
    pub(crate) fn new(checkpoint: Checkpoint) -> Result<Self> {
        let checksum = RunningChecksum::resume(&checkpoint.checksum)?;
        Ok(Self(Mutex::new(State { checkpoint, checksum })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server has acknowledged these bytes, too. Returns the new offset.
    pub(crate) fn add(&self, bytes: &[u8]) -> u64 {
        let State { checkpoint, checksum } = &mut *self.lock();
        checksum.update(bytes);
        if let Some(sha256) = &mut checkpoint.sha256 {
            sha256.update(bytes);
        }
        checkpoint.offset += bytes.len() as u64;
        checkpoint.offset
    }

    /// These bytes were sent, acknowledged or not.
    pub(crate) fn count_sent(&self, bytes: usize) {
        self.lock().checkpoint.bytes_sent += bytes as u64;
    }

    /// The partial file cannot be continued: all starts over. With `hash`, SHA-256 is computed along.
    pub(crate) fn start_over(&self, hash: bool) {
        let State { checkpoint, checksum } = &mut *self.lock();
        *checksum = RunningChecksum::new(checkpoint.checksum.algorithm);
        checkpoint.offset = 0;
        checkpoint.sha256 = hash.then(RunningSha256::default);
    }

    /// The final name seems to hold the file already: there is nothing to send, and all to prove. What is to be proved
    /// is that it has the checksum that S3 stored.
    pub(crate) fn is_already_there(&self, stored: &Checksum) -> Result<()> {
        let State { checkpoint, checksum } = &mut *self.lock();
        *checksum = RunningChecksum::resume(stored)?;
        checkpoint.already_there = true;
        checkpoint.status = Status::Complete;
        Ok(())
    }

    pub(crate) fn complete(&self) {
        self.lock().checkpoint.status = Status::Complete;
    }

    pub(crate) fn checkpoint(&self) -> Checkpoint {
        let state = self.lock();
        Checkpoint { checksum: state.checksum.checksum(), ..state.checkpoint.clone() }
    }
}

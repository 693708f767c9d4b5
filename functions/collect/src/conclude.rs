//! What the end of reading means for the collection.

use std::time::Duration;

use bridge::collect::{CollectProgress, StoredObject};
use bridge::{Error, ErrorName, Result};

use crate::ending::Ending;
use crate::publish::Published;
use crate::read::{Collecting, Read};

/// Pause before a call that lost its session returns: a partner that cuts every connection is not called back at once.
const PAUSE: Duration = Duration::from_secs(1);

/// Maximum time to remove the parts of an upload that nobody needs.
const ABORT_MAX: Duration = Duration::from_secs(10);

/// How a call ends.
pub(crate) enum End {
    /// S3 has the object.
    Stored(StoredObject),
    /// Nothing is stored.
    Ended(Ending),
    /// Nothing is stored, and no further call would change that.
    Refused(Error),
    /// The next call continues.
    OutOfTime,
}

impl Collecting<'_> {
    /// Reads and publishes. Whatever it returns, [`conclude`](Self::conclude) follows.
    pub(crate) async fn run(&mut self) -> Result<End> {
        let limit = self.call.limit.remaining();
        let outcome = tokio::time::timeout(limit, Box::pin(self.read_and_publish())).await;
        outcome.unwrap_or_else(|_| Err(self.call.no_answer()))
    }

    async fn read_and_publish(&mut self) -> Result<End> {
        loop {
            match Box::pin(self.over_sessions()).await? {
                Read::Whole => {}
                Read::Stored(object) => {
                    self.writer.abort().await;
                    return Ok(End::Stored(object));
                }
                Read::Ended(ending) => return Ok(End::Ended(ending)),
                Read::OutOfTime => return Ok(End::OutOfTime),
                Read::UploadGone(gone) => match self.begin_again(self.writer.confirmed().0, &gone).await? {
                    Some(object) => return Ok(End::Stored(object)),
                    None => continue,
                },
            }
            match Box::pin(self.publish()).await? {
                Published::Object(object) => return Ok(End::Stored(object)),
                Published::Refused(error) => return Ok(End::Refused(error)),
                Published::Again => {}
            }
        }
    }

    /// Returns a checkpoint if S3 has more than before, or a receipt if there is nothing to store.
    pub(crate) async fn conclude(mut self, outcome: Result<End>) -> Result<CollectProgress> {
        let error = match outcome {
            Ok(End::Stored(object)) => {
                tracing::info!(object_key = self.writer.place().object_key, "stored");
                return Ok(self.stored(object));
            }
            Ok(End::Ended(ending)) => {
                self.abort().await;
                return Ok(self.call.ended(ending, &self.report));
            }
            Ok(End::Refused(error)) => {
                self.abort().await;
                return Err(error);
            }
            Ok(End::OutOfTime) => None,
            Err(error) => Some(error),
        };
        // Parts that are on their way are not sent twice.
        let limit = self.call.limit.remaining();
        if let Ok(Err(late)) = tokio::time::timeout(limit, self.writer.settle()).await {
            tracing::warn!(?late, "a part was not stored");
        }
        if !self.has_progressed() {
            if self.has_new_upload() {
                self.abort().await;
            }
            return Err(error.unwrap_or_else(|| self.too_slow()));
        }
        if let Some(error) = error {
            tracing::warn!(%error, "stopped after making progress; the next call continues from the checkpoint");
            tokio::time::sleep(PAUSE.min(self.call.deadline.remaining() / 2)).await;
        }
        tracing::info!(offset = self.mark().offset, size = self.file().size, "stored in part");
        Ok(self.reading())
    }

    async fn abort(&mut self) {
        let limit = ABORT_MAX.min(self.call.deadline.remaining() / 2);
        if tokio::time::timeout(limit, self.writer.abort()).await.is_err() {
            tracing::warn!("the uploaded parts could not be removed: no answer");
        }
    }

    /// Not even one part was read in the time of a call.
    fn too_slow(&self) -> Error {
        let earlier = self.call.input.checkpoint.as_ref().map_or(0, |earlier| earlier.report.bytes_read);
        ErrorName::ConnectionLost.error(format!(
            "{}: too slow to go on: {} bytes of {:?} were read in a whole call, and S3 takes no smaller part",
            self.call.deps.settings.host,
            self.report.bytes_read - earlier,
            self.file().remote_path()
        ))
    }
}

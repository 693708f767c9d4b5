//! Whether there is anything to read, and where it goes.

use aws::{ObjectWriter, Unwritten};
use bridge::collect::{CollectCheckpoint, CollectPhase, CollectProgress, CollectReport, Destination};
use bridge::{ErrorName, Result};

use crate::call::Call;
use crate::destination::Place;
use crate::read::{Collecting, Mark};

/// What the call has to do.
pub(crate) enum Admission<'a> {
    /// Nothing: an earlier call has stored the object, or an earlier execution.
    Ended(CollectProgress),
    /// Read the file from the start, or continue an earlier call.
    Read(Box<Collecting<'a>>),
}

impl Call<'_> {
    /// Decides before anything connects to the partner.
    pub(crate) async fn admit(&self) -> Result<Admission<'_>> {
        let size = self.input.file.size;
        if size > ObjectWriter::SIZE_MAX {
            let (path, most) = (self.input.file.remote_path(), ObjectWriter::SIZE_MAX);
            return Err(ErrorName::ObjectWriteRefused.error(format!(
                "{path:?} has {size} bytes, and S3 stores {most} bytes at most in one object"
            )));
        }
        match &self.input.checkpoint {
            Some(checkpoint) if checkpoint.is_reading() => self.resume(checkpoint).await,
            Some(checkpoint) => {
                Ok(Admission::Ended(CollectProgress::Checkpoint(Box::new(checkpoint.clone()))))
            }
            None => {
                let report = CollectReport { started_at: aws::now(), ..CollectReport::default() };
                self.start(report).await
            }
        }
    }

    async fn start(&self, report: CollectReport) -> Result<Admission<'_>> {
        match self.place(self.time(&report)).await? {
            Place::Collected(destination, object) => {
                tracing::info!(object_key = destination.object_key, "the object is there already");
                let (phase, file) = (CollectPhase::Stored(object), self.input.file.clone());
                let checkpoint = CollectCheckpoint { phase, file, destination, report };
                Ok(Admission::Ended(CollectProgress::Checkpoint(Box::new(checkpoint))))
            }
            Place::Open { destination, similar } => {
                let collecting = Collecting::new(self, self.writer(destination), report, Mark::default());
                Ok(Admission::Read(Box::new(collecting.knowing(similar))))
            }
        }
    }

    async fn resume(&self, checkpoint: &CollectCheckpoint) -> Result<Admission<'_>> {
        let CollectCheckpoint { phase, destination, report, .. } = checkpoint.clone();
        let CollectPhase::Reading { offset, checksum, upload: Some(upload) } = phase else {
            // Nothing was stored, but another call of this execution may have been killed behind this checkpoint.
            return self.start(report).await;
        };
        let start = Mark { restarts: report.restarts, offset };
        let (s3, size) = (&self.deps.clients.s3, self.input.file.size);
        match ObjectWriter::resume(s3, destination.clone(), size, &upload, (offset, checksum)).await {
            Ok(writer) => Ok(Admission::Read(Box::new(Collecting::new(self, writer, report, start)))),
            Err(Unwritten::Failed(error)) => Err(error),
            Err(gone @ (Unwritten::UploadGone(_) | Unwritten::Exists)) => {
                let mut collecting = Collecting::new(self, self.writer(destination), report, start);
                match collecting.begin_again(offset, &gone).await? {
                    Some(object) => Ok(Admission::Ended(collecting.stored(object))),
                    None => Ok(Admission::Read(Box::new(collecting))),
                }
            }
        }
    }

    /// A writer that begins at byte 0.
    pub(crate) fn writer(&self, destination: Destination) -> ObjectWriter {
        ObjectWriter::new(&self.deps.clients.s3, destination, self.input.file.size)
    }

    /// The time that a date in the object key is taken from: the same in every call of an execution.
    pub(crate) fn time<'r>(&'r self, report: &'r CollectReport) -> &'r str {
        let start = &self.input.execution.start_time;
        if start.is_empty() { &report.started_at } else { start }
    }
}

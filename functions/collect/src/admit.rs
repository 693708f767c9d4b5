//! Whether there is anything to read, and where it goes.

use aws::{ObjectWriter, Unwritten};
use bridge::collect::{
    CollectCheckpoint, CollectPhase, CollectProgress, CollectReport, Destination, RemoteFile,
};
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
        check_size(&self.input.file, self.deps.memory)?;
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
        let first = self.first_place(self.time(&report))?;
        let place = if self.is_free(&first) { Place::free(first) } else { self.place(first).await? };
        match place {
            Place::Collected(destination, object) => {
                tracing::info!(object_key = destination.object_key, "the object is there already");
                let (phase, file) = (CollectPhase::Stored(object), self.input.file.clone());
                let checkpoint = CollectCheckpoint { phase, file, destination, report, expected: None };
                Ok(Admission::Ended(CollectProgress::Checkpoint(Box::new(checkpoint))))
            }
            Place::Open { destination, holder, similar } => {
                let collecting = Collecting::new(self, self.writer(destination), report, Mark::default());
                Ok(Admission::Read(Box::new(collecting.knowing(holder, similar))))
            }
        }
    }

    /// Whether the caller has seen the place free. Compared with a large file, another look costs nothing.
    fn is_free(&self, place: &Destination) -> bool {
        self.input.checkpoint.is_none()
            && self.deps.free.as_ref() == Some(place)
            && self.writer(place.clone()).is_one_request()
    }

    async fn resume(&self, checkpoint: &CollectCheckpoint) -> Result<Admission<'_>> {
        let CollectCheckpoint { phase, destination, report, .. } = checkpoint.clone();
        let CollectPhase::Reading { offset, checksum, upload: Some(upload) } = phase else {
            // Nothing was stored, but another call of this execution may have been killed behind this checkpoint. Or what
            // was stored is not there any more.
            return self.start(report).await;
        };
        let start = Mark { restarts: report.restarts, offset };
        let (s3, size) = (&self.deps.clients.s3, self.input.file.size);
        match ObjectWriter::resume(s3, destination.clone(), size, &upload, (offset, checksum)).await {
            Ok(writer) => Ok(Admission::Read(Box::new(Collecting::new(self, writer, report, start)))),
            Err(Unwritten::Failed(error) | Unwritten::Contended(error)) => Err(error),
            Err(gone @ (Unwritten::UploadGone(_) | Unwritten::NotAsSeen)) => {
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

const MIB: u64 = 1024 * 1024;

/// Memory of the process beside that for parts, in bytes, with room to spare.
const BESIDE: u64 = 64 * MIB;

/// Refuses a file that is too large for S3, or for the memory of the function, before anything is read. Otherwise the
/// function would be killed in the middle, and nobody would know why.
fn check_size(file: &RemoteFile, memory: Option<u64>) -> Result<()> {
    let (path, size) = (file.remote_path(), file.size);
    if size > ObjectWriter::SIZE_MAX {
        return Err(ErrorName::ObjectWriteRefused.error(format!(
            "{path:?} has {size} bytes, and S3 stores {} bytes at most in one object: 10,000 parts of 5 GiB",
            ObjectWriter::SIZE_MAX
        )));
    }
    let needed = (ObjectWriter::memory(size) + BESIDE) / MIB;
    match memory.map(|memory| memory / MIB).filter(|memory| *memory < needed) {
        None => Ok(()),
        Some(memory) => Err(ErrorName::InvalidConfig.error(format!(
            "{path:?} has {size} bytes. S3 stores an object in at most 10,000 parts, and parts of such a file need a function with \
             {needed} MB of memory; this one has {memory}. Set MemorySize to {needed} or more, and redrive the execution"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(size: u64, memory: Option<u64>) -> Option<(ErrorName, String)> {
        let (host, directory, path) = ("h".into(), "out".into(), "large.bin".into());
        let file = RemoteFile { host, directory, path, size, modified: None };
        check_size(&file, memory.map(|memory| memory * MIB))
            .err()
            .map(|error| (error.name, error.to_string()))
    }

    #[test]
    fn a_file_that_does_not_fit_into_s3_or_into_memory_is_refused_before_it_is_read() {
        const GIB: u64 = 1024 * MIB;
        const TIB: u64 = 1024 * GIB;
        // What docs/collecting.md promises.
        for (size, memory) in
            [(300 * GIB, 128), (4 * TIB, 512), (5 * TIB, 600), (ObjectWriter::SIZE_MAX, 10_240)]
        {
            assert_eq!(refusal(size, Some(memory)), None, "{size}");
        }
        let (name, words) = refusal(5 * TIB, Some(512)).unwrap();
        assert_eq!(name, ErrorName::InvalidConfig);
        assert!(words.contains("this one has 512. Set MemorySize to 589 or more"), "{words}");
        assert_eq!(refusal(5 * TIB, None), None, "a computer is not asked");
        let (name, words) = refusal(ObjectWriter::SIZE_MAX + 1, Some(10_240)).unwrap();
        assert!(name == ErrorName::ObjectWriteRefused && words.contains("10,000 parts of 5 GiB"), "{words}");
    }
}

//! What one call reads, and what all its sessions share.

use std::collections::HashMap;

use aws::collected::Found;
use aws::{ObjectWriter, Unwritten, collected};
use bridge::collect::{
    CollectCheckpoint, CollectPhase, CollectProgress, CollectReport, Destination, RemoteFile, StoredObject,
};
use bridge::{Error, ErrorName, Result};
use sftp::{Attributes, Session};

use crate::call::Call;

/// How far it had come at some moment. After starting over, every byte is further than before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark {
    pub(crate) restarts: u32,
    pub(crate) offset: u64,
}

/// Maximum number of times that an execution reads a file from its beginning once more, and in addition one for each
/// redrive.
const RESTARTS_MAX: u32 = 5;

/// What has the key of the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// It is to be looked at.
    Unknown,
    /// A look showed this object, or none.
    Shown(Option<Found>),
}

/// What one call reads.
pub(crate) struct Collecting<'a> {
    pub(crate) call: &'a Call<'a>,
    pub(crate) writer: ObjectWriter,
    pub(crate) report: CollectReport,
    /// Objects that may have the same contents; `None` if an earlier call has looked.
    pub(crate) similar: Option<Vec<Destination>>,
    /// What has the key, as a look before the last look at the file showed. Nothing else is replaced.
    pub(crate) holder: Holder,
    /// How often something else had the key when the object was to take it.
    pub(crate) conflicts: u32,
    /// Where the call began.
    start: Mark,
    /// What the first look of this call showed.
    pub(super) seen: Option<Attributes>,
    /// How far it had come when [`OnCheckpoint`](crate::OnCheckpoint) was called last.
    told: Option<Mark>,
    /// Whether the file was open in this call.
    pub(super) was_open: bool,
    /// Whether a session was used in this call or in an earlier one.
    pub(super) had_session: bool,
}

impl<'a> Collecting<'a> {
    pub(crate) fn new(call: &'a Call<'a>, writer: ObjectWriter, report: CollectReport, start: Mark) -> Self {
        let had_session = call.input.checkpoint.is_some();
        let (similar, seen, told) = (None, None, None);
        let (holder, conflicts, was_open) = (Holder::Unknown, 0, false);
        Self { call, writer, report, similar, holder, conflicts, start, seen, told, was_open, had_session }
    }

    /// The same, after a look at the key, and at the objects that may have the same contents.
    pub(crate) fn knowing(self, holder: Option<Found>, similar: Vec<Destination>) -> Self {
        // Parts take long. A key that is taken meanwhile would be noticed only when every byte is sent.
        let holder = if self.writer.is_one_request() { Holder::Shown(holder) } else { Holder::Unknown };
        Self { holder, similar: Some(similar), ..self }
    }

    pub(crate) fn file(&self) -> &RemoteFile {
        &self.call.input.file
    }

    /// How far it has come.
    pub(crate) fn mark(&self) -> Mark {
        Mark { restarts: self.report.restarts, offset: self.writer.confirmed().0 }
    }

    /// Whether S3 has more than when the call began.
    pub(crate) fn has_progressed(&self) -> bool {
        self.mark() > self.start && self.mark().offset > 0
    }

    /// Whether the upload was begun in this call.
    pub(crate) fn has_new_upload(&self) -> bool {
        let earlier = match self.call.input.checkpoint.as_ref().map(|checkpoint| &checkpoint.phase) {
            Some(CollectPhase::Reading { upload, .. }) => upload.as_ref(),
            _ => None,
        };
        self.writer.upload().is_some_and(|upload| Some(&upload) != earlier)
    }

    /// Where the next call continues.
    pub(crate) fn reading(&self) -> CollectProgress {
        CollectProgress::Checkpoint(Box::new(self.checkpoint(self.reading_phase())))
    }

    fn reading_phase(&self) -> CollectPhase {
        let (offset, checksum) = self.writer.confirmed();
        CollectPhase::Reading { offset, checksum: checksum.clone(), upload: self.writer.upload() }
    }

    /// S3 has the object.
    pub(crate) fn stored(&self, object: StoredObject) -> CollectProgress {
        CollectProgress::Checkpoint(Box::new(self.checkpoint(CollectPhase::Stored(object))))
    }

    fn checkpoint(&self, phase: CollectPhase) -> CollectCheckpoint {
        let is_reading = matches!(phase, CollectPhase::Reading { .. });
        CollectCheckpoint {
            phase,
            expected: self.call.expected().filter(|_| is_reading).cloned(),
            file: self.file().clone(),
            destination: self.writer.place().clone(),
            report: self.report.clone(),
        }
    }

    /// Tells where another call could continue if this one is killed.
    pub(super) fn tell(&mut self) {
        let mark = self.mark();
        if self.told != Some(mark) && self.writer.upload().is_some() {
            self.told = Some(mark);
            (self.call.deps.on_checkpoint)(self.checkpoint(self.reading_phase()));
        }
    }

    /// The upload is gone after `offset` bytes, as `gone` says: because it became an object and nobody heard of it, which is
    /// then returned; or it was aborted, and the file is read again from its beginning.
    pub(crate) async fn begin_again(
        &mut self,
        offset: u64,
        gone: &Unwritten,
    ) -> Result<Option<StoredObject>> {
        let place = self.writer.place().clone();
        if let Some(object) = self.call.find(&place).await?.and_then(|found| self.call.collected(&found)) {
            tracing::info!("the object was stored by a call whose answer was lost");
            return Ok(Some(object));
        }
        let why = match gone {
            Unwritten::UploadGone(why) => why.as_str(),
            Unwritten::NotAsSeen => "another object has taken its key",
            Unwritten::Failed(error) | Unwritten::Contended(error) => error.message(),
        };
        // Parts that do not make up the file are no use to anybody.
        self.writer.abort().await;
        self.start_over(offset, why, place)?;
        Ok(None)
    }

    /// Reads the file again from its beginning, for an object at this place.
    pub(crate) fn start_over(&mut self, offset: u64, why: &str, place: Destination) -> Result<()> {
        let limit = RESTARTS_MAX + self.call.input.execution.redrive_count;
        if self.report.restarts >= limit {
            return Err(ErrorName::ObjectWriteInterrupted.error(format!(
                "{:?} would have to be read again from its beginning, for the {}th time, after {offset} bytes: {why}. Find out what ends uploads to s3://{}: a rule of the bucket's lifecycle, or another program",
                self.file().remote_path(),
                limit + 1,
                place.bucket
            )));
        }
        self.report.restarts += 1;
        let warning = format!("after {offset} bytes the file was read again from the first byte: {why}");
        tracing::warn!(warning);
        if !self.report.warnings.contains(&warning) {
            self.report.warnings.push(warning);
        }
        self.writer = self.call.writer(place);
        (self.holder, self.was_open) = (Holder::Unknown, false);
        Ok(())
    }

    /// This session goes on.
    pub(super) fn logged_in(&mut self, session: &Session) {
        let credential = &self.call.input.credential;
        self.report.credential_version_id = credential.accepted(session.label());
        self.report.host_key_fingerprint = Some(session.host_key_fingerprint().to_owned());
        if std::mem::replace(&mut self.had_session, true) {
            self.report.resumes += 1;
        }
        self.writer.describe(self.metadata());
    }

    fn metadata(&self) -> HashMap<String, String> {
        let host_key = self.report.host_key_fingerprint.as_deref().unwrap_or_default();
        let execution = &self.call.input.execution.id;
        collected::metadata(self.file(), host_key, execution, self.call.deps.collect.mark_synched)
    }
}

/// What S3 did not write, as an error of the call.
pub(crate) fn unwritten(unwritten: Unwritten) -> Error {
    match unwritten {
        Unwritten::Failed(error) | Unwritten::Contended(error) => error,
        Unwritten::UploadGone(why) => ErrorName::ObjectWriteInterrupted.error(why),
        Unwritten::NotAsSeen => ErrorName::ObjectWriteRefused.error("another object has taken the key"),
    }
}

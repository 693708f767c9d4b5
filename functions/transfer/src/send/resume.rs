//! Where to continue: what the partial file holds, and how much of it is believed.

use aws::ObjectReader;
use bridge::{Checkpoint, PinnedObject, ProofPolicy, Result, Route};
use partner::files::{OpenAs, Patience, Reply, Seen, look_until};
use sftp::{AHEAD_MAX, Attributes, FileHandle, Sftp};

use crate::send::sending::Sending;

/// How far a file on the server reaches, in bytes; `None` if the server does not say. No file reaches 0 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reach(Option<u64>);

impl Reach {
    fn of(seen: Seen) -> Self {
        match seen {
            Seen::File(size) => Self(size),
            Seen::Nothing => Self(Some(0)),
            Seen::Directory | Seen::Hidden => Self(None),
        }
    }

    /// An open file, by its handle if the server tells the size of that, else by its path.
    pub(super) async fn of_open_file(sftp: &Sftp, file: &FileHandle, path: &str) -> Result<Self> {
        match told_size(sftp.fstat(file).await.map(Some))? {
            Some(size) => Ok(Self(Some(size))),
            None => Ok(Self(told_size(sftp.stat(path).await)?)),
        }
    }

    pub(super) fn bytes(self) -> Option<u64> {
        self.0
    }

    /// The same file after it was opened with TRUNC.
    pub(super) fn truncated(self) -> Self {
        Self(self.0.map(|_| 0))
    }

    /// No further than `other`, if that is known.
    pub(super) fn at_most(self, other: Self) -> Self {
        Self(self.0.map(|bytes| other.0.map_or(bytes, |other| other.min(bytes))))
    }
}

impl Sending<'_> {
    /// How far the partial file reaches before it is opened. A size below what was acknowledged is believed only after
    /// some seconds: caches show old ones.
    pub(super) async fn size_before(
        &self,
        sftp: &Sftp,
        route: &Route,
        offset: u64,
        seen: Seen,
    ) -> Result<Reach> {
        let is_expected = |seen: Seen| match seen {
            Seen::File(size) => size.is_none_or(|size| size >= offset),
            Seen::Nothing | Seen::Directory => offset == 0,
            Seen::Hidden => true,
        };
        if is_expected(seen) || route.is_direct() {
            return Ok(Reach::of(seen));
        }
        let patience = |_| Patience::Short;
        let path = route.upload_path();
        Ok(Reach::of(look_until(sftp, path, self.call.stop, is_expected, patience).await?))
    }

    /// The contents of the partial file are kept only if some of them are believed.
    pub(super) fn open_as(&self, before: Reach, offset: u64) -> OpenAs {
        let proves = self.is_believed() && before.bytes().is_some_and(|size| size > AHEAD_MAX);
        if offset > 0 || proves { OpenAs::Resume } else { OpenAs::Fresh }
    }

    /// Whether the size of the partial file proves its beginning. Not if the file differed on arrival, if the server
    /// refused to close it, or if its name does not stand for a version.
    fn is_believed(&self) -> bool {
        let Checkpoint { route, sent, .. } = self.checkpoint();
        self.call.input.resends == 0 && !sent.distrusted && !route.is_direct()
    }

    /// Brings `acknowledged` to where to continue, and returns a reader from there: from the checkpoint, if the file
    /// reaches that far; from further on, if the file proves more; else from the start.
    pub(super) async fn continue_at(
        &self,
        sftp: &Sftp,
        object: &PinnedObject,
        reach: Reach,
    ) -> Result<ObjectReader> {
        let reaches = reach.bytes().unwrap_or_default();
        self.ensure_reached(sftp, reach)?;
        let offset = self.acknowledged.offset();
        let s3 = &self.call.deps.clients.s3;
        let body = bridge::lock(&self.body).take();
        let mut reader = match offset {
            0 => ObjectReader::with_body(s3, object, body),
            _ => ObjectReader::new(s3, object, offset),
        };
        if sftp.is_distant() {
            reader = reader.for_distant_server();
        }
        // A call that was killed left no checkpoint. But it sent at most this much more than was acknowledged.
        let proved = reaches.min(object.size).saturating_sub(AHEAD_MAX);
        if self.is_believed() && proved > offset {
            tracing::info!(offset, proved, "the partial file proves more than the checkpoint says");
            reader.pass(proved, |bytes| self.acknowledged.add_proved(bytes)).await?;
        }
        if self.acknowledged.offset() > 0 {
            tracing::info!(offset = self.acknowledged.offset(), "resuming");
        }
        Ok(reader)
    }

    /// Starts over if the file does not reach as far as was acknowledged.
    fn ensure_reached(&self, sftp: &Sftp, reach: Reach) -> Result<()> {
        let offset = self.acknowledged.offset();
        if offset > 0 && reach.bytes().unwrap_or_default() >= offset {
            return Ok(());
        }
        if offset > 0 {
            tracing::warn!(offset, ?reach, "the partial file does not reach the checkpoint; starting over");
            self.may_start_over(&match reach.bytes() {
                Some(0) => "the partial file was gone, or empty".to_owned(),
                Some(bytes) => format!("the partial file had only {bytes} bytes"),
                None => "the server does not tell how far the partial file reaches".to_owned(),
            })?;
        }
        let settings = self.settings();
        let wants_hash = matches!(settings.proof, ProofPolicy::Auto | ProofPolicy::Hash);
        let mut hashes = settings.marker.hashes();
        hashes.sha256 |= wants_hash && sftp.can_hash();
        self.acknowledged.start_over(hashes);
        Ok(())
    }
}

/// Bytes, zero if there is no file; `None` if the server does not say.
fn told_size(answer: sftp::Result<Option<Attributes>>) -> Result<Option<u64>> {
    Ok(match Reply::of(answer)? {
        Reply::Done(Some(attributes)) => attributes.size,
        Reply::Done(None) => Some(0),
        Reply::Refused(_) => None,
    })
}

//! The work of a call within one session.
//!
//! What a server answers is not believed: a rename that was refused may have been carried out, and one that was
//! accepted may not. So each answer is followed by a look. Others work on the server, too, so a look comes right before
//! each request.

use std::time::Duration;

use bridge::collect::{Afterwards, CollectCheckpoint, RemoteFile, StoredObject};
use bridge::{Checksum, Result};
use partner::files::Reply;
use sftp::{Sftp, Status};

use crate::call::Call;
use crate::show::{Shown, show};

/// Pauses after a refusal, eight seconds in all: a virus scanner may hold the file, and no status says whether a
/// refusal will pass.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(500), Duration::from_secs(1), Duration::from_millis(2500), Duration::from_secs(4)];

/// Pauses before a look is repeated that does not show what the server said. Caches and gateways show the former state
/// for a moment.
pub(crate) const LOOKS: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(100), Duration::from_millis(400), Duration::from_secs(1)];

/// What became of a file on the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Became {
    Archived(String),
    Deleted,
    /// It is where it was.
    Left,
    /// Somebody else took it away.
    Gone,
}

impl Became {
    /// The words of the receipt.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Archived(path) => format!("archived as {path}"),
            Self::Deleted => "deleted".to_owned(),
            Self::Left => "left".to_owned(),
            Self::Gone => "gone".to_owned(),
        }
    }
}

/// What became of a file, and what a person should know of it.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) became: Became,
    pub(crate) warning: Option<String>,
}

impl From<Became> for Settled {
    fn from(became: Became) -> Self {
        Self { became, warning: None }
    }
}

impl Settled {
    pub(crate) fn left(why: impl Into<String>) -> Self {
        Self { became: Became::Left, warning: Some(why.into()) }
    }
}

/// A file that was collected, or its marker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Collected<'f> {
    pub(crate) file: &'f RemoteFile,
    pub(crate) contents: Contents<'f>,
}

/// What is known of a file's contents.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Contents<'f> {
    /// CRC-64/NVME.
    Checksum(&'f Checksum),
    /// It is the marker of this file: nobody has read it, and it says no more than its name.
    MarkerOf(&'f RemoteFile),
}

/// What the server shows of the file.
#[derive(Debug)]
pub(crate) enum Standing {
    /// The file that was collected.
    Same,
    Gone,
    /// Something else has its name; says what.
    Changed(&'static str),
    /// The server refused to look.
    Hidden(Status),
}

/// The work of a call within one session.
pub(crate) struct Work<'a> {
    pub(crate) call: &'a Call<'a>,
    pub(crate) sftp: &'a Sftp,
}

impl<'a> Work<'a> {
    pub(crate) fn new(call: &'a Call<'a>, sftp: &'a Sftp) -> Self {
        Self { call, sftp }
    }

    pub(crate) async fn run(
        &self,
        checkpoint: &mut CollectCheckpoint,
        stored: &StoredObject,
    ) -> Result<Became> {
        let contents = Contents::Checksum(&stored.checksum);
        let Settled { became, warning } = self.settle(Collected { file: &checkpoint.file, contents }).await?;
        warning.into_iter().for_each(|warning| checkpoint.warn(warning));
        if became != Became::Left
            && let Some(warning) = self.settle_marker(&checkpoint.file).await?
        {
            checkpoint.warn(warning);
        }
        Ok(became)
    }

    /// Does what `COLLECT_AFTERWARDS` says.
    pub(crate) async fn settle(&self, collected: Collected<'_>) -> Result<Settled> {
        match &self.call.deps.collect.afterwards {
            Afterwards::Archive { .. } => self.archive(collected).await,
            Afterwards::Delete => Box::pin(self.delete(collected)).await,
            Afterwards::Leave => Ok(Became::Left.into()),
        }
    }

    /// What the server shows of the file.
    pub(crate) async fn standing(&self, file: &RemoteFile) -> Result<Standing> {
        Ok(match show(self.sftp, &file.remote_path()).await? {
            Shown::Nothing => Standing::Gone,
            Shown::Hidden(refusal) => Standing::Hidden(refusal),
            Shown::Other(what) => Standing::Changed(what),
            Shown::File { size, modified } if file.is_same(size, modified) => Standing::Same,
            Shown::File { .. } => Standing::Changed("its size or time has changed since it was read"),
        })
    }

    /// The file stays because something else has its name. The next look takes that for a file of its own.
    pub(crate) fn changed(&self, file: &RemoteFile, what: &str) -> Settled {
        Settled::left(format!("{:?} was left alone: {what}", file.remote_path()))
    }

    /// Gives a file that we have moved its own name back, unless that is taken.
    pub(crate) async fn put_back(&self, file: &RemoteFile, from: &str) -> Result<bool> {
        let path = file.remote_path();
        if !matches!(show(self.sftp, &path).await?, Shown::Nothing) {
            return Ok(false);
        }
        // Never by the request that may replace: the partner may put a file there at this moment.
        let asked = Reply::of(self.sftp.rename_noreplace(from, &path).await)?;
        Ok(match show(self.sftp, from).await? {
            Shown::Nothing => true,
            Shown::File { .. } | Shown::Other(_) => false,
            Shown::Hidden(_) => asked.is_done(),
        })
    }

    /// Waits before a request is made again. False if it is to be made no more: it was refused too often, or, in this
    /// process, other files were as well, or time runs short.
    pub(crate) async fn waits(&self, refusals: usize, refusal: &Status) -> bool {
        let learned = &self.call.deps.partner.learned;
        let pause = PAUSES.get(refusals).filter(|pause| self.call.stop.remaining() > **pause);
        let Some(pause) = pause.filter(|_| !refusal.is_unsupported() && !learned.keeps_files()) else {
            learned.set_keeps_files(true);
            return false;
        };
        tracing::info!(%refusal, ?pause, "refused; asking again");
        tokio::time::sleep(*pause).await;
        true
    }

    /// The server did it: it may also do so for other files.
    pub(crate) fn has_done(&self) {
        self.call.deps.partner.learned.set_keeps_files(false);
    }
}

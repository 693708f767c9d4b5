//! The checkpoint: how far a delivery has come. It travels through the state machine's document, so an invocation that
//! ends, or is killed, costs no more than what it had not reported yet.

use serde::{Deserialize, Serialize};

use crate::{
    Checksum, Digests, PinnedObject, Publication, Route, RunningChecksum, RunningMd5, RunningSha256,
};

/// How far a delivery has come. It names only what the server has acknowledged or shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The phase, with what only that phase needs.
    pub phase: Phase,
    /// What is delivered.
    pub object: PinnedObject,
    /// Where to, and how.
    pub route: Route,
    /// What was sent.
    pub sent: Sent,
    /// Which of the names that `SFTP_IF_EXISTS=keep-both` numbers is the final name.
    #[serde(default, skip_serializing_if = "is_default")]
    pub name: Candidate,
    /// What is known of the server's ways to prove a file.
    #[serde(default, skip_serializing_if = "is_default")]
    pub proving: Proving,
    /// What publishing has met, and moved, so far.
    #[serde(default, skip_serializing_if = "is_default")]
    pub publishing: Publishing,
    /// What the receipt reports.
    pub report: Report,
}

/// The phases of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum Phase {
    /// The object is being sent. `transfer` is called again.
    Sending,
    /// The server has acknowledged every byte and closed the file, which is to be proved and published.
    Sent(Reading),
    /// A file under the final name may hold this object already. It is to be proved.
    Found(Reading),
    /// The server was asked to rename the proved file, and the answer is not known yet.
    Renaming {
        /// How the partial file was proved.
        proof: crate::Proof,
        /// It was in phase `vanished` before.
        #[serde(default, skip_serializing_if = "is_default")]
        had_vanished: bool,
        /// How far the file was read back.
        #[serde(flatten)]
        reading: Reading,
    },
    /// The partial file is gone, although no rename of it is known. The file under the final name is ours only if its
    /// contents are.
    Vanished(Reading),
    /// The file lies under its final name.
    Published(Publication),
}

/// What makes a delivery get further, in order. A rename that is refused leads back from `renaming` to `sent`, so these are
/// one stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Sending,
    Unpublished,
    Vanished,
    Published,
}

impl Phase {
    /// Proving begins, with nothing read back yet.
    pub fn sent() -> Self {
        Self::Sent(Reading::default())
    }

    /// The same for a file that was found under the final name.
    pub fn found() -> Self {
        Self::Found(Reading::default())
    }

    /// The same for a partial file that is gone.
    pub fn vanished() -> Self {
        Self::Vanished(Reading::default())
    }

    fn stage(&self) -> Stage {
        match self {
            Self::Sending => Stage::Sending,
            Self::Published(_) => Stage::Published,
            _ if self.has_vanished() => Stage::Vanished,
            Self::Sent(_) | Self::Found(_) | Self::Renaming { .. } | Self::Vanished(_) => Stage::Unpublished,
        }
    }

    /// Whether the file may have been put there by somebody else: then only its contents prove it.
    pub fn needs_contents(&self) -> bool {
        matches!(self, Self::Found(_)) || self.has_vanished()
    }

    /// Whether the partial file was gone at some time, although no rename of it was known.
    pub fn has_vanished(&self) -> bool {
        matches!(self, Self::Vanished(_) | Self::Renaming { had_vanished: true, .. })
    }

    /// Whether a rename was requested, and its answer is not known.
    pub fn is_renaming(&self) -> bool {
        matches!(self, Self::Renaming { .. })
    }

    /// How far the file was read back; `None` before it is sent and after it is published.
    pub fn reading(&mut self) -> Option<&mut Reading> {
        match self {
            Self::Sent(reading) | Self::Found(reading) | Self::Vanished(reading) => Some(reading),
            Self::Renaming { reading, .. } => Some(reading),
            Self::Sending | Self::Published(_) => None,
        }
    }

    /// The publication, once there is one.
    pub fn publication(&self) -> Option<&Publication> {
        match self {
            Self::Published(publication) => Some(publication),
            _ => None,
        }
    }

    /// The publication, to add to it.
    pub fn publication_mut(&mut self) -> Option<&mut Publication> {
        match self {
            Self::Published(publication) => Some(publication),
            _ => None,
        }
    }
}

/// How far a file was read back. A cursor without bytes is the beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// Absent before the first byte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_back: Option<ReadBack>,
}

/// Bytes that were read back, and their checksum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadBack {
    /// Bytes read from the start.
    pub offset: u64,
    /// Of those bytes, in the algorithm of [`Sent::digests`].
    pub checksum: RunningChecksum,
}

/// What the server has acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// Bytes from the start that the server has acknowledged without a gap.
    pub offset: u64,
    /// Of those bytes. In phase `found`: what the file has to match.
    #[serde(flatten)]
    pub digests: Digests,
    /// How often everything was sent again from byte 0, because the partial file could not be continued.
    #[serde(default, skip_serializing_if = "is_default")]
    pub restarts: u32,
    /// Where the server refused to take more in the middle of a session. A refusal there is not about resuming.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_at: Option<u64>,
    /// The server refused to close the partial file, or to continue it: its size does not prove its beginning.
    #[serde(default, skip_serializing_if = "is_default")]
    pub distrusted: bool,
    /// The server has written the file to its disk (`fsync@openssh.com`).
    #[serde(default, skip_serializing_if = "is_default")]
    pub synced: bool,
}

/// Which numbered name is the final one: always 0 unless `SFTP_IF_EXISTS=keep-both`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// See [`Route::numbered`].
    pub number: u32,
    /// How far the file of that name was read to compare it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared: Option<ReadBack>,
}

/// What was learned while proving, and is not learned again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proving {
    /// The server did not finish hashing the file in time.
    #[serde(default)]
    pub hash_given_up: bool,
    /// The server reported size 0 for a file whose contents were proved: its sizes are not believed.
    #[serde(default)]
    pub sizes_unreliable: bool,
    /// How far the object was read again, for a hash that was not computed while sending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reread: Option<Reread>,
}

/// How far the object was read again from S3.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reread {
    /// Bytes read from the start.
    pub offset: u64,
    /// Of those bytes.
    pub sha256: RunningSha256,
    /// Of those bytes.
    pub md5: RunningMd5,
}

/// What publishing has met, and moved, so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publishing {
    /// Setbacks so far: renames that the server refused, sessions that were lost while renaming, and looks that found
    /// something else than the look before.
    #[serde(default)]
    pub setbacks: u32,
    /// Where the former file was moved while ours takes its name. Present from just before the move until the file is
    /// removed or put back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aside: Option<String>,
    /// The same for the marker of the former file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marker_aside: Option<String>,
}

/// What the receipt reports of the way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// When the transfer began, RFC 3339.
    pub started_at: String,
    /// Bytes sent in all, including those sent more than once.
    #[serde(default)]
    pub bytes_sent: u64,
    /// How often the transfer went on in another session: after a lost one, or in the next invocation.
    #[serde(default)]
    pub resumes: u32,
    /// The version of the secret that the server accepted after it had refused the current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_version_id: Option<String>,
    /// Present if this execution published an older version over a newer upload, and now delivers the newer one: the
    /// receipt's reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repairs: Option<String>,
    /// What a person should know although the delivery succeeds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// How far a delivery has come, to compare two checkpoints: more is further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reached {
    stage: Stage,
    hash_given_up: bool,
    number: u32,
    bytes_read: u64,
}

impl Checkpoint {
    /// Nothing is sent yet.
    pub fn start(object: PinnedObject, route: Route, started_at: String) -> Self {
        let digests = Digests::new(&object, crate::Hashes::default());
        let sent =
            Sent { offset: 0, digests, restarts: 0, refused_at: None, distrusted: false, synced: false };
        Self {
            phase: Phase::Sending,
            object,
            route,
            sent,
            name: Candidate::default(),
            proving: Proving::default(),
            publishing: Publishing::default(),
            report: Report { started_at, ..Report::default() },
        }
    }

    /// The final name.
    pub fn final_path(&self) -> String {
        self.route.numbered(self.name.number)
    }

    /// Whether `transfer` has more to send.
    pub fn is_sending(&self) -> bool {
        self.phase == Phase::Sending
    }

    /// How far `verify-remote` has come. The stage first; then bytes, whatever they were read for.
    pub fn reached(&self) -> Reached {
        let read_back = match &self.phase {
            Phase::Sent(reading) | Phase::Found(reading) | Phase::Vanished(reading) => &reading.read_back,
            Phase::Renaming { reading, .. } => &reading.read_back,
            Phase::Sending | Phase::Published(_) => &None,
        };
        let read = [read_back, &self.name.compared].into_iter().flatten().map(|read| read.offset);
        let reread = self.proving.reread.as_ref().map_or(0, |reread| reread.offset);
        Reached {
            stage: self.phase.stage(),
            hash_given_up: self.proving.hash_given_up,
            number: self.name.number,
            bytes_read: read.sum::<u64>() + reread,
        }
    }

    /// Adds a warning to the receipt, once.
    pub fn warn(&mut self, warning: impl Into<String>) {
        let warning = warning.into();
        if !self.report.warnings.contains(&warning) {
            self.report.warnings.push(warning);
        }
    }

    /// The checksum of the bytes sent; in phase `found`, of the object as S3 stored it.
    pub fn checksum(&self) -> Checksum {
        self.sent.digests.checksum.checksum()
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

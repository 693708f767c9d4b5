//! Sending a file, with many WRITEs in flight on one channel or several. Only bytes that are acknowledged without a gap
//! count.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::error::Result;
use crate::protocol::handle::FileHandle;
use crate::protocol::line::{NumberedReplies, NumberedReply};
use crate::protocol::requests::Closed;
use crate::session::Session;
use crate::transfer::lanes::{self, FirstWays, Lane, Reopened, Spread};
use crate::transfer::window::{AHEAD_MAX, Flow};

/// Follows an upload. Both methods are called in the order of the file, once for each byte.
pub trait Journal {
    /// A value for each WRITE, kept until it is acknowledged: for example a checksum of all bytes up to its end.
    type Mark;

    /// These bytes are being sent.
    fn sent(&mut self, parts: &[Bytes]) -> Self::Mark;

    /// Every byte up to `offset` is acknowledged. The mark belongs to the last WRITE among them.
    fn acknowledged(&mut self, offset: u64, mark: Self::Mark);
}

/// A journal that records nothing.
#[derive(Clone, Copy, Debug)]
pub struct Unobserved;

impl Journal for Unobserved {
    type Mark = ();

    fn sent(&mut self, _: &[Bytes]) {}

    fn acknowledged(&mut self, _: u64, (): ()) {}
}

impl Session {
    /// Prepares to send to a file that is open on the first channel.
    pub fn upload(&self, file: FileHandle) -> UploadBuilder {
        let lane = Lane::new(Arc::clone(self.sftp()), file);
        UploadBuilder { lane, offset: 0, held: 0, spread: None, journal: Unobserved }
    }
}

/// The options of an upload; see [`Session::upload`].
pub struct UploadBuilder<J: Journal = Unobserved> {
    lane: Lane,
    offset: u64,
    held: u64,
    spread: Option<Spread>,
    journal: J,
}

impl<J: Journal> UploadBuilder<J> {
    /// Where the first pushed byte belongs in the file. Default: 0, the beginning.
    #[must_use]
    pub fn offset(self, offset: u64) -> Self {
        Self { offset, ..self }
    }

    /// Size of the file when it was opened, in bytes. Default: 0.
    ///
    /// Further channels carry data only after the file has grown beyond this size. That it has grown shows that they
    /// write to the same file as the first one.
    #[must_use]
    pub fn held(self, size: u64) -> Self {
        Self { held: size, ..self }
    }

    /// Further channels and connections to use. Default: none.
    #[must_use]
    pub fn spread(self, spread: Spread) -> Self {
        Self { spread: Some(spread), ..self }
    }

    /// Follows the upload with this journal.
    #[must_use]
    pub fn journal<K: Journal>(self, journal: K) -> UploadBuilder<K> {
        let Self { lane, offset, held, spread, journal: _ } = self;
        UploadBuilder { lane, offset, held, spread, journal }
    }

    /// Begins the upload. Nothing is sent before the first [`push`](Upload::push).
    pub fn start(self) -> Upload<J> {
        let spread = self.spread.unwrap_or_else(Spread::none);
        Upload::new(self.lane, self.offset, self.held, spread, self.journal)
    }
}

/// Sends a file. [`push`](Self::push) the bytes, then [`flush`](Self::flush) and [`finish`](Self::finish), or
/// [`finish_at_once`](Self::finish_at_once).
///
/// Further channels and connections are used as soon as they are ready.
pub struct Upload<J: Journal> {
    journal: J,
    pub(super) lanes: Vec<InUse>,
    pub(super) joining: Spread,
    /// Size of the file when it was opened. `None` once other lanes may open it.
    held: Option<u64>,
    /// Pushed bytes that do not fill a WRITE yet.
    staged: Vec<Bytes>,
    pub(super) staged_length: usize,
    /// Offset of the next WRITE.
    offset: u64,
    pub(super) acknowledged: watch::Sender<u64>,
    /// In the order of the file. The first one has the number `first`.
    pub(super) in_flight: VecDeque<Write<J::Mark>>,
    first: u64,
    pub(super) replies: mpsc::UnboundedReceiver<NumberedReply>,
    pub(super) replies_to: NumberedReplies,
}

pub(super) struct InUse {
    pub(super) lane: Lane,
    flow: Flow,
}

impl InUse {
    pub(super) fn new(lane: Lane) -> Self {
        let flow = Flow::new(lane.sftp.round_trip());
        Self { lane, flow }
    }

    /// How much room is left after this many more bytes. `None` if they have to wait.
    fn room_after(&self, length: usize) -> Option<usize> {
        match self.flow.room_after(length, self.lane.sftp.unsent()) {
            None if self.flow.is_idle() => Some(0),
            room => room,
        }
    }

    /// Whether the window has room for this many more bytes.
    pub(super) fn has_room(&self, length: usize) -> bool {
        self.room_after(length).is_some()
    }
}

pub(super) struct Write<M> {
    lane: usize,
    length: usize,
    sent_at: Instant,
    mark: M,
    pub(super) is_acknowledged: bool,
}

impl<J: Journal> Upload<J> {
    fn new(lane: Lane, offset: u64, size: u64, mut joining: Spread, journal: J) -> Self {
        let (replies_to, replies) = mpsc::unbounded_channel();
        let acknowledged = watch::Sender::new(offset);
        let mut held = joining.is_wanted().then_some(size);
        if lane.sftp.reopens_harmlessly.load(Ordering::Relaxed)
            && let Some(size) = held.take()
        {
            joining.start_writing(&lane.file.path, size, acknowledged.subscribe());
        }
        Self {
            journal,
            joining,
            held,
            lanes: vec![InUse::new(lane)],
            staged: Vec::new(),
            staged_length: 0,
            offset,
            acknowledged,
            in_flight: VecDeque::new(),
            first: 0,
            replies,
            replies_to,
        }
    }

    /// The offset up to which the server has acknowledged every byte. It is valid after an error as well.
    pub fn acknowledged(&self) -> u64 {
        *self.acknowledged.borrow()
    }

    /// Number of channels in use.
    pub fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// Adds bytes. Waits until the window has room for them.
    ///
    /// # Errors
    /// The server refused an earlier WRITE, or a session was lost.
    ///
    /// # Cancel safety
    /// Not cancel safe: after the future was dropped, some of the bytes may have been added. Drop the upload, and begin again at
    /// [`acknowledged`](Self::acknowledged).
    pub async fn push(&mut self, mut bytes: Bytes) -> Result<()> {
        while !bytes.is_empty() {
            let write_length = self.first_lane().sftp.write_length();
            let room = write_length.saturating_sub(self.staged_length);
            let part = bytes.split_to(room.min(bytes.len()));
            self.staged_length += part.len();
            self.staged.push(part);
            if self.staged_length >= write_length {
                self.send_staged().await?;
            }
        }
        Ok(())
    }

    /// Sends the remaining bytes, and waits until every byte is acknowledged.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    ///
    /// # Cancel safety
    /// Cancel safe: it can be called again.
    pub async fn flush(&mut self) -> Result<()> {
        self.send_staged().await?;
        while !self.in_flight.is_empty() {
            self.wait().await?;
        }
        Ok(())
    }

    /// Closes the file. With `sync`, the server is asked first to write it to its disk, if it can.
    ///
    /// # Errors
    /// The server refused the CLOSE: some servers commit the file, or check the quota, only then. Or a session was lost.
    ///
    /// # Cancel safety
    /// If the future is dropped, the file is closed without waiting for the answer.
    pub async fn finish(self, sync: bool) -> Result<Closed> {
        let Self { mut lanes, joining, acknowledged, .. } = self;
        // Lanes that wait for the file to grow give up.
        drop(acknowledged);
        let first = lanes.swap_remove(0).lane;
        let mut closing: JoinSet<Result<()>> = lanes.into_iter().map(|other| other.lane.close()).collect();
        let (closed_first, ()) = tokio::join!(first.sftp.close_with(first.file, sync), joining.end());
        while let Some(closed) = closing.join_next().await {
            closed.unwrap_or(Ok(()))?;
        }
        closed_first
    }

    pub(super) fn first_lane(&self) -> &Lane {
        &self.lanes[0].lane
    }

    /// The number of the next request whose reply goes to `replies`.
    pub(super) fn next_number(&self) -> u64 {
        self.first + self.in_flight.len() as u64
    }

    pub(super) async fn send_staged(&mut self) -> Result<()> {
        if self.staged.is_empty() {
            return Ok(());
        }
        let length = self.staged_length;
        let index = self.lane_with_room(length).await?;
        let parts = std::mem::take(&mut self.staged);
        self.staged_length = 0;
        let mark = self.journal.sent(&parts);
        let number = self.next_number();
        let InUse { lane: Lane { sftp, file, .. }, flow } = &mut self.lanes[index];
        sftp.send_write(file, self.offset, parts, &self.replies_to, number);
        flow.sent(length);
        self.offset += length as u64;
        let sent_at = Instant::now();
        self.in_flight.push_back(Write { lane: index, length, sent_at, mark, is_acknowledged: false });
        self.let_others_in().await
    }

    /// Checks once in a session, after the first WRITE, whether the file may be opened a second time. If a server truncates
    /// a file whenever it is opened, several channels would leave a hole in it, and the size would be right nevertheless.
    async fn let_others_in(&mut self) -> Result<()> {
        let Some(size) = self.held.take() else { return Ok(()) };
        if !self.is_shown().await? {
            tracing::info!("the file is sent on one channel: the server does not show its size");
            return Ok(());
        }
        let round_trip = self.first_lane().sftp.round_trip();
        let ways = match self.joining.first_ways(round_trip).await {
            FirstWays::Open(ways) => ways,
            FirstWays::NotYet => Vec::new(),
            FirstWays::Never => return Ok(()),
        };
        let first = self.first_lane();
        match lanes::reopen(first, ways, size, self.acknowledged()).await? {
            Reopened::Harmlessly(further) => {
                first.sftp.reopens_harmlessly.store(true, Ordering::Relaxed);
                let path = first.file.path.clone();
                self.joining.start_writing(&path, size, self.acknowledged.subscribe());
                self.lanes.extend(further.into_iter().map(InUse::new));
                // The ways that are left send their OPEN before the WRITEs fill the line.
                tokio::task::yield_now().await;
            }
            Reopened::Unclear => {
                tracing::info!("the file is sent on one channel: opening it a second time may change it")
            }
        }
        Ok(())
    }

    /// Waits until everything is acknowledged. Whether the server shows it, too.
    async fn is_shown(&mut self) -> Result<bool> {
        let sftp = Arc::clone(&self.first_lane().sftp);
        // This question travels with the WRITE. If the server answers it before the WRITE is done, it is asked again.
        let early = sftp.ask_attributes(&self.first_lane().file);
        while !self.in_flight.is_empty() {
            self.wait().await?;
        }
        let acknowledged = self.acknowledged();
        let early = sftp.told_attributes(&self.first_lane().file, early).await?;
        if lanes::has_length(early, acknowledged) {
            return Ok(true);
        }
        lanes::shows(&sftp, &self.first_lane().file, acknowledged).await
    }

    /// The lane with the most room. Waits until there is room.
    async fn lane_with_room(&mut self, length: usize) -> Result<usize> {
        loop {
            while let Ok(reply) = self.replies.try_recv() {
                self.settle(reply).await?;
            }
            while let Some(lane) = self.joining.joined() {
                tracing::debug!(lanes = self.lanes.len() + 1, "a further channel carries the file");
                self.lanes.push(InUse::new(lane));
            }
            let ahead = self.offset + length as u64 - self.acknowledged();
            let lanes = self.lanes.iter().enumerate();
            let roomiest = lanes.filter_map(|(index, lane)| Some((lane.room_after(length)?, index))).max();
            match roomiest {
                Some((_, index)) if ahead <= AHEAD_MAX => return Ok(index),
                _ => self.wait().await?,
            }
        }
    }

    /// Waits for a reply. There is always one to wait for: if nothing is in flight, there is room.
    async fn wait(&mut self) -> Result<()> {
        let sftp = Arc::clone(&self.first_lane().sftp);
        match sftp.write_reply(&mut self.replies).await? {
            Some(reply) => self.settle(reply).await,
            None => Ok(()),
        }
    }

    pub(super) async fn settle(&mut self, NumberedReply { number, reply }: NumberedReply) -> Result<()> {
        let index = usize::try_from(number - self.first).unwrap_or(usize::MAX);
        let Some(write) = self.in_flight.get_mut(index) else { return Ok(()) };
        let InUse { lane, flow } = &mut self.lanes[write.lane];
        let Some(reply) = reply else { return Err(lane.sftp.lost_error().await) };
        lane.sftp.done("write", &lane.file.path, reply)?;
        flow.answered(write.sent_at, write.length, write.length);
        write.is_acknowledged = true;
        while let Some(write) = self.in_flight.pop_front_if(|write| write.is_acknowledged) {
            self.first += 1;
            let offset = self.acknowledged() + write.length as u64;
            self.acknowledged.send_replace(offset);
            self.journal.acknowledged(offset, write.mark);
        }
        Ok(())
    }
}

impl<J: Journal> std::fmt::Debug for UploadBuilder<J> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UploadBuilder")
            .field("file", &self.lane.file)
            .field("offset", &self.offset)
            .field("held", &self.held)
            .field("spread", &self.spread)
            .finish_non_exhaustive()
    }
}

impl<J: Journal> std::fmt::Debug for Upload<J> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload")
            .field("file", &self.first_lane().file)
            .field("offset", &self.offset)
            .field("acknowledged", &self.acknowledged())
            .field("lanes", &self.lanes.len())
            .finish_non_exhaustive()
    }
}

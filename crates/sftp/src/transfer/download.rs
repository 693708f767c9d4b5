//! Reading a file in order, with many READs in flight, on one connection or several.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::error::{Error, Result, StatusCode};
use crate::protocol::attributes::Attributes;
use crate::protocol::channel::Sftp;
use crate::protocol::decode::Reply;
use crate::protocol::handle::FileHandle;
use crate::protocol::line::{NumberedReplies, NumberedReply};
use crate::transfer::lanes::{Lane, Spread};
use crate::transfer::window::Flow;

/// Maximum distance between the next byte that is returned and the last one that is asked for, in bytes, over several
/// connections. All of it is in memory if the first byte comes last, or while the caller waits for something else: 5.25 MiB
/// beside the parts of an upload are what a function of 48 MiB has left.
const READ_AHEAD_MAX: usize = 21 * 1024 * 1024 / 4;

/// Maximum length of a READ over several connections, in bytes. A long one is passed on only when its last byte is there,
/// and the others wait for it.
const SHARED_READ: u32 = 64 * 1024;

/// The place of the lane that the download was begun with. It is never given up.
const FIRST: usize = 0;

impl Sftp {
    /// Reads an open file from `offset` up to `end`.
    pub fn download<'a>(&'a self, file: &'a FileHandle, offset: u64, end: u64) -> Download<'a> {
        let (replies_to, replies) = mpsc::unbounded_channel();
        let first = Reader { through: Through::First(self, file), flow: Flow::new(self.round_trip()) };
        Download {
            sftp: self,
            file,
            lanes: vec![Some(first)],
            joining: Spread::none(),
            due: offset,
            ask: offset,
            end,
            in_flight: VecDeque::new(),
            asked: 0,
            replies,
            replies_to,
            pieces: VecDeque::new(),
        }
    }
}

/// Reads a file in order.
///
/// Only the first lane decides whether the file can be read. A further one that answers a READ with anything but data is
/// given up, and what it was asked for is asked again on another.
pub struct Download<'a> {
    sftp: &'a Sftp,
    file: &'a FileHandle,
    /// `None` once it was given up.
    lanes: Vec<Option<Reader<'a>>>,
    joining: Spread,
    /// Offset of the first byte that has not been returned, or is not in `pieces`.
    due: u64,
    /// Offset of the next READ.
    ask: u64,
    end: u64,
    /// In the order of the file, from `due` to `ask` without a gap.
    in_flight: VecDeque<Read>,
    /// Number of READs so far.
    asked: u64,
    replies: mpsc::UnboundedReceiver<NumberedReply>,
    replies_to: NumberedReplies,
    /// Received, and not yet returned.
    pieces: VecDeque<Bytes>,
}

/// A lane that is read from.
struct Reader<'a> {
    through: Through<'a>,
    flow: Flow,
}

enum Through<'a> {
    First(&'a Sftp, &'a FileHandle),
    Further(Lane),
}

impl Reader<'_> {
    fn way(&self) -> (&Sftp, &FileHandle) {
        match &self.through {
            Through::First(sftp, file) => (sftp, file),
            Through::Further(lane) => (&lane.sftp, &lane.file),
        }
    }
}

struct Read {
    /// Of the last request for these bytes.
    number: u64,
    /// The place of the lane that was asked.
    lane: usize,
    asked_at: Instant,
    offset: u64,
    length: u32,
    answer: Option<Answer>,
}

enum Answer {
    Reply(Reply),
    /// The session of the first lane is lost.
    Lost,
}

impl<'a> Download<'a> {
    /// Reads on further connections, too, once they are open and show that the file has this size and time. `size` is that
    /// of the whole file.
    ///
    /// SFTP cannot tell that two handles are of the same file. If the file is replaced while the connections are opened, by
    /// another of the same size and time, the bytes of both are mixed.
    #[must_use]
    pub fn spread(self, mut spread: Spread, size: u64, modified: u32) -> Self {
        spread.start_reading(&self.file.path, size, modified);
        Self { joining: spread, ..self }
    }

    /// Asks for the first bytes already, so that their answers travel while the caller waits for something else.
    pub fn begin(&mut self) {
        self.ask_ahead();
    }

    /// Continues with these bytes, once [`next`](Self::next) has returned every byte before.
    pub fn turn_to(&mut self, range: Range<u64>) {
        // The first range was asked for by `begin` already.
        if range.end != self.end {
            (self.due, self.ask, self.end) = (range.start, range.start, range.end);
        }
    }

    /// Number of lanes in use.
    fn lanes(&self) -> usize {
        self.lanes.iter().flatten().count()
    }

    /// What the server shows of the file now, for each further lane that tells.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn shown(&self) -> Vec<Attributes> {
        let ways = self.lanes.iter().skip(1).flatten().map(Reader::way);
        let asked: Vec<_> = ways.map(|(sftp, file)| (sftp, file, sftp.ask_attributes(file))).collect();
        let mut shown = Vec::new();
        for (sftp, file, asked) in asked {
            shown.extend(sftp.told_attributes(file, asked).await.ok().flatten());
        }
        shown
    }

    /// Closes the further lanes. Nothing more is read.
    ///
    /// # Cancel safety
    /// Cancel safe. If the future is dropped, they are closed as well, but the server logs their connections as broken.
    pub async fn close(self) {
        let Self { lanes, mut joining, .. } = self;
        for lane in lanes.into_iter().flatten() {
            if let Through::Further(lane) = lane.through {
                joining.leave(lane);
            }
        }
        joining.end().await;
    }

    /// The next bytes; `None` at `end`, or before it if the file ends early.
    ///
    /// # Errors
    /// The server refused a READ, or the session was lost.
    ///
    /// # Cancel safety
    /// Not cancel safe: after the future was dropped, bytes may be missing. Begin a new download instead.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                return Ok(Some(piece));
            }
            while let Ok(reply) = self.replies.try_recv() {
                self.settle(reply);
            }
            self.join();
            self.ask_ahead();
            match self.in_flight.pop_front() {
                None => return self.at_end(),
                Some(Read { offset, length, answer: Some(answer), .. }) => {
                    self.ensure_no_gap(offset)?;
                    if !self.take(offset, length, answer).await? {
                        return Ok(None);
                    }
                }
                Some(unanswered) => {
                    self.in_flight.push_front(unanswered);
                    self.wait().await?;
                }
            }
        }
    }

    fn at_end(&self) -> Result<Option<Bytes>> {
        self.ensure_no_gap(self.end)?;
        Ok(None)
    }

    /// Bytes that are missing in the middle would move all that follow, and the caller could not tell.
    fn ensure_no_gap(&self, offset: u64) -> Result<()> {
        if offset == self.due {
            return Ok(());
        }
        let (path, due) = (&self.file.path, self.due);
        Err(Error::Lost(format!("read {path:?}: bug: bytes {due} to {offset} were not asked for")))
    }

    /// Takes the answer to the first READ. False if the file ends here.
    async fn take(&mut self, offset: u64, length: u32, answer: Answer) -> Result<bool> {
        let (sftp, file) = (self.sftp, self.file);
        match answer {
            Answer::Reply(Reply::Data(pieces)) if data(&pieces, length) > 0 => {
                let got = data(&pieces, length);
                if got < length {
                    // A short answer: the rest is read before the bytes that follow it are returned.
                    let rest = self.ask_again(offset + u64::from(got), length - got);
                    rest.into_iter().rev().for_each(|read| self.in_flight.push_front(read));
                }
                self.due += u64::from(got);
                self.pieces.extend(pieces);
                Ok(true)
            }
            Answer::Reply(Reply::Status { code, .. }) if StatusCode(code) == StatusCode::EOF => Ok(false),
            Answer::Reply(other) => Err(sftp.refused("read", &file.path, other)),
            Answer::Lost => Err(sftp.lost_error().await),
        }
    }

    /// Uses the further lanes that have become ready.
    fn join(&mut self) {
        while let Some(lane) = self.joining.joined() {
            let flow = Flow::new(lane.sftp.round_trip());
            self.lanes.push(Some(Reader { through: Through::Further(lane), flow }));
            tracing::debug!(lanes = self.lanes(), "a further connection reads the file");
        }
    }

    /// Sends READs as far as the windows have room. What has arrived and waits for its turn takes room, too.
    fn ask_ahead(&mut self) {
        let windows = self.lanes.iter().flatten().map(|lane| lane.flow.size()).sum::<usize>();
        let ahead_max = windows.min(self.ahead_max()) as u64;
        while self.ask < self.end {
            let next = self.in_flight.front().map_or(self.ask, |read| read.offset);
            let Some(lane) = self.roomiest().filter(|_| self.ask - next < ahead_max) else { break };
            let read = self.ask_on(lane, self.ask, self.end - self.ask);
            self.ask += u64::from(read.length);
            self.in_flight.push_back(read);
        }
    }

    /// Of a single lane, its window is the limit.
    fn ahead_max(&self) -> usize {
        if self.lanes() == 1 { usize::MAX } else { READ_AHEAD_MAX }
    }

    /// The lane with the most room. `None` if there is no room.
    ///
    /// Each lane has the same share of what is in flight: what waits on one of them holds up the others.
    fn roomiest(&self) -> Option<usize> {
        let share = self.ahead_max() / self.lanes();
        let lanes = self.lanes.iter().enumerate();
        let room = |(index, lane): (usize, &Option<Reader<'_>>)| {
            Some((lane.as_ref()?.flow.room_within(share)?, index))
        };
        lanes.filter_map(room).max().map(|(_, index)| index)
    }

    /// Asks for these bytes at once: with several READs, if the lane that has room takes no longer one.
    fn ask_again(&mut self, offset: u64, length: u32) -> Vec<Read> {
        let (mut offset, end) = (offset, offset + u64::from(length));
        let mut reads = Vec::new();
        while offset < end {
            let read = self.ask_on(self.roomiest().unwrap_or(FIRST), offset, end - offset);
            offset += u64::from(read.length);
            reads.push(read);
        }
        reads
    }

    /// Sends a READ of these bytes, or of as many as the server returns in one answer.
    fn ask_on(&mut self, lane: usize, offset: u64, length: u64) -> Read {
        let number = self.asked;
        self.asked += 1;
        let longest = if self.lanes() == 1 { u32::MAX } else { SHARED_READ };
        let mut length = u32::try_from(length).unwrap_or(u32::MAX).min(longest);
        if let Some(reader) = &mut self.lanes[lane] {
            length = length.min(reader.way().0.read_length());
            reader.flow.sent(length as usize);
            let (sftp, file) = reader.way();
            sftp.send_read(file, offset, length, &self.replies_to, number);
        }
        Read { number, lane, asked_at: Instant::now(), offset, length, answer: None }
    }

    /// Waits for a reply. A further lane that is silent for too long is given up.
    async fn wait(&mut self) -> Result<()> {
        let sftp = self.sftp;
        match (sftp.read_reply(&mut self.replies).await, self.in_flight.front()) {
            (Some(reply), _) => self.settle(reply),
            (None, Some(Read { lane: lane @ 1.., .. })) => self.give_up(*lane, "it is silent"),
            (None, _) => return Err(sftp.stalled("read", sftp.stall_timeout())),
        }
        Ok(())
    }

    fn settle(&mut self, NumberedReply { number, reply }: NumberedReply) {
        // What a lane answers after it was given up has no READ any more.
        let Some(read) = self.in_flight.iter_mut().find(|read| read.number == number) else { return };
        let Some(reader) = &mut self.lanes[read.lane] else { return };
        let got = match &reply {
            Some(Reply::Data(pieces)) => data(pieces, read.length),
            _ => 0,
        };
        reader.flow.answered(read.asked_at, read.length as usize, got as usize);
        if got > 0 {
            reader.way().0.carried_data();
        }
        match read.lane {
            lane @ 1.. if got == 0 => self.give_up(lane, "it does not read the file"),
            _ => read.answer = Some(reply.map_or(Answer::Lost, Answer::Reply)),
        }
    }

    /// Reads no more on this lane. What it has not answered is asked again on another.
    fn give_up(&mut self, lane: usize, why: &str) {
        let Some(Reader { through: Through::Further(given_up), .. }) = self.lanes[lane].take() else {
            return;
        };
        tracing::info!(why, "a further connection is not read from any more");
        self.joining.leave(given_up);
        for read in std::mem::take(&mut self.in_flight) {
            if read.lane == lane && read.answer.is_none() {
                let again = self.ask_again(read.offset, read.length);
                self.in_flight.extend(again);
            } else {
                self.in_flight.push_back(read);
            }
        }
    }
}

/// Number of bytes in the answer to a READ of `length` bytes; 0 if it has too many.
fn data(pieces: &[Bytes], length: u32) -> u32 {
    let got = pieces.iter().map(Bytes::len).sum::<usize>();
    u32::try_from(got).ok().filter(|got| *got <= length).unwrap_or_default()
}

impl std::fmt::Debug for Download<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Download")
            .field("file", self.file)
            .field("asked_up_to", &self.ask)
            .field("end", &self.end)
            .field("in_flight", &self.in_flight.len())
            .field("lanes", &self.lanes())
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "internals")]
#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use bytes::Buf;
    use proptest::prelude::*;
    use tokio::task::JoinHandle;

    use super::*;
    use crate::protocol::packet::READ;
    use crate::transfer::scripted::Server;
    use crate::{OpenFlags, Session};

    /// How a server answers a READ.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Way {
        Data,
        /// At most this many bytes.
        Short(u32),
        TooMuch,
        Nothing,
        Eof,
        Refusal,
        Silence,
        Cut,
    }

    /// A READ that a server has received.
    #[derive(Clone, Copy, Debug)]
    struct Asked {
        lane: usize,
        id: u32,
        offset: u64,
        length: u32,
    }

    /// What came of a download.
    struct Outcome {
        bytes: Vec<u8>,
        error: Option<String>,
        lanes: usize,
    }

    /// A download over several lanes, with the server's end of each.
    struct Scene {
        servers: Vec<Option<Server>>,
        reading: JoinHandle<Outcome>,
        asked: Vec<Asked>,
        /// The largest distance between READs that were not answered at the same time.
        ahead: u64,
    }

    fn contents(offset: u64, length: u32) -> Vec<u8> {
        (offset..offset + u64::from(length)).map(|at| (at % 251) as u8 ^ (at >> 15) as u8).collect()
    }

    async fn open() -> (Server, Arc<Session>, FileHandle) {
        let (mut server, session) = Server::with_session().await;
        let sftp = Arc::clone(session.sftp());
        let opening = tokio::spawn(async move { sftp.open("f", OpenFlags::READ).await });
        let (_, id) = server.request().await;
        server.handle(id);
        (server, session, opening.await.unwrap().unwrap())
    }

    impl Scene {
        async fn begin(lanes: usize, size: u64) -> Self {
            Self::with_read_lengths(&vec![32 * 1024; lanes], size).await
        }

        /// A lane for each of these limits. The further ones join while the first one has READs in flight.
        async fn with_read_lengths(read_lengths: &[u32], size: u64) -> Self {
            let (mut servers, mut open_files) = (Vec::new(), Vec::new());
            for read_length in read_lengths {
                let (server, session, file) = open().await;
                session.sftp().set_read_length(*read_length);
                servers.push(Some(server));
                open_files.push((session, file));
            }
            let reading = tokio::spawn(async move {
                let mut files = open_files.into_iter();
                let (first, file) = files.next().unwrap();
                let mut download = first.sftp().download(&file, 0, size);
                download.begin();
                for (session, file) in files {
                    let lane = Lane::new(Arc::clone(session.sftp()), file);
                    let flow = Flow::new(Duration::ZERO);
                    download.lanes.push(Some(Reader { through: Through::Further(lane), flow }));
                }
                let (mut bytes, mut error) = (Vec::new(), None);
                loop {
                    match download.next().await {
                        Ok(Some(more)) => bytes.extend_from_slice(&more),
                        Ok(None) => break,
                        Err(lost) => {
                            error = Some(lost.to_string());
                            break;
                        }
                    }
                }
                Outcome { bytes, error, lanes: download.lanes() }
            });
            Self { servers, reading, asked: Vec::new(), ahead: 0 }
        }

        /// Takes what the servers have received. Other requests than READs close files, and need no answer.
        async fn take(&mut self) {
            // Time is paused, and passes when nothing else is left to do.
            tokio::time::sleep(Duration::from_millis(1)).await;
            for (lane, server) in self.servers.iter_mut().enumerate() {
                while let Some((kind, id, mut rest)) = server.as_mut().and_then(Server::try_request) {
                    if kind == READ {
                        let handle = rest.get_u32() as usize;
                        rest.advance(handle);
                        self.asked.push(Asked { lane, id, offset: rest.get_u64(), length: rest.get_u32() });
                    }
                }
            }
            let first = self.asked.iter().map(|asked| asked.offset).min().unwrap_or_default();
            let last = self.asked.iter().map(|asked| asked.offset + u64::from(asked.length)).max();
            self.ahead = self.ahead.max(last.unwrap_or_default().saturating_sub(first));
        }

        fn answer(&mut self, Asked { lane, id, offset, length }: Asked, way: Way) {
            let Some(server) = &self.servers[lane] else { return };
            match way {
                Way::Data => server.data(id, &contents(offset, length)),
                Way::Short(most) => server.data(id, &contents(offset, length.min(most))),
                Way::TooMuch => server.data(id, &contents(offset, length + 1)),
                Way::Nothing => server.data(id, &[]),
                Way::Eof => server.status(id, 1),
                Way::Refusal => server.status(id, 4),
                Way::Silence => {}
                Way::Cut => self.servers[lane] = None,
            }
        }

        /// Answers until the download has ended: `choose` says which of the READs is next, and how.
        async fn serve(&mut self, mut choose: impl FnMut(&[Asked]) -> (usize, Way)) {
            while !self.reading.is_finished() {
                self.take().await;
                if !self.asked.is_empty() && !self.reading.is_finished() {
                    let (index, way) = choose(&self.asked);
                    let asked = self.asked.remove(index);
                    self.answer(asked, way);
                }
            }
        }

        async fn ended(self) -> Outcome {
            self.reading.await.unwrap()
        }
    }

    const SIZE: u64 = 3 * 1024 * 1024 + 77;

    fn assert_whole(outcome: &Outcome) {
        assert_eq!(outcome.error, None);
        assert!(outcome.bytes == contents(0, SIZE as u32), "{} bytes", outcome.bytes.len());
    }

    #[tokio::test(start_paused = true)]
    async fn several_lanes_read_one_file_in_order() {
        let mut scene = Scene::begin(3, SIZE).await;
        let mut served = [0; 3];
        // The last one first.
        scene
            .serve(|asked| {
                served[asked[asked.len() - 1].lane] += 1;
                (asked.len() - 1, Way::Data)
            })
            .await;
        let outcome = scene.ended().await;
        assert_whole(&outcome);
        assert_eq!(outcome.lanes, 3);
        assert!(served.iter().all(|count| *count >= 20), "{served:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_further_lane_that_fails_costs_only_itself() {
        for way in [Way::TooMuch, Way::Nothing, Way::Eof, Way::Refusal, Way::Silence, Way::Cut] {
            let mut scene = Scene::begin(3, SIZE).await;
            let mut count = 0;
            scene
                .serve(|asked| {
                    count += 1;
                    // In the middle, after it has served for a while.
                    (0, if count > 20 && asked[0].lane == 1 { way } else { Way::Data })
                })
                .await;
            let outcome = scene.ended().await;
            assert_whole(&outcome);
            assert_eq!(outcome.lanes, 2, "{way:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_lane_answers_after_it_was_given_up_is_ignored() {
        let mut scene = Scene::begin(2, SIZE).await;
        let (mut kept, mut is_given_up) = (Vec::new(), false);
        while !scene.reading.is_finished() {
            scene.take().await;
            for asked in std::mem::take(&mut scene.asked) {
                match asked.lane {
                    1 if kept.len() < 3 => kept.push(asked),
                    _ => scene.answer(asked, Way::Data),
                }
            }
            if kept.len() == 3 && !std::mem::replace(&mut is_given_up, true) {
                scene.answer(kept[1], Way::Refusal);
                // Late, and not what the file holds.
                scene.take().await;
                scene.servers[1].as_ref().unwrap().data(kept[0].id, &vec![9; kept[0].length as usize]);
            }
        }
        let outcome = scene.ended().await;
        assert_whole(&outcome);
        assert_eq!(outcome.lanes, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_lane_decides_and_what_has_arrived_before_is_returned() {
        for (way, words) in [
            (Way::Cut, "lost"),
            (Way::Refusal, "read"),
            (Way::Nothing, "DATA"),
            (Way::TooMuch, "DATA"),
            (Way::Silence, "60 s"),
        ] {
            let mut scene = Scene::begin(2, SIZE).await;
            // From here on the first lane fails; what is before is served.
            scene
                .serve(|asked| {
                    let fails = |asked: &&Asked| asked.lane == 0 && asked.offset >= 1_000_000;
                    let (first, _) = asked.iter().enumerate().min_by_key(|(_, asked)| asked.offset).unwrap();
                    (first, if fails(&&asked[first]) { way } else { Way::Data })
                })
                .await;
            let outcome = scene.ended().await;
            let error = outcome.error.unwrap_or_default();
            assert!(error.contains(words), "{way:?}: {error}");
            assert!(outcome.bytes.len() >= 1_000_000, "{way:?}: {}", outcome.bytes.len());
            assert!(outcome.bytes == contents(0, outcome.bytes.len() as u32));
        }
        let mut scene = Scene::begin(2, SIZE).await;
        scene.serve(|asked| (0, if asked[0].offset >= 1_000_000 { Way::Eof } else { Way::Data })).await;
        let outcome = scene.ended().await;
        assert_eq!(outcome.error, None, "the file ends early");
        assert!((1_000_000..SIZE as usize).contains(&outcome.bytes.len()), "{}", outcome.bytes.len());
    }

    /// A READ of 255 KiB is in flight when further lanes join, and then is answered in part, or has to be asked again on a
    /// lane that takes less.
    #[tokio::test(start_paused = true)]
    async fn what_is_asked_again_is_asked_for_to_its_last_byte() {
        const LONG: u32 = 255 * 1024;
        for way in [Way::Short(100_000), Way::Cut] {
            for read_lengths in [[LONG, LONG], [LONG, 32 * 1024], [32 * 1024, LONG]] {
                let mut scene = Scene::with_read_lengths(&read_lengths, SIZE).await;
                let mut count = 0;
                scene
                    .serve(|asked| {
                        count += 1;
                        let fails = matches!(way, Way::Short(_)) || count > 10 && asked[0].lane == 1;
                        (0, if fails { way } else { Way::Data })
                    })
                    .await;
                assert_whole(&scene.ended().await);
            }
        }
    }

    /// The first READ is answered last: what waits for it does not grow beyond the windows.
    #[tokio::test(start_paused = true)]
    async fn what_waits_for_its_turn_is_bounded() {
        const LARGE: u64 = 40 * 1024 * 1024;
        let mut scene = Scene::begin(4, LARGE).await;
        for _ in 0..3 {
            scene.take().await;
            let (first, others): (Vec<Asked>, _) = scene.asked.drain(..).partition(|asked| asked.offset == 0);
            others.into_iter().for_each(|asked| scene.answer(asked, Way::Data));
            scene.asked = first;
        }
        assert!(scene.ahead <= (READ_AHEAD_MAX + 256 * 1024) as u64, "{}", scene.ahead);
        assert!(!scene.reading.is_finished());
        scene.serve(|asked| (0, if asked[0].offset > 20_000_000 { Way::Eof } else { Way::Data })).await;
        assert!(scene.ended().await.bytes.len() >= 20_000_000);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_order_and_any_length_of_answers_makes_the_same_file(
            read_lengths in prop::collection::vec(prop::sample::select(vec![7_000, 32 << 10, 255 << 10]), 1..5),
            choices in prop::collection::vec((any::<prop::sample::Index>(), 0_u32..40), 1..50),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            let outcome = runtime.block_on(async {
                let mut scene = Scene::with_read_lengths(&read_lengths, SIZE).await;
                let mut choices = choices.iter().cycle();
                scene.serve(|asked| {
                    let (index, kind) = choices.next().unwrap();
                    let index = index.index(asked.len());
                    let way = match kind {
                        0 if asked[index].lane > 0 => Way::Cut,
                        1 if asked[index].lane > 0 => Way::Refusal,
                        2..10 => Way::Short(kind * 997),
                        _ => Way::Data,
                    };
                    (index, way)
                }).await;
                scene.ended().await
            });
            prop_assert_eq!(outcome.error, None);
            prop_assert!(outcome.bytes == contents(0, SIZE as u32));
        }
    }
}

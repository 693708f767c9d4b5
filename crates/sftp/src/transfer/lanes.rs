//! Several ways to one file: further channels on the same connection, and further connections.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{OnceCell, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::error::{Error, Result};
use crate::protocol::attributes::{Attributes, OpenFlags};
use crate::protocol::channel::Sftp;
use crate::protocol::handle::FileHandle;
use crate::session::Session;
use crate::ssh::send_buffer;
use crate::transfer::window::{CHANNEL_WINDOW, FAR};

/// Maximum number of connections and channels for one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Connections to the server, including the first one.
    pub connections: usize,
    /// SFTP channels on each connection. Channels need no login, and servers do not count them as connections.
    pub channels: usize,
}

impl Default for Caps {
    fn default() -> Self {
        Self { connections: 1, channels: 4 }
    }
}

impl Caps {
    /// One channel on one connection.
    pub const ONE: Self = Self { connections: 1, channels: 1 };

    /// What is of use for reading this many bytes. One channel on each connection: it is the server that sends, and its send
    /// buffer serves all channels.
    #[must_use]
    pub fn for_reading(self, bytes: u64) -> Self {
        let worth_it = usize::try_from(bytes / WORTH_A_CONNECTION).unwrap_or(usize::MAX).max(1);
        Self { connections: self.connections.min(worth_it), channels: 1 }
    }
}

/// Maximum number of channels over all connections of an upload.
const CHANNELS_MAX: usize = 8;
/// Minimum size of an upload for a further channel, in bytes. A smaller one is sent before the channel is open.
const WORTH_A_CHANNEL: u64 = 8 * 1024 * 1024;
/// The same, as long as it is unknown what happens to a file that is opened twice: the check takes round trips, too.
const WORTH_A_CHECK: u64 = 16 * 1024 * 1024;
/// Minimum share of an upload for each connection, in bytes. A login takes a dozen round trips, and costs the server time.
const WORTH_A_CONNECTION: u64 = 32 * 1024 * 1024;

/// How many ways an upload gets.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    connections: usize,
    /// On each connection.
    channels: usize,
}

/// What a plan depends on.
#[derive(Clone, Copy)]
struct Line {
    round_trip: Duration,
    /// How many bytes each connection can have in flight.
    capacity: usize,
    /// Whether a file that is opened twice is known to stay as it is.
    is_checked: bool,
}

/// Further channels help only with distant servers, and only as long as TCP takes what they send. Further connections help
/// near servers as well, if they are permitted: some lines and servers limit the rate of each connection.
fn plan(line: Line, remaining: u64, caps: Caps) -> Plan {
    let connections = usize::try_from(remaining / WORTH_A_CONNECTION).unwrap_or(usize::MAX);
    let connections = connections.clamp(1, caps.connections.max(1));
    let least = if line.is_checked { WORTH_A_CHANNEL } else { WORTH_A_CHECK };
    let channels = if line.round_trip >= FAR && remaining >= least {
        caps.channels.min(line.capacity / CHANNEL_WINDOW).min(CHANNELS_MAX / connections)
    } else {
        1
    };
    Plan { connections, channels: channels.max(1) }
}

impl Sftp {
    /// Whether the round trip is so long that the window limits the rate of a channel.
    pub fn is_distant(&self) -> bool {
        self.round_trip() >= FAR
    }
}

/// An open file on one channel.
pub(crate) struct Lane {
    pub(crate) sftp: Arc<Sftp>,
    pub(crate) file: FileHandle,
    /// A connection of its own, kept as long as the lane.
    session: Option<Arc<Session>>,
}

impl Lane {
    pub(crate) fn new(sftp: Arc<Sftp>, file: FileHandle) -> Self {
        Self { sftp, file, session: None }
    }

    pub(crate) async fn close(self) -> Result<()> {
        let closed = self.sftp.close(self.file).await;
        if let Some(session) = self.session.and_then(Arc::into_inner) {
            session.disconnect().await;
        }
        closed
    }

    /// Closes a file that was only read. The server's answer does not matter.
    async fn leave(self) {
        drop(self.file);
        if let Some(session) = self.session.and_then(Arc::into_inner) {
            session.disconnect().await;
        }
    }
}

/// A further channel on which the file is not open yet.
pub(crate) struct Way {
    sftp: Arc<Sftp>,
    /// As in [`Lane`].
    session: Option<Arc<Session>>,
}

impl Way {
    async fn close(self) {
        if let Some(session) = self.session.and_then(Arc::into_inner) {
            session.disconnect().await;
        }
    }
}

/// What came so far of the attempts to open further channels.
pub(crate) enum FirstWays {
    Open(Vec<Way>),
    NotYet,
    /// None of them succeeded.
    Never,
}

/// Maximum number of round trips to wait for the first of them.
const FIRST_WAY: u32 = 4;

/// Channels and connections that are being opened in the background for one file.
///
/// They are optional: the transfer goes on without those that cannot be opened, and the failure is logged.
pub struct Spread {
    /// Dropped when the transfer of the file ends.
    file: watch::Sender<Option<Target>>,
    /// Channels that were open before the file might be opened on them.
    ways: mpsc::UnboundedReceiver<Way>,
    ready_to: mpsc::UnboundedSender<Lane>,
    ready: mpsc::UnboundedReceiver<Lane>,
    opening: JoinSet<()>,
}

/// Time limit for closing further lanes at the end.
const CLOSING_MAX: Duration = Duration::from_secs(2);

/// The file of the further lanes.
#[derive(Clone)]
struct Target {
    path: String,
    purpose: Purpose,
}

/// What the file is opened for.
#[derive(Clone)]
enum Purpose {
    Write {
        /// Size of the file when the first lane opened it, in bytes.
        size: u64,
        /// The server has acknowledged every byte up to here.
        acknowledged: watch::Receiver<u64>,
    },
    /// To read a file of this size and time.
    Read { size: u64, modified: u32 },
}

impl Session {
    /// Begins to open further channels and connections in the background, for a file with `remaining` bytes to send or to
    /// read.
    ///
    /// Pass the result to [`UploadBuilder::spread`](crate::UploadBuilder::spread) or [`Download::spread`](crate::Download::spread).
    /// Channels do not help a download: it is the server that sends, and our window has room for what TCP takes.
    pub fn spread(self: &Arc<Self>, remaining: u64, caps: Caps) -> Spread {
        Spread::begin(self, remaining, caps)
    }
}

impl Spread {
    /// Only called after the first connection has logged in: a credential that is refused must not be refused several
    /// times.
    fn begin(first: &Arc<Session>, remaining: u64, caps: Caps) -> Self {
        let (ready_to, ready) = mpsc::unbounded_channel();
        let (ways_to, ways) = mpsc::unbounded_channel();
        let file = watch::Sender::new(None);
        let line = Line {
            round_trip: first.sftp().round_trip(),
            capacity: send_buffer::capacity(),
            is_checked: first.sftp().reopens_harmlessly.load(Ordering::Relaxed),
        };
        let Plan { connections, channels } = plan(line, remaining, caps);
        let mut opening = JoinSet::new();
        for connection in 0..connections {
            let own = (connection > 0).then(|| Arc::new(OnceCell::new()));
            for channel in usize::from(connection == 0)..channels {
                let lane = FurtherLane { first: Arc::clone(first), own: own.clone(), channel };
                opening.spawn(lane.open(file.subscribe(), ways_to.clone(), ready_to.clone()));
            }
        }
        Self { file, ways, ready_to, ready, opening }
    }

    /// No further lanes.
    pub(crate) fn none() -> Self {
        let (ready_to, ready) = mpsc::unbounded_channel();
        let (_, ways) = mpsc::unbounded_channel();
        Self { file: watch::Sender::new(None), ways, ready_to, ready, opening: JoinSet::new() }
    }

    /// Closes the lanes that are open for the file, and those that are being opened.
    pub(crate) async fn end(self) {
        let Self { file, mut ways, ready_to, mut ready, mut opening } = self;
        drop((file, ready_to));
        ways.close();
        while let Some(way) = ways.recv().await {
            opening.spawn(way.close());
        }
        ready.close();
        while let Some(lane) = ready.recv().await {
            opening.spawn(async move { drop(lane.close().await) });
        }
        let closed = async { while opening.join_next().await.is_some() {} };
        let _ = timeout(CLOSING_MAX, closed).await;
    }

    /// Whether further lanes are being opened.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.opening.is_empty()
    }

    /// The further lanes may open the file now, to write to it.
    pub(crate) fn start_writing(&mut self, path: &str, size: u64, acknowledged: watch::Receiver<u64>) {
        self.start(path, Purpose::Write { size, acknowledged });
    }

    /// The further lanes may open the file now, to read it if it has this size and time.
    pub(crate) fn start_reading(&mut self, path: &str, size: u64, modified: u32) {
        self.start(path, Purpose::Read { size, modified });
    }

    fn start(&mut self, path: &str, purpose: Purpose) {
        self.file.send_replace(Some(Target { path: path.to_owned(), purpose }));
        self.open_on_ways();
    }

    /// Closes a lane on which the file was read, in the background. The [end](Self::end) waits for it.
    pub(crate) fn leave(&mut self, lane: Lane) {
        self.opening.spawn(lane.leave());
    }

    fn open_on_ways(&mut self) {
        while !self.ways.is_empty()
            && let Some(target) = self.file.borrow().clone()
            && let Ok(way) = self.ways.try_recv()
        {
            self.opening.spawn(join(way, target, self.ready_to.clone()));
        }
    }

    /// The further channels that are open, once there is one. The caller tries what happens to the file there.
    pub(crate) async fn first_ways(&mut self, round_trip: Duration) -> FirstWays {
        let mut found = match timeout(FIRST_WAY * round_trip, self.ways.recv()).await {
            Ok(Some(way)) => vec![way],
            Ok(None) => return FirstWays::Never,
            Err(_) => return FirstWays::NotYet,
        };
        // The others of the same connection come at about the same time, or much later.
        while let Ok(Some(way)) = timeout(round_trip / 8, self.ways.recv()).await {
            found.push(way);
        }
        FirstWays::Open(found)
    }

    /// A lane that has become ready.
    pub(crate) fn joined(&mut self) -> Option<Lane> {
        self.open_on_ways();
        self.ready.try_recv().ok()
    }
}

impl std::fmt::Debug for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spread").field("opening", &self.opening.len()).finish_non_exhaustive()
    }
}

/// A lane that is being opened.
struct FurtherLane {
    first: Arc<Session>,
    /// The connection that the lane shares with the others of its own; `None` on the first connection.
    own: Option<Arc<OnceCell<Option<Arc<Session>>>>>,
    channel: usize,
}

impl FurtherLane {
    async fn open(
        self,
        mut file: watch::Receiver<Option<Target>>,
        ways: mpsc::UnboundedSender<Way>,
        ready: mpsc::UnboundedSender<Lane>,
    ) {
        let Self { first, own, channel } = self;
        let session = match own {
            None => None,
            // A connection that comes too late is not waited for: nothing has to be closed on it.
            Some(own) => tokio::select! {
                session = own.get_or_init(|| reconnect(&first)) => match session {
                    None => return,
                    session => session.clone(),
                },
                () = ended(&mut file) => return,
            },
        };
        let sftp = match session.as_ref().unwrap_or(&first).channel(channel).await {
            Ok(sftp) => sftp,
            Err(error) => return tracing::info!(%error, channel, "no further channel to the server"),
        };
        let way = Way { sftp, session };
        let target = file.borrow().clone();
        match target {
            Some(target) => join(way, target, ready).await,
            // The transfer has ended if nobody takes it.
            None => {
                if let Err(mpsc::error::SendError(way)) = ways.send(way) {
                    way.close().await;
                }
            }
        }
    }
}

/// Opens the file on a further channel, which then becomes a lane.
async fn join(way: Way, target: Target, ready: mpsc::UnboundedSender<Lane>) {
    match open_lane(way, target).await {
        Ok(Some(lane)) => {
            if let Err(mpsc::error::SendError(lane)) = ready.send(lane) {
                let _ = lane.close().await;
            }
        }
        Ok(None) => {}
        Err(error) => tracing::info!(%error, "a further channel cannot be used"),
    }
}

/// What happens to a file when it is opened a second time.
pub(crate) enum Reopened {
    /// It stays as it is. The further channels that were seen to write to the same file carry it from now on.
    Harmlessly(Vec<Lane>),
    /// The server does not show it, or keeps the open files apart. The upload uses one lane only.
    Unclear,
}

/// Opens the file once more on each of these channels, or on the first one if there are none. Checks that the
/// acknowledged bytes are still there: some servers truncate a file whenever it is opened. No WRITE may be in flight,
/// since it would hide the truncation. Before the call, the first lane must have shown every acknowledged byte.
///
/// `size` is the size of the file when the first lane opened it: if it has grown since, a handle that shows the growth is
/// of the same file.
///
/// # Errors
/// `ConnectionLost` if the file was truncated: the acknowledged bytes are gone.
pub(crate) async fn reopen(
    first: &Lane,
    mut ways: Vec<Way>,
    size: u64,
    acknowledged: u64,
) -> Result<Reopened> {
    if ways.is_empty() {
        ways.push(Way { sftp: Arc::clone(&first.sftp), session: None });
    }
    let mut opening = JoinSet::new();
    for way in ways {
        let path = first.file.path.clone();
        opening.spawn(async move {
            let opened = way.sftp.open(&path, OpenFlags::WRITE).await;
            (way, opened.ok())
        });
    }
    let mut looking = JoinSet::new();
    // Only after every OPEN: what is shown then is what all of them have left.
    for (way, opened) in opening.join_all().await {
        looking.spawn(async move {
            let Some(file) = opened else { return (way, None) };
            let is_shown = shows(&way.sftp, &file, acknowledged).await.unwrap_or(false);
            (way, Some(file).filter(|_| is_shown))
        });
    }
    let (looked, is_shown) = tokio::join!(looking.join_all(), shows(&first.sftp, &first.file, acknowledged));
    let is_shown = is_shown?;
    let mut is_harmless = false;
    let mut lanes = Vec::new();
    for (way, file) in looked {
        is_harmless |= file.is_some();
        let is_further = !Arc::ptr_eq(&way.sftp, &first.sftp);
        match file {
            Some(file) if is_further && acknowledged > size => {
                lanes.push(Lane { sftp: way.sftp, file, session: way.session });
            }
            _ => way.close().await,
        }
    }
    match (is_harmless, is_shown) {
        (true, _) => Ok(Reopened::Harmlessly(lanes)),
        (false, true) => Ok(Reopened::Unclear),
        (false, false) => Err(Error::Lost(format!(
            "the server emptied {:?} when it was opened a second time",
            first.file.path
        ))),
    }
}

/// Whether the server shows that the open file has this length, or more.
pub(crate) async fn shows(sftp: &Sftp, file: &FileHandle, length: u64) -> Result<bool> {
    let told = sftp.told_attributes(file, sftp.ask_attributes(file)).await?;
    Ok(has_length(told, length))
}

/// Whether these attributes say that a file has this length, or more.
pub(crate) fn has_length(told: Option<Attributes>, length: u64) -> bool {
    told.and_then(|told| told.size).is_some_and(|size| size >= length)
}

/// Returns when the transfer of the file has ended.
async fn ended(file: &mut watch::Receiver<Option<Target>>) {
    while file.changed().await.is_ok() {}
}

/// All channels of one connection wait for the same call.
async fn reconnect(first: &Arc<Session>) -> Option<Arc<Session>> {
    let session = first.reconnect().await;
    session.map(Arc::new).map_err(|error| tracing::info!(%error, "no further connection to the server")).ok()
}

async fn open_lane(Way { sftp, session }: Way, mut target: Target) -> Result<Option<Lane>> {
    // Neither created nor truncated: it must be the file that the first lane has open.
    let flags = match target.purpose {
        Purpose::Write { .. } => OpenFlags::WRITE,
        Purpose::Read { .. } => OpenFlags::READ,
    };
    let file = sftp.open(&target.path, flags).await?;
    match target.is_same_file(&sftp, &file).await {
        Ok(Some(true)) => return Ok(Some(Lane { sftp, file, session })),
        Ok(Some(false)) => {
            tracing::info!(
                path = target.path,
                "a further channel is not used: it does not show the file that the first one has open"
            );
        }
        Ok(None) => {}
        Err(error) => tracing::info!(%error, "a further channel cannot be used"),
    }
    sftp.close(file).await?;
    Ok(None)
}

impl Target {
    /// Whether this handle is of the file that the first lane has open. `None` if the transfer ended before that could be checked.
    ///
    /// To write, data of the first lane must be visible through it: a server that stores each open file as a separate upload
    /// would keep only the one that is closed last. To read, the server must tell the size and the time, and they must be the
    /// same.
    async fn is_same_file(&mut self, sftp: &Sftp, file: &FileHandle) -> Result<Option<bool>> {
        match &mut self.purpose {
            Purpose::Write { size, acknowledged } => {
                let grown = acknowledged.wait_for(|offset| *offset > *size).await;
                let Ok(offset) = grown.map(|offset| *offset) else { return Ok(None) };
                Ok(Some(has_length(Some(sftp.fstat(file).await?), offset)))
            }
            Purpose::Read { size, modified } => {
                let told = sftp.fstat(file).await?;
                Ok(Some(told.size == Some(*size) && told.modified == Some(*modified)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;
    const NEAR: Line =
        Line { round_trip: Duration::from_millis(1), capacity: 4 * MIB as usize, is_checked: true };
    const DISTANT: Line = Line { round_trip: Duration::from_millis(50), ..NEAR };

    fn ways(line: Line, remaining: u64, caps: Caps) -> (usize, usize) {
        let Plan { connections, channels } = plan(line, remaining, caps);
        (connections, channels)
    }

    #[test]
    fn reading_takes_no_connection_that_the_file_is_too_small_for() {
        let four = Caps { connections: 4, channels: 4 };
        let reading = |mib| four.for_reading(mib * MIB).connections;
        assert_eq!([0, 63, 64, 100, 128, 1024].map(reading), [1, 1, 2, 3, 4, 4]);
        assert_eq!(four.for_reading(MIB), Caps::ONE);
    }

    #[test]
    fn near_servers_and_small_files_get_one_channel() {
        let four = Caps { connections: 4, channels: 2 };
        assert_eq!(ways(NEAR, 1024 * MIB, Caps::default()), (1, 1));
        assert_eq!(ways(DISTANT, MIB, four), (1, 1));
        assert_eq!(ways(DISTANT, 16 * MIB, four), (1, 2));
        assert_eq!(ways(Line { is_checked: false, ..DISTANT }, 15 * MIB, four), (1, 1));
        assert_eq!(ways(Line { is_checked: false, ..DISTANT }, 16 * MIB, four), (1, 2));
        assert_eq!(ways(DISTANT, 1024 * MIB, Caps::default()), (1, 2));
        assert_eq!(ways(DISTANT, 100 * MIB, four), (3, 2));
        assert_eq!(ways(NEAR, 1024 * MIB, four), (4, 1));
        assert_eq!(ways(DISTANT, u64::MAX, Caps::ONE), (1, 1));
        assert_eq!(ways(DISTANT, u64::MAX, Caps { connections: 0, channels: 0 }), (1, 1));
    }

    #[test]
    fn no_more_channels_than_tcp_and_the_window_over_all_of_them_take() {
        let wide = Line { capacity: 8 * MIB as usize, ..DISTANT };
        let caps = |connections| Caps { connections, ..Caps::default() };
        assert_eq!(ways(wide, 1024 * MIB, caps(1)), (1, 4));
        assert_eq!(ways(wide, 1024 * MIB, caps(4)), (4, 2));
        assert_eq!(ways(wide, 1024 * MIB, caps(16)), (16, 1));
        assert_eq!(ways(Line { capacity: MIB as usize, ..wide }, 1024 * MIB, caps(1)), (1, 1));
    }
}

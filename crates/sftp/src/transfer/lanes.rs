//! Several ways to one file: further channels on the same connection, and further connections.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OnceCell, mpsc, watch};
use tokio::task::JoinSet;

use crate::error::{Error, Result};
use crate::protocol::attributes::OpenFlags;
use crate::protocol::channel::Sftp;
use crate::protocol::handle::FileHandle;
use crate::session::Session;
use crate::transfer::window::FAR;

/// Maximum number of connections and channels for one upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Connections to the server, including the first one.
    pub connections: usize,
    /// SFTP channels on each connection. Channels need no login, and servers do not count them as connections.
    pub channels: usize,
}

impl Default for Caps {
    fn default() -> Self {
        Self { connections: 1, channels: 2 }
    }
}

impl Caps {
    /// One channel on one connection.
    pub const ONE: Self = Self { connections: 1, channels: 1 };
}

/// Minimum size of an upload for a further channel, in bytes. A smaller one is sent before the channel is open.
const WORTH_A_CHANNEL: u64 = 8 * 1024 * 1024;
/// Minimum share of an upload for each connection, in bytes. A login takes a dozen round trips, and costs the server time.
const WORTH_A_CONNECTION: u64 = 32 * 1024 * 1024;

/// How many ways an upload gets.
struct Plan {
    connections: usize,
    /// On each connection.
    channels: usize,
}

/// Further channels help only with distant servers. Further connections help near servers as well, if they are permitted:
/// some lines and servers limit the rate of each connection.
fn plan(round_trip: Duration, remaining: u64, caps: Caps) -> Plan {
    let connections = usize::try_from(remaining / WORTH_A_CONNECTION).unwrap_or(usize::MAX);
    let connections = connections.clamp(1, caps.connections.max(1));
    let is_worth_channels = round_trip >= FAR && remaining >= WORTH_A_CHANNEL;
    Plan { connections, channels: if is_worth_channels { caps.channels.max(1) } else { 1 } }
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
}

/// Channels and connections that are being opened in the background for one file.
///
/// They are optional: the upload goes on without those that cannot be opened, and the failure is logged.
pub struct Spread {
    /// Dropped when the upload of the file ends.
    file: watch::Sender<Option<Target>>,
    ready: mpsc::UnboundedReceiver<Lane>,
    opening: JoinSet<()>,
}

/// Time limit for closing further lanes at the end.
const CLOSING_MAX: Duration = Duration::from_secs(2);

/// The file of the further lanes.
#[derive(Clone)]
struct Target {
    path: String,
    /// Size of the file when the first lane opened it, in bytes.
    size: u64,
    /// The server has acknowledged every byte up to here.
    acknowledged: watch::Receiver<u64>,
}

impl Session {
    /// Begins to open further channels and connections in the background, for a file with `remaining` bytes to send.
    ///
    /// Pass the result to the upload of the file (see [`UploadBuilder::spread`](crate::UploadBuilder::spread)).
    pub fn spread(self: &Arc<Self>, remaining: u64, caps: Caps) -> Spread {
        Spread::begin(self, remaining, caps)
    }
}

impl Spread {
    /// Only called after the first connection has logged in: a credential that is refused must not be refused several
    /// times.
    fn begin(first: &Arc<Session>, remaining: u64, caps: Caps) -> Self {
        let (ready_to, ready) = mpsc::unbounded_channel();
        let file = watch::Sender::new(None);
        let Plan { connections, channels } = plan(first.sftp().round_trip(), remaining, caps);
        let mut opening = JoinSet::new();
        for connection in 0..connections {
            let own = (connection > 0).then(|| Arc::new(OnceCell::new()));
            for channel in usize::from(connection == 0)..channels {
                let lane = FurtherLane { first: Arc::clone(first), own: own.clone(), channel };
                opening.spawn(lane.open(file.subscribe(), ready_to.clone()));
            }
        }
        Self { file, ready, opening }
    }

    /// No further lanes.
    pub(crate) fn none() -> Self {
        let (_, ready) = mpsc::unbounded_channel();
        Self { file: watch::Sender::new(None), ready, opening: JoinSet::new() }
    }

    /// Closes the lanes that are open for the file, and those that are being opened.
    pub(crate) async fn end(self) {
        let Self { file, mut ready, mut opening } = self;
        drop(file);
        ready.close();
        while let Some(lane) = ready.recv().await {
            opening.spawn(async move { drop(lane.close().await) });
        }
        let closed = async { while opening.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(CLOSING_MAX, closed).await;
    }

    /// Whether further lanes are being opened.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.opening.is_empty()
    }

    /// The further lanes may open the file now.
    pub(crate) fn start(&self, path: &str, size: u64, acknowledged: watch::Receiver<u64>) {
        self.file.send_replace(Some(Target { path: path.to_owned(), size, acknowledged }));
    }

    /// A lane that has become ready.
    pub(crate) fn joined(&mut self) -> Option<Lane> {
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
    async fn open(self, mut file: watch::Receiver<Option<Target>>, ready: mpsc::UnboundedSender<Lane>) {
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
        match open_lane(&first, session, channel, file).await {
            Ok(Some(lane)) => {
                if let Err(mpsc::error::SendError(lane)) = ready.send(lane) {
                    let _ = lane.close().await;
                }
            }
            Ok(None) => {}
            Err(error) => tracing::info!(%error, channel, "no further channel to the server"),
        }
    }
}

/// What happens to a file when it is opened a second time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reopening {
    /// It stays as it is.
    Harmless,
    /// The server does not show it, or keeps the two open files apart. The upload uses one lane only.
    Unclear,
}

/// Opens the file a second time, and checks that the acknowledged bytes are still there: some servers truncate a file
/// whenever it is opened. No WRITE may be in flight, since it would hide the truncation.
///
/// # Errors
/// `ConnectionLost` if the file was truncated: the acknowledged bytes are gone.
pub(crate) async fn reopen(first: &Lane, acknowledged: u64) -> Result<Reopening> {
    let Lane { sftp, file, .. } = first;
    if !shows(sftp, file, acknowledged).await? {
        return Ok(Reopening::Unclear);
    }
    let again = match sftp.open(&file.path, OpenFlags::WRITE).await {
        Err(Error::Refused(_)) => return Ok(Reopening::Unclear),
        again => again?,
    };
    if shows(sftp, &again, acknowledged).await? {
        return Ok(Reopening::Harmless);
    }
    if shows(sftp, file, acknowledged).await? {
        return Ok(Reopening::Unclear);
    }
    Err(Error::Lost(format!("the server emptied {:?} when it was opened a second time", file.path)))
}

async fn shows(sftp: &Sftp, file: &FileHandle, length: u64) -> Result<bool> {
    match sftp.fstat(file).await {
        Ok(attributes) => Ok(attributes.size.is_some_and(|size| size >= length)),
        Err(Error::Refused(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Returns when the upload of the file has ended.
async fn ended(file: &mut watch::Receiver<Option<Target>>) {
    while file.changed().await.is_ok() {}
}

/// All channels of one connection wait for the same call.
async fn reconnect(first: &Arc<Session>) -> Option<Arc<Session>> {
    let session = first.reconnect().await;
    session.map(Arc::new).map_err(|error| tracing::info!(%error, "no further connection to the server")).ok()
}

async fn open_lane(
    first: &Arc<Session>,
    session: Option<Arc<Session>>,
    channel: usize,
    mut file: watch::Receiver<Option<Target>>,
) -> Result<Option<Lane>> {
    let sftp = session.as_ref().unwrap_or(first).channel(channel).await?;
    let target = file.wait_for(Option::is_some).await.ok().and_then(|target| target.clone());
    let Some(mut target) = target else { return Ok(None) };
    // Neither created nor truncated: it must be the file that the first lane has open.
    let file = sftp.open(&target.path, OpenFlags::WRITE).await?;
    match target.is_same_file(&sftp, &file).await {
        Ok(Some(true)) => return Ok(Some(Lane { sftp, file, session })),
        Ok(Some(false)) => {
            tracing::info!(path = target.path, "the server keeps two handles of the same file apart");
        }
        Ok(None) => {}
        Err(error) => tracing::info!(%error, "a further channel cannot be used"),
    }
    sftp.close(file).await?;
    Ok(None)
}

impl Target {
    /// Whether data of the first lane is visible through this handle. A server that stores each open file as a separate
    /// upload would keep only the one that is closed last. `None` if the upload ended before that could be checked.
    async fn is_same_file(&mut self, sftp: &Sftp, file: &FileHandle) -> Result<Option<bool>> {
        let grown = self.acknowledged.wait_for(|offset| *offset > self.size).await;
        let Ok(offset) = grown.map(|offset| *offset) else { return Ok(None) };
        Ok(Some(sftp.fstat(file).await?.size.is_some_and(|size| size >= offset)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_servers_and_small_files_get_one_channel() {
        let plan = |round_trip, remaining, caps| {
            let Plan { connections, channels } = plan(round_trip, remaining, caps);
            (connections, channels)
        };
        let (near, far) = (Duration::from_millis(1), Duration::from_millis(50));
        let four = Caps { connections: 4, channels: 2 };
        let mib = 1024 * 1024;
        assert_eq!(plan(near, 1024 * mib, Caps::default()), (1, 1));
        assert_eq!(plan(far, mib, four), (1, 1));
        assert_eq!(plan(far, 16 * mib, four), (1, 2));
        assert_eq!(plan(far, 1024 * mib, Caps::default()), (1, 2));
        assert_eq!(plan(far, 100 * mib, four), (3, 2));
        assert_eq!(plan(near, 1024 * mib, four), (4, 1));
        assert_eq!(plan(far, u64::MAX, Caps::ONE), (1, 1));
        assert_eq!(plan(far, u64::MAX, Caps { connections: 0, channels: 0 }), (1, 1));
    }
}

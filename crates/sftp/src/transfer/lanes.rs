//! Several ways to one file: further channels on the same connection, and further connections.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OnceCell, mpsc, watch};
use tokio::task::JoinSet;

use crate::client::{FileHandle, Sftp};
use crate::window::FAR;
use crate::{Error, OpenFlags, Result, Session};

/// How far an upload may spread out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Connections to the server, this one included.
    pub connections: usize,
    /// SFTP channels on each. They cost no log-in and do not count against a cap on connections.
    pub channels: usize,
}

impl Default for Caps {
    fn default() -> Self {
        Self { connections: 1, channels: 2 }
    }
}

impl Caps {
    /// For a server that takes more than one amiss.
    pub const ONE: Self = Self { connections: 1, channels: 1 };
}

/// Less than this is sent before a further channel is open, bytes.
const WORTH_A_CHANNEL: u64 = 8 * 1024 * 1024;
/// A log-in takes a dozen round trips and the server's patience: each connection gets at least so much to do, bytes.
const WORTH_A_CONNECTION: u64 = 32 * 1024 * 1024;

/// How many connections, and channels on each. Connections are opened near by, too, for whoever allows them: some lines
/// and servers limit the rate of each.
fn plan(round_trip: Duration, remaining: u64, caps: Caps) -> (usize, usize) {
    let connections = usize::try_from(remaining / WORTH_A_CONNECTION).unwrap_or(usize::MAX);
    let connections = connections.clamp(1, caps.connections.max(1));
    let channels = if round_trip >= FAR && remaining >= WORTH_A_CHANNEL { caps.channels.max(1) } else { 1 };
    (connections, channels)
}

/// An open file on one channel.
pub(crate) struct Lane {
    pub(crate) sftp: Arc<Sftp>,
    pub(crate) file: FileHandle,
    /// A connection of its own, kept for as long as the lane.
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

/// Channels and connections that are being opened in the background for a file, and the lanes that come of them. None is
/// missed if it does not: whatever goes wrong is logged, no more.
pub struct Spread {
    /// Dropped: the file has ended.
    file: watch::Sender<Option<Target>>,
    ready: mpsc::UnboundedReceiver<Lane>,
    opening: JoinSet<()>,
}

/// For closing what has just been opened, a few round trips.
const CLOSING_MAX: Duration = Duration::from_secs(2);

/// What the further lanes are for.
#[derive(Clone)]
struct Target {
    path: String,
    /// What the file held when the first lane opened it, bytes.
    size: u64,
    /// Up to where the server has acknowledged every byte.
    acknowledged: watch::Receiver<u64>,
}

impl Spread {
    /// Begins to open what a file with so many bytes left is worth. Only once the first connection is logged in: a
    /// credential that is refused must not be refused several times.
    pub(crate) fn begin(first: &Arc<Session>, remaining: u64, caps: Caps) -> Self {
        let (ready_to, ready) = mpsc::unbounded_channel();
        let file = watch::Sender::new(None);
        let (connections, channels) = plan(first.sftp().round_trip(), remaining, caps);
        let mut opening = JoinSet::new();
        for connection in 0..connections {
            let own = Arc::new(OnceCell::new());
            for channel in usize::from(connection == 0)..channels {
                let (first, own) = (Arc::clone(first), Arc::clone(&own));
                let (mut file, ready) = (file.subscribe(), ready_to.clone());
                opening.spawn(async move {
                    let session = match connection {
                        0 => None,
                        // A connection that comes too late is not waited for; there is nothing to close on it.
                        _ => tokio::select! {
                            own = own.get_or_init(|| another(&first)) => match own {
                                None => return,
                                own => own.clone(),
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
                });
            }
        }
        Self { file, ready, opening }
    }

    /// No further lanes.
    pub(crate) fn none() -> Self {
        let (_, ready) = mpsc::unbounded_channel();
        Self { file: watch::Sender::new(None), ready, opening: JoinSet::new() }
    }

    /// The file has ended: what is open for it is closed, and what is being opened, too.
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

    /// Whether more than one lane is worth it.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.opening.is_empty()
    }

    /// The first lane has the file open, and others may open it, too.
    pub(crate) fn start(&self, path: &str, size: u64, acknowledged: watch::Receiver<u64>) {
        self.file.send_replace(Some(Target { path: path.to_owned(), size, acknowledged }));
    }

    /// A lane that has become ready since.
    pub(crate) fn joined(&mut self) -> Option<Lane> {
        self.ready.try_recv().ok()
    }
}

/// What becomes of a file that is opened a second time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reopening {
    /// It is left as it is.
    Harmless,
    /// The server does not show it, or keeps apart what is open twice: one lane has to do.
    Unclear,
}

/// Opens the file a second time, and looks whether what was acknowledged is still there: some servers empty a file whenever
/// it is opened. Nothing may be in flight: what is written meanwhile would hide it.
///
/// # Errors
/// `ConnectionLost` if the file was emptied: nothing of what was acknowledged is there any more.
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
    Err(Error::lost(format!("the server emptied {:?} when it was opened a second time", file.path)))
}

async fn shows(sftp: &Sftp, file: &FileHandle, length: u64) -> Result<bool> {
    match sftp.fstat(file).await {
        Ok(attributes) => Ok(attributes.size.is_some_and(|size| size >= length)),
        Err(Error::Refused(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Returns when the file has ended.
async fn ended(file: &mut watch::Receiver<Option<Target>>) {
    while file.changed().await.is_ok() {}
}

/// The channels of one connection wait for the same one.
async fn another(first: &Arc<Session>) -> Option<Arc<Session>> {
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
    // Neither made nor cut: it must be the file that the first lane made.
    let file = sftp.open(&target.path, OpenFlags::WRITE).await?;
    match target.is_same_file(&sftp, &file).await {
        Ok(Some(true)) => return Ok(Some(Lane { sftp, file, session })),
        Ok(Some(false)) => {
            tracing::info!(path = target.path, "the server keeps a file that is open twice apart");
        }
        Ok(None) => {}
        Err(error) => tracing::info!(%error, "a further channel is of no use"),
    }
    sftp.close(file).await?;
    Ok(None)
}

impl Target {
    /// Whether what the first lane writes is seen through this handle. A server that stores each open file as an upload
    /// of its own would keep the one that is closed last. `None`: the file ended before it could be told.
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

//! Several ways to one file: further channels on the same connection, and further connections.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::client::{FileHandle, Sftp};
use crate::{OpenFlags, Result, Session};

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

/// From this round trip on, the window of a single channel (2 MiB with OpenSSH) is what limits it.
const FAR: Duration = Duration::from_millis(8);
/// Less than this is sent before a further channel is open, bytes.
const WORTH_A_CHANNEL: u64 = 8 * 1024 * 1024;
/// A log-in takes a dozen round trips and the server's patience: each connection gets at least so much to do, bytes.
const WORTH_A_CONNECTION: u64 = 32 * 1024 * 1024;

/// How many connections, and channels on each.
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

/// Lanes that join in as they become ready. None is missed if it does not: whatever goes wrong is logged, no more.
pub(crate) struct Lanes {
    ready: mpsc::UnboundedReceiver<Lane>,
    _opening: JoinSet<()>,
}

impl Lanes {
    /// Opens further lanes to `path`, which `first` has open and which held `size` bytes, in the background.
    pub(crate) fn open(
        first: &Arc<Session>,
        path: &str,
        size: u64,
        remaining: u64,
        caps: Caps,
        acknowledged: &watch::Receiver<u64>,
    ) -> Self {
        let (ready_to, ready) = mpsc::unbounded_channel();
        let (connections, channels) = plan(first.sftp().round_trip(), remaining, caps);
        let mut opening = JoinSet::new();
        for connection in 0..connections {
            if connection == 0 && channels == 1 {
                continue;
            }
            let opening_all = Opening {
                first: Arc::clone(first),
                path: path.to_owned(),
                size,
                acknowledged: acknowledged.clone(),
                ready: ready_to.clone(),
            };
            opening.spawn(async move {
                if let Err(error) = opening_all.run(connection, channels).await {
                    tracing::info!(%error, connection, "no further channel or connection to the server");
                }
            });
        }
        Self { ready, _opening: opening }
    }

    /// A lane that has become ready since.
    pub(crate) fn joined(&mut self) -> Option<Lane> {
        self.ready.try_recv().ok()
    }
}

struct Opening {
    first: Arc<Session>,
    path: String,
    size: u64,
    acknowledged: watch::Receiver<u64>,
    ready: mpsc::UnboundedSender<Lane>,
}

impl Opening {
    async fn run(mut self, connection: usize, channels: usize) -> Result<()> {
        let own = if connection == 0 { None } else { Some(Arc::new(self.first.another().await?)) };
        for channel in usize::from(own.is_none())..channels {
            let sftp = own.as_ref().unwrap_or(&self.first).channel(channel).await?;
            // Neither made nor cut: it must be the file that the first lane made.
            let file = sftp.open(&self.path, OpenFlags::WRITE).await?;
            if !self.is_same_file(&sftp, &file).await? {
                tracing::info!(path = self.path, "the server keeps a file that is open twice apart");
                sftp.close(file).await?;
                break;
            }
            if self.ready.send(Lane { sftp, file, session: own.clone() }).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Whether what the first lane writes is seen through this handle. A server that stores each open file as an upload
    /// of its own would keep the one that is closed last.
    async fn is_same_file(&mut self, sftp: &Sftp, file: &FileHandle) -> Result<bool> {
        let grown = self.acknowledged.wait_for(|offset| *offset > self.size).await;
        let Ok(offset) = grown.map(|offset| *offset) else { return Ok(false) };
        Ok(sftp.fstat(file).await?.size.is_some_and(|size| size >= offset))
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

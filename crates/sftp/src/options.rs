//! Where to connect to, and how.

use std::net::SocketAddr;
use std::time::Duration;

use terms::Algorithms;

/// The address of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Name or IP address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Time limits, algorithms and other options of a session.
#[derive(Clone, Debug)]
pub struct Options {
    /// Time limit for the name lookup, TCP and the key exchange together, over all addresses of the host.
    pub connect_timeout: Duration,
    /// Time limit for logging in and starting SFTP together.
    pub login_timeout: Duration,
    /// Addresses to connect to. If empty, the host name is looked up.
    pub addresses: Vec<SocketAddr>,
    /// A keepalive is sent after this time of silence. Silence of four times this length ends the session, unless the
    /// server is hashing, closing or renaming a file.
    pub keepalive_interval: Duration,
    /// Time limit for the answer to a request on a session that is otherwise alive. For CLOSE and RENAME it is ten
    /// times as long. [`Sftp::sha256`](crate::Sftp::sha256) takes a time limit of its own.
    pub stall_timeout: Duration,
    /// Number of bytes, in either direction, after which new keys are exchanged. RFC 4253, section 9, recommends 1 GiB.
    pub rekey_after: usize,
    /// The algorithms to offer to the server.
    pub algorithms: Algorithms,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(20),
            login_timeout: Duration::from_secs(20),
            addresses: Vec::new(),
            keepalive_interval: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(60),
            rekey_after: 1 << 30,
            algorithms: Algorithms::default(),
        }
    }
}

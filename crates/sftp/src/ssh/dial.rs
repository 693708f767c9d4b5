//! TCP connections to a host that may have several addresses. An address that is dead or silent must not use up the time
//! that the others need.

use std::collections::{BTreeMap, VecDeque};
use std::net::{Shutdown, SocketAddr};
use std::sync::Mutex;
use std::time::Duration;

use socket2::{SockRef, Socket, TcpKeepalive};
use terms::{ErrorKind, Result, lock};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use crate::options::{Endpoint, Options};
use crate::ssh::send_buffer;
use crate::words::late;

/// The addresses that have not been tried yet, with one time limit for all of them.
pub(crate) struct Addresses<'a> {
    endpoint: &'a Endpoint,
    deadline: Instant,
    left: VecDeque<SocketAddr>,
    problems: Vec<String>,
}

/// A connection to one of the addresses.
pub(crate) struct Connected {
    pub(crate) stream: TcpStream,
    pub(crate) address: SocketAddr,
    /// Its share of the time limit. It covers everything up to the end of the key exchange.
    pub(crate) share: Duration,
    pub(crate) until: Instant,
}

impl<'a> Addresses<'a> {
    /// Looks up the host name. Addresses that failed recently come last; of these, the one that failed last is at the end.
    pub(crate) async fn look_up(endpoint: &'a Endpoint, options: &Options) -> Result<Self> {
        let deadline = Instant::now() + options.connect_timeout;
        let failed = |problem: &dyn std::fmt::Display| {
            ErrorKind::ConnectFailed.error(format!("looking up {}: {problem}", endpoint.host))
        };
        let mut left = options.addresses.clone();
        if left.is_empty() {
            let looking = tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port));
            let found =
                timeout_at(deadline, looking).await.map_err(|_| failed(&late(options.connect_timeout)))?;
            left.extend(found.map_err(|error| failed(&error))?);
        }
        if left.is_empty() {
            return Err(failed(&"the name has no address"));
        }
        let failures = lock(&FAILURES);
        left.sort_by_key(|address| failures.get(address).copied());
        drop(failures);
        Ok(Self { endpoint, deadline, left: left.into(), problems: Vec::new() })
    }

    /// Connects to the next address that accepts a connection.
    ///
    /// # Errors
    /// `ConnectFailed` with the problem of each address, if there is no further address.
    pub(crate) async fn connect_tcp(&mut self) -> Result<Connected> {
        while let Some(address) = self.left.pop_front() {
            let sharing = 1 + self.left.len() as u32;
            let share = self.deadline.saturating_duration_since(Instant::now()) / sharing;
            let until = Instant::now() + share;
            let problem = match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => match set_options(&stream) {
                    Ok(()) => return Ok(Connected { stream, address, share, until }),
                    Err(error) => error.to_string(),
                },
                Ok(Err(error)) => error.to_string(),
                Err(_) => late(share),
            };
            let problem = format!("TCP to {}: {address}: {problem}", self.endpoint);
            self.failed(address, problem);
        }
        Err(ErrorKind::ConnectFailed.error(self.problems.join("; ")))
    }

    /// Notes that the server at this address did not speak SSH with us.
    pub(crate) fn failed(&mut self, address: SocketAddr, problem: String) {
        remember_failure(address);
        self.problems.push(problem);
    }
}

/// Ends a connection whose key exchange is given up. russh's task would hold the connection for as long as the server is
/// silent.
pub(crate) struct ShutdownOnDrop(Option<Socket>);

impl ShutdownOnDrop {
    pub(crate) fn new(stream: &TcpStream) -> Self {
        Self(SockRef::from(stream).try_clone().ok())
    }

    pub(crate) fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for ShutdownOnDrop {
    fn drop(&mut self) {
        if let Some(socket) = &self.0 {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

/// TCP reports a machine that no longer answers after this time.
const UNREACHABLE_AFTER: Duration = Duration::from_secs(120);

/// A server that is busy with a file may be silent for minutes (see [`crate::ssh::condition`]). During that time, TCP has
/// to find out whether the machine is still there. The limit also applies to data that a busy server has not read yet,
/// and therefore must not be short.
fn set_options(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let interval = UNREACHABLE_AFTER / 4;
    let keepalive = TcpKeepalive::new().with_time(interval).with_interval(interval);
    socket.set_tcp_keepalive(&keepalive)?;
    if let Some(size) = send_buffer::wanted() {
        socket.set_send_buffer_size(size)?;
    }
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNREACHABLE_AFTER))?;
    Ok(())
}

/// When each address failed last, in this process.
static FAILURES: Mutex<BTreeMap<SocketAddr, Instant>> = Mutex::new(BTreeMap::new());

/// A failure is forgotten after this time: servers recover, and addresses are given to other hosts.
const REMEMBERED: Duration = Duration::from_secs(15 * 60);

/// The next connection begins with another address, if the host has one.
pub(crate) fn remember_failure(address: SocketAddr) {
    let mut failures = lock(&FAILURES);
    failures.retain(|_, failed_at| failed_at.elapsed() < REMEMBERED);
    failures.insert(address, Instant::now());
}

/// The server at this address spoke SSH with us.
pub(crate) fn forget_failure(address: SocketAddr) {
    lock(&FAILURES).remove(&address);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn tcp_notices_a_machine_that_has_gone() {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let endpoint = Endpoint { host: "127.0.0.1".into(), port: listener.local_addr().unwrap().port() };
        let mut addresses = Addresses::look_up(&endpoint, &Options::default()).await.unwrap();
        let connected = addresses.connect_tcp().await.unwrap();
        let socket = SockRef::from(&connected.stream);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(UNREACHABLE_AFTER));
        assert!(socket.keepalive().unwrap() && socket.tcp_nodelay().unwrap());
    }

    #[test]
    fn addresses_that_failed_are_forgotten_when_they_serve() {
        let address = SocketAddr::from(([192, 0, 2, 1], 22));
        remember_failure(address);
        assert!(lock(&FAILURES).contains_key(&address));
        forget_failure(address);
        assert!(!lock(&FAILURES).contains_key(&address));
    }
}

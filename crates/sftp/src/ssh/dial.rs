//! The addresses of a host, tried one after the other: one that is dead, or says nothing, must not keep us from the others.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bridge::{ErrorName, Result};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use crate::{Endpoint, Options};

/// What is left to try, within one time limit for all of them.
pub(crate) struct Addresses<'a> {
    endpoint: &'a Endpoint,
    deadline: Instant,
    left: VecDeque<SocketAddr>,
    problems: Vec<String>,
}

/// A connection to one of them.
pub(crate) struct Connected {
    pub(crate) stream: TcpStream,
    pub(crate) address: SocketAddr,
    /// Its share of the time, for all that follows up to the end of the key exchange.
    pub(crate) share: Duration,
    pub(crate) until: Instant,
}

impl<'a> Addresses<'a> {
    /// Looks the name up. Addresses that failed lately come last, the one that failed last at the very end.
    pub(crate) async fn look_up(endpoint: &'a Endpoint, options: &Options) -> Result<Self> {
        let deadline = Instant::now() + options.connect_timeout;
        let failed = |problem: &dyn std::fmt::Display| {
            ErrorName::ConnectFailed.error(format!("looking up {}: {problem}", endpoint.host))
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
        let failures = failures();
        left.sort_by_key(|address| failures.get(address).copied());
        drop(failures);
        Ok(Self { endpoint, deadline, left: left.into(), problems: Vec::new() })
    }

    /// Connects to the next address that takes a connection.
    ///
    /// # Errors
    /// `ConnectFailed` with what was wrong with each address, when there is no further one.
    pub(crate) async fn connect(&mut self) -> Result<Connected> {
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
        Err(ErrorName::ConnectFailed.error(self.problems.join("; ")))
    }

    /// What was connected to does not speak SSH with us.
    pub(crate) fn failed(&mut self, address: SocketAddr, problem: String) {
        remember_failure(address);
        self.problems.push(problem);
    }
}

/// A machine that has gone is noticed by TCP within this time.
const GONE_AFTER: Duration = Duration::from_secs(120);

/// A server that is busy with a file may say nothing for minutes (see [`crate::condition`]): whether its machine is still
/// there, TCP has to find out then. What a busy server has not read yet counts, too, so that this is not a short time.
fn set_options(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let interval = GONE_AFTER / 4;
    let keepalive = TcpKeepalive::new().with_time(interval).with_interval(interval);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(GONE_AFTER))?;
    Ok(())
}

/// The step had this much time.
pub(crate) fn late(limit: Duration) -> String {
    let tenths = (limit.as_millis() + 50) / 100;
    match tenths % 10 {
        0 => format!("no answer within {} s", tenths / 10),
        rest => format!("no answer within {}.{rest} s", tenths / 10),
    }
}

/// When an address failed last, in this process.
static FAILURES: Mutex<BTreeMap<SocketAddr, Instant>> = Mutex::new(BTreeMap::new());

/// Nodes come back, and other names get their addresses.
const REMEMBERED: Duration = Duration::from_secs(15 * 60);

fn failures() -> MutexGuard<'static, BTreeMap<SocketAddr, Instant>> {
    FAILURES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The next connection begins with another address, where the host has one.
pub(crate) fn remember_failure(address: SocketAddr) {
    let mut failures = failures();
    failures.retain(|_, failed_at| failed_at.elapsed() < REMEMBERED);
    failures.insert(address, Instant::now());
}

/// The address serves us.
pub(crate) fn forget_failure(address: SocketAddr) {
    failures().remove(&address);
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
        let connected = addresses.connect().await.unwrap();
        let socket = SockRef::from(&connected.stream);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(GONE_AFTER));
        assert!(socket.keepalive().unwrap() && socket.tcp_nodelay().unwrap());
    }

    #[test]
    fn time_limits_in_words() {
        for (milliseconds, words) in [(20_000, "20 s"), (999, "1 s"), (6667, "6.7 s"), (500, "0.5 s")] {
            assert_eq!(late(Duration::from_millis(milliseconds)), format!("no answer within {words}"));
        }
    }

    #[test]
    fn addresses_that_failed_are_forgotten_when_they_serve() {
        let address = SocketAddr::from(([192, 0, 2, 1], 22));
        remember_failure(address);
        assert!(failures().contains_key(&address));
        forget_failure(address);
        assert!(!failures().contains_key(&address));
    }
}

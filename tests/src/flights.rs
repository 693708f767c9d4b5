//! Counts round trips: a TCP proxy on loopback through which only one side speaks at a time. What the client says is held
//! until it is silent, then what the server says to that. So whatever travels together is one flight, however fast the
//! machine is.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// A round trip: what the client sent, and what the server answered.
#[derive(Clone, Debug)]
pub struct Flight {
    /// Bytes from the client.
    pub up: usize,
    /// Bytes from the server.
    pub down: usize,
    /// The requests that the server wrote into its log.
    pub requests: Vec<String>,
}

/// The running proxy. Ends on drop.
#[derive(Debug)]
pub struct FlightCounter {
    /// Where clients connect to.
    pub port: u16,
    silence: Duration,
    flights: Arc<Mutex<Vec<Flight>>>,
    listening: tokio::task::JoinHandle<()>,
}

impl FlightCounter {
    /// Forwards to a port of the loopback interface. A side that says nothing for `silence` has said all that it can.
    /// If it is only slow, the number becomes too high. `log` is what OpenSSH's `sftp-server` writes at its level
    /// DEBUG3.
    pub async fn start(target: u16, silence: Duration, log: Option<PathBuf>) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let flights = Arc::new(Mutex::new(Vec::new()));
        let all = flights.clone();
        let log = Arc::new(Mutex::new(Log { path: log, seen: 0 }));
        let listening = tokio::spawn(async move {
            // Dropped with this task, and all connections with it.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else { continue };
                record(&all, Flight { up: 0, down: 0, requests: vec!["TCP".to_owned()] });
                let line = Line { silence, flights: all.clone(), log: log.clone() };
                connections.spawn(line.carry(client, server));
            }
        });
        Ok(Self { port, silence, flights, listening })
    }

    /// The flights since the last call.
    pub fn take(&self) -> Vec<Flight> {
        std::mem::take(&mut self.flights.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The same, after the answers that nobody waits for have arrived.
    pub async fn settled(&self) -> Vec<Flight> {
        tokio::time::sleep(3 * self.silence).await;
        self.take()
    }
}

impl Drop for FlightCounter {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

fn record(flights: &Mutex<Vec<Flight>>, flight: Flight) {
    flights.lock().unwrap_or_else(PoisonError::into_inner).push(flight);
}

struct Line {
    silence: Duration,
    flights: Arc<Mutex<Vec<Flight>>>,
    log: Arc<Mutex<Log>>,
}

impl Line {
    async fn carry(self, mut client: TcpStream, mut server: TcpStream) -> std::io::Result<()> {
        // To connect is to ask: the server speaks first.
        let mut asked = Some(0);
        loop {
            let (up, client_ended) = self.hear(&mut client).await?;
            if !up.is_empty() {
                asked = Some(asked.unwrap_or(0) + up.len());
                server.write_all(&up).await?;
            }
            if client_ended {
                server.shutdown().await?;
            }
            let (down, server_ended) = self.hear(&mut server).await?;
            if let (Some(up), false) = (asked, down.is_empty()) {
                asked = None;
                let requests = self.log.lock().unwrap_or_else(PoisonError::into_inner).requests();
                record(&self.flights, Flight { up, down: down.len(), requests });
            }
            // Recorded before it arrives: who has the answer sees the flight.
            client.write_all(&down).await?;
            if server_ended {
                return client.shutdown().await;
            }
        }
    }

    /// All that one side says until it is silent, and whether it has ended.
    async fn hear(&self, side: &mut TcpStream) -> std::io::Result<(Vec<u8>, bool)> {
        let mut heard = Vec::new();
        loop {
            match timeout(self.silence, side.read_buf(&mut heard)).await {
                Ok(Ok(0)) => return Ok((heard, true)),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(error),
                Err(_) => return Ok((heard, false)),
            }
        }
    }
}

#[derive(Debug)]
struct Log {
    path: Option<PathBuf>,
    seen: usize,
}

impl Log {
    /// The requests since the last call, as `open` and `write`.
    fn requests(&mut self) -> Vec<String> {
        let text = self.path.as_ref().and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
        let new = text.get(self.seen..).unwrap_or_default();
        self.seen = text.len();
        let requests = new.lines().filter_map(|line| line.split_once("request ")?.1.split_once(": "));
        let names = requests.filter_map(|(_, what)| what.split(' ').next());
        names.filter(|name| *name != "sent").map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_travels_together_is_one_flight() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let target = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            // A byte for each byte.
            let (mut read, mut write) = stream.split();
            tokio::io::copy(&mut read, &mut write).await.unwrap();
        });
        let counter = FlightCounter::start(target, Duration::from_millis(50), None).await.unwrap();
        let mut stream = TcpStream::connect(("127.0.0.1", counter.port)).await.unwrap();
        for question in [&b"one"[..], b"two"] {
            for part in question.chunks(1) {
                stream.write_all(part).await.unwrap();
            }
            stream.read_exact(&mut [0; 3]).await.unwrap();
        }
        let flights = counter.take();
        let seen: Vec<_> = flights.iter().map(|flight| (flight.up, flight.down)).collect();
        // The first one is TCP's own.
        assert_eq!(seen, [(0, 0), (3, 3), (3, 3)]);
    }
}

//! From a name to an SSH server and its host key. Nobody is told who we are.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bridge::Error;
use sftp::probe;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Doctor, Step, Stopped};

/// A server that allows a single connection takes a moment to see that the last one has ended; and many at one moment
/// look like an attack.
const PAUSE: Duration = Duration::from_millis(300);
/// For one that takes longer.
pub(super) const LONG_PAUSE: Duration = Duration::from_secs(2);

/// Between two connections.
pub(super) async fn pause() {
    tokio::time::sleep(PAUSE).await;
}

impl Doctor {
    /// Name, TCP, what the server offers; without a pinned host key, the keys that it presents, and no further.
    pub(super) async fn reach(&mut self) -> Step {
        let addresses = self.look_up().await?;
        self.connect_tcp(&addresses).await?;
        let (endpoint, options) = (self.configuration.endpoint(), self.configuration.options());
        pause().await;
        let mut offer = probe::offer(&endpoint, &options).await;
        if offer.is_err() {
            // A full server may have room in a moment.
            tokio::time::sleep(LONG_PAUSE).await;
            offer = probe::offer(&endpoint, &options).await;
        }
        match offer {
            Ok(offer) => {
                self.report.ok("ssh", &offer.identification);
                self.findings.software = Some(offer.identification.clone());
                self.findings.offer = Some(offer);
            }
            Err(error) => {
                let hint = "something listens there that does not speak SSH, or a firewall or a full server keeps silent: check SFTP_HOST and SFTP_PORT, and try again in a minute";
                self.report.fail("ssh", Error::from(error).message(), hint);
                return Err(Stopped);
            }
        }
        if self.configuration.is_pinned {
            return Ok(());
        }
        let presented = self.presented().await;
        let hint = "ask the partner for the fingerprint by another way (its documentation, a signed mail, a phone call): whoever sits between you and the server presents a key, too.\nIf, and only if, it is the same, set SFTP_TRUSTED_HOST_KEYS to that line and run this again";
        self.report.fail("host-key", format!("unknown, so nobody was logged in to. {presented}"), hint);
        Err(Stopped)
    }

    async fn look_up(&mut self) -> Step<Vec<SocketAddr>> {
        let (host, port) = (self.configuration.settings.host.clone(), self.configuration.settings.port);
        let started = Instant::now();
        let found =
            timeout(self.configuration.timeout(), tokio::net::lookup_host((host.as_str(), port))).await;
        let problem = match found {
            Ok(Ok(addresses)) => {
                let addresses: Vec<SocketAddr> = addresses.collect();
                let words: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
                if !words.is_empty() {
                    let took = milliseconds(started);
                    self.report.ok("dns", format!("{host} is {} ({took})", words.join(", ")));
                    return Ok(addresses);
                }
                "the name has no address".to_owned()
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        let hint = "check SFTP_HOST, and whether this machine can look the name up: a partner's private name needs the partner's DNS";
        self.report.fail("dns", format!("{host}: {problem}"), hint);
        Err(Stopped)
    }

    async fn connect_tcp(&mut self, addresses: &[SocketAddr]) -> Step {
        // Each address gets its share of the time.
        let patience = self.configuration.timeout() / addresses.len().max(1) as u32;
        let mut problems = Vec::new();
        for address in addresses {
            let started = Instant::now();
            match timeout(patience, TcpStream::connect(address)).await {
                Ok(Ok(_)) => {
                    self.report.ok("tcp", format!("connected to {address} ({})", milliseconds(started)));
                    return Ok(());
                }
                Ok(Err(error)) => problems.push(format!("{address}: {error}")),
                Err(_) => problems.push(format!("{address}: no answer within {} s", patience.as_secs())),
            }
        }
        let hint = "check SFTP_PORT, and ask the partner whether its firewall lets through the address that we come from; from Lambda that is another one than from here (docs/deploy.md, a fixed address)";
        self.report.fail("tcp", problems.join("; "), hint);
        Err(Stopped)
    }

    /// What the server presents, in words.
    pub(super) async fn presented(&mut self) -> String {
        let (endpoint, options) = (self.configuration.endpoint(), self.configuration.options());
        pause().await;
        let presented = match probe::host_keys(&endpoint, &options).await {
            Ok(presented) => presented,
            Err(error) => {
                return format!("The server presented none that we know: {}", Error::from(error).message());
            }
        };
        self.findings.presented = presented.keys.iter().map(|key| key.public_key.clone()).collect();
        let lines = presented.keys.iter().map(|key| format!("\n{}\n  {}", key.public_key, key.fingerprint));
        let mut words = format!("The server presents{}", lines.collect::<String>());
        if let Some(gap) = presented.gap() {
            words.push_str(&format!("\nIt may have more: {gap}"));
        }
        words
    }
}

fn milliseconds(since: Instant) -> String {
    format!("{:.1} ms", since.elapsed().as_secs_f64() * 1000.0)
}

//! From a name to an SSH server, and its host key. Nobody is told who we are.

use std::time::Instant;

use sftp::probe::{self, PresentedHostKey};

use super::{Doctor, Step, Stopped};

impl Doctor {
    /// Name, TCP, what the server says of itself; without a pinned host key, the keys that it presents, and no further.
    pub(super) async fn reach(&mut self) -> Step {
        let (endpoint, patience) = (self.configuration.endpoint(), self.configuration.timeout());
        let started = Instant::now();
        let addresses = match probe::look_up(&endpoint, patience).await {
            Ok(addresses) => addresses,
            Err(error) => {
                let hint = "check SFTP_HOST, and whether this machine can resolve the name: a partner's private name needs its DNS";
                self.report.fail("dns", bridge::Error::from(error).message(), hint);
                return Err(Stopped);
            }
        };
        let words: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
        self.report.ok("dns", format!("{} is {} ({})", endpoint.host, words.join(", "), milliseconds(started)));

        let started = Instant::now();
        let reached = match probe::reach(&endpoint, &addresses, patience).await {
            Ok(reached) => reached,
            Err(error) => {
                let hint = "check SFTP_PORT, and ask the partner whether the address that we come from is let through its firewall; from Lambda that is another one (docs/deploy.md, a fixed address)";
                self.report.fail("tcp", bridge::Error::from(error).message(), hint);
                return Err(Stopped);
            }
        };
        self.report.ok("tcp", format!("connected to {} ({})", reached.address, milliseconds(started)));

        let offer = match reached.offer(patience).await {
            Ok((software, offer)) => {
                let words = match &offer {
                    Some(offer) => format!(
                        "{software}; it offers\nkey exchange: {}\nhost keys: {}\nciphers: {}\nMACs: {}",
                        offer.key_exchange.join(" "),
                        offer.host_key.join(" "),
                        offer.cipher.join(" "),
                        offer.mac.join(" ")
                    ),
                    None => software.clone(),
                };
                self.report.ok("ssh", words);
                self.findings.software = Some(software);
                offer
            }
            Err(error) => {
                let hint = "something listens there that does not speak SSH, or a firewall or a full server keeps silent; check SFTP_HOST and SFTP_PORT, and try again in a minute";
                self.report.fail("ssh", bridge::Error::from(error).message(), hint);
                return Err(Stopped);
            }
        };
        self.offered = offer.unwrap_or_default().host_key;
        if self.configuration.is_pinned {
            return Ok(());
        }
        let presented = self.presented().await;
        let hint = "ask the partner for the fingerprint by another way (its documentation, a signed mail, a phone call): whoever sits between you and the server presents a key, too.\nIf, and only if, it is the same, set SFTP_TRUSTED_HOST_KEYS to that line and run this again";
        self.report.fail("host-key", format!("unknown. {presented}"), hint);
        Err(Stopped)
    }

    /// What the server presents, in words.
    pub(super) async fn presented(&mut self) -> String {
        let keys = self.host_keys().await;
        self.findings.presented = keys.iter().map(|key| key.line.clone()).collect();
        if keys.is_empty() {
            return "The server did not present any that we know".into();
        }
        let lines = keys.iter().map(|key| format!("\n{}\n{}", key.line, key.fingerprint));
        format!("The server presents{}", lines.collect::<String>())
    }

    pub(super) async fn host_keys(&self) -> Vec<PresentedHostKey> {
        let (endpoint, patience) = (self.configuration.endpoint(), self.configuration.timeout());
        probe::host_keys(&endpoint, &self.offered, patience).await.unwrap_or_default()
    }
}

pub(super) fn milliseconds(since: Instant) -> String {
    format!("{:.1} ms", since.elapsed().as_secs_f64() * 1000.0)
}

//! An SFTP server inside this process: russh and russh-sftp's server over a real folder. It replaces OpenSSH where that
//! is not installed, and plays partners with quirks.

mod cut;
mod disguise;
mod files;
mod late;
mod order;
mod quirks;
mod script;
mod sftp;
mod ssh;
mod ways;

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use russh::keys::{PrivateKey, PublicKey};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use crate::door::Door;
use files::Files;
use ssh::{CutOnDrop, Service, SshSession};

pub use cut::{Cut, Moment};
pub use late::Late;
pub use order::Order;
pub use quirks::{FilesMax, Fsync, Hiccup, LostAnswer, Quirks, Reading, Renaming, Setstat, Sweep, TAKEN};
pub use script::Script;
pub use ways::{Lock, Names, Sizes, Truncation, Ways};

/// Who may log in, and the server's key.
#[derive(Debug)]
pub struct Account<'a> {
    /// The server's private key.
    pub host_key: &'a str,
    /// The user's name.
    pub user: &'a str,
    /// The user's public key.
    pub client_public_key: &'a str,
}

/// The running server; its connections end with it.
#[derive(Debug)]
pub struct Embedded {
    accepting: JoinHandle<()>,
}

impl Embedded {
    /// Serves `root` as `/` on a port of the loopback interface, to one user with one key.
    pub async fn start(port: u16, root: &Path, account: Account<'_>, quirks: Quirks) -> Result<Self> {
        let (one_channel, connections_max) = (quirks.one_channel, quirks.connections_max);
        let (root, door) = (root.to_owned(), quirks.door.clone());
        let files = Files::new(root, quirks);
        Self::serve(port, account, Service::Files(Box::new(files)), one_channel, connections_max, door).await
    }

    /// Runs the script for each channel.
    pub async fn start_scripted(port: u16, account: Account<'_>, script: Script) -> Result<Self> {
        Self::serve(port, account, Service::Script(script), false, None, Door::default()).await
    }

    async fn serve(
        port: u16,
        Account { host_key, user, client_public_key }: Account<'_>,
        service: Service,
        one_channel: bool,
        connections_max: Option<usize>,
        door: Door,
    ) -> Result<Self> {
        let config = Arc::new(door.config(russh::server::Config {
            keys: vec![PrivateKey::from_openssh(host_key)?],
            auth_rejection_time: Duration::ZERO,
            nodelay: true,
            ..Default::default()
        })?);
        let session = SshSession {
            user: user.to_owned(),
            client: PublicKey::from_openssh(client_public_key)?,
            service,
            one_channel,
            door,
            proved: Vec::new(),
            asked: 0,
            opened: 0,
            channels: HashMap::new(),
            socket: None,
        };
        // The runtime may not have dropped the former listener on this port yet.
        let mut tries = 0;
        let listener = loop {
            match TcpListener::bind(("127.0.0.1", port)).await {
                Err(error) if error.kind() == ErrorKind::AddrInUse && tries < 100 => tries += 1,
                bound => break bound?,
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let room = Arc::new(Semaphore::new(connections_max.unwrap_or(Semaphore::MAX_PERMITS)));
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(permit) = Arc::clone(&room).try_acquire_owned() else { continue };
                let (config, mut session) = (config.clone(), session.another());
                // russh runs the session in a task of its own. Only its socket can end it.
                let Ok(stream) = stream.into_std() else { continue };
                let Ok(cut) = stream.try_clone().map(Arc::new).map(CutOnDrop) else { continue };
                session.socket = Some(Arc::clone(&cut.0));
                let Ok(stream) = TcpStream::from_std(stream) else { continue };
                connections.spawn(async move {
                    let (_cut, _permit) = (cut, permit);
                    if let Ok(running) = russh::server::run_stream(config, stream, session).await {
                        let _ = running.await;
                    }
                });
            }
        });
        Ok(Self { accepting })
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

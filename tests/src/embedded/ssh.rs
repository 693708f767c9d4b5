//! The server's side of SSH: log-in, channels, and what runs on them.

use std::collections::HashMap;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use russh::keys::PublicKey;
use russh::server::{Auth, ChannelOpenHandle, Msg, PublicKeyOffer, Response, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, ChannelStream, MethodKind};

use super::disguise;
use super::files::Files;
use super::order::{self, Order};
use super::script::Script;
use crate::door::{Door, Start};

/// A connection that ends with its owner.
pub(super) struct CutOnDrop(pub(super) Arc<TcpStream>);

impl Drop for CutOnDrop {
    fn drop(&mut self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// What the server does on a channel for SFTP.
pub(super) enum Service {
    Files(Box<Files>),
    Script(Script),
}

impl Service {
    fn another(&self) -> Self {
        match self {
            Self::Files(files) => Self::Files(Box::new(files.another())),
            Self::Script(script) => Self::Script(script.clone()),
        }
    }
}

/// The server's side of one connection.
pub(super) struct SshSession {
    pub(super) user: String,
    pub(super) client: PublicKey,
    pub(super) service: Service,
    /// Whether a second channel ends the connection.
    pub(super) one_channel: bool,
    pub(super) door: Door,
    /// The methods that have succeeded on this connection.
    pub(super) proved: Vec<MethodKind>,
    /// Rounds of questions on this connection so far.
    pub(super) asked: usize,
    /// Channels on this connection so far.
    pub(super) opened: u32,
    pub(super) channels: HashMap<ChannelId, Channel<Msg>>,
    /// The connection's socket.
    pub(super) socket: Option<Arc<TcpStream>>,
}

impl SshSession {
    /// A session for the next connection.
    pub(super) fn another(&self) -> Self {
        Self {
            user: self.user.clone(),
            client: self.client.clone(),
            service: self.service.another(),
            one_channel: self.one_channel,
            door: self.door.clone(),
            proved: Vec::new(),
            asked: 0,
            opened: 0,
            channels: HashMap::new(),
            socket: None,
        }
    }

    /// Serves SFTP on a channel.
    async fn serve(&self, channel: ChannelStream<Msg>) {
        let files = match &self.service {
            Service::Files(files) => files,
            Service::Script(script) => return drop(tokio::spawn(script.0(channel))),
        };
        let (inside, outside) = tokio::io::duplex(1024 * 1024);
        match (&files.quirks.cut, self.socket.clone()) {
            _ if files.quirks.order != Order::Kept => {
                drop(tokio::spawn(order::run(files.quirks.order, channel, outside)));
            }
            _ if files.quirks.later_codes => drop(tokio::spawn(disguise::run(channel, outside))),
            (Some(cut), Some(socket)) => drop(tokio::spawn(cut.clone().run(channel, outside, socket))),
            _ => return russh_sftp::server::run(channel, files.another()).await,
        }
        russh_sftp::server::run(inside, files.another()).await;
    }

    fn judge(&mut self, method: MethodKind, known: bool) -> Auth {
        self.door.judge(method, known, &mut self.proved)
    }
}

impl russh::server::Handler for SshSession {
    type Error = russh::Error;

    async fn authentication_banner(&mut self) -> Result<Option<String>, Self::Error> {
        Ok(self.door.banner.map(str::to_owned))
    }

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        if self.door.hangs_up {
            return Err(russh::Error::Disconnect);
        }
        let known = user == self.user && offer.public_key.key_data() == self.client.key_data();
        Ok(if known { Auth::Accept } else { self.judge(MethodKind::PublicKey, false) })
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        let known = user == self.user && key.public_key.key_data() == self.client.key_data();
        tokio::time::sleep(self.door.slow).await;
        Ok(self.judge(MethodKind::PublicKey, known))
    }

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, Self::Error> {
        let known = user == self.user && self.door.is_password(password);
        tokio::time::sleep(self.door.slow).await;
        Ok(self.judge(MethodKind::Password, known))
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        user: &str,
        _: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, Self::Error> {
        let answers: Vec<String> = response
            .into_iter()
            .flatten()
            .map(|answer| String::from_utf8_lossy(&answer).into_owned())
            .collect();
        self.door.answers.lock().unwrap().extend(answers.clone());
        self.asked += 1;
        if let Some(questions) = self.door.questions(self.asked - 1) {
            return Ok(questions);
        }
        let known = user == self.user && answers.len() == 1 && self.door.is_password(&answers[0]);
        Ok(self.judge(MethodKind::KeyboardInteractive, known))
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.opened += 1;
        if self.one_channel && self.opened > 1 {
            return Err(russh::Error::Disconnect);
        }
        self.channels.insert(channel.id(), channel);
        reply.accept().await;
        Ok(())
    }

    async fn channel_eof(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        session.close(channel)
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        name: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let Some(channel) = self.channels.remove(&id).filter(|_| name == "sftp") else {
            return session.channel_failure(id);
        };
        match self.door.start {
            Start::Sftp => {}
            Start::Cut => return Err(russh::Error::Disconnect),
            Start::Refused => return session.channel_failure(id),
            Start::Words(words) => {
                session.channel_success(id)?;
                session.extended_data(id, 1, words.as_bytes().to_vec())?;
                return session.close(id);
            }
        }
        session.channel_success(id)?;
        self.door.open_channels(session.handle());
        self.serve(channel.into_stream()).await;
        Ok(())
    }
}

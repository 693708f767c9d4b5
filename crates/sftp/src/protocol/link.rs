//! The transport of SFTP packets: an SSH channel or, in tests, two queues without SSH.

use bytes::Bytes;
use russh::client::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Error};
#[cfg(feature = "internals")]
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

/// The client's ends of two queues.
#[cfg(feature = "internals")]
#[derive(Debug)]
pub struct Ends {
    /// What the server sends. The session is lost when its sender is dropped.
    pub from_server: UnboundedReceiver<Bytes>,
    /// What the client sends. It is dropped when the session ends.
    pub to_server: UnboundedSender<Bytes>,
}

#[cfg(feature = "internals")]
impl Ends {
    pub(crate) fn into_halves(self) -> (Reader, Writer) {
        (Reader::Queue(self.from_server), Writer::Queue(self.to_server))
    }
}

pub(crate) enum Reader {
    Channel(ChannelReadHalf),
    #[cfg(feature = "internals")]
    Queue(UnboundedReceiver<Bytes>),
}

impl Reader {
    /// `None` if the connection was lost.
    pub(crate) async fn wait(&mut self) -> Option<ChannelMsg> {
        match self {
            Self::Channel(channel) => channel.wait().await,
            #[cfg(feature = "internals")]
            Self::Queue(queue) => queue.recv().await.map(|data| ChannelMsg::Data { data }),
        }
    }
}

pub(crate) enum Writer {
    Channel(ChannelWriteHalf<Msg>),
    #[cfg(feature = "internals")]
    Queue(UnboundedSender<Bytes>),
}

impl Writer {
    pub(crate) async fn request_sftp(&self) -> Result<(), Error> {
        match self {
            Self::Channel(channel) => channel.request_subsystem(true, "sftp").await,
            #[cfg(feature = "internals")]
            Self::Queue(_) => Ok(()),
        }
    }

    pub(crate) async fn data_bytes(&self, data: Bytes) -> Result<(), Error> {
        match self {
            Self::Channel(channel) => channel.data_bytes(data).await,
            #[cfg(feature = "internals")]
            Self::Queue(queue) => queue.send(data).map_err(|_| Error::SendError),
        }
    }

    pub(crate) async fn close(&self) -> Result<(), Error> {
        match self {
            Self::Channel(channel) => channel.close().await,
            // A queue closes when it is dropped.
            #[cfg(feature = "internals")]
            Self::Queue(_) => Ok(()),
        }
    }
}

//! A server that follows a script.

use std::pin::Pin;
use std::sync::Arc;

use russh::ChannelStream;
use russh::server::Msg;

/// A server that follows a script instead of keeping files. The script gets each channel on which a client asks for SFTP.
#[derive(Clone)]
pub struct Script(pub(super) Arc<dyn Fn(ChannelStream<Msg>) -> BoxFuture + Send + Sync>);

pub(super) type BoxFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Script {
    /// Runs this for each channel.
    pub fn new<F: Future<Output = ()> + Send + 'static>(
        script: impl Fn(ChannelStream<Msg>) -> F + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(move |channel| Box::pin(script(channel))))
    }
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Script")
    }
}

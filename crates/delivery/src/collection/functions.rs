//! The functions that the states call.

use std::sync::Arc;
use std::time::Duration;

use aws::credential::Clients;
use bridge::collect::{CollectInput, CollectProgress, Destination, SettleRemoteInput};
use bridge::{CollectSettings, Deadline, FetchKeyInput, FetchKeyOutput, OnProgress, Result, Settings};
use collect::OnCheckpoint;
use partner::Partner;

use super::document::CollectDocument;

/// Calls the functions. An implementation may retry a call, and may look at what passes.
pub trait CollectFunctions {
    /// Calls `fetch-key`.
    fn fetch_key(&mut self, input: FetchKeyInput) -> impl Future<Output = Result<FetchKeyOutput>> + Send;

    /// Waits as the state `Settle` does.
    fn settle(&mut self) -> impl Future<Output = ()> + Send;

    /// Calls `collect` once, for either of its states.
    fn collect(&mut self, input: CollectInput) -> impl Future<Output = Result<CollectProgress>> + Send;

    /// Calls `settle-remote` once.
    fn settle_remote(
        &mut self,
        input: SettleRemoteInput,
    ) -> impl Future<Output = Result<CollectProgress>> + Send;

    /// Hears of the document after each change.
    fn document_changed(&mut self, document: &CollectDocument) {
        let _ = document;
    }
}

/// The functions' own handlers, called in this process.
#[derive(Clone)]
pub struct CollectHandlers {
    settings: Arc<Settings>,
    collect: Arc<CollectSettings>,
    clients: Clients,
    partner: Arc<Partner>,
    on_read: OnProgress,
    on_checkpoint: OnCheckpoint,
    call_limit: Option<Duration>,
    free: Option<Destination>,
}

impl CollectHandlers {
    /// With no time limit for a call.
    pub fn new(
        settings: Arc<Settings>,
        collect: Arc<CollectSettings>,
        clients: Clients,
        partner: Arc<Partner>,
    ) -> Self {
        let (on_read, on_checkpoint): (OnProgress, OnCheckpoint) = (Arc::new(|_, _| {}), Arc::new(|_| {}));
        Self { settings, collect, clients, partner, on_read, on_checkpoint, call_limit: None, free: None }
    }

    /// Tells how many bytes were read.
    #[must_use]
    pub fn with_progress(self, on_read: OnProgress) -> Self {
        Self { on_read, ..self }
    }

    /// Tells where another call could continue, while a call runs.
    #[must_use]
    pub fn with_checkpoints(self, on_checkpoint: OnCheckpoint) -> Self {
        Self { on_checkpoint, ..self }
    }

    /// Ends each call after this time, as Lambda would.
    #[must_use]
    pub fn with_call_limit(self, call_limit: Option<Duration>) -> Self {
        Self { call_limit, ..self }
    }

    /// The caller has just seen that there is no object here. Only the first call believes it.
    #[must_use]
    pub fn with_free(self, free: Option<Destination>) -> Self {
        Self { free, ..self }
    }

    fn deadline(&self) -> Deadline {
        self.call_limit.map_or(Deadline::NEVER, Deadline::after)
    }
}

impl CollectFunctions for CollectHandlers {
    async fn fetch_key(&mut self, input: FetchKeyInput) -> Result<FetchKeyOutput> {
        let deps =
            fetch_key::Deps { settings: Settings::clone(&self.settings), clients: self.clients.clone() };
        Box::pin(fetch_key::handle(&deps, input)).await
    }

    async fn settle(&mut self) {
        tokio::time::sleep(self.collect.settle).await;
    }

    async fn collect(&mut self, input: CollectInput) -> Result<CollectProgress> {
        let deps = collect::Deps {
            settings: Arc::clone(&self.settings),
            collect: Arc::clone(&self.collect),
            clients: self.clients.clone(),
            partner: Arc::clone(&self.partner),
            on_progress: Arc::clone(&self.on_read),
            memory: None,
            on_checkpoint: Arc::clone(&self.on_checkpoint),
            free: self.free.take(),
        };
        Box::pin(collect::handle(&deps, input, self.deadline())).await
    }

    async fn settle_remote(&mut self, input: SettleRemoteInput) -> Result<CollectProgress> {
        let deps = settle_remote::Deps {
            settings: Arc::clone(&self.settings),
            collect: Arc::clone(&self.collect),
            clients: self.clients.clone(),
            partner: Arc::clone(&self.partner),
        };
        Box::pin(settle_remote::handle(&deps, input, self.deadline())).await
    }
}

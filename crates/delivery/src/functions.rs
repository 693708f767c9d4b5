//! The functions that the states call.

use std::sync::Arc;
use std::time::Duration;

use aws::credential::Clients;
use bridge::{
    Deadline, FetchKeyInput, FetchKeyOutput, OnProgress, Progress, Result, Settings, TransferInput,
    VerifyRemoteInput,
};
use partner::Partner;

use crate::document::Document;

/// Calls the functions. An implementation may retry a call, and may look at what passes.
pub trait Functions {
    /// Calls `fetch-key`.
    fn fetch_key(&mut self, input: FetchKeyInput) -> impl Future<Output = Result<FetchKeyOutput>> + Send;

    /// Calls `transfer` once.
    fn transfer(&mut self, input: TransferInput) -> impl Future<Output = Result<Progress>> + Send;

    /// Calls `verify-remote` once.
    fn verify_remote(&mut self, input: VerifyRemoteInput) -> impl Future<Output = Result<Progress>> + Send;

    /// Hears of the document after each change.
    fn document_changed(&mut self, document: &Document) {
        let _ = document;
    }
}

/// The functions' own handlers, called in this process.
#[derive(Clone)]
pub struct Handlers {
    settings: Arc<Settings>,
    clients: Clients,
    partner: Arc<Partner>,
    on_sent: OnProgress,
    on_read_back: OnProgress,
    call_limit: Option<Duration>,
}

impl Handlers {
    /// With no time limit for a call.
    pub fn new(settings: Arc<Settings>, clients: Clients, partner: Arc<Partner>) -> Self {
        Self {
            settings,
            clients,
            partner,
            on_sent: Arc::new(|_, _| {}),
            on_read_back: Arc::new(|_, _| {}),
            call_limit: None,
        }
    }

    /// Tells how many bytes were sent, and how many were read back.
    #[must_use]
    pub fn with_progress(self, on_sent: OnProgress, on_read_back: OnProgress) -> Self {
        Self { on_sent, on_read_back, ..self }
    }

    /// Ends each call after this time, as Lambda would.
    #[must_use]
    pub fn with_call_limit(self, call_limit: Option<Duration>) -> Self {
        Self { call_limit, ..self }
    }

    fn deadline(&self) -> Deadline {
        self.call_limit.map_or(Deadline::NEVER, Deadline::after)
    }
}

impl Functions for Handlers {
    async fn fetch_key(&mut self, input: FetchKeyInput) -> Result<FetchKeyOutput> {
        let deps =
            fetch_key::Deps { settings: Settings::clone(&self.settings), clients: self.clients.clone() };
        Box::pin(fetch_key::handle(&deps, input)).await
    }

    async fn transfer(&mut self, input: TransferInput) -> Result<Progress> {
        let deps = transfer::Deps {
            settings: Arc::clone(&self.settings),
            clients: self.clients.clone(),
            partner: Arc::clone(&self.partner),
            on_progress: Arc::clone(&self.on_sent),
        };
        Box::pin(transfer::handle(&deps, input, self.deadline())).await
    }

    async fn verify_remote(&mut self, input: VerifyRemoteInput) -> Result<Progress> {
        let deps = verify_remote::Deps {
            settings: Arc::clone(&self.settings),
            clients: self.clients.clone(),
            partner: Arc::clone(&self.partner),
            on_progress: Arc::clone(&self.on_read_back),
        };
        Box::pin(verify_remote::handle(&deps, input, self.deadline())).await
    }
}

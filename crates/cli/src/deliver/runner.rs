//! What all deliveries of one run of the command share.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws::clients::{self, Account};
use aws::credential::Clients;
use bridge::{
    Checkpoint, CredentialReference, FetchKeyInput, PinnedObject, RecordSettings, Result, Settings, Variables,
};
use delivery::{Handlers, Recorder, State, StateError};
use partner::{Manners, Partner};

use super::object::ObjectDelivery;
use crate::address::Server;
use crate::location::Location;
use crate::many::ServerFacts;
use crate::progress::Observers;
use crate::state::{Journal, Origin, States};

/// The connection, the credential and the settings of one run.
pub(super) struct DeliveryRunner {
    pub(super) states: States,
    settings: Arc<Settings>,
    clients: Clients,
    partner: Arc<Partner>,
    credential: CredentialReference,
    recorder: Recorder,
}

impl DeliveryRunner {
    /// Reads the settings of the environment and the credential. If that fails, the failure is recorded for `object`.
    pub(super) async fn start(object: &Location, state_directory: Option<PathBuf>) -> Result<Self> {
        let variables = Variables::from_environment();
        let settings = Settings::parse(&variables)?;
        // Without a stack there may be no record bucket.
        let records = RecordSettings::parse_if_set(&variables)?;
        let clients = Clients::new(&clients::complete_config(&Account::default()).await?);
        let recorder = Recorder::new(records, clients.s3.clone());
        let states = States::new(state_directory, origin(&settings));
        let (execution, event) = (states.execution(), object.event());
        let fetch_key = fetch_key::Deps { settings: settings.clone(), clients: clients.clone() };
        let input = FetchKeyInput { event: event.clone() };
        let credential = match fetch_key::handle(&fetch_key, input).await {
            Ok(output) => output.credential,
            Err(error) => {
                let failed = StateError { state: State::FetchKey, error };
                recorder.record(&execution, &event, None, &failed).await;
                return Err(failed.error);
            }
        };
        let partner = Partner::new(&settings, clients.clone(), sftp::Options::default());
        let partner = Arc::new(partner.with_manners(Manners::COMMAND_LINE).keeping_its_session());
        Ok(Self { states, settings: Arc::new(settings), clients, partner, credential, recorder })
    }

    fn handlers(&self) -> Handlers {
        let (settings, clients) = (Arc::clone(&self.settings), self.clients.clone());
        Handlers::new(settings, clients, Arc::clone(&self.partner))
    }

    pub(super) fn s3(&self) -> &aws_sdk_s3::Client {
        &self.clients.s3
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Logs in, and returns what decides the number of files.
    pub(super) async fn meet_server(&self) -> Result<ServerFacts> {
        ServerFacts::ask(&self.partner, &self.credential).await
    }

    /// The delivery of an object: a new one, or the unfinished one of an earlier run.
    pub(super) async fn delivery(&self, object: &Location, observers: Observers) -> ObjectDelivery {
        let mut journal: Journal<Checkpoint> = self.states.open(&object.to_string());
        if let Some(checkpoint) = &journal.checkpoint
            && !self.is_newest(&checkpoint.object).await
        {
            journal.start_over(self.states.execution());
        }
        let Observers { on_sent, on_read_back } = observers;
        ObjectDelivery {
            event: object.event(),
            credential: self.credential.clone(),
            journal,
            handlers: self.handlers().with_progress(on_sent, on_read_back),
            recorder: self.recorder.clone(),
            failed: State::Transfer,
        }
    }

    /// Whether the key still has this object. `true` if there is no object: the delivery itself may have removed it, and
    /// the handlers find out.
    async fn is_newest(&self, object: &PinnedObject) -> bool {
        let PinnedObject { bucket, object_key, etag, version_id, .. } = object;
        match self.s3().head_object().bucket(bucket).key(object_key).send().await {
            Ok(head) => match version_id {
                Some(version_id) => head.version_id() == Some(version_id),
                None => head.e_tag().is_some_and(|current| current.trim_matches('"') == etag),
            },
            Err(_) => true,
        }
    }

    /// Ends the session, if the server answers in time.
    pub(super) async fn disconnect(&self) {
        let _ = tokio::time::timeout(Duration::from_secs(5), self.partner.disconnect()).await;
    }
}

/// With other settings, a checkpoint leads to the wrong place.
fn origin(settings: &Settings) -> Origin {
    let Settings { location, policy, proof, marker, after_delivery, .. } = settings;
    Origin {
        command: "deliver",
        server: Server::of(settings),
        location: location.clone(),
        decisive: format!("{policy:?} {proof:?} {marker:?} {after_delivery:?}"),
    }
}

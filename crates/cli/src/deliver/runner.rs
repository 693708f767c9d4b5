//! `deliver`: FetchKey, Transfer, VerifyRemote and, on failure, RecordFailure, in this process.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws::clients;
use aws::credential::Clients;
use aws_sdk_s3::error::ProvideErrorMetadata as _;
use aws_sdk_s3::types::EncodingType;
use bridge::{
    Checkpoint, CredentialReference, Error, ErrorName, FetchKeyInput, FetchKeyOutput, OnProgress,
    PinnedObject, Progress, Receipt, RecordSettings, Result, Settings, TransferInput, Variables,
    VerifyRemoteInput,
};
use delivery::{Document, Functions, Handlers, Recorder, State, StateError, StateMachine};
use partner::{Manners, Partner};
use serde_json::{Value, json};

use crate::deliver::recursive::batch as recursive;
use crate::deliver::state::{Journal, States};
use crate::location::Location;

/// Hears how far sending and reading back have come.
#[derive(Clone)]
pub(crate) struct Observers {
    pub(crate) sending: OnProgress,
    pub(crate) verifying: OnProgress,
}

/// One run of the command: everything that its deliveries share, the connection included.
pub(crate) struct Bridge {
    partner: Arc<Partner>,
    credential: CredentialReference,
    pub(crate) states: States,
    recorder: Recorder,
}

/// One object's delivery.
pub(crate) struct Delivery<'a> {
    bridge: &'a Bridge,
    event: Value,
    journal: Journal,
    handlers: Handlers,
    /// The state that failed, if one did.
    state: State,
}

impl Bridge {
    /// With the settings of the environment; reads and checks the credential. `first` is what a failure is recorded for.
    pub(crate) async fn start(first: &Location, state_directory: Option<PathBuf>) -> Result<Self> {
        let variables = Variables::from_environment();
        let settings = Settings::parse(&variables)?;
        // A failure bucket is the stack's; by hand there need not be one.
        let records = RecordSettings::parse_if_set(&variables)?;
        let clients = Clients::new(&clients::complete_config().await?);
        let recorder = Recorder::new(records, clients.s3.clone());
        let states = States::new(state_directory, &settings);
        let execution = states.execution();
        let fetch_key = fetch_key::Deps { settings: settings.clone(), clients: clients.clone() };
        let input = FetchKeyInput { execution: execution.clone(), event: event(first) };
        let credential = match fetch_key::handle(&fetch_key, input).await {
            Ok(output) => output.credential,
            Err(error) => {
                let failed = StateError { state: State::FetchKey, error };
                recorder.record(&execution, &event(first), None, &failed).await;
                return Err(failed.error);
            }
        };
        let partner = Partner::new(settings, clients, sftp::Options::default());
        let partner = Arc::new(partner.with_manners(Manners::COMMAND_LINE));
        Ok(Self { partner, credential, states, recorder })
    }

    pub(crate) fn s3(&self) -> &aws_sdk_s3::Client {
        &self.partner.clients.s3
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.partner.settings
    }

    /// Logs in, and asks how many files the server lets be open at once; `None`: it does not say.
    pub(crate) async fn files_at_once(&self) -> Result<Option<usize>> {
        let limits = self.partner.with_session(&self.credential, None, async |session| {
            // Without an answer there is no limit that we know of.
            Ok(session.sftp().limits().await.ok().flatten())
        });
        let handles = limits.await?.map(|limits| limits.handles).filter(|handles| *handles > 0);
        Ok(handles.map(|handles| usize::try_from(handles).unwrap_or(usize::MAX)))
    }

    /// The delivery of an object: a new one, or the one that an earlier run did not finish.
    pub(crate) async fn delivery(&self, object: &Location, observers: Observers) -> Delivery<'_> {
        let mut journal = self.states.open(object);
        if let Some(checkpoint) = &journal.checkpoint
            && !self.is_current(checkpoint).await
        {
            journal.begin_anew(&self.states);
        }
        let Observers { sending, verifying } = observers;
        let handlers = Handlers::new(Arc::clone(&self.partner)).with_progress(sending, verifying);
        Delivery { bridge: self, event: event(object), journal, handlers, state: State::Transfer }
    }

    /// Whether the key has still what the checkpoint is of. An object that is gone may have been taken away by the
    /// delivery itself: the handlers know.
    async fn is_current(&self, checkpoint: &Checkpoint) -> bool {
        let PinnedObject { bucket, object_key, etag, version_id, .. } = &checkpoint.object;
        match self.s3().head_object().bucket(bucket).key(object_key).send().await {
            Ok(head) => match version_id {
                Some(version_id) => head.version_id() == Some(version_id),
                None => head.e_tag().is_some_and(|current| current.trim_matches('"') == etag),
            },
            Err(_) => true,
        }
    }

    /// Why there is no such object, where a person may have meant something else.
    pub(crate) async fn explain(&self, object: &Location, error: Error) -> Error {
        if error.name != ErrorName::ObjectUnreadable {
            return error;
        }
        let Location { bucket, object_key } = object;
        let list = self.s3().list_objects_v2().bucket(bucket).prefix(object_key).max_keys(2);
        match list.encoding_type(EncodingType::Url).send().await {
            Ok(listed) => match recursive::first_key(&listed) {
                Some(first) if first != *object_key => error.name.error(format!(
                    "{}, but objects lie below it, such as {first:?}: to deliver them, add --recursive",
                    error.message()
                )),
                _ => error,
            },
            Err(failed) if failed.code() == Some("NoSuchBucket") => {
                recursive::listing_failed(object, &failed)
            }
            Err(_) => error,
        }
    }

    /// Says goodbye to the partner, who need not answer.
    pub(crate) async fn end(&self) {
        let _ = tokio::time::timeout(Duration::from_secs(5), self.partner.disconnect()).await;
    }
}

impl Delivery<'_> {
    /// Runs to the end, without retries. A second call continues where the first one stopped.
    pub(crate) async fn run(&mut self) -> Result<Receipt> {
        let document = Document {
            credential: Some(self.bridge.credential.clone()),
            checkpoint: self.journal.checkpoint.clone(),
            ..Document::default()
        };
        let (execution, event) = (self.journal.execution.clone(), self.event.clone());
        let mut machine = StateMachine::at(State::Transfer, execution, event, document);
        let (states, journal) = (&self.bridge.states, &mut self.journal);
        let outcome = machine.run(&mut Journaled { handlers: &mut self.handlers, states, journal }).await;
        outcome.map_err(|failed| {
            self.state = failed.state;
            failed.error
        })
    }

    /// This is how it ended: forgets what nobody needs any more, and records a failure.
    pub(crate) async fn settle(&mut self, outcome: &Result<Receipt>) {
        if outcome.as_ref().err().is_none_or(|error| self.leaves_nothing(error.name)) {
            self.journal.remove();
        }
        if let Err(error) = outcome {
            let Journal { execution, checkpoint, .. } = &self.journal;
            let failed = StateError { state: self.state, error: error.clone() };
            self.bridge.recorder.record(execution, &self.event, checkpoint.as_ref(), &failed).await;
        }
    }

    /// Whether there is nothing on the server for the next run to go on with.
    fn leaves_nothing(&self, name: ErrorName) -> bool {
        match name {
            ErrorName::InvalidInput
            | ErrorName::ObjectUnreadable
            | ErrorName::ObjectChanged
            | ErrorName::RemoteMismatch => true,
            ErrorName::InvalidConfig
            | ErrorName::SecretUnavailable
            | ErrorName::SecretUnreadable
            | ErrorName::CredentialExpired
            | ErrorName::InvalidPrivateKey
            | ErrorName::ConnectFailed
            | ErrorName::HostKeyMismatch
            | ErrorName::NoCommonAlgorithm
            | ErrorName::AuthenticationRejected => self.journal.checkpoint.is_none(),
            ErrorName::ObjectReadInterrupted
            | ErrorName::ConnectionLost
            | ErrorName::RemoteFailure
            | ErrorName::RemotePathRejected
            | ErrorName::RemoteFull
            | ErrorName::Internal => false,
        }
    }
}

/// Writes each checkpoint to the journal.
struct Journaled<'a> {
    handlers: &'a mut Handlers,
    states: &'a States,
    journal: &'a mut Journal,
}

impl Functions for Journaled<'_> {
    async fn fetch_key(&mut self, input: FetchKeyInput) -> Result<FetchKeyOutput> {
        self.handlers.fetch_key(input).await
    }

    async fn transfer(&mut self, input: TransferInput) -> Result<Progress> {
        self.handlers.transfer(input).await
    }

    async fn verify_remote(&mut self, input: VerifyRemoteInput) -> Result<Progress> {
        self.handlers.verify_remote(input).await
    }

    fn document_changed(&mut self, document: &Document) {
        self.journal.save(self.states, document.checkpoint.as_ref());
    }
}

/// The least that a state machine would be started with.
fn event(object: &Location) -> Value {
    // Of a whole bucket, for want of a key.
    let object_key = if object.object_key.is_empty() { "*" } else { &object.object_key };
    json!({"detail": {"bucket": {"name": object.bucket}, "object": {"key": object_key}}})
}

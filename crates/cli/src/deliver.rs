//! `deliver`: FetchKey, Transfer, VerifyRemote and, on failure, RecordFailure, in this process.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws::clients;
use aws::credential::Clients;
use aws_sdk_s3::error::ProvideErrorMetadata as _;
use aws_sdk_s3::types::EncodingType;
use bridge::{
    Checkpoint, CredentialReference, Deadline, Error, ErrorName, Execution, Failure, FetchKeyInput,
    OnProgress, PinnedObject, Receipt, RecordFailureInput, RecordSettings, Result, Settings, Status,
    TransferInput, Variables, VerifyRemoteInput,
};
use partner::{Manners, Partner};
use serde_json::{Value, json};

use crate::location::Location;
use crate::recursive;
use crate::state::{Journal, States};

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
    recorder: Option<Recorder>,
}

/// One object's delivery.
pub(crate) struct Delivery<'a> {
    bridge: &'a Bridge,
    event: Value,
    journal: Journal,
    observers: Observers,
    /// The state of the machine that it is in.
    state: &'static str,
}

impl Bridge {
    /// With the settings of the environment; reads and checks the credential. `first` is what a failure is recorded for.
    pub(crate) async fn start(first: &Location, state_directory: Option<PathBuf>) -> Result<Self> {
        let variables = Variables::from_environment();
        let settings = Settings::parse(&variables)?;
        // A failure bucket is the stack's; by hand there need not be one.
        let records = RecordSettings::parse_if_set(&variables)?;
        let clients = Clients::new(&clients::complete_config().await?);
        let recorder = records.map(|settings| Recorder { settings, s3: clients.s3.clone() });
        let states = States::new(state_directory, &settings);
        let execution = states.execution();
        let fetch_key = fetch_key::Deps { settings: settings.clone(), clients: clients.clone() };
        let input = FetchKeyInput { execution: execution.clone(), event: event(first) };
        let credential = match fetch_key::handle(&fetch_key, input).await {
            Ok(output) => output.credential,
            Err(error) => {
                if let Some(recorder) = &recorder {
                    recorder.record(&execution, event(first), "FetchKey", json!({}), &error).await;
                }
                return Err(error);
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
        Delivery { bridge: self, event: event(object), journal, observers, state: "Transfer" }
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
    /// The states of the machine, one after the other. The caller does the retries; a second call goes on where the
    /// first one stopped.
    pub(crate) async fn run(&mut self) -> Result<Receipt> {
        let partner = || Arc::clone(&self.bridge.partner);
        let transfer =
            transfer::Deps { partner: partner(), on_progress: Arc::clone(&self.observers.sending) };
        let verify_remote =
            verify_remote::Deps { partner: partner(), on_progress: Arc::clone(&self.observers.verifying) };
        let mut resends = 0;
        loop {
            self.state = "Transfer";
            let complete = match self.transfer(&transfer, resends).await? {
                Step::Ended(receipt) => return Ok(*receipt),
                Step::Complete(checkpoint) => *checkpoint,
            };
            self.state = "VerifyRemote";
            match self.verify(&verify_remote, complete).await {
                Err(error) if error.name == ErrorName::RemoteMismatch && resends == 0 => {
                    resends += 1;
                    self.journal.checkpoint = None;
                }
                Ok(Verified::FollowsNewest) => {}
                Ok(Verified::Ended(receipt)) => return Ok(*receipt),
                Err(error) => return Err(error),
            }
        }
    }

    /// This is how it ended: forgets what nobody needs any more, and records a failure.
    pub(crate) async fn settle(&mut self, outcome: &Result<Receipt>) {
        if outcome.as_ref().err().is_none_or(|error| self.leaves_nothing(error.name)) {
            self.journal.remove();
        }
        if let (Err(error), Some(recorder)) = (outcome, &self.bridge.recorder) {
            let document = json!({"checkpoint": self.journal.checkpoint});
            recorder.record(&self.journal.execution, self.event.clone(), self.state, document, error).await;
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

    async fn transfer(&mut self, deps: &transfer::Deps, resends: u32) -> Result<Step> {
        loop {
            let input = TransferInput {
                execution: self.journal.execution.clone(),
                event: self.event.clone(),
                credential: self.bridge.credential.clone(),
                checkpoint: self.journal.checkpoint.clone(),
                resends,
            };
            let progress = Box::pin(transfer::handle(deps, input, Deadline::NEVER)).await?;
            if let Some(receipt) = progress.receipt {
                return Ok(Step::Ended(Box::new(receipt)));
            }
            let Some(checkpoint) = progress.checkpoint else {
                return Err(ErrorName::Internal.error("transfer returned nothing"));
            };
            self.journal.save(&self.bridge.states, &checkpoint);
            if checkpoint.status == Status::Complete {
                return Ok(Step::Complete(Box::new(checkpoint)));
            }
        }
    }

    async fn verify(&mut self, deps: &verify_remote::Deps, mut checkpoint: Checkpoint) -> Result<Verified> {
        loop {
            let input = VerifyRemoteInput {
                execution: self.journal.execution.clone(),
                event: self.event.clone(),
                credential: self.bridge.credential.clone(),
                checkpoint,
            };
            let progress = Box::pin(verify_remote::handle(deps, input, Deadline::NEVER)).await?;
            match (progress.receipt, progress.checkpoint) {
                (Some(receipt), _) => return Ok(Verified::Ended(Box::new(receipt))),
                (None, Some(more)) => {
                    self.journal.save(&self.bridge.states, &more);
                    if more.status == Status::InProgress {
                        return Ok(Verified::FollowsNewest);
                    }
                    checkpoint = more;
                }
                (None, None) => return Err(ErrorName::Internal.error("verify-remote returned nothing")),
            }
        }
    }
}

/// How Transfer ended.
enum Step {
    /// There is nothing to send.
    Ended(Box<Receipt>),
    /// All was sent.
    Complete(Box<Checkpoint>),
}

/// How VerifyRemote ended.
enum Verified {
    Ended(Box<Receipt>),
    /// A newer upload came while this one was published: the journal holds where it begins.
    FollowsNewest,
}

/// The least that a state machine would be started with.
fn event(object: &Location) -> Value {
    // Of a whole bucket, for want of a key.
    let object_key = if object.object_key.is_empty() { "*" } else { &object.object_key };
    json!({"detail": {"bucket": {"name": object.bucket}, "object": {"key": object_key}}})
}

struct Recorder {
    settings: RecordSettings,
    s3: aws_sdk_s3::Client,
}

impl Recorder {
    async fn record(&self, execution: &Execution, event: Value, state: &str, document: Value, error: &Error) {
        let deps = record_failure::Deps {
            settings: Ok(self.settings.clone()),
            s3: self.s3.clone(),
            step_functions: None,
            metrics: false,
        };
        let failure = Failure {
            state: state.into(),
            error: error.name.to_string(),
            cause: error.message().into(),
            redrive_count: execution.redrive_count,
        };
        let execution = execution.clone();
        let input = RecordFailureInput { execution, event, document, failure, raise: false };
        // Whether there is a record or not: the error is the caller's.
        let _ = record_failure::handle(&deps, input).await;
    }
}

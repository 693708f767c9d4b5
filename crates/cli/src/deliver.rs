//! `deliver`: FetchKey, Transfer, VerifyRemote and, on failure, RecordFailure, in this process.

use std::sync::Arc;

use aws::clients;
use aws::credential::Clients;
use bridge::{
    CredentialReference, Deadline, Error, ErrorName, Execution, Failure, FetchKeyInput, OnProgress, Receipt,
    RecordFailureInput, RecordSettings, Result, Settings, TransferInput, Variables, VerifyRemoteInput,
};
use partner::{Manners, Partner};
use serde_json::{Value, json};

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
    execution: Execution,
    recorder: Option<Recorder>,
}

impl Bridge {
    /// With the settings of the environment; reads and checks the credential. `first` is what a failure is recorded for.
    pub(crate) async fn start(first: &Location) -> Result<Self> {
        let variables = Variables::from_environment();
        let settings = Settings::parse(&variables)?;
        // A failure bucket is the stack's; by hand there need not be one.
        let records = RecordSettings::parse_if_set(&variables)?;
        let clients = Clients::new(&clients::config().await);
        let recorder = records.map(|settings| Recorder { settings, s3: clients.s3.clone() });
        let execution = Execution {
            id: "s3-sftp-bridge deliver".into(),
            name: format!("deliver-{}", aws::now().replace(':', "-")),
            start_time: aws::now(),
            ..Execution::default()
        };
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
        Ok(Self { partner, credential, execution, recorder })
    }

    pub(crate) fn s3(&self) -> &aws_sdk_s3::Client {
        &self.partner.clients.s3
    }

    /// The states of the machine, one after the other. Its retries are left to whoever calls.
    pub(crate) async fn deliver(&self, object: &Location, observers: Observers) -> Result<Receipt> {
        let event = event(object);
        let mut state = "Transfer";
        let mut document = json!({});
        let outcome = self.run(&event, observers, &mut state, &mut document).await;
        if let (Err(error), Some(recorder)) = (&outcome, &self.recorder) {
            recorder.record(&self.execution, event, state, document, error).await;
        }
        outcome
    }

    /// Says goodbye to the partner.
    pub(crate) async fn end(&self) {
        self.partner.disconnect().await;
    }

    async fn run(
        &self,
        event: &Value,
        observers: Observers,
        state: &mut &'static str,
        document: &mut Value,
    ) -> Result<Receipt> {
        let transfer = transfer::Deps { partner: Arc::clone(&self.partner), on_progress: observers.sending };
        let verify_remote =
            verify_remote::Deps { partner: Arc::clone(&self.partner), on_progress: observers.verifying };
        let mut resends = 0;
        let mut checkpoint = None;
        loop {
            *state = "Transfer";
            let complete = loop {
                let input = TransferInput {
                    execution: self.execution.clone(),
                    event: event.clone(),
                    credential: self.credential.clone(),
                    checkpoint,
                    resends,
                };
                let progress = Box::pin(transfer::handle(&transfer, input, Deadline::NEVER)).await?;
                *document = json!({"checkpoint": progress.checkpoint});
                if let Some(receipt) = progress.receipt {
                    return Ok(receipt);
                }
                match progress.checkpoint {
                    Some(complete) if complete.status == bridge::Status::Complete => break complete,
                    in_progress => checkpoint = in_progress,
                }
            };
            *state = "VerifyRemote";
            match self.verify(&verify_remote, event, complete, document).await {
                Err(error) if error.name == ErrorName::RemoteMismatch && resends == 0 => {
                    resends += 1;
                    checkpoint = None;
                }
                Ok(Verified::FollowsNewest(begun)) => checkpoint = Some(*begun),
                Ok(Verified::Ended(receipt)) => return Ok(*receipt),
                Err(error) => return Err(error),
            }
        }
    }

    async fn verify(
        &self,
        deps: &verify_remote::Deps,
        event: &Value,
        mut checkpoint: bridge::Checkpoint,
        document: &mut Value,
    ) -> Result<Verified> {
        loop {
            let input = VerifyRemoteInput {
                execution: self.execution.clone(),
                event: event.clone(),
                credential: self.credential.clone(),
                checkpoint,
            };
            let progress = Box::pin(verify_remote::handle(deps, input, Deadline::NEVER)).await?;
            *document = json!({"checkpoint": progress.checkpoint});
            match (progress.receipt, progress.checkpoint) {
                (Some(receipt), _) => return Ok(Verified::Ended(Box::new(receipt))),
                (None, Some(begun)) if begun.status == bridge::Status::InProgress => {
                    return Ok(Verified::FollowsNewest(Box::new(begun)));
                }
                (None, Some(more)) => checkpoint = more,
                (None, None) => return Err(ErrorName::Internal.error("verify-remote returned nothing")),
            }
        }
    }
}

/// How VerifyRemote ends.
enum Verified {
    Ended(Box<Receipt>),
    /// A newer upload came while this one was published: it is sent as well.
    FollowsNewest(Box<bridge::Checkpoint>),
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
            redrive_count: 0,
        };
        let execution = execution.clone();
        let input = RecordFailureInput { execution, event, document, failure, raise: false };
        // Whether there is a record or not: the error is the caller's.
        let _ = record_failure::handle(&deps, input).await;
    }
}

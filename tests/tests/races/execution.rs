//! An execution: the real handlers, called as the state machine calls them.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws::credential::Clients;
use bridge::{
    Checkpoint, CredentialReference, Deadline, Error, ErrorName, Progress, Receipt, SecretLocation, Settings,
    Status, TransferInput, Variables, VerifyRemoteInput,
};
use partner::Partner;
use serde_json::Value;

use crate::world::{self, HOST_KEY, World};

/// After a retryable error, and after a process was killed. Longer than what the handlers wait themselves.
const PAUSE: Duration = Duration::from_secs(20);
/// How often one state is retried after an error.
const RETRIES: u32 = 4;
/// Maximum calls of one state; more count as a loop without end.
const CALLS_MAX: u32 = 40;

/// A request that waits for the scheduler is no silence.
pub(crate) fn options() -> sftp::Options {
    let year = Duration::from_secs(365 * 24 * 3600);
    sftp::Options { stall_timeout: year, ..sftp::Options::default() }
}

/// One of several executions; each has processes and sessions of its own.
#[derive(Clone)]
pub(crate) struct Runner {
    pub(crate) world: Arc<Mutex<World>>,
    pub(crate) number: usize,
    clients: Clients,
    settings: Settings,
    event: Value,
}

/// How VerifyRemote ends.
enum Verified {
    Ended(Box<Receipt>),
    /// It is Transfer's turn again.
    SendMore(Box<Checkpoint>),
}

/// Runs an execution from its start to its end.
pub(crate) async fn run(world: Arc<Mutex<World>>, number: usize, clients: Clients) {
    let started = world.lock().unwrap().announce(number);
    if started.await.is_err() {
        return;
    }
    let runner = Runner::new(world, number, clients);
    let outcome = runner.run().await;
    runner.world.lock().unwrap().ends(number, outcome);
}

impl Runner {
    fn new(world: Arc<Mutex<World>>, number: usize, clients: Clients) -> Self {
        let (event, settings) = {
            let world = world.lock().unwrap();
            let upload = world.scenario.executions[number];
            (world.events[upload].clone(), settings(&world.scenario.variables))
        };
        Self { world, number, clients, settings, event }
    }

    /// As a cold function reaches it.
    fn partner(&self) -> Arc<Partner> {
        let (world, number) = (Arc::clone(&self.world), self.number);
        let connector = Box::new(move || -> std::pin::Pin<Box<dyn Future<Output = _> + Send>> {
            Box::pin(world::connect(Arc::clone(&world), number))
        });
        let partner = Partner::new(self.settings.clone(), self.clients.clone(), options());
        Arc::new(partner.connecting_with(connector))
    }

    fn execution(&self, retries: u32) -> bridge::Execution {
        bridge::Execution {
            id: format!("arn:aws:states:us-east-1:0:execution:bridge:run-{}", self.number),
            name: format!("run-{}", self.number),
            start_time: format!("2026-01-01T00:00:0{}Z", self.number),
            retry_count: retries,
            ..bridge::Execution::default()
        }
    }

    async fn run(&self) -> Result<Receipt, Error> {
        let (mut resends, mut begun) = (0, None);
        for _ in 0..CALLS_MAX {
            let progress = self.transfer(begun.take(), resends).await?;
            if let Some(receipt) = progress.receipt {
                return Ok(receipt);
            }
            let Some(complete) = progress.checkpoint else { break };
            match self.verify(complete).await {
                Ok(Verified::Ended(receipt)) => return Ok(*receipt),
                Ok(Verified::SendMore(checkpoint)) => begun = Some(*checkpoint),
                Err(error) if error.name == ErrorName::RemoteMismatch && resends == 0 => {
                    self.world.lock().unwrap().notes(self.number, &error);
                    resends += 1;
                }
                Err(error) => return Err(error),
            }
        }
        Err(ErrorName::Internal.error("the states follow each other without end"))
    }

    async fn transfer(&self, mut checkpoint: Option<Checkpoint>, resends: u32) -> Result<Progress, Error> {
        for _ in 0..CALLS_MAX {
            let call = |retries| {
                let deps = transfer::Deps { partner: self.partner(), on_progress: Arc::new(|_, _| {}) };
                let input = TransferInput {
                    execution: self.execution(retries),
                    event: self.event.clone(),
                    credential: credential(),
                    checkpoint: checkpoint.clone(),
                    resends,
                };
                async move { transfer::handle(&deps, input, Deadline::NEVER).await }
            };
            let progress = self.call(call).await?;
            let status = progress.checkpoint.as_ref().map(|checkpoint| checkpoint.status);
            if progress.receipt.is_some() || status != Some(Status::InProgress) {
                return Ok(progress);
            }
            checkpoint = progress.checkpoint;
        }
        Err(ErrorName::Internal.error("Transfer is called without end"))
    }

    async fn verify(&self, mut checkpoint: Checkpoint) -> Result<Verified, Error> {
        for _ in 0..CALLS_MAX {
            let call = |retries| {
                let deps = verify_remote::Deps { partner: self.partner(), on_progress: Arc::new(|_, _| {}) };
                let input = VerifyRemoteInput {
                    execution: self.execution(retries),
                    event: self.event.clone(),
                    credential: credential(),
                    checkpoint: checkpoint.clone(),
                };
                async move { verify_remote::handle(&deps, input, Deadline::NEVER).await }
            };
            let progress = self.call(call).await?;
            match (progress.receipt, progress.checkpoint) {
                (Some(receipt), _) => return Ok(Verified::Ended(Box::new(receipt))),
                (None, Some(more)) if more.status == Status::InProgress => {
                    return Ok(Verified::SendMore(Box::new(more)));
                }
                (None, Some(more)) => checkpoint = more,
                (None, None) => return Err(ErrorName::Internal.error("verify-remote returned nothing")),
            }
        }
        Err(ErrorName::Internal.error("VerifyRemote is called without end"))
    }

    /// One state: a call, and others after what can pass, or after the process was killed.
    async fn call<F>(&self, make: impl Fn(u32) -> F) -> Result<Progress, Error>
    where
        F: Future<Output = Result<Progress, Error>> + 'static,
    {
        let mut retries = 0;
        loop {
            let call = tokio::task::spawn_local(make(retries));
            self.world.lock().unwrap().executions[self.number].call = Some(call.abort_handle());
            let outcome = call.await;
            self.world.lock().unwrap().executions[self.number].call = None;
            match outcome {
                Ok(Err(error)) if error.name.retryable() && retries < RETRIES => {
                    self.world.lock().unwrap().notes(self.number, format!("is retried after {error}"));
                }
                Ok(outcome) => return outcome,
                Err(ended) if ended.is_panic() => std::panic::resume_unwind(ended.into_panic()),
                Err(_) => {}
            }
            retries += 1;
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn settings(variables: &[(&'static str, &'static str)]) -> Settings {
    let common = [
        ("SFTP_HOST", "partner"),
        ("SFTP_USER", "user"),
        ("SFTP_SECRET_ID", "secret"),
        ("SFTP_TRUSTED_HOST_KEYS", HOST_KEY),
        // Whether a kept session is asked for a sign of life depends on the real time.
        ("SFTP_KEEP_CONNECTION", "0"),
    ];
    let variables =
        common.iter().chain(variables).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Settings::parse(&variables.collect::<Variables>()).expect("settings")
}

/// Nobody reads it.
fn credential() -> CredentialReference {
    CredentialReference {
        location: SecretLocation::SecretsManager { arn: "arn".into(), version_id: "1".into() },
        user_name: "user".into(),
        algorithm: None,
        public_key_fingerprint: None,
        previous: None,
    }
}

//! An execution: the real handlers, called as the state machine calls them.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws::credential::Clients;
use bridge::{
    CredentialReference, Error, ErrorName, Execution, FetchKeyInput, FetchKeyOutput, Progress, Receipt,
    SecretLocation, Settings, TransferInput, Variables, VerifyRemoteInput,
};
use delivery::{Document, Functions, Handlers, State, StateMachine};
use partner::Partner;
use serde_json::Value;

use crate::scenario::{Processes, Scenario};
use crate::world::{self, HOST_KEY, World};

/// After a retryable error, and after a process was killed. Longer than what the handlers wait themselves.
const PAUSE: Duration = Duration::from_secs(20);
/// How often one state is retried after an error.
const RETRIES: u32 = 4;
/// Maximum number of calls in one execution; more count as a loop without end.
const CALLS_MAX: u32 = 200;

/// A request that waits for the scheduler is no silence.
pub(crate) fn options() -> sftp::Options {
    let year = Duration::from_secs(365 * 24 * 3600);
    sftp::Options { stall_timeout: year, ..sftp::Options::default() }
}

/// One of several executions; each has processes and sessions of its own.
pub(crate) struct Runner {
    pub(crate) world: Arc<Mutex<World>>,
    pub(crate) number: usize,
    clients: Clients,
    settings: Settings,
    event: Value,
    calls: u32,
    /// Of the process that makes all calls, until it is killed.
    partner: Option<Arc<Partner>>,
}

/// Runs an execution from its start to its end.
pub(crate) async fn run(world: Arc<Mutex<World>>, number: usize, clients: Clients) {
    let started = world.lock().unwrap().announce(number);
    if started.await.is_err() {
        return;
    }
    let mut runner = Runner::new(world, number, clients);
    let outcome = runner.run().await;
    runner.world.lock().unwrap().ends(number, outcome);
}

impl Runner {
    fn new(world: Arc<Mutex<World>>, number: usize, clients: Clients) -> Self {
        let (event, settings) = {
            let world = world.lock().unwrap();
            let upload = world.scenario.executions[number];
            (world.events[upload].clone(), settings(&world.scenario))
        };
        Self { world, number, clients, settings, event, calls: 0, partner: None }
    }

    /// As a cold function reaches it.
    fn partner(&self) -> Arc<Partner> {
        let (world, number) = (Arc::clone(&self.world), self.number);
        let connector = Box::new(move || -> std::pin::Pin<Box<dyn Future<Output = _> + Send>> {
            Box::pin(world::connect(Arc::clone(&world), number))
        });
        let partner = Partner::new(&self.settings, self.clients.clone(), options());
        Arc::new(partner.connecting_with(connector))
    }

    fn handlers(&mut self) -> Handlers {
        let partner = self.partner.take().unwrap_or_else(|| self.partner());
        if self.world.lock().unwrap().scenario.processes == Processes::OneForAllStates {
            self.partner = Some(Arc::clone(&partner));
        }
        Handlers::new(Arc::new(self.settings.clone()), self.clients.clone(), partner)
    }

    fn execution(&self) -> Execution {
        Execution {
            id: format!("arn:aws:states:us-east-1:0:execution:bridge:run-{}", self.number),
            name: format!("run-{}", self.number),
            start_time: format!("2026-01-01T00:00:0{}Z", self.number),
            ..Execution::default()
        }
    }

    async fn run(&mut self) -> Result<Receipt, Error> {
        let document = Document { credential: Some(credential()), ..Document::default() };
        let mut machine = StateMachine::at(State::Transfer, self.execution(), self.event.clone(), document);
        machine.run(self).await.map_err(|failed| failed.error)
    }

    /// One state: a call, and others after an error that may pass, or after the process was killed.
    async fn call<F>(&mut self, make: impl Fn(Handlers, u32) -> F) -> Result<Progress, Error>
    where
        F: Future<Output = Result<Progress, Error>> + 'static,
    {
        self.calls += 1;
        if self.calls > CALLS_MAX {
            return Err(ErrorName::Internal.error("the states follow each other without end"));
        }
        let mut retries = 0;
        loop {
            let handlers = self.handlers();
            let call = tokio::task::spawn_local(make(handlers, retries));
            self.world.lock().unwrap().executions[self.number].call = Some(call.abort_handle());
            let outcome = call.await;
            self.world.lock().unwrap().executions[self.number].call = None;
            match outcome {
                Ok(Err(error)) if error.name.retryable() && retries < RETRIES => {
                    self.world.lock().unwrap().notes(self.number, format!("is retried after {error}"));
                }
                Ok(outcome) => return outcome,
                Err(ended) if ended.is_panic() => std::panic::resume_unwind(ended.into_panic()),
                Err(_) => self.partner = None,
            }
            retries += 1;
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl Functions for Runner {
    /// The document has its credential from the start.
    async fn fetch_key(&mut self, _: FetchKeyInput) -> Result<FetchKeyOutput, Error> {
        Ok(FetchKeyOutput { credential: credential() })
    }

    async fn transfer(&mut self, input: TransferInput) -> Result<Progress, Error> {
        self.call(|mut handlers, retry_count| {
            let execution = Execution { retry_count, ..input.execution.clone() };
            let input = TransferInput { execution, ..input.clone() };
            async move { handlers.transfer(input).await }
        })
        .await
    }

    async fn verify_remote(&mut self, input: VerifyRemoteInput) -> Result<Progress, Error> {
        let outcome = self.call(|mut handlers, retry_count| {
            let execution = Execution { retry_count, ..input.execution.clone() };
            let input = VerifyRemoteInput { execution, ..input.clone() };
            async move { handlers.verify_remote(input).await }
        });
        let outcome = outcome.await;
        if let Err(error) = &outcome
            && error.name == ErrorName::RemoteMismatch
        {
            self.world.lock().unwrap().notes(self.number, error);
        }
        outcome
    }
}

fn settings(scenario: &Scenario) -> Settings {
    let kept = match scenario.processes {
        // Whether a kept session is asked for a sign of life depends on the real time.
        Processes::OneForEachCall => "0",
        // It is used again at once.
        Processes::OneForAllStates => "60",
    };
    let common = [
        ("SFTP_HOST", "partner"),
        ("SFTP_USER", "user"),
        ("SFTP_SECRET_ID", "secret"),
        ("SFTP_TRUSTED_HOST_KEYS", HOST_KEY),
        ("SFTP_KEEP_CONNECTION", kept),
    ];
    let variables = common
        .iter()
        .chain(&scenario.variables)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
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
